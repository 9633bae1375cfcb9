"""Turns a list into specs: a row is a spec, and a bad row does not take the others along.

Each row is checked as a spec is, with the folder defaults that will apply to it. What is checked
with the references is checked when the spec of the row is dropped.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from contract.errors import Code, JobRejected, Notice, Place, Problem, one_line
from functions import s3_keys
from functions.ports import Missing
from functions.reading.limits import MAX_LIST_BYTES
from functions.reading.mistakes import WORD_FIELDS
from functions.reading.values import Path, Spot, Value, too_large_list
from functions.spec import drop_files
from functions.spec.drop_files import DropFiles
from functions.spec.expand import Wanted, expand
from functions.spec.fields import FOLDER_FIELDS, JobSpec, Layer, listed, quoted
from functions.spec.folder_defaults import Draft, draft
from functions.spec.other_words import hint_for_name
from functions.spec.parsed import MAX_SPEC_BYTES, Parsed, problem
from functions.spec.reader import Reader, Row, Rows

NAME = "name"
"""The column that names a row. Without it, rows are called by their number."""
TEXTS = (
    NAME, "prompt", "negative_prompt", "image", "video", "audio", "fit", "model", "lora", "preset",
    "aspect", "label", "priority",
)  # fmt: skip
"""The columns whose cells are texts, whatever they look like."""
# DynamoDB takes a job record of at most 400 KB, which is JSON. 500 of these keys fit, together with
# these problems.
_MAX_KEY_BYTES = 500
_MAX_PROBLEMS_BYTES = 100_000
MAX_PROBLEMS = 50


@dataclass(frozen=True)
class Spec:
    """A spec to drop."""

    key: str
    body: bytes
    made_of: Literal["row", "draft"]
    """What it is the spec of: a row of a list, or the final of a draft."""

    @property
    def mark(self) -> str:
        """The mark of its object (see `Files.write`)."""
        return f"{self.made_of}-{hashlib.sha256(self.body).hexdigest()}"

    def may_replace(self, mark: str) -> bool:
        """Whether it may be written over an object with this mark: an older one of its kind."""
        return mark.startswith(f"{self.made_of}-")


@dataclass(frozen=True)
class RowSpec:
    """A row that can be used."""

    number: int
    spec: Spec
    wanted: tuple[Wanted, ...]
    """The videos that it asks for."""


@dataclass(frozen=True)
class ReadList:
    """A list that was read."""

    good: tuple[RowSpec, ...]
    problems: tuple[Problem, ...]
    """What is wrong with the other rows. The line of each problem is the number of its row."""
    more_problems: int
    """How many further ones are not among them."""
    bad_rows: int
    warnings: tuple[Notice, ...]


def read_list(files: DropFiles, reader: Reader, key: str, *, default_model: str | None) -> ReadList:
    """Read a list and check each of its rows.

    Args:
        files: the drop folder.
        reader: parses the list and the folder defaults.
        key: the key of the list.
        default_model: the model to use when a row names none. None: it is not known, so it is not
            checked whether a model can make the videos.

    Raises:
        JobRejected: no row can be used, because the list or the folder defaults have an error.
        Missing: the list no longer exists.
    """
    # The folder defaults of any row are those of all rows.
    places = drop_files.places_of_defaults(s3_keys.row_spec(key, "1"))
    if (size := files.size_bytes(key)) > MAX_LIST_BYTES:
        raise JobRejected(problem(too_large_list(size).fault))
    rows = reader.rows(drop_files.content(files, key), key, TEXTS)
    _check_columns(rows)
    layers = []
    for place in places:
        try:
            layers.append(drop_files.defaults(files, reader, place))
        except Missing:
            continue
    return _Checking(key, layers, default_model).read(rows)


def _check_columns(rows: Rows) -> None:
    """Refuse a table with a column that is no field: one problem for each, and not for each row."""
    known = (NAME, *JobSpec.model_fields)
    places = [(name, number) for number, name in enumerate(rows.columns, 1) if name not in known]
    unknown = [
        Problem(
            code=Code.FIELD_UNKNOWN,
            message=f"There is no field called {quoted(name)}, so this column means nothing.",
            hint=_hint_for_column(name, known),
            place=Place(field=name, line=1, column=number),
        )
        for name, number in places[:MAX_PROBLEMS]
    ]
    if unknown:
        raise JobRejected(*unknown, more=len(places) - len(unknown))


def _hint_for_column(name: str, known: Sequence[str]) -> str:
    if name in FOLDER_FIELDS:
        return "It is for a whole folder: write it into the _defaults.yaml of the folder."
    return hint_for_name(name, "", known) or f"Delete the column. Fields: {listed(known)}."


@dataclass
class _Checking:
    """A list while its rows are checked."""

    key: str
    layers: Sequence[Layer]
    """Its folder defaults, the closest first."""
    default_model: str | None
    columns: tuple[str, ...] = ()
    taken: dict[str, int] = field(default_factory=dict)
    """The names of rows that were read, each with the number of its row."""

    def read(self, rows: Rows) -> ReadList:
        self.columns = rows.columns
        good: list[RowSpec] = []
        found: list[Problem] = []
        bad: set[int] = set()
        more = 0
        for row in rows.rows:
            try:
                good.append(self._row(row))
            except JobRejected as rejection:
                bad.add(row.number)
                found += (in_row(one, row.number) for one in rejection.problems)
                more += rejection.more
        return ReadList(tuple(good), tuple(together(found)), more, len(bad), rows.warnings)

    def _row(self, row: Row) -> RowSpec:
        if row.problem is not None:
            raise JobRejected(row.problem)
        values: dict[str, Value] = dict(row.values)
        key = self._spec_key(row.number, values.pop(NAME, None))
        for name in WORD_FIELDS:
            if isinstance(text := values.get(name), str):
                values[name] = [*text.replace(";", " ").replace(",", " ").split()]
        columns = {name: number for number, name in enumerate(self.columns, 1)}
        places: dict[Path, Spot] = {
            (name,): (row.number, columns.get(name, 1)) for name in row.values
        }
        layer = Layer.read(Parsed(values, places), self.key)
        drafted = drop_files.without_enhancement(draft([layer, *self.layers]))
        given = layer.spec.model_dump(mode="json", exclude_unset=True)
        body = (json.dumps(given, ensure_ascii=False, indent=2) + "\n").encode()
        if len(body) > MAX_SPEC_BYTES:
            raise JobRejected(
                Problem(
                    code=Code.SPEC_TOO_LARGE,
                    message=f"The row has {len(body):,} bytes; the limit is {MAX_SPEC_BYTES:,}.",
                    hint="Shorten it, or divide it into several rows.",
                )
            )
        return RowSpec(row.number, Spec(key, body, "row"), self._videos(drafted, key))

    def _videos(self, drafted: Draft, key: str) -> tuple[Wanted, ...]:
        if self.default_model is None:
            return expand(drafted)
        job_id = s3_keys.job_id("", key, "")
        return drop_files.videos(drafted, default_model=self.default_model, job_id=job_id)

    def _spec_key(self, number: int, name: Value) -> str:
        """The key of the spec of a row, which no other row has.

        Raises:
            JobRejected: the name cannot be used.
        """
        text = f"{number:03d}" if name is None else str(name).strip()
        key = s3_keys.row_spec(self.key, text)
        wrong = not text or "/" in text or "\\" in text or one_line(text) != text
        first = self.taken.setdefault(s3_keys.folded(text), number)
        if first != number:
            message = f"The name {quoted(text)} is that of row {first}, too."
        elif wrong or s3_keys.kind_of(key) != s3_keys.Kind.SPEC:
            message = f"A row cannot be called {quoted(text)}."
        elif len(json.dumps(key, ensure_ascii=False).encode()) > _MAX_KEY_BYTES:
            message = f"The name {quoted(text)} is too long together with the name of the list."
        else:
            return key
        raise JobRejected(
            Problem(
                code=Code.LIST_NAME,
                message=message,
                hint="Write another name, such as bee-1: letters, digits, - and _ without a folder "
                "and without an ending. Or delete the column: rows are then called by their "
                "number.",
                place=Place(field=NAME),
            )
        )


def in_row(found: Problem, number: int) -> Problem:
    """A problem of a row, at the number of the row if it is not in another file."""
    if found.place.file is not None:
        return found
    column = found.place.column or 1
    place = found.place.model_copy(update={"line": number, "column": column})
    return found.model_copy(update={"place": place})


def together(found: Sequence[Problem]) -> Iterator[Problem]:
    """The problems, of which those that several rows have alike are one.

    A mistake in folder defaults is in their file, and not in the rows that it applies to.
    """
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for one in found:
        file = one.place.file
        spot = "" if file is None else f"{file}:{one.place.line}:{one.place.column}"
        same = (one.code, one.message, one.hint, str(one.place.field), spot)
        alike.setdefault(same, []).append(one)
    for first, *others in alike.values():
        lines = dict.fromkeys(one.place.line for one in others)
        is_in_rows = first.place.file is None and first.place.line is not None
        more = f" The same is in row {listed(lines)}." if others and is_in_rows else ""
        yield first.model_copy(update={"message": first.message + more})


def as_many_as_fit(rejection: JobRejected) -> JobRejected:
    """A rejection with those of its problems for which a job record has room."""
    room, first = _MAX_PROBLEMS_BYTES, list[Problem]()
    for one in rejection.problems[:MAX_PROBLEMS]:
        room -= len(one.model_dump_json().encode())
        if room < 0:
            break
        first.append(one)
    return JobRejected(*first, more=rejection.more + len(rejection.problems) - len(first))
