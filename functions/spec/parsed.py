"""What was read of a spec: plain values, each with its place in the text.

`functions.reading.text` does the reading; here its answers become what the rest of the house
works with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.errors import Code, JobRejected, Notice, Place, Problem
from functions.reading import limits
from functions.reading.values import Fault, Path, Unusable, Value, too_large_spec

MAX_SPEC_BYTES = limits.MAX_SPEC_BYTES


@dataclass(frozen=True)
class Parsed:
    """The values of a spec, with the (line, column) of each, counted from 1."""

    values: dict[str, Value]
    places: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()

    def as_json(self) -> str:
        """The values as JSON, for pydantic's strict JSON mode."""
        return json.dumps(self.values)

    def place(self, *path: str | int) -> Place:
        """Where the value at `path` stands; the nearest enclosing one that has a place."""
        name = ".".join(str(part) for part in path) or None
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return Place(field=name, line=line, column=column)
        return Place(field=name)


def parse(body: bytes, key: str) -> Parsed:
    """Read a spec in this process: for text that is trusted, or only one's own to lose.

    Raises:
        JobRejected: it cannot be read; says where, and what to do.
    """
    # Functions ask a reading process instead, and start without loading yaml.
    from functions.reading import text  # noqa: PLC0415

    try:
        read = text.parse(body, key)
    except Unusable as unusable:
        raise JobRejected(problem(unusable.fault)) from None
    warnings = tuple(Notice(code=code, message=message) for code, message in read.warnings)
    return Parsed(read.values, read.places, warnings)


def too_large(size_bytes: int) -> JobRejected:
    """The answer to a spec that is not even read."""
    return JobRejected(problem(too_large_spec(size_bytes).fault))


def problem(fault: Fault) -> Problem:
    """What is wrong, as the contract says it.

    Raises:
        ValueError: there is no such code.
    """
    return Problem(
        code=Code(fault.code),
        message=fault.message,
        hint=fault.hint,
        place=Place(field=fault.field, line=fault.line, column=fault.column),
    )
