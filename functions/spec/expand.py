"""Makes one spec for each video of a job: variations and matrix, counted before anything starts."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.errors import Code, JobRejected, Place, Problem
from functions.spec.fields import CONFLICTS, MAX_VIDEOS, JobSpec, Matrix, Video
from functions.spec.folder_defaults import Draft, over

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Wanted:
    """One video of a job, not yet resolved."""

    spec: JobSpec
    """Without matrix and variations."""
    variation: int
    """Counts from 0: how far its seed is from the first one's."""
    draft: Draft
    origin: Mapping[str, Path]
    """Where in the draft the fields stand that come from its matrix."""

    def place(self, field: str) -> Place:
        """Where the value of a field stands."""
        return self.draft.place(*self.origin.get(field, (field,)))  # type: ignore[arg-type]


def expand(draft: Draft) -> tuple[Wanted, ...]:
    """Every video that a draft asks for.

    Raises:
        JobRejected: the matrix is wrong, or there would be too many videos, or none.
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
    return tuple(
        Wanted(JobSpec(**over(fields, base)), variation, draft, origin)
        for fields, origin in combinations
        for variation in range(spec.variations)
    )


def _check(draft: Draft, matrix: Matrix) -> None:
    """What can be wrong with a matrix beside its types; counts before it combines."""
    lists = _lists(matrix)
    empty = [name for name in matrix.model_fields_set if not getattr(matrix, name)]
    if empty or not (lists or matrix.include):
        name = empty[0] if empty else ""
        raise JobRejected(
            Problem(
                code=Code.MATRIX_INVALID,
                message=f"The matrix has no values{f' for {name}' if name else ''}.",
                hint="Write lists into it, like  seed: [1, 2, 3]  or delete it.",
                place=draft.place("matrix", *((name,) if name else ())),
            )
        )
    for one, other, why in CONFLICTS:
        if {one, other} <= set(lists):
            raise JobRejected(
                Problem(
                    code=Code.MATRIX_INVALID,
                    message=f"The matrix has both {one} and {other}, which exclude each other.",
                    hint=f"Delete one of the two lists: {why}.",
                    place=draft.place("matrix", other),
                )
            )
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
                    message=f"exclude names a {strange[0]} that the matrix does not have."
                    if strange
                    else "An entry of exclude is empty.",
                    hint="Name fields and values that the matrix combines.",
                    place=draft.place("matrix", "exclude", index),
                )
            )
    most = math.prod(len(values) for values in lists.values()) if lists else 0
    if most > 4 * MAX_VIDEOS:  # more than any exclude is meant for
        raise _wrong_count(draft, (most + len(matrix.include)) * draft.spec.variations)


def _lists(matrix: Matrix) -> dict[str, tuple[object, ...]]:
    """The fields that are combined, in the order in which `Video` has them."""
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
            message=f"This job would make {count:,} videos; a job makes 1 to {MAX_VIDEOS}.",
            hint="Shorten the lists, exclude combinations, or use several files."
            if count
            else "exclude leaves no combination over: delete some of its entries.",
            place=draft.place("matrix" if draft.spec.matrix is not None else "variations"),
        )
    )
