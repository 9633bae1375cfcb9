"""A YAML reader that is safe on untrusted text and records the line and column of every value.

PyYAML only scans and parses here. The values are built by `_Composer`, because PyYAML's
`safe_load` expands aliases (so 477 bytes can become gigabytes), silently keeps the last of two
equal keys, nests without a limit, and guesses types by the rules of YAML 1.1.

`_Composer` refuses aliases, anchors, tags and duplicate keys, and limits the depth and the number
of values while it parses. Only `true`, `false`, `null` and plain decimal numbers are not read as
text: `no`, `16:9`, `010`, `1e3` and `2024-01-01` stay as they were typed.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from functions.reading import yaml_mistakes
from functions.reading.characters import meant, notes
from functions.reading.limits import MAX_DEPTH, MAX_VALUES
from functions.reading.mistakes import (
    WRITE_A_PROMPT,
    duplicate,
    not_a_mapping,
    shortened,
    too_deep,
    too_many,
)
from functions.reading.values import Path, Spot, Text, Unusable, Value
from functions.reading.yaml_blanks import with_usual_blanks
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
    """Read the values of a YAML document.

    Raises:
        Unusable: the text is not valid YAML, or its outermost value is not a mapping.
    """
    text, warnings = with_usual_blanks(text)
    composer = _Composer(text)
    try:
        value = composer.document()
    except yaml.MarkedYAMLError as error:
        raise yaml_mistakes.explained(error, composer.lines) from None
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF"
        raise Unusable(
            "yaml-syntax",
            "The YAML cannot be read: an escape such as \\U does not name a valid character.",
            "Write the character itself instead of the escape.",
            *spot_of(composer.events.get_mark()),
        ) from None
    if value is None:
        raise Unusable("spec-empty", "The file has no fields.", WRITE_A_PROMPT, 1, 1)
    if not isinstance(value, dict):
        spot = composer.places.get((), (1, 1))
        if isinstance(value, str) and (line := yaml_mistakes.first_of_fields(composer.lines, spot)):
            value = line
        raise not_a_mapping(value, spot)
    return Text(value, composer.places, warnings + composer.warnings)


class _Events(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's reader, scanner and parser in pure Python.

    The C version is faster but can crash on deep nesting.
    """

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)

    def take(self) -> Any:
        """Remove the next event and return it."""
        return self.get_event()  # type: ignore[no-untyped-call]

    def upcoming(self) -> Any:
        """Return the next event without removing it."""
        return self.peek_event()  # type: ignore[no-untyped-call]

    def next_is(self, kind: type[yaml.Event]) -> bool:
        """Whether the next event is of this kind."""
        return isinstance(self.upcoming(), kind)


class _Composer:
    """Builds plain values from parser events, and records the position of each value."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.events = _Events(text)
        self.places: dict[Path, Spot] = {}
        self.warnings: list[tuple[str, str]] = []
        self.count = 0

    def document(self) -> Value:
        self.events.take()  # stream start
        if self.events.next_is(yaml.StreamEndEvent):
            raise Unusable("spec-empty", "The file contains only comments.", WRITE_A_PROMPT, 1, 1)
        start = self.events.take()
        if start.version or start.tags:
            raise yaml_mistakes.directive(spot_of(start.start_mark))
        value = self.node((), 0)
        self.events.take()  # document end
        if not self.events.next_is(yaml.StreamEndEvent):
            raise self.refused(
                "yaml-syntax",
                self.events.upcoming(),
                "The file contains more than one YAML document.",
                "Use one file for each job, and delete the --- line.",
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
                self.node(path, depth + 1)  # raises a better error for an alias or a tag
                raise self.refused(
                    "yaml-syntax", key, "A field name must be a word.", "Write  field: value."
                )
            if key.value == "<<" and key.style is None:
                raise self.refused(
                    "yaml-alias", key, "Merge keys (<<) are not supported.", "Write out the fields."
                )
            name = self.meant(self.text(key), key, path, is_name=True)
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
        quoted = event.style is not None or text != event.value
        text = self.meant(text, event, path)
        if quoted:
            return text
        self.warn_of_fields_inside(event, path)
        if text in _WORDS:
            if not text and (rest := self.cut(event, path)):
                raise Unusable(
                    "field-missing",
                    f"{_name(path)} has no value, because everything after # is a comment.",
                    f"Write  {path[-1]}: {rest[1:]}"
                    if rest[1:].isdecimal()
                    else quote_hint(self.lines, event.end_mark.line + 1),
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
                    f"Line {event.end_mark.line + 1}: everything after # was read as a comment, "
                    f"not as part of the {name}. Put the {name} in double quotes to keep it.",
                )
            )
        return text

    def warn_of_fields_inside(self, event: Any, path: Path) -> None:
        """Warn of lines such as `seed:7` that YAML reads as part of the text above.

        That happens to an indented line without a space after its colon.
        """
        for number in range(event.start_mark.line + 1, event.end_mark.line + 1):
            line = self.lines[number] if number < len(self.lines) else ""
            if match := _FIELD_INSIDE.fullmatch(line):
                self.warnings.append(
                    (
                        "field-in-text",
                        f"Line {number + 1}: {shortened(line.strip())} was read as part of the "
                        f"{_name(path)}. If {shortened(match[1])} is a field, begin its line as "
                        "far left as the other fields and put a space after the colon.",
                    )
                )

    def text(self, event: Any) -> str:
        """The text of a scalar, with surrogate pairs joined and curly quotes around it removed."""
        text: str = event.value
        if event.style == '"':
            # JSON writes an emoji as two escapes, which PyYAML does not join into one character.
            return _SURROGATE_PAIR.sub(lambda pair: _joined(pair[0]), text)
        if event.style is None and (match := SMART_QUOTED.fullmatch(text)):
            self.warnings.append(
                (
                    "smart-quotes",
                    f"Line {event.start_mark.line + 1}: the curly quotes around the text were read "
                    'as straight quotes. Write straight quotes (") to be safe.',
                )
            )
            return match[1] or match[2] or ""
        return text

    def meant(self, text: str, event: Any, path: Path, *, is_name: bool = False) -> str:
        """The text of a name or a value without unusual characters, except in prompts."""
        self.warnings += notes(text, path, event.start_mark.line + 1, is_name=is_name)
        return meant(text, path, is_name=is_name)

    def cut(self, event: Any, path: Path) -> str:
        """The comment that probably cut off a part of the text, or nothing.

        YAML reads `cat #1 wins` as `cat`. A comment that begins with `# ` or `##` is taken to be a
        real comment, except after a prompt, where losing words matters most.
        """
        mark = event.end_mark
        rest = self.lines[mark.line][mark.column :].lstrip() if mark.line < len(self.lines) else ""
        is_prompt = any(part in {"prompt", "negative_prompt"} for part in path)
        real = rest.startswith(("# ", "##")) and not is_prompt
        return rest.strip() if rest.startswith("#") and not real else ""


def _name(path: Path) -> str:
    return shortened(next((part for part in reversed(path) if isinstance(part, str)), "value"))


def _joined(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
