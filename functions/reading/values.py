"""What was read, or what is wrong with it, as plain values."""

from typing import NamedTuple

from functions.reading.limits import MAX_SPEC_BYTES

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]
Spot = tuple[int, int]
"""Line and column, from 1."""


class Text(NamedTuple):
    """The values of a spec, where each of them stands, and warnings (code, message)."""

    values: dict[str, Value]
    places: dict[Path, Spot]
    warnings: list[tuple[str, str]]


class Fault(NamedTuple):
    """A `Problem` of the contract, without pydantic. Lines and columns count from 1."""

    code: str
    message: str
    hint: str
    line: int | None = None
    column: int | None = None
    field: str | None = None


class Unusable(Exception):
    """What was read cannot be used; `fault` says why."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str,
        line: int | None = None,
        column: int | None = None,
        *,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.fault = Fault(code, message, hint, line, column, field)


def too_large_spec(size_bytes: int) -> Unusable:
    """The answer to a spec that is not even read."""
    return Unusable(
        "spec-too-large",
        f"The spec has {size_bytes:,} bytes; at most {MAX_SPEC_BYTES:,} are read.",
        "A spec is a few lines of text. Upload images as files of their own.",
    )
