"""Reads the unusual blanks of a YAML text as usual ones, before the text is parsed.

YAML knows the space only. Where another blank is, it finds no indentation, no field name or no
value, and its messages name none of these characters. Each is replaced by one space, so that all
positions stay the same.
"""

import re

from functions.reading.characters import INVISIBLE, ODD_BLANKS, is_blank, named, note
from functions.reading.mistakes import FIELD_NAMES
from functions.reading.values import Unusable

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_ANY = rf"[ \t{ODD_BLANKS}]"
_ODD = re.compile(f"[{ODD_BLANKS}]")
_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
_HEAD = re.compile(
    rf"(?P<indent>{_ANY}*)(?P<dashes>(?:-{_ANY}+)*)"
    rf"(?P<field>(?P<name>[\"'“]?[A-Za-z_][\w-]*[\"'”]?{_ANY}*:)(?P<gap>{_ANY}*))?"
)
_INVISIBLE_END = re.compile(f"[{INVISIBLE}]*$")
_QUOTED_OR_ODD = re.compile(rf'"(?:[^"\\]|\\.)*"|[{ODD_BLANKS}]', re.DOTALL)
_JSON = re.compile(rf"[\s{ODD_BLANKS}]*\{{")
_FIELD_NEXT = re.compile(rf"{_ANY}*(?:-{_ANY}+)?[a-z_]+{_ANY}*:(?:{_ANY}|$)")
_NOT_A_COLON = re.compile(
    rf"(?P<before>(?:-{_ANY}+)*[\"'“]?(?:{'|'.join(FIELD_NAMES)}|include|exclude|transition)[\"'”]?{_ANY}*)"
    "(?P<colon>[：﹕︓∶ː])(?P<after>.?)"
)  # fmt: skip
_NOT_A_DASH = re.compile(rf"[\u2010-\u2015\u2212\uff0d](?={_ANY}+\S)")
_BLOCK = re.compile(r"(?P<indent> *)(?:.*[:-])? +[|>][-+0-9]*\s*(?:#.*)?", re.DOTALL)
_NO_BREAK_SPACE = "\xa0"
"""As wide as a space in every editor, so that the indentation is what a person sees."""


def with_usual_blanks(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The text with spaces in place of other blanks, except within names and values.

    Returns:
        The text, and warnings as (code, message).

    Raises:
        Unusable: it is not clear how far a line is indented, or where it ends.
    """
    if text.isascii():
        return text, []
    blanks = _Blanks()
    if _JSON.match(text):
        usual = blanks.json(text)
    else:
        usual = "".join(blanks.line(match[0]) for match in _LINE.finditer(text))
    return usual, [note(*read, line) for read, line in blanks.seen.items()]


class _Blanks:
    """Goes through the lines of a text."""

    def __init__(self) -> None:
        self.number = 0
        self.seen: dict[tuple[str, str], int] = {}
        """The characters that were replaced and what they were read as, with their first line."""
        self.block: int | None = None
        """The indentation of the field whose text block (| or >) may go on, or None."""

    def json(self, text: str) -> str:
        """Replace the blanks outside the quotes."""

        def usual(match: re.Match[str]) -> str:
            self.number = 1 + text.count("\n", 0, match.start())
            return match[0] if match[0][0] == '"' else self.spaces(match[0])

        return _QUOTED_OR_ODD.sub(usual, text)

    def line(self, line: str) -> str:
        self.number += 1
        if is_blank(line):
            return _ODD.sub(" ", line)
        in_block = self.block is not None and len(line) - len(line.lstrip(" ")) > self.block
        if not line.isascii():
            line = line if in_block else self.head(self.signs(line))
            line = self.breaks(line)
        if not in_block:
            begins = _BLOCK.fullmatch(line)
            self.block = len(begins["indent"]) if begins else None
        return line

    def signs(self, line: str) -> str:
        """Replace signs that look like the dash of an item, or like the colon of a known field."""
        at = len(line) - len(line.lstrip(" "))
        if dash := _NOT_A_DASH.match(line, at):
            self.seen.setdefault((dash[0], "-"), self.number)
            line = line[:at] + "-" + line[at + 1 :]
        match = _NOT_A_COLON.match(line, at)
        if match is None:
            return line
        self.seen.setdefault((match["colon"], ":"), self.number)
        # Only here, what follows moves by a column: YAML needs a space.
        space = " " if match["after"] and not is_blank(match["after"]) else ""
        return line[: match.start("colon")] + ":" + space + line[match.end("colon") :]

    def head(self, line: str) -> str:
        """Replace what is before the first word of a line, and what follows its colon."""
        match = _HEAD.match(line)
        assert match is not None
        indent, dashes, field = match["indent"], match["dashes"], match["field"] or ""
        rest = line[match.end() :]
        shape = indent
        if match["name"] and not dashes and match["name"][0].isalpha():
            # An invisible character right before a name is removed together with those within it.
            shape = _INVISIBLE_END.sub("", indent)
        begins = bool(dashes or field or rest.startswith("#") or not shape.startswith(" "))
        if set(shape) <= {" ", "\t", _NO_BREAK_SPACE}:
            indent = self.spaces(shape) + indent[len(shape) :]
        elif begins and (odd := _ODD.search(shape)):
            raise self.indented(odd)
        if match["name"]:
            field = match["name"] + self.spaces(match["gap"])
        return indent + self.spaces(dashes) + field + rest

    def breaks(self, line: str) -> str:
        """Replace line breaks that only some programs show as such."""
        for match in _LINE_BREAK.finditer(line):
            if _FIELD_NEXT.match(line, match.end()):
                raise Unusable(
                    "text-character",
                    f"The line contains {named(match[0])} where a new line should begin.",
                    "Delete it and press Enter.",
                    self.number,
                    match.start() + 1,
                )
        return _LINE_BREAK.sub(lambda match: self.spaces(match[0]), line)

    def spaces(self, text: str) -> str:
        for character in _ODD.findall(text):
            self.seen.setdefault((character, " "), self.number)
        return _ODD.sub(" ", text)

    def indented(self, odd: re.Match[str]) -> Unusable:
        return Unusable(
            "text-character",
            f"The line begins with {named(odd[0])}, which does not count as indentation.",
            "Delete everything before the first word, and indent with spaces.",
            self.number,
            odd.start() + 1,
        )
