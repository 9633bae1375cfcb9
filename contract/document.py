"""The base class of all documents that are read from or written to a file or a table."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen, strict pydantic model without unknown fields.

    Strict means that `"25"` is not accepted as a number and `1` not as a boolean. A wrong type is
    reported with its place and is never converted by guessing.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """This document as indented JSON in field order, with a final newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a document that `to_json` wrote.

        Raises:
            pydantic.ValidationError: The text is not JSON, or not a document of this class.
        """
        return cls.model_validate_json(text)
