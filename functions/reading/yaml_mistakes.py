"""What PyYAML complains of, in the words of somebody who writes a spec, and with a mend."""

import re
from typing import Any

import yaml

from functions.reading.mistakes import EXAMPLE, nearly_a_field, quoted, shortened, unquoted
from functions.reading.values import Spot, Unusable

TAG = "A value begins with !, which YAML reads as a tag."
SMART_QUOTED = re.compile("[“”„‟«»＂]([^“”„‟«»＂]*)[“”„‟«»＂]|[‘’‚‛‹›]([^‘’‚‛‹›]*)[‘’‚‛‹›]")
_TAGS = {"while scanning a tag", "while parsing a tag"}
_FENCE = re.compile(r"\s*(```|~~~)")
_JSON_LINE = re.compile(r"\s*\"[^\"]*\"\s*:.*,\s*")
_BLOCK_BEGINS = re.compile(r"(?P<indent>\s*)[^\s#].*[|>][-+0-9]*\s*(?:\s#.*)?")
_FIELD_LINE = re.compile(r"(?P<indent>\s*)(?P<name>[A-Za-z_]\w*)\s*:(?P<value>[ \t].*|)", re.DOTALL)

# PyYAML's words, what they come from, and the mend; {} is what the words name, QUOTING the value
# in quotes.
_RULES = tuple(
    (re.compile(words), what, hint)
    for words, what, hint in (
        (r"mapping values are not allowed here", "a colon with a space behind it stands in the "
         "text", "QUOTING"),
        (r"mapping keys are not allowed here", "the text begins with a question mark", "QUOTING"),
        (r"sequence entries are not allowed here", "the text begins with a dash and a space",
         "QUOTING"),
        (r"found character '\\t' that cannot", "there is a tab where only spaces may stand",
         "QUOTING"),
        (r"found character '(.)' that cannot", "a text cannot begin with {}", "QUOTING"),
        (r"expected the node content, but found '([],}])'", "a text cannot begin with {}",
         "QUOTING"),
        (r"found unexpected (?:end of stream|document separator)", "the quotes are never closed",
         "QUOTING"),
        (r"found unknown escape character '(.+)'", r"there is no escape \{}",
         "Write two backslashes for one, or use single quotes around the text."),
        (r"expected escape sequence", "there is no such escape",
         "Write two backslashes for one, or use single quotes around the text."),
        (r"could not find expected ':'", "a line has no  field:  in front",
         "Indent the line if it belongs to the text above it; else write  field: value."),
        (r"expected a comment or a line break", "text stands behind | or >, where only its lines "
         "below are read", "QUOTING"),
        (r"expected ',' or '([]}])'", "{} or a comma is missing",
         "Write it. If this is text: QUOTING"),
        (r"expected '<document start>'", "the line is not indented like those above",
         "Begin all fields in the same column."),
        (r"expected <block end>, but found '<scalar>'", "text follows where a value has ended",
         "QUOTING"),
        (r"expected <block end>, but found '<block (?:mapping|sequence) start>'",
         "the line is indented too far", "Begin it in the same column as those above."),
        (r"expected <block end>, but found ':'", "a colon has no field in front of it",
         "Write  field: value."),
        (r"expected <block end>, but found '-'", "a list begins where a field should", "QUOTING"),
    )
)  # fmt: skip


def explained(error: yaml.MarkedYAMLError, lines: list[str]) -> Unusable:
    """PyYAML's complaint in plain words, with a mend."""
    start, problem = error.context_mark, error.problem or "it is not YAML"
    context, mark = error.context or "", error.problem_mark or start
    assert mark is not None
    if start and context in {"while scanning an alias", "while scanning an anchor"}:
        return alias(lines, spot_of(start))
    if start and context in {*_TAGS, "while scanning a simple key"}:
        mark = start
    elif start and context == "while scanning a quoted scalar" and "end of stream" in problem:
        mark = start  # where it begins tells more than where the file ends
    spot = spot_of(mark)
    directives = [number for number, line in enumerate(lines, 1) if line.startswith("%")]
    if directives and re.search("directive|document start|YAML document", context + problem):
        return directive((directives[0], 1))
    if context in _TAGS:
        return Unusable("yaml-tag", TAG, quote_hint(lines, spot[0]), *spot)
    if better := _by_the_lines(lines, spot, problem):
        return better
    what, hint = problem, "QUOTING"
    for words, plain, mend in _RULES:
        if match := words.match(problem):
            what, hint = plain.format(*match.groups()), mend
            break
    hint = hint.replace("QUOTING", _quoting(lines, spot))
    return Unusable("yaml-syntax", f"The YAML cannot be read: {what}.", hint, *spot)


def _by_the_lines(lines: list[str], spot: Spot, problem: str) -> Unusable | None:
    """Mistakes that the lines tell better than PyYAML, which sees them too late."""
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
"""The line, what is wrong with it, and the mend."""


def _pasted(lines: list[str], first: int, number: int, problem: str) -> _Found | None:
    """Markdown around the fields, or lines cut out of JSON."""
    for at in (first, number):
        if match := _FENCE.match(lines[at - 1]):
            hint = f"Delete the lines that begin with {match[1]}."
            return at, f"the line {match[1]} is a mark of Markdown", hint
    if "found ','" in problem and _JSON_LINE.fullmatch(lines[number - 1]):
        what = "these are the lines of JSON without its braces"
        return number, what, "Delete the commas at the ends of the lines."
    return None


def _indented_less(lines: list[str], number: int) -> _Found | None:
    """A line of a block of text that stands farther left than those above it."""
    indent = _indent(lines[number - 1])
    for above in range(number - 1, 0, -1):
        line = lines[above - 1]
        if not line.strip() or _indent(line) > indent:
            continue
        begins = _BLOCK_BEGINS.fullmatch(line)
        if begins is None or len(begins["indent"]) >= indent or above == number - 1:
            return None
        what = f"the line is indented less than the text that begins in line {above + 1}"
        return number, what, "Begin all lines of the text in the same column."
    return None


def _no_field(lines: list[str], first: int, spot: Spot, problem: str) -> _Found | None:
    """A line that is no field, though one was meant: `seed:7`, `prompt = a bee`, `a bee`."""
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
        at = first  # YAML took all lines until here for one text
    else:
        return None
    if mend := nearly_a_field(lines[at - 1]):
        what = "there is no colon with a space behind the name of a field"
        return at, what, f"Put a space behind the colon:   {mend}"
    if at == number or lines[at - 1].lstrip()[:1] in set("\"'[{-?"):
        return None
    text = " ".join(lines[at - 1 : number - 1])
    hint = f"Write the field in front:   prompt: {quoted(text)}"
    return at, "a line has no  field:  in front", hint


def _first_line(lines: list[str], number: int) -> int:
    """The first line of the fields among which line `number` stands, without comments and ---."""
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
    """The first line of a text each of whose lines should have been a field."""
    found = [line for line in lines[spot[0] - 1 :] if line.strip()]
    if len(found) > 1 and all(nearly_a_field(line) for line in found):
        return found[0].strip()
    return None


def _quoting(lines: list[str], spot: Spot) -> str:
    """The line of a mistake as it should be: mostly in quotes."""
    number, column = spot
    line = lines[number - 1] if number <= len(lines) else ""
    if not line[: column - 1].strip() and line[column - 1 : column] == "\t":
        return f"Indent with spaces:   {shortened(line.strip())}"
    hint = quote_hint(lines, number)
    field = _FIELD_LINE.fullmatch(line)
    if field and field["indent"] and column == field.end("name") + 1 and number > 1:
        # The colon that is one too many is that of a field of its own.
        name = field["name"]
        hint = f"If {name} is a field, begin its line as far left as the others. If it is text: "
        hint += quote_hint(lines, number, last=number - 1)
    return hint


def alias(lines: list[str], spot: Spot) -> Unusable:
    """The answer to `*bold*` and `&more`."""
    return Unusable(
        "yaml-alias",
        "A value begins with * or &, which YAML reads as an alias.",
        quote_hint(lines, spot[0]),
        *spot,
    )


def directive(spot: Spot) -> Unusable:
    """The answer to `%YAML 2.0` and others."""
    return Unusable("yaml-tag", "A line that begins with % is not allowed.", "Delete it.", *spot)


def spot_of(mark: Any) -> Spot:
    """Line and column of a mark of PyYAML."""
    return mark.line + 1, mark.column + 1


def quote_hint(lines: list[str], number: int, last: int | None = None) -> str:
    """Shows the field that stands in line `number` (from 1) with its value in quotes.

    Args:
        last: the last line at which it may begin.
    """
    for start in range(min(last or number, len(lines)) - 1, -1, -1):
        match = _FIELD_LINE.fullmatch(lines[start])
        if match is None:
            continue
        value = " ".join(" ".join([match["value"], *lines[start + 1 : number]]).split())
        if value[:1] in {"|", ">"}:
            return f"Begin the text on the line below:   {match['name']}: {value[0]}"
        if smart := SMART_QUOTED.fullmatch(value):
            value = smart[1] or smart[2] or ""
        elif value[:1] == '"' and value.count('"') == 1:
            value = value[1:]
        else:
            value = unquoted(value)
        return f"Put the text in double quotes:   {match['name']}: {quoted(value)}"
    return f"Put the prompt in double quotes:   {EXAMPLE}"
