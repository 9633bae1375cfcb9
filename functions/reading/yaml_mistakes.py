"""Turns PyYAML's errors into plain words, with a hint that shows how to fix the line."""

import re
from typing import Any

import yaml

from functions.reading.mistakes import (
    EXAMPLE,
    nearly_a_field,
    quoted,
    shortened,
    unquoted,
    write_a_colon,
)
from functions.reading.values import Spot, Unusable

TAG = "A value begins with !, which YAML reads as a tag."
SMART_QUOTED = re.compile("[“”„‟«»＂]([^“”„‟«»＂]*)[“”„‟«»＂]|[‘’‚‛‹›]([^‘’‚‛‹›]*)[‘’‚‛‹›]")
_MIXED_QUOTES = re.compile("[\"'][^\"'“”‘’]*[“”‘’]|[“”„‘’][^\"'“”‘’]*[\"']")
_TAGS = {"while scanning a tag", "while parsing a tag"}
_FENCE = re.compile(r"\s*(```|~~~)")
_JSON_LINE = re.compile(r"\s*\"[^\"]*\"\s*:.*,\s*")
_BLOCK_BEGINS = re.compile(r"(?P<indent>\s*)[^\s#].*[|>][-+0-9]*\s*(?:\s#.*)?")
_FIELD_LINE = re.compile(
    r"(?P<indent>\s*)[\"“”]?(?P<name>[A-Za-z_]\w*)[\"“”]?\s*:(?P<value>[ \t].*|)", re.DOTALL
)

_QUOTING = "QUOTING"
"""Placeholder in the hint of a rule. It is replaced by the corrected line, mostly with quotes."""
_ESCAPE_HINT = "Write two backslashes instead of one, or put the text in single quotes."
# A pattern for PyYAML's message, what is wrong in plain words, and the hint. {} is replaced by the
# group of the pattern.
_RULES = tuple(
    (re.compile(pattern), what, hint)
    for pattern, what, hint in (
        (r"mapping values are not allowed here", "the text contains a colon followed by a space",
         _QUOTING),
        (r"mapping keys are not allowed here", "the text begins with a question mark", _QUOTING),
        (r"sequence entries are not allowed here", "the text begins with a dash and a space",
         _QUOTING),
        (r"found character '\\t' that cannot", "use spaces here, not tabs", _QUOTING),
        (r"found character '(.)' that cannot", "text without quotes cannot begin with {}",
         _QUOTING),
        (r"expected the node content, but found '([],}])'",
         "text without quotes cannot begin with {}", _QUOTING),
        (r"found unexpected (?:end of stream|document separator)", "the quotes are never closed",
         _QUOTING),
        (r"found unknown escape character '(.+)'", r"\{} is not a valid escape sequence",
         _ESCAPE_HINT),
        (r"expected escape sequence", "the backslash does not begin a valid escape sequence",
         _ESCAPE_HINT),
        (r"could not find expected ':'", "a line does not begin with a field name and a colon",
         "Indent the line if it continues the text above it. Otherwise write  field: value."),
        (r"expected a comment or a line break", "there is text on the same line after | or >",
         _QUOTING),
        (r"expected ',' or '([]}])'", "{} or a comma is missing",
         f"Add it. If this is text instead, {_QUOTING}"),
        (r"expected '<document start>'", "the line is not indented like the lines above it",
         "Begin all fields in the same column."),
        (r"expected <block end>, but found '<scalar>'", "there is text after the end of a value",
         _QUOTING),
        (r"expected <block end>, but found '<block (?:mapping|sequence) start>'",
         "the line is indented too far", "Begin it in the same column as the lines above it."),
        (r"expected <block end>, but found ':'", "there is no field name before a colon",
         "Write  field: value."),
        (r"expected <block end>, but found '-'", "there is a list where a field is expected",
         _QUOTING),
    )
)  # fmt: skip


def explained(error: yaml.MarkedYAMLError, lines: list[str]) -> Unusable:
    """Translate an error of PyYAML.

    Args:
        error: what PyYAML raised.
        lines: the lines of the whole text, to find the real mistake and to show its correction.
    """
    start, problem = error.context_mark, error.problem or "it is not YAML"
    context, mark = error.context or "", error.problem_mark or start
    assert mark is not None
    if start and context in {"while scanning an alias", "while scanning an anchor"}:
        return alias(lines, spot_of(start))
    if start and context in {*_TAGS, "while scanning a simple key"}:
        mark = start
    elif start and context == "while scanning a quoted scalar" and "end of stream" in problem:
        mark = start  # where the quotes open helps more than the end of the file
    spot = spot_of(mark)
    directives = [number for number, line in enumerate(lines, 1) if line.startswith("%")]
    if directives and re.search("directive|document start|YAML document", context + problem):
        return directive((directives[0], 1))
    if context in _TAGS:
        return Unusable("yaml-tag", TAG, quote_hint(lines, spot[0]), *spot)
    if better := _by_the_lines(lines, spot, problem):
        return better
    what, hint = problem, _QUOTING
    for pattern, plain, fix in _RULES:
        if match := pattern.match(problem):
            what, hint = plain.format(*match.groups()), fix
            break
    before, quoting, _ = hint.partition(_QUOTING)
    if quoting:
        corrected = _quoting(lines, spot)
        hint = before + _lowered(corrected) if before else corrected
    return Unusable("yaml-syntax", f"The YAML cannot be read: {what}.", hint, *spot)


def _by_the_lines(lines: list[str], spot: Spot, problem: str) -> Unusable | None:
    """Find mistakes in the lines above the one that PyYAML reports.

    PyYAML notices some mistakes only lines later, where its message does not help.
    """
    if not lines:
        return None
    number = min(spot[0], len(lines))
    first = _first_line(lines, number)
    found = (
        _pasted(lines, first, number, problem)
        or _indented_less(lines, number)
        or _no_field(lines, first, (number, spot[1]), problem)
    )
    if found is None:
        return None
    at, what, hint = found
    column = len(lines[at - 1]) - len(lines[at - 1].lstrip()) + 1
    return Unusable("yaml-syntax", f"The YAML cannot be read: {what}.", hint, at, column)


_Found = tuple[int, str, str]
"""The line number (from 1), what is wrong with the line, and the hint."""


def _pasted(lines: list[str], first: int, number: int, problem: str) -> _Found | None:
    """Find Markdown around the fields, or lines that were cut out of JSON."""
    for at in (first, number):
        if match := _FENCE.match(lines[at - 1]):
            hint = f"Delete the lines that begin with {match[1]}."
            return at, f"the line {match[1]} is Markdown formatting", hint
    if "found ','" in problem and _JSON_LINE.fullmatch(lines[number - 1]):
        what = "these lines are JSON without the braces around them"
        return number, what, "Delete the commas at the ends of the lines."
    return None


def _indented_less(lines: list[str], number: int) -> _Found | None:
    """Find a line of a text block that is indented less than the lines above it."""
    indent = _indent(lines[number - 1])
    for above in range(number - 1, 0, -1):
        line = lines[above - 1]
        if not line.strip() or _indent(line) > indent:
            continue
        begins = _BLOCK_BEGINS.fullmatch(line)
        if begins is None or len(begins["indent"]) >= indent or above == number - 1:
            return None
        what = f"the line is indented less than the text that begins on line {above + 1}"
        return number, what, "Begin all lines of the text in the same column."
    return None


def _no_field(lines: list[str], first: int, spot: Spot, problem: str) -> _Found | None:
    """Find a line that was meant as a field but is none: `seed:7`, `prompt = a bee`, `a bee`."""
    number, column = spot
    if problem.startswith("could not find expected ':'"):
        at = number
    elif (
        problem.startswith("mapping values are not allowed")
        and first < number
        and not _FIELD_LINE.fullmatch(lines[first - 1])
        and (match := _FIELD_LINE.fullmatch(lines[number - 1]))
        and not lines[number - 1][match.end("name") : column - 1].strip()
    ):
        at = first  # YAML read all lines up to here as one text
    else:
        return None
    if fix := nearly_a_field(lines[at - 1]):
        return at, "a field name must be followed by a colon and a space", write_a_colon(fix)
    if at == number or lines[at - 1].lstrip()[:1] in set("\"'[{-?"):
        return None
    text = " ".join(lines[at - 1 : number - 1])
    hint = f"Write the field name first:   prompt: {quoted(text)}"
    return at, "a line does not begin with a field name and a colon", hint


def _first_line(lines: list[str], number: int) -> int:
    """The first line of the group of fields that line `number` is in, without comments and ---."""
    indent = _indent(lines[number - 1])
    for above in range(number - 1, 0, -1) if indent else ():
        if _indent(lines[above - 1]) < indent:
            match = _FIELD_LINE.fullmatch(lines[above - 1])
            return number if match is None or match["value"].strip() else above + 1
    for place, line in enumerate(lines, 1):
        if (text := line.strip().lstrip("\ufeff")) and text[0] != "#" and text != "---":
            return place
    return 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def first_of_fields(lines: list[str], spot: Spot) -> str | None:
    """The first line of a text if each of its lines was meant as a field, otherwise None.

    Args:
        lines: the lines of the whole spec.
        spot: where the text begins.
    """
    found = [line for line in lines[spot[0] - 1 :] if line.strip()]
    if len(found) > 1 and all(nearly_a_field(line) for line in found):
        return found[0].strip()
    return None


def _quoting(lines: list[str], spot: Spot) -> str:
    """A hint that shows the line corrected, mostly with its value in quotes."""
    number, column = spot
    line = lines[number - 1] if number <= len(lines) else ""
    if not line[: column - 1].strip() and line[column - 1 : column] == "\t":
        return f"Indent with spaces:   {shortened(line.strip())}"
    hint = quote_hint(lines, number)
    field = _FIELD_LINE.fullmatch(line)
    if field and field["indent"] and column == field.end("name") + 1 and number > 1:
        # The colon that YAML does not expect may belong to a field that is indented by mistake.
        name = shortened(field["name"])
        hint = f"If {name} is a field, begin its line as far left as the other fields. Otherwise, "
        hint += _lowered(quote_hint(lines, number, last=number - 1))
    return hint


def _lowered(hint: str) -> str:
    """A hint as the end of a sentence: with a small first letter."""
    return hint[0].lower() + hint[1:]


def alias(lines: list[str], spot: Spot) -> Unusable:
    """The error for `*bold*` and `&more`."""
    return Unusable(
        "yaml-alias",
        "A value begins with * or &, which YAML reads as an alias or an anchor.",
        quote_hint(lines, spot[0]),
        *spot,
    )


def directive(spot: Spot) -> Unusable:
    """The error for directives such as `%YAML 2.0`."""
    return Unusable(
        "yaml-tag", "A line that begins with % is not allowed.", "Delete that line.", *spot
    )


def spot_of(mark: Any) -> Spot:
    """Line and column of a mark of PyYAML, which counts both from 0."""
    return mark.line + 1, mark.column + 1


def quote_hint(lines: list[str], number: int, last: int | None = None) -> str:
    """A hint that shows a field with its value in quotes.

    Args:
        lines: the lines of the whole text.
        number: a line of the field, counted from 1.
        last: the last line on which the field may begin; without it, line `number`.
    """
    for start in range(min(last or number, len(lines)) - 1, -1, -1):
        match = _FIELD_LINE.fullmatch(lines[start])
        if match is None:
            continue
        value = " ".join(" ".join([match["value"], *lines[start + 1 : number]]).split())
        if value[:1] in {"|", ">"}:
            return f"Begin the text on the line below:   {shortened(match['name'])}: {value[0]}"
        if smart := SMART_QUOTED.fullmatch(value):
            value = smart[1] or smart[2] or ""
        elif _MIXED_QUOTES.fullmatch(value):
            value = value[1:-1]
        elif value[:1] == '"' and value.count('"') == 1:
            value = value[1:]
        else:
            value = unquoted(value)
        return f"Put the text in double quotes:   {shortened(match['name'])}: {quoted(value)}"
    return f"Put the prompt in double quotes:   {EXAMPLE}"
