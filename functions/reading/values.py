"""The plain values that reading returns, and the error that it raises."""

from typing import NamedTuple

from functions.reading.limits import MAX_LIST_BYTES, MAX_SPEC_BYTES

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]
"""Field names and list indexes that lead to a value, such as `("matrix", "seed", 0)`."""
Spot = tuple[int, int]
"""Line and column, counted from 1."""


class Text(NamedTuple):
    """The values of a spec, the position of each, and warnings as (code, message)."""

    values: dict[str, Value]
    places: dict[Path, Spot]
    warnings: list[tuple[str, str]]


class Fault(NamedTuple):
    """The same as `Problem` of the contract, but without pydantic.

    Lines and columns are counted from 1.
    """

    code: str
    message: str
    hint: str
    line: int | None = None
    column: int | None = None
    field: str | None = None


class Unusable(Exception):
    """The bytes cannot be used; `fault` says why."""

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
    """The error for a spec that exceeds the size limit, so that it is not read at all."""
    return Unusable(
        "spec-too-large",
        f"The spec has {size_bytes:,} bytes; the limit is {MAX_SPEC_BYTES:,}.",
        "A spec is a few lines of plain text. Upload images as separate files, and save text "
        "without formatting, as Plain Text (.txt).",
        1,
        1,
    )


def too_large_list(size_bytes: int) -> Unusable:
    """The error for a list that exceeds the size limit, so that it is not read at all."""
    return Unusable(
        "list-too-large",
        f"The list has {size_bytes:,} bytes; the limit is {MAX_LIST_BYTES:,}.",
        "Divide it into several lists.",
        1,
        1,
    )
