"""YAML, composed by ourselves.

PyYAML scans and parses; composing is ours, because `safe_load` expands aliases (477 bytes can
become gigabytes), lets the last of two equal keys win, recurses without limit and guesses types
by the rules of YAML 1.1. Here there are no aliases, anchors, tags or duplicate keys, depth and
count are capped while parsing, and only `true`, `false`, `null` and plain decimal numbers are
not text: `no`, `16:9`, `010`, `1e3` and `2024-01-01` are what was typed.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from functions.reading import yaml_mistakes
from functions.reading.limits import MAX_DEPTH, MAX_VALUES
from functions.reading.mistakes import (
    EXAMPLE,
    duplicate,
    not_a_mapping,
    shortened,
    too_deep,
    too_many,
)
from functions.reading.values import Path, Spot, Text, Unusable, Value
from functions.reading.yaml_mistakes import SMART_QUOTED, alias, quote_hint, spot_of

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_WORDS: Mapping[str, bool | None] = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip
_FIELD_INSIDE = re.compile(r"\s*([a-z_]+):(?!//)\S.*")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def parse(text: str) -> Text:
    """The values of a YAML document.

    Raises:
        Unusable: it is none, or its outermost value has no fields.
    """
    composer = _Composer(text)
    try:
        value = composer.document()
    except yaml.MarkedYAMLError as error:
        raise yaml_mistakes.explained(error, composer.lines) from None
    except (ValueError, OverflowError):  # "\UFFFFFFFF" is a number that is no character
        raise Unusable(
            "yaml-syntax",
            "The YAML cannot be read: an escape such as \\U names no character.",
            "Write the character itself.",
            *spot_of(composer.events.get_mark()),
        ) from None
    if value is None:
        raise Unusable("spec-empty", "The file has no fields.", f"Write   {EXAMPLE}.", 1, 1)
    if not isinstance(value, dict):
        spot = composer.places.get((), (1, 1))
        if isinstance(value, str) and (line := yaml_mistakes.first_of_fields(composer.lines, spot)):
            value = line
        raise not_a_mapping(value, spot)
    return Text(value, composer.places, composer.warnings)


class _Events(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's pure-Python reader, scanner and parser; the C one can crash on deep nesting."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)

    def take(self) -> Any:
        """The next event, which is then gone."""
        return self.get_event()  # type: ignore[no-untyped-call]

    def upcoming(self) -> Any:
        """The next event."""
        return self.peek_event()  # type: ignore[no-untyped-call]

    def next_is(self, kind: type[yaml.Event]) -> bool:
        """Whether the next event is of this kind."""
        return isinstance(self.upcoming(), kind)


class _Composer:
    """Builds plain values from parser events, and remembers where each stood."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.events = _Events(text)
        self.places: dict[Path, Spot] = {}
        self.warnings: list[tuple[str, str]] = []
        self.count = 0

    def document(self) -> Value:
        self.events.take()  # stream start
        if self.events.next_is(yaml.StreamEndEvent):
            raise Unusable("spec-empty", "The file has only comments.", f"Write   {EXAMPLE}.")
        start = self.events.take()
        if start.version or start.tags:
            raise yaml_mistakes.directive(spot_of(start.start_mark))
        value = self.node((), 0)
        self.events.take()  # document end
        if not self.events.next_is(yaml.StreamEndEvent):
            raise self.refused(
                "yaml-syntax",
                self.events.upcoming(),
                "The file has more than one document.",
                "Drop one file for each job, and delete the --- line.",
            )
        return value

    def refused(self, code: str, event: Any, message: str, hint: str) -> Unusable:
        return Unusable(code, message, hint, *spot_of(event.start_mark))

    def node(self, path: Path, depth: int) -> Value:
        event = self.events.take()
        self.count += 1
        spot = spot_of(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise alias(self.lines, spot)
        if event.tag:
            raise self.refused(
                "yaml-tag",
                event,
                yaml_mistakes.TAG,
                quote_hint(self.lines, spot[0]),
            )
        if self.count > MAX_VALUES:
            raise too_many(spot)
        if depth > MAX_DEPTH:
            raise too_deep(spot)
        self.places.setdefault(path, spot)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Value] = []
            while not self.events.next_is(yaml.SequenceEndEvent):
                items.append(self.node((*path, len(items)), depth + 1))
            self.events.take()
            return items
        return self.mapping(path, depth)

    def mapping(self, path: Path, depth: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        while not self.events.next_is(yaml.MappingEndEvent):
            key = self.events.upcoming()
            spot = spot_of(key.start_mark)
            if not isinstance(key, yaml.ScalarEvent) or key.anchor or key.tag:
                self.node(path, depth + 1)  # names an alias or tag; else:
                raise self.refused(
                    "yaml-syntax", key, "A field name must be a word.", "Write  field: value."
                )
            if key.value == "<<" and key.style is None:
                raise self.refused(
                    "yaml-alias", key, "Merge keys (<<) are not read.", "Write the fields out."
                )
            name = self.text(key)
            self.events.take()
            here = (*path, name)
            if name in values:
                raise duplicate(here, spot, self.places[here])
            self.places[here] = spot
            values[name] = self.node(here, depth + 1)
        self.events.take()
        return values

    def scalar(self, event: Any, path: Path) -> Value:
        text = self.text(event)
        if event.style is not None or text != event.value:
            return text
        self.warn_of_fields_inside(event, path)
        if text in _WORDS:
            if not text and self.cut(event, path):
                raise Unusable(
                    "field-missing",
                    f"{path[-1]} has no value: what follows # is a comment.",
                    quote_hint(self.lines, event.end_mark.line + 1),
                    *self.places[path],
                    field=".".join(str(part) for part in path),
                )
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if self.cut(event, path):
            name = _name(path)
            self.warnings.append(
                (
                    "comment-cut",
                    f"Line {event.end_mark.line + 1}: what follows # was read as a comment and is "
                    f"not part of the {name}. Quote the {name} to keep it.",
                )
            )
        return text

    def warn_of_fields_inside(self, event: Any, path: Path) -> None:
        """`seed:7` below a text, and indented, is a part of it."""
        for number in range(event.start_mark.line + 1, event.end_mark.line + 1):
            line = self.lines[number] if number < len(self.lines) else ""
            if match := _FIELD_INSIDE.fullmatch(line):
                self.warnings.append(
                    (
                        "field-in-text",
                        f"Line {number + 1}: {shortened(line.strip())} was read as a part of the "
                        f"{_name(path)}. If {shortened(match[1])} is a field, begin its line as "
                        "far left as the others and put a space behind the colon.",
                    )
                )

    def text(self, event: Any) -> str:
        """What was meant by a scalar: pairs of escapes joined, curly quotes taken as quotes."""
        text: str = event.value
        if event.style == '"':
            # JSON writes an emoji as two escapes; PyYAML leaves them as two halves.
            return _SURROGATE_PAIR.sub(lambda pair: _joined(pair[0]), text)
        if event.style is None and (match := SMART_QUOTED.fullmatch(text)):
            self.warnings.append(
                (
                    "smart-quotes",
                    f"Line {event.start_mark.line + 1}: the curly quotes around the text were "
                    'taken as quotes. Straight ones (") are safer.',
                )
            )
            return match[1] or match[2] or ""
        return text

    def cut(self, event: Any, path: Path) -> bool:
        """Whether a comment took something away: `cat #1 wins` is `cat` to YAML. A comment that
        looks like one did not, except behind a prompt, whose words are dear."""
        mark = event.end_mark
        rest = self.lines[mark.line][mark.column :].lstrip() if mark.line < len(self.lines) else ""
        is_prompt = any(part in {"prompt", "negative_prompt"} for part in path)
        return rest.startswith("#") and (is_prompt or not rest.startswith(("# ", "##")))


def _name(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "value")


def _joined(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
