"""The values of a spec, each with its position in the text.

`functions.reading.text` reads the text. This module converts its results into the types that the
other packages use.
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
    """The values of a spec, with the line and column of each, counted from 1."""

    values: dict[str, Value]
    places: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()

    def without_sidecar(self) -> "Parsed":
        """The spec within a sidecar that was dropped as a whole; any other values unchanged."""
        spec = self.values.get("spec")
        if not (isinstance(spec, dict) and {"task_id", "video_file"} <= self.values.keys()):
            return self
        message = "The file is a sidecar. Its spec was read, and the rest was ignored."
        return Parsed(
            spec,
            {path[1:]: spot for path, spot in self.places.items() if path[:1] == ("spec",)},
            (*self.warnings, Notice(code="sidecar-read", message=message)),
        )

    def as_json(self) -> str:
        """The values as JSON, for pydantic's strict JSON mode."""
        return json.dumps(self.values)

    def place(self, *path: str | int) -> Place:
        """The position of a value.

        If it is unknown, the position of the closest value around it is used.

        Args:
            path: field names and list indexes that lead to the value.
        """
        name = ".".join(str(part) for part in path) or None
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return Place(field=name, line=line, column=column)
        return Place(field=name)


def parse(body: bytes, key: str) -> Parsed:
    """Read a spec in this process, without the protection of a reading process.

    Only for text that is trusted, or where a crash harms nobody but the sender of the text.

    Args:
        body: the content of the file.
        key: the key of the file; its suffix decides how the file is read.

    Raises:
        JobRejected: the spec cannot be read.
    """
    # Imported here because the deployed functions never call this and should start without PyYAML.
    from functions.reading import text  # noqa: PLC0415

    try:
        read = text.parse(body, key)
    except Unusable as unusable:
        raise JobRejected(problem(unusable.fault)) from None
    warnings = tuple(Notice(code=code, message=message) for code, message in read.warnings)
    return Parsed(read.values, read.places, warnings)


def too_large(size_bytes: int) -> JobRejected:
    """The error for a spec that exceeds the size limit, so that it is not read at all."""
    return JobRejected(problem(too_large_spec(size_bytes).fault))


def problem(fault: Fault) -> Problem:
    """Convert a fault into a `Problem` of the contract.

    Raises:
        ValueError: the code of the fault is unknown.
    """
    return Problem(
        code=Code(fault.code),
        message=fault.message,
        hint=fault.hint,
        place=Place(field=fault.field, line=fault.line, column=fault.column),
    )
