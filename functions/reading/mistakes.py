"""Errors that JSON and YAML have in common, and how their hints show corrected text."""

import json
import re

from functions.reading.limits import MAX_DEPTH, MAX_VALUES
from functions.reading.values import Path, Spot, Unusable, Value

EXAMPLE = 'prompt: "a bee on a flower"'
WRITE_A_PROMPT = f"Write a prompt, for example:   {EXAMPLE}"
MOST_WARNINGS = 10
FIELD_NAMES = (
    "prompt", "negative_prompt", "image", "video", "audio", "strength", "fit", "model", "lora",
    "lora_scale", "preset", "aspect", "height", "width", "duration_seconds", "num_frames", "fps",
    "slow_motion", "loop", "num_inference_steps", "guidance_scale", "seed", "label", "enhance",
    "scenes", "variations", "matrix", "outputs", "prompt_in_file", "priority", "notify", "tags",
    "dry_run", "animate_images",
    "max_videos_per_day", "max_gpu_minutes_per_day",
)  # fmt: skip
"""The names of the fields, only to recognise them where they are not written as fields."""
WORD_FIELDS = ("outputs", "tags")
"""The fields that are lists of words. A cell of a table can have them without brackets."""
_NEARLY_A_FIELD = re.compile(
    r"(?P<name>\w+)\s*[:=：]\s*(?P<value>\S.*)|prompt\s+(?P<rest>\S.*)", re.DOTALL
)
# Between two letters, ' is an apostrophe and does not end the text: 'it's red'.
_ENCLOSED = re.compile(
    r"""\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^']|''|(?<=\w)'(?=\w))*)'""", re.DOTALL
)
_PLAIN_LIST = re.compile(r"\[[\w.]+(?:, ?[\w.]+)*\]")
_PLAIN = re.compile(r"[^\W_](?:[^\n:#\"“”‘’\\]*[^\s:#\"“”‘’\\])?")


def duplicate(path: Path, spot: Spot, first: Spot) -> Unusable:
    """The error for a field that is given twice.

    Args:
        path: where the field is in the values.
        spot: position of the second one.
        first: position of the first one.
    """
    name = ".".join(str(part) for part in path)
    return Unusable(
        "yaml-duplicate-key",
        f"{shortened(name)} appears twice (first on line {first[0]}).",
        "Keep one of the two.",
        *spot,
        field=name,
    )


def too_deep(spot: Spot) -> Unusable:
    """The error for values that are nested too deeply."""
    return Unusable(
        "yaml-too-deep",
        f"Values are nested more than {MAX_DEPTH} levels deep.",
        "A spec needs only a few levels. If this is part of a prompt, put the prompt in double "
        "quotes.",
        *spot,
    )


def too_many(spot: Spot) -> Unusable:
    """The error for more values than any spec needs."""
    return Unusable(
        "yaml-too-many-values",
        f"The spec has more than {MAX_VALUES:,} values.",
        "Split it into several specs.",
        *spot,
    )


def not_a_mapping(value: Value, spot: Spot) -> Unusable:
    """The error for a spec without fields, such as a list or a single text."""
    bare = "(or drop the prompt alone as a .txt file)"
    hint = f"Write   {EXAMPLE}   {bare}."
    if isinstance(value, str) and not value.startswith("prompt") and (fix := nearly_a_field(value)):
        hint = write_a_colon(fix)
    elif isinstance(value, str) and (match := _NEARLY_A_FIELD.fullmatch(value)):
        text = quoted(match["value"] or match["rest"])
        hint = write_a_colon(f"{match['name'] or 'prompt'}: {text}")
    elif isinstance(value, str):
        hint = f"Write   prompt: {quoted(value)}   {bare}."
    what = "a list" if isinstance(value, list) else "a single value"
    return Unusable(
        "spec-not-a-mapping", f"The spec is {what}, but must be fields with values.", hint, *spot
    )


def write_a_colon(line: str) -> str:
    """The hint for a field that lacks its colon or space; `line` is the corrected line."""
    return f"Write a colon and a space after the field name:   {line}"


def first_of(warnings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """At most ten warnings. If there are more, the last one says how many were left out."""
    if len(warnings) <= MOST_WARNINGS:
        return warnings
    kept = warnings[: MOST_WARNINGS - 1]
    more = len(warnings) - len(kept)
    return [*kept, ("more-warnings", f"The file has {more:,} more warnings like these.")]


def nearly_a_field(line: str) -> str | None:
    """Correct a line such as `name:value`, `name = value` or `name：value`.

    Returns:
        The line as `name: value`, or None if it does not look like a field.
    """
    match = _NEARLY_A_FIELD.fullmatch(line.strip())
    if match is None or match["name"] is None or match["value"].startswith("//"):
        return None
    value = " ".join(match["value"].split())
    if _PLAIN_LIST.fullmatch(value):
        return f"{match['name']}: {value}"
    if not _PLAIN.fullmatch(value) or len(value) > 200:
        value = quoted(unquoted(value))
    return f"{match['name']}: {value}"


def unquoted(value: str) -> str:
    """Remove the quotes around `value`, if one pair of quotes encloses all of it."""
    if match := _ENCLOSED.fullmatch(value):
        return match["double"] or (match["single"] or "").replace("''", "'")
    return value


def shortened(text: str) -> str:
    """Cut a text to at most 200 characters."""
    return text if len(text) <= 200 else text[:197] + "..."


def quoted(text: str) -> str:
    """Put a text in double quotes, so that both JSON and YAML read it back unchanged."""
    return json.dumps(shortened(" ".join(text.split())), ensure_ascii=False)
