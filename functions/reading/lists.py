"""Reads the bytes of a list: a table (CSV) or lines of JSON, of which each row is a spec.

Spreadsheets write tables in several encodings and with several delimiters, and nothing in the file
says which. So both are found out from the text.
"""

import csv
import io
import posixpath
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from functions.reading import json_text, not_specs, yaml_text
from functions.reading.characters import is_blank, meant
from functions.reading.limits import MAX_COLUMNS, MAX_LIST_BYTES, MAX_ROWS
from functions.reading.mistakes import WORD_FIELDS
from functions.reading.text import FORBIDDEN, LINE_END, check_strings, decoded, forbidden
from functions.reading.values import Fault, Text, Unusable, Value, too_large_list

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR = re.compile(r"\ufeff?sep=(.)[ \t]*(?:\r\n|\r|\n)")
"""The first line of some tables. Excel reads it and does not show it."""
_NUMBER = re.compile(r"([-+]?(?:0|[1-9][0-9]{0,17}))(?:([.,])([0-9]{1,17}))?")
_PLAIN_WORDS = re.compile(r"\[([^\[\]{}\"']*)\]")
_SWITCHES = {"true": True, "false": False}
_SAVE = "In a spreadsheet, choose Save As and the type CSV UTF-8."
_EXAMPLE = (
    "Write the names of fields into the first row, such as prompt and seed, and a video into each "
    "row below it."
)


class Row(NamedTuple):
    """One row that is not empty."""

    number: int
    """As a spreadsheet counts it: the first row, with the names, is 1. In lines of JSON, the number
    of the line."""
    values: dict[str, Value]
    fault: Fault | None = None
    """Why it cannot be read."""


class Rows(NamedTuple):
    """A list: the names of the columns of a table, and the rows."""

    columns: list[str]
    rows: list[Row]
    warnings: list[tuple[str, str]]


def parse(body: bytes, key: str, texts: Collection[str]) -> Rows:
    """Read a list.

    Args:
        body: the content of the file.
        key: the key of the file; its suffix decides how the file is read.
        texts: the columns whose values are texts. In the others, what looks like a number, a list
            or true or false is one; but in those of words (`WORD_FIELDS`) only a list is.

    Raises:
        Unusable: the list cannot be divided into rows.
    """
    if len(body) > MAX_LIST_BYTES:
        raise too_large_list(len(body))
    not_specs.check(body, is_list=True)
    text, warnings = _decode(body)
    if is_blank(text):
        raise Unusable("spec-empty", "The file is empty.", _EXAMPLE, 1, 1)
    suffix = posixpath.splitext(key)[1].lower()
    if suffix in {".jsonl", ".ndjson"}:
        columns, rows = list[str](), _lines(text)
    else:
        columns, rows = _table(text, "\t" if suffix == ".tsv" else "", texts)
    found: list[Row] = []
    for row in rows:
        if len(found) == MAX_ROWS:
            raise Unusable(
                "list-too-large",
                f"The list has more than {MAX_ROWS} rows.",
                "Divide it into several lists.",
                row.number,
                1,
            )
        found.append(row)
    if not found:
        raise Unusable("spec-empty", "The list has no row with a video.", _EXAMPLE, 1, 1)
    return Rows(columns, found, warnings)


def _decode(body: bytes) -> tuple[str, list[tuple[str, str]]]:
    try:
        return decoded(body), []
    except Unusable:
        if 0 in body or body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise  # UTF-16
        try:
            text = body.decode("cp1252")
        except UnicodeDecodeError:
            pass
        else:
            message = (
                "The list is not UTF-8, so it was read as Windows-1252, as Excel writes CSV. If "
                f"letters such as ü are wrong in the prompts, save it again. {_SAVE}"
            )
            return text, [("windows-1252", message)]
        raise


def _table(text: str, delimiter: str, texts: Collection[str]) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns, and the rows, of a table.

    Args:
        delimiter: what is between two cells. Empty: it is found out.
    """
    if match := _SEPARATOR.match(text):
        delimiter, text = match[1], text[match.end() :]
    delimiter = delimiter or _delimiter(text)
    records = _records(text, delimiter)
    columns: list[str] = []
    head = 1
    for number, cells in records:
        if any(not is_blank(cell) for cell in cells):
            head, columns = number, [_column(cell) for cell in cells]
            break
    while columns and not columns[-1]:
        columns.pop()
    if len(columns) > MAX_COLUMNS:
        raise Unusable(
            "list-syntax",
            f"The first row has {len(columns):,} columns; the limit is {MAX_COLUMNS}.",
            "Delete the columns that are no fields.",
            head,
            MAX_COLUMNS + 1,
        )
    for number, name in enumerate(columns, 1):
        if not name or name in columns[: number - 1]:
            what = f"The column {name} appears twice." if name else f"Column {number} has no name."
            hint = "Give it the name of a field, or delete the column."
            raise Unusable("list-syntax", what, hint, head, number)
    decimal_comma = delimiter != ","
    return columns, (
        _row(number, columns, cells, texts, decimal_comma=decimal_comma)
        for number, cells in records
        if any(not is_blank(cell) for cell in cells)
    )


def _delimiter(text: str) -> str:
    """What is between two names in the first row that is not empty."""
    head = _QUOTED.sub("", LINE_END.split(text.lstrip("\ufeff \t\r\n"), 1)[0])
    return max(_DELIMITERS, key=head.count)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with its number."""
    # Otherwise csv refuses a cell with more characters than this before it finds that its quotes
    # are never closed.
    csv.field_size_limit(MAX_LIST_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number, lines_before = number + 1, reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            what = "text follows a closing quote"
            if "end of data" in str(error):
                what = "its quotes are never closed"
            elif reader.line_num > lines_before + 1:
                # The quotes of another cell, farther down, may have closed it.
                what = "its quotes are not closed, or text follows a closing quote"
            raise Unusable(
                "list-syntax",
                f"Row {number} cannot be read: {what}.",
                'Put the whole cell in quotes, and write each quote inside it twice: "a ""red"" '
                'bee".',
                number,
                1,
            ) from None
        if cells is None:
            return
        yield number, cells


def _column(cell: str) -> str:
    """The field that the head of a column names: `negative_prompt` for "Negative Prompt"."""
    name = meant(cell.strip().strip("\ufeff"), (), is_name=True)
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _row(
    number: int,
    columns: list[str],
    cells: list[str],
    texts: Collection[str],
    *,
    decimal_comma: bool,
) -> Row:
    values: dict[str, Value] = {}
    if any(not is_blank(cell) for cell in cells[len(columns) :]):
        fault = Fault(
            "list-syntax",
            "There are more cells than columns.",
            "Give each column a name. If a text contains the character that divides the cells, put "
            "it in quotes.",
            number,
            len(columns) + 1,
        )
        return Row(number, values, fault)
    for at, (name, cell) in enumerate(zip(columns, cells, strict=False), 1):
        if is_blank(cell):
            continue
        try:
            if match := FORBIDDEN.search(cell):
                raise forbidden(match, number, at)
            text = meant(cell.strip(), (name,))
            if name in WORD_FIELDS:
                values[name] = _words(text)
            else:
                values[name] = text if name in texts else _value(text, decimal_comma=decimal_comma)
        except Unusable as unusable:
            fault = unusable.fault._replace(line=number, column=at, field=name)
            return Row(number, values, fault)
    return Row(number, values)


def _value(text: str, *, decimal_comma: bool) -> Value:
    """The value of a cell that may be something else than a text.

    Raises:
        Unusable: it looks like a list, and cannot be read.
    """
    if text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    if match := _NUMBER.fullmatch(text):
        whole, mark, fraction = match.groups()
        if mark is None:
            return int(whole)
        if mark == "." or decimal_comma:
            # Programs write 8.0 if other cells of the column are empty.
            return float(f"{whole}.{fraction}") if fraction.strip("0") else int(whole)
    return _in_brackets(text) if text[0] in "[{" else text


def _words(text: str) -> Value:
    """The value of a cell with words: a text of words, also where they look like numbers.

    Raises:
        Unusable: it looks like a list, and cannot be read.
    """
    if match := _PLAIN_WORDS.fullmatch(text):
        return match[1]
    return _in_brackets(text) if text[0] == "[" else text


def _in_brackets(text: str) -> Value:
    try:
        read = yaml_text.parse(f"value: {' '.join(text.split())}")
    except Unusable as unusable:
        hint = "Write it like  [first, second]  or  {seed: [1, 2]}, and close each bracket."
        raise Unusable(unusable.fault.code, unusable.fault.message, hint) from None
    check_strings(read, read.values, ())
    return read.values["value"]


def _lines(text: str) -> Iterator[Row]:
    """The rows of lines of JSON."""
    if text.lstrip("\ufeff \t\r\n").startswith("["):
        raise Unusable(
            "list-syntax",
            "The file is one JSON array, and not a line for each video.",
            "Write each object on a line of its own, without [ and ] around them and without "
            "commas between them.",
            1,
            1,
        )
    for number, line in enumerate(LINE_END.split(text), 1):
        if is_blank(line):
            continue
        try:
            if match := FORBIDDEN.search(line):
                raise forbidden(match, number, match.start() + 1)
            read: Text = json_text.parse(line)
            check_strings(read, read.values, ())
            yield Row(number, read.values)
        except Unusable as unusable:
            yield Row(number, {}, unusable.fault._replace(line=number))
