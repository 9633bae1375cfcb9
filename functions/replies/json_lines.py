"""Examples in answers about a JSON file are JSON, and in those about a table they are cells.

Every text for people shows an example of a line between double spaces, such as "Write  seed: 8  or
a larger value." Such a line is YAML, which is what most specs are. In a JSON file it would be the
next mistake.
"""

import json
import re
from collections.abc import Iterable

from contract.errors import Code, JobRejected, Notice, Problem
from functions import s3_keys

_LINE = re.compile(r"(?<=  )(?P<name>[a-z_]+): (?P<value>\S.*?)(?P<stop>\.?)(?=  |$)")
_LIST_BY_NAME = re.compile(r"\{([a-z_]+): (.*)\}")
# The example is the whole content of the file.
_WHOLE = {Code.SPEC_EMPTY, Code.SPEC_NOT_A_MAPPING}


def rejection_in(key: str, rejection: JobRejected) -> JobRejected:
    """A rejection with its examples in the format of the file that each problem is in.

    Args:
        key: the key of the drop.
    """
    problems = (_problem(key, problem) for problem in rejection.problems)
    return JobRejected(*problems, more=rejection.more)


def notices_in(key: str, notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Notices with their examples in the format of the drop at `key`."""
    if not s3_keys.is_json(key):
        return tuple(notices)
    return tuple(Notice(code=notice.code, message=_json(notice.message)) for notice in notices)


def _problem(key: str, problem: Problem) -> Problem:
    # What is not a spec should become another file, which is better in YAML.
    file = problem.place.file or key
    is_list = s3_keys.kind_of(file) == s3_keys.Kind.LIST
    if not (s3_keys.is_json(file) or is_list) or problem.code == Code.NOT_A_SPEC:
        return problem
    if s3_keys.is_table(file):
        hint = _cells(problem.hint)
    else:
        hint = _json(problem.hint, whole=problem.code in _WHOLE)
    return Problem(code=problem.code, message=problem.message, hint=hint, place=problem.place)


def _json(text: str, *, whole: bool = False) -> str:
    def as_json(line: re.Match[str]) -> str:
        example = f"{json.dumps(line['name'])}: {_value(line['value'])}"
        return (f"{{{example}}}" if whole else example) + line["stop"]

    return _LINE.sub(as_json, text)


def _cells(text: str) -> str:
    """A text about lines of a spec as one about the cells of a table."""

    def as_cell(line: re.Match[str]) -> str:
        return f"{line['value'].strip(chr(34))} in the column {line['name']}{line['stop']}"

    return re.sub(r"\bline(s?)\b", r"cell\1", _LINE.sub(as_cell, text))


def _value(text: str) -> str:
    """A value as it is written in JSON; text gets quotes."""
    if by_name := _LIST_BY_NAME.fullmatch(text):
        return f"{{{json.dumps(by_name[1])}: {_value(by_name[2])}}}"
    if text.startswith("["):
        items = text[1:-1].split(", ")
        return f"[{', '.join(item if item == '...' else _value(item) for item in items)}]"
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text
