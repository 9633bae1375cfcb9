"""Finds out which rows of a list may have their specs dropped.

Two files of one path, such as `sunrise.yaml` and `sunrise.json`, are versions of one job: the newer
one replaces the other. That is right for two drops of a person, but who writes a row may not know
of a file with its name. So a row is refused if its spec would replace a file that was not written
for a row: one of a person, or the final of a draft.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from contract.errors import Problem
from functions import s3_keys
from functions.ports import Locked, Missing, WithFiles
from functions.replies import problems
from functions.spec.input_bucket import InputBucket
from functions.spec.lists import ReadList, RowSpec, Spec, in_row, together

_LAST = "\U0010ffff"
"""Comes after every key."""


class _There(Enum):
    """What is at the key of the spec of a row."""

    OURS = auto()
    """Nothing, or the spec of an older version of the list."""
    THE_SAME = auto()
    """The spec that the row would drop."""
    SOMEBODYS = auto()
    """Something that a person has written, or changed, or the final of a draft."""


def without_taken(
    ports: WithFiles, drop: InputBucket, found: ReadList
) -> tuple[ReadList, tuple[Spec, ...]]:
    """Refuse the rows whose specs would replace a file that is no spec of a row.

    Returns:
        The list, in which these rows are bad rows now; and the specs that are still to be written.
    """
    others = _drops_of_paths(ports, drop.bucket, found.good)
    good: list[RowSpec] = []
    taken: list[Problem] = []
    new: list[Spec] = []
    for row in found.good:
        key = row.spec.key
        names = others[s3_keys.path_of(key)]
        there = _there(drop, row.spec) if key in names else _There.OURS
        in_the_way = next((name for name in names if name != key), None)
        if in_the_way is None and there == _There.SOMEBODYS:
            in_the_way = key
        if in_the_way is not None:
            taken.append(in_row(problems.row_taken(in_the_way, key), row.number))
            continue
        good.append(row)
        if there != _There.THE_SAME:
            new.append(row.spec)
    if taken:
        found = replace(
            found,
            good=tuple(good),
            problems=tuple(together([*found.problems, *taken])),
            bad_rows=found.bad_rows + len(taken),
        )
    return found, tuple(new)


def _drops_of_paths(
    ports: WithFiles, bucket: str, rows: Sequence[RowSpec]
) -> Mapping[str, Sequence[str]]:
    """The keys of the specs and lists that have the path of a row, by that path.

    Few calls list them all. Parts of the folder in which no row can be are left out.
    """
    found: dict[str, list[str]] = {s3_keys.path_of(row.spec.key): [] for row in rows}
    listed_to = ""
    for stem in sorted(s3_keys.stem_of(row.spec.key) for row in rows):
        # The suffix of a file begins with a dot, which comes before a slash.
        while listed_to < f"{stem}/":
            folder = f"{s3_keys.parent(stem)}/"
            page = ports.files.page(bucket, folder, max(listed_to, stem))
            for one in page.objects:
                path = s3_keys.path_of(one.key)
                if path in found and s3_keys.has_videos(one.key):
                    found[path].append(one.key)
            listed_to = page.objects[-1].key if page.more else _LAST
    return found


def _there(drop: InputBucket, spec: Spec) -> _There:
    try:
        facts = drop.facts(spec.key)
        if spec.may_replace(facts.mark):
            return _There.THE_SAME if facts.mark == spec.mark else _There.OURS
        # A person may have uploaded it again as it was, because its job had failed.
        is_same = facts.size_bytes == len(spec.body) and drop.read(spec.key) == spec.body
    except Missing:
        return _There.OURS  # it was deleted after it was listed
    except Locked:
        return _There.SOMEBODYS
    return _There.THE_SAME if is_same else _There.SOMEBODYS
