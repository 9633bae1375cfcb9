"""The examples in answers about a JSON file are JSON, and work when they are written there."""

import json
import re
from collections.abc import Mapping

import pytest

from contract.errors import JobRejected, Problem
from functions.reading.text import parse
from functions.reading.values import Unusable, Value
from tests.corpus import fields
from tests.corpus.specimen import Bad
from tests.fakes import World
from tests.functions.resolved_specs import read_all
from tests.functions.stored import jobs, status

_YAML_LINE = re.compile(r"  [a-z_]+: ")
_EXAMPLE = re.compile(r'(?<=  )("[a-z_]+": .+?)(?=  |\.?$)')


def _values(bad: Bad) -> dict[str, Value] | None:
    """The values of a specimen whose YAML can be read, but is refused; None for others."""
    try:
        values = parse(bad.body, "jobs/a.yaml").values
        read_all(bad.body)
    except JobRejected:
        return values
    except Unusable:
        return None
    return None


def _refused(values: Mapping[str, object]) -> tuple[Problem, ...]:
    world = World()
    world.drop("jobs/a.json", json.dumps(values, indent=1))
    return jobs(world)[-1].problems


REFUSED = [bad for bad in (*fields.ONE_FIELD, *fields.SEVERAL) if _values(bad) is not None]


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.name)
def test_an_answer_about_json_shows_json(bad: Bad) -> None:
    values = _values(bad)
    assert values is not None
    for problem in _refused(values):
        assert not _YAML_LINE.search(problem.hint), problem.hint
        examples = _EXAMPLE.findall(problem.hint.replace("[...]", "[]"))
        shown = [json.loads(f"{{{example}}}") for example in examples]
        if not problem.hint.startswith("Write  ") or len(shown) != 1:
            continue
        top = (problem.place.field or "").partition(".")[0]
        if {top} != set(shown[0]):
            continue
        left = _refused(values | shown[0])
        # What is right for the field may still be wrong for the model.
        assert (problem.code, problem.place.field) not in {(p.code, p.place.field) for p in left}


def test_many_answers_about_json_show_what_to_write() -> None:
    hints = [p.hint for bad in REFUSED for p in _refused(_values(bad) or {})]
    assert sum(bool(_EXAMPLE.search(hint)) for hint in hints) > 30


@pytest.mark.parametrize("body", ["", "[]", '"a bee on a flower"'])
def test_the_example_for_a_file_without_fields_is_a_whole_file(body: str) -> None:
    world = World()
    world.drop("jobs/a.json", body)
    (problem,) = jobs(world)[0].problems
    (example,) = re.findall(r"   (\{.+?\})(?=   |\.?$)", problem.hint)
    world.drop("jobs/a.json", example)
    assert status(world, "a").state == "queued", problem.hint


def test_a_problem_in_folder_defaults_is_told_in_yaml() -> None:
    world = World()
    world.drop("jobs/_defaults.yaml", "seed: 5.0\n")
    world.drop("jobs/a.json", '{"prompt": "a bee"}')
    (job,) = (one for one in jobs(world) if one.source.key == "jobs/a.json")
    assert "  seed: 5" in job.problems[0].hint


def test_a_notice_about_json_shows_json() -> None:
    world = World()
    world.drop("jobs/a.json", json.dumps({"prompt": "一只蜜蜂在花上", "enhance": False}))
    (notice,) = (one for one in jobs(world)[0].warnings if "enhance" in one.message)
    assert '  "enhance": true  ' in notice.message
