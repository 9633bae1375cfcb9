"""From the bytes of a spec to plain values, each with its place in the text.

PyYAML scans and parses; composing is ours, because `safe_load` expands aliases (477 bytes can
become gigabytes), lets the last of two equal keys win, recurses without limit and guesses types
by the rules of YAML 1.1. Here there are no aliases, anchors, tags or duplicate keys, depth and
count are capped while parsing, and only `true`, `false`, `null` and plain decimal numbers are
not text: `no`, `16:9`, `010`, `1e3` and `2024-01-01` are what was typed.
"""

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from processing.contract.errors import Code, JobRejected, Notice, Place, Problem

MAX_SPEC_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_VALUES = 2_000

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_WORDS: Mapping[str, bool | None] = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip
# Controls except tab and line ends, invisible direction marks, lone surrogates, noncharacters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069"
                        "\ud800-\udfff\ufffe\uffff]")  # fmt: skip


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
    """Read a spec by the suffix of its key: YAML, JSON, or a bare prompt (.txt).

    Raises:
        JobRejected: it cannot be read; says where, and what to do.
    """
    if len(body) > MAX_SPEC_BYTES:
        raise too_large(len(body))
    text = _decode(body)
    if not text.strip():
        raise _rejected(
            Code.SPEC_EMPTY, "The file is empty.", 'Write   prompt: "a bee on a flower".'
        )
    suffix = posixpath.splitext(key)[1].lower()
    if suffix == ".txt":
        return Parsed({"prompt": " ".join(text.split())}, {("prompt",): (1, 1)})
    parsed = _parse_json(text) if suffix == ".json" else _parse_yaml(text)
    _check_strings(parsed, parsed.values, ())
    return parsed


def _check_strings(parsed: Parsed, value: Value, path: Path) -> None:
    """Escapes such as "\\u0000" bring in what the text itself may not have. JSON's depth, too, is
    looked at here: how deep its parser goes depends on the version of Python."""
    if len(path) > MAX_DEPTH:
        raise _too_deep(None, None)
    if isinstance(value, dict):
        for name, item in value.items():
            _check_strings(parsed, name, (*path, name))
            _check_strings(parsed, item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_strings(parsed, item, (*path, number))
    elif isinstance(value, str) and (match := _FORBIDDEN.search(value)):
        place = parsed.place(*path)
        raise _forbidden(match, place.line, place.column)


def too_large(size_bytes: int) -> JobRejected:
    """The answer to a spec that is not even read."""
    return _rejected(
        Code.SPEC_TOO_LARGE,
        f"The spec has {size_bytes:,} bytes; at most {MAX_SPEC_BYTES:,} are read.",
        "A spec is a few lines of text. Upload images as files of their own.",
    )


def _rejected(
    code: Code, message: str, hint: str, line: int | None = None, column: int | None = None
) -> JobRejected:
    return JobRejected(
        Problem(code=code, message=message, hint=hint, place=Place(line=line, column=column))
    )


def _decode(body: bytes) -> str:
    encoding = "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise _rejected(
            Code.TEXT_ENCODING,
            f"The file is not UTF-8 text (byte {error.start + 1}).",
            "Save it as UTF-8: most editors have it under Save As, Encoding.",
            line,
        ) from None
    if match := _FORBIDDEN.search(text):
        before = text[: match.start()]
        raise _forbidden(match, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return text


def _forbidden(match: re.Match[str], line: int | None, column: int | None) -> JobRejected:
    return _rejected(
        Code.TEXT_CHARACTER,
        f"The file has the invisible character U+{ord(match[0]):04X}.",
        "Delete it, or type the line again.",
        line,
        column,
    )


def _not_a_mapping(line: int = 1, column: int = 1) -> JobRejected:
    return _rejected(
        Code.SPEC_NOT_A_MAPPING,
        "The spec must be fields with values.",
        'Write   prompt: "a bee on a flower"   (a bare prompt can be dropped as a .txt file).',
        line,
        column,
    )


def _duplicate(name: str, line: int | None, column: int | None, first: int | None) -> JobRejected:
    return JobRejected(
        Problem(
            code=Code.YAML_DUPLICATE_KEY,
            message=f"{name} stands twice" + (f" (first in line {first})." if first else "."),
            hint="Keep one of the two.",
            place=Place(field=name, line=line, column=column),
        )
    )


# --- JSON ------------------------------------------------------------------------------------


def _parse_json(text: str) -> Parsed:
    def pairs(items: list[tuple[str, Value]]) -> dict[str, Value]:
        names = [name for name, _ in items]
        for name in names:
            if names.count(name) > 1:
                raise _duplicate(name, None, None, None)
        return dict(items)

    def constant(name: str) -> Value:
        raise _rejected(Code.FIELD_TYPE, f"{name} is not a number.", "Write a number with digits.")

    try:
        values = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _rejected(
            Code.YAML_SYNTAX,
            f"The JSON cannot be read: {error.msg.lower()}.",
            "Check commas, quotes and brackets near this place.",
            error.lineno,
            error.colno,
        ) from None
    except RecursionError:
        raise _too_deep(None, None) from None
    except ValueError:  # int() refuses thousands of digits
        raise _rejected(
            Code.FIELD_RANGE, "A number is too long.", "Write a number with at most 18 digits."
        ) from None
    if not isinstance(values, dict):
        raise _not_a_mapping()
    places: dict[Path, tuple[int, int]] = {}
    for name in values:
        if match := re.search(re.escape(json.dumps(name, ensure_ascii=False)) + r"\s*:", text):
            before = text[: match.start()]
            places[(name,)] = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Parsed(values, places)


# --- YAML ------------------------------------------------------------------------------------


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


def _too_deep(line: int | None, column: int | None) -> JobRejected:
    return _rejected(
        Code.YAML_TOO_DEEP,
        f"Values are nested more than {MAX_DEPTH} levels deep.",
        "A spec needs one or two levels. If this is part of a prompt, quote the prompt.",
        line,
        column,
    )


def _alias(line: int, column: int) -> JobRejected:
    return _rejected(
        Code.YAML_ALIAS,
        "A value begins with * or &, which YAML reads as an alias.",
        'Put the value in double quotes:   prompt: "*bold* colours".',
        line,
        column,
    )


class _Composer:
    """Builds plain values from parser events, and remembers where each stood."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.events = _Events(text)
        self.places: dict[Path, tuple[int, int]] = {}
        self.warnings: list[Notice] = []
        self.count = 0

    def document(self) -> Value:
        self.events.take()  # stream start
        if self.events.next_is(yaml.StreamEndEvent):
            raise _rejected(
                Code.SPEC_EMPTY,
                "The file has only comments.",
                'Write   prompt: "a bee on a flower".',
            )
        start = self.events.take()
        if start.version or start.tags:
            raise self.refused(Code.YAML_TAG, start, "A % line is not allowed.", "Delete it.")
        value = self.node((), 0)
        self.events.take()  # document end
        if not self.events.next_is(yaml.StreamEndEvent):
            raise self.refused(
                Code.YAML_SYNTAX,
                self.events.upcoming(),
                "The file has more than one document.",
                "Drop one file for each job, and delete the --- line.",
            )
        return value

    def refused(self, code: Code, event: Any, message: str, hint: str) -> JobRejected:
        mark = event.start_mark
        return _rejected(code, message, hint, mark.line + 1, mark.column + 1)

    def node(self, path: Path, depth: int) -> Value:
        event = self.events.take()
        self.count += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise _alias(event.start_mark.line + 1, event.start_mark.column + 1)
        if event.tag:
            raise self.refused(
                Code.YAML_TAG,
                event,
                "A value begins with !, which YAML reads as a tag.",
                "Put the value in double quotes.",
            )
        if self.count > MAX_VALUES:
            raise self.refused(
                Code.YAML_TOO_MANY_VALUES,
                event,
                f"The spec has more than {MAX_VALUES:,} values.",
                "Split it into several specs.",
            )
        if depth > MAX_DEPTH:
            raise _too_deep(event.start_mark.line + 1, event.start_mark.column + 1)
        self.places.setdefault(path, (event.start_mark.line + 1, event.start_mark.column + 1))
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
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if not isinstance(key, yaml.ScalarEvent):
                self.node(path, depth + 1)  # names an alias or tag; else:
                raise self.refused(
                    Code.YAML_SYNTAX, key, "A field name must be a word.", "Quote the value."
                )
            if key.value == "<<":
                raise self.refused(
                    Code.YAML_ALIAS, key, "Merge keys (<<) are not read.", "Write the fields out."
                )
            name = key.value
            self.events.take()
            here = (*path, name)
            if name in values:
                raise _duplicate(name, line, column, self.places[here][0])
            self.places[here] = (line, column)
            values[name] = self.node(here, depth + 1)
        self.events.take()
        return values

    def scalar(self, event: Any, path: Path) -> Value:
        text: str = event.value
        if event.style is not None:
            return text
        rest = self.lines[event.end_mark.line][event.end_mark.column :] if self.lines else ""
        if path == ("prompt",) and rest.lstrip().startswith("#"):
            self.warnings.append(
                Notice(
                    code="comment-cut",
                    message=f"Line {event.end_mark.line + 1}: what follows # was read as a "
                    "comment and is not part of the prompt. Quote the prompt to keep it.",
                )
            )
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text


def _parse_yaml(text: str) -> Parsed:
    composer = _Composer(text)
    try:
        values = composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        start = error.context_mark
        if error.context in {"while scanning an alias", "while scanning an anchor"} and start:
            raise _alias(start.line + 1, start.column + 1) from None
        problem = error.problem or error.context or "it is not YAML"
        hint = "Put the prompt in double quotes, or on lines of its own after   prompt: |"
        if "\\t" in problem:
            hint = "Indent with spaces: YAML does not allow tabs there."
        raise _rejected(
            Code.YAML_SYNTAX,
            f"The YAML cannot be read: {problem}.",
            hint,
            mark.line + 1 if mark else None,
            mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        raise _rejected(
            Code.YAML_SYNTAX, f"The YAML cannot be read: {error}.", "Save it as plain UTF-8 text."
        ) from None
    if not isinstance(values, dict):
        line, column = composer.places.get((), (1, 1))
        raise _not_a_mapping(line, column)
    return Parsed(values, composer.places, tuple(composer.warnings))
