"""The base of every document that crosses an edge: strict, frozen, no unknown fields."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen, strict pydantic model.

    Strict means that `"25"` is not a number and `1` is not a boolean: what a person typed is
    either what we need or an error with a place, never a guess.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """This document as indented JSON with a final newline, in field order."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read back what `to_json` wrote.

        Raises:
            pydantic.ValidationError: the text is not JSON or not this document.
        """
        return cls.model_validate_json(text)
