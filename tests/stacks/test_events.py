"""Events in the form that AWS publishes match the rule that is meant for them, and no other.

The rules of two deployments in one account are compared with each event, because each of them sees
the events of both.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from moto.events.models import EventPattern
from pydantic import TypeAdapter

from functions import s3_keys
from functions.handlers import events
from local import ROOT
from tests.stacks.conftest import Template

FOLDER = ROOT / "tests" / "events"
ACCOUNT, REGION = "111122223333", "us-east-1"
DROPPED, WRITTEN, ENDED = "DropsDropped", "ResultsWritten", "ResultsEnded"
PARSED = TypeAdapter(events.ObjectCreated | events.ObjectDeleted | events.ProcessingChanged)


class Rule(NamedTuple):
    """A rule of a deployment."""

    stack: str
    name: str


Rules = dict[Rule, EventPattern]


@pytest.fixture(scope="module")
def rules(synthesise: Callable[..., Template]) -> Rules:
    """The rules of two deployments in one account."""
    found: Rules = {}
    for stack in ("reeldrop", "reeldrop-dev"):
        template = synthesise(stack_name=stack)
        for name, one in template["Resources"].items():
            if one["Type"] == "AWS::Events::Rule" and "EventPattern" in one["Properties"]:
                pattern = _filled_in(one["Properties"]["EventPattern"], template)
                short = next(s for s in (DROPPED, WRITTEN, ENDED) if name.startswith(s))
                found[Rule(stack, short)] = EventPattern(None, pattern)
    assert len(found) == 6
    return found


def _filled_in(pattern: Any, template: Template) -> Any:
    """A pattern with the names that CloudFormation puts into it."""

    def filled_in(part: dict[str, Any]) -> Any:
        if "Ref" in part:
            return json.loads(_text(template["Resources"][part["Ref"]]["Properties"]["BucketName"]))
        return part

    def _text(name: Any) -> str:
        parts = name if isinstance(name, str) else name["Fn::Join"][1]
        values = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
        return json.dumps("".join(p if isinstance(p, str) else values[p["Ref"]] for p in parts))

    return json.loads(json.dumps(pattern), object_hook=filled_in)


def event(name: str, **detail: Any) -> Any:
    """A published event. `detail` replaces members of its detail."""
    read = json.loads((FOLDER / f"{name}.json").read_text())
    for member, value in detail.items():
        read["detail"][member] = (
            {**read["detail"][member], **value} if isinstance(value, dict) else value
        )
    return read


def matched(rules: Rules, one: Any) -> list[Rule]:
    return [rule for rule, pattern in rules.items() if pattern.matches_event(one)]


def in_bucket(stack: str, name: str, key: str) -> dict[str, Any]:
    bucket = {"name": f"{stack}-{name}-{ACCOUNT}-{REGION}"}
    return {"bucket": bucket, "object": {"key": key}}


RESULT = s3_keys.task_file("reeldrop--1", "bee-01", "result.json")
STACKS = ("reeldrop", "reeldrop-dev")


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", ["s3-object-created", "s3-object-deleted", "s3-object-expired"])
def test_a_drop_that_came_or_went_is_received_by_its_deployment(
    rules: Rules, name: str, stack: str
) -> None:
    one = event(name, **in_bucket(stack, "input", "jobs/bee.yaml"))
    assert matched(rules, one) == [Rule(stack, DROPPED)]
    assert PARSED.validate_python(one).detail_type == one["detail-type"]


@pytest.mark.parametrize(
    "reason", ["PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"]
)
@pytest.mark.parametrize("stack", STACKS)
def test_a_result_is_received_by_its_deployment(rules: Rules, stack: str, reason: str) -> None:
    """However SageMaker uploads it."""
    one = event("s3-object-created", reason=reason, **in_bucket(stack, "work", RESULT))
    assert matched(rules, one) == [Rule(stack, WRITTEN)]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("InProgress", False),
        ("Stopping", False),
        ("Completed", True),
        ("Failed", True),
        ("Stopped", True),
    ],
)
def test_the_end_of_a_processing_job_is_received_by_its_deployment(
    rules: Rules, status: str, ended: bool, stack: str
) -> None:
    name = f"{stack}--20261126-120000-1b1fad59"
    one = event("sagemaker-processing-job", ProcessingJobName=name, ProcessingJobStatus=status)
    assert matched(rules, one) == ([Rule(stack, ENDED)] if ended else [])
    assert PARSED.validate_python(one).detail_type == events.PROCESSING_CHANGED


@pytest.mark.parametrize(
    "one",
    [
        event("s3-object-restored"),
        event("s3-object-created", **in_bucket("reeldrop", "work", "models/demo/1/model.json")),
        event("s3-object-deleted", **in_bucket("reeldrop", "work", RESULT)),
        event("s3-object-created", **in_bucket("reeldrop", "output", "videos/bee.mp4")),
        event("s3-object-created", **in_bucket("reeldrop", "logs", "input/2026-11-26")),
        event("s3-object-created", **in_bucket("another", "input", "jobs/bee.yaml")),
        event("sagemaker-processing-job", ProcessingJobName="reeldrop-other"),
        event("sagemaker-processing-job", ProcessingJobName="reeldrop"),
        event("sagemaker-training-job"),
        event("cloudwatch-alarm"),
        event("schedule"),
    ],
    ids=lambda one: f"{one['detail-type']}: {one['detail'].get('object', {}).get('key', '')}",
)
def test_nothing_else_is_received(rules: Rules, one: Any) -> None:
    assert matched(rules, one) == []


def test_each_event_says_where_its_form_comes_from() -> None:
    page = (FOLDER / "README.md").read_text()
    assert all(f"`{file.name}`" in page for file in FOLDER.glob("*.json"))
