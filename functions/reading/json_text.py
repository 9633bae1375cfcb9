"""A JSON parser that records the line and column of every value.

The parser of the standard library does not record them, and how deeply it can nest depends on the
version of Python.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping

from functions.reading.characters import (
    ODD_BLANKS,
    meant,
    named,
    note,
    notes,
    of_single_width,
    usual,
)
from functions.reading.limits import MAX_DEPTH, MAX_VALUES
from functions.reading.mistakes import (
    duplicate,
    not_a_mapping,
    shortened,
    too_deep,
    too_many,
)
from functions.reading.values import Path, Spot, Text, Unusable, Value

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(rf"[ \t\r\n{ODD_BLANKS}]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?")
_LIKE_A_NUMBER = re.compile(r"[-+]?\.?[0-9][\w.]*(?:(?<=[eE])[-+][0-9]+)?")
_DIGITS = re.compile(r"(?P<sign>[-+]?)0*(?P<whole>(?:[1-9][0-9]*)?)(?:\.(?P<fraction>[0-9]*))?")
_WORD = re.compile(r"[A-Za-z_]+")
_JSON_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_STRING_ERRORS: Mapping[str, tuple[str, str]] = {
    "Unterminated string starting at": (
        "the quotes are never closed",
        'Close the text with ". Inside the text, write \\" for a quote and \\\\ for a backslash.',
    ),
    "Invalid control character at": (
        "there is a tab or a line break inside the quotes",
        "Write \\n for a line break and \\t for a tab.",
    ),
    "Invalid \\escape": (
        "the backslash does not begin a valid escape sequence",
        "Write \\\\ for a backslash.",
    ),
    "Invalid \\uXXXX escape": (
        "the escape sequence \\u needs four hexadecimal digits",
        "Write the character itself, or \\\\ for a backslash.",
    ),
}
"""What is wrong and how to fix it, by the message of the standard library's parser."""
_OTHER_SPELLINGS = {"True": "true", "False": "false", "None": "null", "yes": "true", "no": "false"}


def parse(text: str) -> Text:
    """Read the values of a JSON document.

    Raises:
        Unusable: the text is not valid JSON, or its outermost value is not an object.
    """
    return _Json(text).document()


class _Json:
    """A parser for one JSON document, strictly by the standard.

    Methods that read a value return it with the offset of what follows it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
        self.places: dict[Path, Spot] = {}
        self.warnings: list[tuple[str, str]] = []
        self.blanks: dict[str, int] = {}
        """Unusual blanks between the values, each with its first line."""
        self.count = 0

    def document(self) -> Text:
        start = self.skip(0)
        value, end = self.value(start, (), 0)
        if (end := self.skip(end)) < len(self.text):
            self.check_comment(end)
            if isinstance(value, str) and self.text[end] == ":":
                raise self.wrong(
                    start,
                    "the braces are missing",
                    "Write { before the first field and } after the last one.",
                )
            raise self.wrong(
                end,
                "there is more text after its end",
                "Delete that text. Use one file for each job.",
            )
        if not isinstance(value, dict):
            raise not_a_mapping(value, self.spot(start))
        blanks = [note(character, " ", line) for character, line in self.blanks.items()]
        return Text(value, self.places, blanks + self.warnings)

    def spot(self, at: int) -> Spot:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def skip(self, at: int) -> int:
        match = _BLANKS.match(self.text, at)
        assert match is not None
        for character in match[0] if not match[0].isascii() else "":
            if not character.isascii():
                self.blanks.setdefault(character, self.spot(at)[0])
        return match.end()

    def wrong(self, at: int, what: str, hint: str) -> Unusable:
        found = self.text[at : at + 1]
        meant_sign = of_single_width(usual(found)) if found else ""
        if meant_sign not in {found, ""}:
            what, hint = f"{found} is {named(found)}", f"Write {meant_sign} instead."
        return Unusable("yaml-syntax", f"The JSON cannot be read: {what}.", hint, *self.spot(at))

    def value(self, at: int, path: Path, depth: int) -> tuple[Value, int]:
        self.count += 1
        if self.count > MAX_VALUES:
            raise too_many(self.spot(at))
        if depth > MAX_DEPTH:
            raise too_deep(self.spot(at))
        self.places.setdefault(path, self.spot(at))
        first = self.text[at : at + 1]
        if first == '"':
            return self.string(at, path)
        if first == "{":
            return self.mapping(at, path, depth)
        if first == "[":
            return self.sequence(at, path, depth)
        like, match = _LIKE_A_NUMBER.match(self.text, at), _NUMBER.match(self.text, at)
        if like and (match is None or match.end() < like.end()):
            raise self.no_number(at, like[0])
        if match:
            return self.number(match), match.end()
        if (match := _WORD.match(self.text, at)) and match[0] in _JSON_WORDS:
            return _JSON_WORDS[match[0]], match.end()
        raise self.no_value(at)

    def check_comment(self, at: int) -> None:
        if self.text[at : at + 1] == "#" or self.text[at : at + 2] in {"//", "/*"}:
            raise self.wrong(
                at, "it contains a comment", "Delete the comment: JSON has no comments."
            )

    def no_number(self, at: int, found: str) -> Unusable:
        """The error for numbers of other languages: 01, .5, +1, 1., 0x1F, 1_000."""
        hint = "Write digits only, or put text in double quotes."
        if match := _DIGITS.fullmatch(found):
            sign, whole = match["sign"].removeprefix("+"), match["whole"] or "0"
            fraction = "" if match["fraction"] is None else f".{match['fraction'] or '0'}"
            hint = f"Write {shortened(sign + whole + fraction)}: a number must begin with a digit, "
            hint += "and with 0 only if no other digit comes before the decimal point."
        return self.wrong(at, f"{shortened(found)} is not a valid JSON number", hint)

    def no_value(self, at: int) -> Unusable:
        self.check_comment(at)
        first = self.text[at : at + 1]
        if not first:
            return self.wrong(at, "it ends too early", "Check that every { and [ is closed.")
        if first in "“”„‟«»‘’'":
            return self.wrong(
                at,
                f"{first} is not a valid quote character",
                'Use straight double quotes: "a bee".',
            )
        if first == "`":
            return self.wrong(
                at, "the line ``` is Markdown formatting", "Delete the lines that begin with ```."
            )
        if match := re.compile(r"[-+]?(NaN|Infinity|inf)", re.IGNORECASE).match(self.text, at):
            return Unusable(
                "field-type",
                f"{match[0]} is not allowed as a number.",
                "Write a number in digits.",
                *self.spot(at),
            )
        if match := _WORD.match(self.text, at):
            meant, word = _OTHER_SPELLINGS.get(match[0]), shortened(match[0])
            what = f"{word} is not a JSON value" if meant else f"{word} is not in quotes"
            return self.wrong(at, what, f"Write {meant or json.dumps(word)}.")
        return self.wrong(
            at, "a value is missing", "Check the commas and quotes near this position."
        )

    def string(self, at: int, path: Path, *, is_name: bool = False) -> tuple[str, int]:
        try:
            value, end = _DECODER.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            what, hint = _STRING_ERRORS.get(
                error.msg, (error.msg.lower(), "Check the text in quotes.")
            )
            raise self.wrong(error.pos, what, hint) from None
        self.warnings += notes(value, path, self.spot(at)[0], is_name=is_name)
        return meant(value, path, is_name=is_name), end

    def number(self, match: re.Match[str]) -> Value:
        whole = not (match["fraction"] or match["exponent"])
        if len(match[0]) <= 40:
            value = int(match[0]) if whole else float(match[0])
            if abs(value) < 10**18:
                return value
        raise Unusable(
            "field-range",
            f"The number {shortened(match[0])[:40]} is too large or too long.",
            "Write a number with at most 18 digits.",
            *self.spot(match.start()),
        )

    def sequence(self, at: int, path: Path, depth: int) -> tuple[Value, int]:
        items: list[Value] = []
        end = self.skip(at + 1)
        if self.text[end : end + 1] == "]":
            return items, end + 1
        while True:
            item, end = self.value(end, (*path, len(items)), depth + 1)
            items.append(item)
            end = self.skip(end)
            if self.text[end : end + 1] == "]":
                return items, end + 1
            end = self.comma(end, "]")

    def mapping(self, at: int, path: Path, depth: int) -> tuple[Value, int]:
        values: dict[str, Value] = {}
        end = self.skip(at + 1)
        if self.text[end : end + 1] == "}":
            return values, end + 1
        while True:
            if self.text[end : end + 1] != '"':
                raise self.no_name(end)
            spot = self.spot(end)
            name, end = self.string(end, path, is_name=True)
            here = (*path, name)
            if name in values:
                raise duplicate(here, spot, self.places[here])
            end = self.skip(end)
            if self.text[end : end + 1] != ":":
                self.check_comment(end)
                raise self.wrong(end, "a colon is missing", f'Write  "{shortened(name)}": value')
            self.places[here] = spot
            values[name], end = self.value(self.skip(end + 1), here, depth + 1)
            end = self.skip(end)
            if self.text[end : end + 1] == "}":
                return values, end + 1
            end = self.comma(end, "}")

    def no_name(self, at: int) -> Unusable:
        if match := _WORD.match(self.text, at):
            word = shortened(match[0])
            return self.wrong(at, f"{word} is not in quotes", f'Write "{word}".')
        return self.no_value(at)

    def comma(self, at: int, closing: str) -> int:
        found = self.text[at : at + 1]
        if not found:
            raise self.wrong(at, "it ends too early", f"Close it with {closing}.")
        self.check_comment(at)
        if found != ",":
            raise self.wrong(at, "a comma is missing", "Write a comma after the value before it.")
        end = self.skip(at + 1)
        if self.text[end : end + 1] == closing:
            raise self.wrong(at, "there is an extra comma", f"Delete the comma before {closing}.")
        return end
