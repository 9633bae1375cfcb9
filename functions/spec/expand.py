"""Expands the variations and the matrix of a job into one spec for each video.

The videos are counted first, so that a huge matrix is refused before any combination is made.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.errors import Code, JobRejected, Place, Problem
from functions.spec.fields import (
    CONFLICTS,
    MAX_VIDEOS,
    JobSpec,
    Matrix,
    Video,
    is_only_finished,
    path_of,
)
from functions.spec.folder_defaults import Draft, over

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Wanted:
    """One video of a job, not yet resolved."""

    spec: JobSpec
    """Without matrix and variations."""
    variation: int
    """Counted from 0. It is added to the seed."""
    draft: Draft
    origin: Mapping[str, Path]
    """For each field that comes from the matrix: where its value is in the draft."""

    def place(self, field: str) -> Place:
        """Where the value of a field is written. That of a scene is given as a path."""
        return self.draft.place(*self.origin.get(field, path_of(field)))  # type: ignore[arg-type]

    def said(self, field: str) -> bool:
        """Whether the spec itself has a field. In folder defaults, it is for who can use it."""
        return field in self.origin or self.draft.said(field)


def expand(draft: Draft) -> tuple[Wanted, ...]:
    """Every video that a draft asks for.

    Raises:
        JobRejected: the matrix has an error, or the job would make too many videos or none.
    """
    spec, matrix = draft.spec, draft.spec.matrix
    if matrix is not None:
        _check(draft, matrix)
    combinations = list(_combinations(matrix)) if matrix is not None else [(Video(), {})]
    count = len(combinations) * spec.variations
    if not 1 <= count <= MAX_VIDEOS:
        raise _wrong_count(draft, count)
    base = {
        name: getattr(spec, name)
        for name in spec.model_fields_set
        if name not in {"matrix", "variations"}
    }
    made = ((JobSpec(**over(fields, base)), origin) for fields, origin in combinations)
    return tuple(
        Wanted(one, variation, draft, origin)
        for one, origin in made
        # Finishing a clip again makes the same video.
        for variation in range(1 if is_only_finished(one) else spec.variations)
    )


def _check(draft: Draft, matrix: Matrix) -> None:
    """Check everything about a matrix that its types do not, including the number of videos."""
    lists = _lists(matrix)
    empty = [name for name in matrix.model_fields_set if not getattr(matrix, name)]
    if empty or not (lists or matrix.include):
        name = empty[0] if empty else ""
        raise JobRejected(
            Problem(
                code=Code.MATRIX_INVALID,
                message=f"The matrix has no values{f' for {name}' if name else ''}.",
                hint="Add lists of values, such as  seed: [1, 2, 3]  or delete it.",
                place=draft.place("matrix", *((name,) if name else ())),
            )
        )
    for one, other, why in CONFLICTS:
        if {one, other} <= set(lists):
            raise JobRejected(
                Problem(
                    code=Code.MATRIX_INVALID,
                    message=f"{one} and {other} cannot be used together in a matrix.",
                    hint=f"Delete one of the two lists: {why}.",
                    place=draft.place("matrix", other),
                )
            )
    _check_beside_scenes(draft, matrix)
    for index, entry in enumerate(matrix.exclude):
        strange = sorted(
            name
            for name in entry.model_fields_set
            if getattr(entry, name) not in lists.get(name, ())
        )
        if strange or not entry.model_fields_set:
            raise JobRejected(
                Problem(
                    code=Code.MATRIX_INVALID,
                    message=f"exclude has a value of {strange[0]} that the matrix does not have."
                    if strange
                    else "An entry of exclude is empty.",
                    hint="In exclude, use only fields and values from the lists of the matrix.",
                    place=draft.place("matrix", "exclude", index),
                )
            )
    most = math.prod(len(values) for values in lists.values()) if lists else 0
    if most > 4 * MAX_VIDEOS:  # more than exclude is meant to remove
        raise _wrong_count(draft, (most + len(matrix.include)) * draft.spec.variations)


def _check_beside_scenes(draft: Draft, matrix: Matrix) -> None:
    """Refuse a matrix that varies what each scene has of its own."""
    if not draft.spec.scenes:
        return
    varied = {name: ("matrix", name) for name in _lists(matrix)} | {
        name: ("matrix", "include") for entry in matrix.include for name in entry.model_fields_set
    }
    for one, other, why in CONFLICTS:
        if other == "scenes" and one in varied:
            raise JobRejected(
                Problem(
                    code=Code.MATRIX_INVALID,
                    message=f"{one} cannot be varied together with scenes.",
                    hint=f"Delete it in the matrix, or delete scenes: {why}.",
                    place=draft.place(*varied[one]),
                )
            )


def _lists(matrix: Matrix) -> dict[str, tuple[object, ...]]:
    """The fields to combine and their values, in the order of the fields of `Video`."""
    return {name: getattr(matrix, name) for name in Video.model_fields if getattr(matrix, name)}


def _combinations(matrix: Matrix) -> Iterator[tuple[Video, dict[str, Path]]]:
    lists = _lists(matrix)
    left_out = [
        {name: getattr(entry, name) for name in entry.model_fields_set} for entry in matrix.exclude
    ]
    for picks in itertools.product(*(enumerate(values) for values in lists.values())):
        if not lists:
            break
        fields = {name: value for name, (_, value) in zip(lists, picks, strict=True)}
        if any(entry.items() <= fields.items() for entry in left_out):
            continue
        origin = {
            name: ("matrix", name, index) for name, (index, _) in zip(lists, picks, strict=True)
        }
        yield Video.model_validate(fields), dict(origin)
    for index, entry in enumerate(matrix.include):
        yield entry, {name: ("matrix", "include", index, name) for name in entry.model_fields_set}


def _wrong_count(draft: Draft, count: int) -> JobRejected:
    return JobRejected(
        Problem(
            code=Code.TOO_MANY_VIDEOS,
            message=f"This job would make {count:,} videos; a job can make 1 to {MAX_VIDEOS}.",
            hint="Shorten the lists, exclude combinations, or use several files."
            if count
            else "exclude leaves no combinations. Delete some of its entries.",
            place=draft.place("matrix" if draft.spec.matrix is not None else "variations"),
        )
    )
