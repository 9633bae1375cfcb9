"""What JSON and YAML can both have wrong, and how a mend is shown."""

import json
import re

from functions.reading.limits import MAX_DEPTH, MAX_VALUES
from functions.reading.values import Path, Spot, Unusable, Value

EXAMPLE = 'prompt: "a bee on a flower"'
MOST_WARNINGS = 10
_NEARLY_A_FIELD = re.compile(
    r"(?P<name>\w+)\s*[:=：]\s*(?P<value>\S.*)|prompt\s+(?P<rest>\S.*)", re.DOTALL
)
# In 'it's red' the middle one is an apostrophe.
_ENCLOSED = re.compile(
    r"""\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^']|''|(?<=\w)'(?=\w))*)'""", re.DOTALL
)
_PLAIN = re.compile(r"[^\W_](?:[^\n:#\"“”‘’\\]*[^\s:#\"“”‘’\\])?")


def duplicate(path: Path, spot: Spot, first: Spot) -> Unusable:
    """The answer to a field that is given again."""
    name = ".".join(str(part) for part in path)
    return Unusable(
        "yaml-duplicate-key",
        f"{name} stands twice (first in line {first[0]}).",
        "Keep one of the two.",
        *spot,
        field=name,
    )


def too_deep(spot: Spot) -> Unusable:
    """The answer to lists in lists in lists."""
    return Unusable(
        "yaml-too-deep",
        f"Values are nested more than {MAX_DEPTH} levels deep.",
        "A spec needs one or two levels. If this is part of a prompt, quote the prompt.",
        *spot,
    )


def too_many(spot: Spot) -> Unusable:
    """The answer to more values than any spec needs."""
    return Unusable(
        "yaml-too-many-values",
        f"The spec has more than {MAX_VALUES:,} values.",
        "Split it into several specs.",
        *spot,
    )


def not_a_mapping(value: Value, spot: Spot) -> Unusable:
    """The answer to a spec that has no fields."""
    hint = f"Write   {EXAMPLE}   (a bare prompt can be dropped as a .txt file)."
    if isinstance(value, str) and (match := _NEARLY_A_FIELD.fullmatch(value)):
        text = quoted(match["value"] or match["rest"])
        hint = f"Write a colon and a space behind the name:   {match['name'] or 'prompt'}: {text}"
    elif isinstance(value, str):
        hint = f"Write   prompt: {quoted(value)}   (a bare prompt can be dropped as a .txt file)."
    what = "a list" if isinstance(value, list) else "a single value"
    return Unusable(
        "spec-not-a-mapping", f"The spec is {what}, not fields with values.", hint, *spot
    )


def first_of(warnings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """At most ten warnings; the last says how many more there are."""
    if len(warnings) <= MOST_WARNINGS:
        return warnings
    kept = warnings[: MOST_WARNINGS - 1]
    more = len(warnings) - len(kept)
    return [*kept, ("more-warnings", f"The file has {more:,} more places like these.")]


def nearly_a_field(line: str) -> str | None:
    """The line `name:value`, `name = value` or `name：value` as it should be."""
    match = _NEARLY_A_FIELD.fullmatch(line.strip())
    if match is None or match["name"] is None or match["value"].startswith("//"):
        return None
    value = " ".join(match["value"].split())
    if not _PLAIN.fullmatch(value) or len(value) > 200:
        value = quoted(unquoted(value))
    return f"{match['name']}: {value}"


def unquoted(value: str) -> str:
    """`value` without the pair of quotes that encloses all of it."""
    if match := _ENCLOSED.fullmatch(value):
        return match["double"] or (match["single"] or "").replace("''", "'")
    return value


def shortened(text: str) -> str:
    """At most 200 characters of a text."""
    return text if len(text) <= 200 else text[:197] + "..."


def quoted(text: str) -> str:
    """`text` as JSON and YAML both read it back."""
    return json.dumps(shortened(" ".join(text.split())), ensure_ascii=False)
