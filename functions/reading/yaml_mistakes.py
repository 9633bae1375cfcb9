"""What PyYAML complains of, in the words of somebody who writes a spec, and with a mend."""

import re
from typing import Any

import yaml

from functions.reading.mistakes import EXAMPLE, quoted, shortened
from functions.reading.values import Spot, Unusable

TAG = "A value begins with !, which YAML reads as a tag."
SMART_QUOTED = re.compile("[“”„‟«»＂]([^“”„‟«»＂]*)[“”„‟«»＂]|[‘’‚‛‹›]([^‘’‚‛‹›]*)[‘’‚‛‹›]")
_TAGS = {"while scanning a tag", "while parsing a tag"}
_FIELD_LINE = re.compile(r"(?P<indent>\s*)(?P<name>[A-Za-z_]\w*)\s*:(?P<value>\s.*|)", re.DOTALL)

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
    what, hint = problem, "QUOTING"
    for words, plain, mend in _RULES:
        if match := words.match(problem):
            what, hint = plain.format(*match.groups()), mend
            break
    hint = hint.replace("QUOTING", _quoting(lines, spot))
    return Unusable("yaml-syntax", f"The YAML cannot be read: {what}.", hint, *spot)


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
        elif len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
            value = value[1:-1]
        elif value[:1] in {'"', "'"} and value.count(value[0]) == 1:
            value = value[1:]
        return f"Put the text in double quotes:   {match['name']}: {quoted(value)}"
    return f"Put the prompt in double quotes:   {EXAMPLE}"
