"""The event about the end of a job: one for each ending, in the form that docs/ promises."""

import json
import re
from typing import Any

import jsonschema
import pytest

from contract.errors import MAX_LINE_CHARACTERS, Code, Place, Problem
from functions.replies.bus import DETAIL_TYPE, MOST_BYTES, SOURCE
from functions.replies.job_ended import MOST_DROPPED, MOST_REASONS, JobEnded, job_ended
from functions.replies.outbox import LETTER_CLAIM
from functions.replies.post import MaybeSent
from functions.spec.fields import MAX_PROBLEMS, MAX_VIDEOS
from functions.stages.sweep import sweep
from functions.table.ledger import COLLECTED, OUTBOX
from functions.table.records import Collected, Letter, State
from local import ROOT
from tests.fakes import World
from tests.functions.stored import jobs, tasks

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "job-ended.schema.json").read_text())


def render(world: World, key: str, spec: str) -> None:
    world.drop(key, spec)
    (attempt,) = world.dispatch()
    world.render(attempt)


def after_a_claim(world: World) -> None:
    world.clock.move(seconds=LETTER_CLAIM.total_seconds() + 1)
    sweep(world.ports)


def owed(world: World) -> list[Letter]:
    return [record.document for record in world.ledger.query(OUTBOX, Letter)]


def test_every_ending_is_one_event_in_the_promised_form(world: World) -> None:
    render(world, "jobs/a/bee.yaml", "prompt: a secret bee\nvariations: 2\ntags: [spring]\n")
    world.drop("jobs/bad.yaml", "prompt: a bee\nsteps: 5\n")
    world.drop("jobs/plan.yaml", "prompt: a bee\ndry_run: true\nnotify: false\n")
    world.drop("jobs/read.yaml", "prompt: a bee\nenhance: review\nnotify: digest\n")
    world.drop("jobs/gone.yaml")
    world.delete("jobs/gone.yaml")
    world.drop("jobs/new.yaml")
    world.drop("jobs/new.yaml", "prompt: newer\n")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=world.manifest(attempt).tasks[0].task_id)
    render(world, "jobs/few.yaml", "prompt: a bee\npreset: draft\n")
    world.drop("approve/few", b"")
    sweep(world.ports)
    found = {(event["path"], event["state"]): event for event in world.bus.details}
    assert len(found) == len(world.bus.details) == len({e["id"] for e in world.bus.details})
    assert {state for _, state in found} == {state for state in State if state.terminal}
    for event in found.values():
        jsonschema.validate(event, SCHEMA)
        text = json.dumps(event)
        assert "secret" not in text and "https:" not in text, "no prompts and no links"
    made = found["a/bee", "succeeded"]
    assert made["version"] == "1" and made["id"] == f"{made['job_id']}-succeeded"
    assert made["summary"] == "jobs/a/bee.yaml is ready" and made["tags"] == ["spring"]
    assert [video["sidecar"] for video in made["videos"]] == [
        "videos/a/bee-01.json", "videos/a/bee-02.json",
    ]  # fmt: skip
    there = [video[name] for video in made["videos"] for name in ("video", "poster", "sidecar")]
    assert set(there) | {made["status"]} <= set(world.files.keys(made["output_bucket"]))
    drop = made["drop"]
    assert world.files.read(drop["bucket"], drop["key"], drop["version"]).startswith(b"prompt:")
    (reason,) = found["bad", "rejected"]["reasons"]
    assert reason["code"] == "field-unknown" and reason["line"] == 2 and reason["hint"]
    assert found["read", "planned"]["review"] == "review/read.yaml"
    assert found["plan", "planned"]["review"] is None
    assert found["gone", "canceled"]["canceled_because"] == "deleted"
    assert found["new", "canceled"]["canceled_because"] == "superseded"
    (handed_on,) = (event for event in found.values() if event["state"] == "handed-on")
    assert (handed_on["dropped"], handed_on["dropped_count"]) == (["jobs/few-final.json"], 1)
    assert handed_on["summary"] == "approve/few was handed on"
    assert not owed(world)


def test_the_event_in_the_operations_page_has_the_promised_form() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(
        r'^    \{\n      "source": "reeldrop",\n(?:    .*\n)+', page, re.MULTILINE
    )
    event = json.loads(block)
    assert (event["source"], event["detail-type"]) == (SOURCE, DETAIL_TYPE)
    jsonschema.validate(event["detail"], SCHEMA)
    assert JobEnded.from_json(json.dumps(event["detail"])).state == "rejected"


def test_a_failure_says_why_and_what_it_cost(world: World) -> None:
    world.set(default_model="cogvideox-5b", instance_types="ml.g6e.xlarge")
    world.drop("jobs/two.yaml", "prompt: a bee\nvariations: 2\n")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=tasks(world)[1].task_id)
    (event,) = world.bus.details
    jsonschema.validate(event, SCHEMA)
    assert (event["state"], event["reason_count"]) == ("failed", 1)
    assert [video["code"] for video in event["videos"]] == [None, "render-failed"]
    assert [video["video"] for video in event["videos"]] == ["videos/two-01.mp4", None]
    assert 0 < event["cost"]["usd_low"] < event["cost"]["usd_high"]


@pytest.mark.parametrize("wide", ["😀", '"'])
def test_the_largest_event_is_not_too_large_and_says_what_it_leaves_out(
    world: World, wide: str
) -> None:
    """All keys and texts are as long as they may be, and JSON doubles some characters."""
    world.drop("jobs/bee.yaml", f"prompt: {'a' * 2000}\nvariations: {MAX_VIDEOS}\n")
    path = wide * (1000 // len(wide.encode()))
    key = f"jobs/{path}.yaml"
    text = "😀" * MAX_LINE_CHARACTERS
    problems = [
        Problem(
            code=Code.REFERENCE_NEVER_CAME,
            message=f"{number}{text}",
            hint=text,
            place=Place(file="\x00" * 1024, field=text, line=10**6),
        )
        for number in range(MAX_PROBLEMS)
    ]
    (job,) = jobs(world)
    assert job.spec is not None
    tags = tuple("x" * 64 for _ in range(10))
    job = job.model_copy(
        update={
            "path": path,
            "state": State.FAILED,
            "problems": tuple(problems),
            "source": job.source.model_copy(update={"key": key, "version": "v" * 1024}),
            "spec": job.spec.model_copy(update={"tags": tags}),
        }
    )
    ended = [task.model_copy(update={"state": State.SUCCEEDED}) for task in tasks(world)]
    event = job_ended(job, ended, None, output_bucket="b" * 63)
    assert len(event.videos) == MAX_VIDEOS
    assert (len(event.reasons), event.reason_count) == (MOST_REASONS, MAX_PROBLEMS)
    detail = event.model_dump_json()
    jsonschema.validate(json.loads(detail), SCHEMA)
    assert sum(len(part.encode()) for part in (SOURCE, DETAIL_TYPE, detail)) <= MOST_BYTES


def test_a_drop_that_is_handed_on_to_many_says_to_how_many(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (job,) = jobs(world)
    keys = tuple(f"jobs/{number:03}" + '"' * 1016 for number in range(500))
    job = job.model_copy(update={"state": State.HANDED_ON, "dropped": keys})
    event = job_ended(job, (), None, output_bucket="output")
    assert (event.dropped, event.dropped_count) == (keys[:MOST_DROPPED], 500)
    assert len(event.model_dump_json().encode()) < MOST_BYTES


def test_the_mail_is_sent_and_not_repeated_while_eventbridge_refuses(world: World) -> None:
    world.bus.broken = True
    with pytest.raises(ConnectionError):
        render(world, "jobs/bee.yaml", "prompt: a bee\n")
    assert len(world.post.sent) == 1 and not world.bus.details
    for _ in range(5):
        with pytest.raises(ExceptionGroup):
            after_a_claim(world)
    assert len(owed(world)) == 1
    world.bus.broken = False
    sweep(world.ports)
    assert not world.bus.details, "another handler may be sending it now"
    after_a_claim(world)
    sweep(world.ports)
    assert len(world.post.sent) == 1 and "already" not in world.post.sent[0].body
    assert [event["state"] for event in world.bus.details] == ["succeeded"] and not owed(world)


def test_a_digest_lists_a_job_once_while_eventbridge_refuses(world: World) -> None:
    world.bus.broken = True
    with pytest.raises(ConnectionError):
        render(world, "jobs/a/bee.yaml", "prompt: a bee\nnotify: digest\n")
    for _ in range(20):
        with pytest.raises(ExceptionGroup):
            after_a_claim(world)
    world.bus.broken = False
    after_a_claim(world)
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: jobs/a: 1 ready"]
    assert len(world.bus.details) == 1
    assert not owed(world) and not world.ledger.query(COLLECTED, Collected)


@pytest.mark.parametrize("broken", ["refused", "unanswered"])
def test_a_mail_that_fails_does_not_repeat_the_event(world: World, broken: str) -> None:
    world.post.broken, world.post.loses_answers = broken == "refused", broken == "unanswered"
    with pytest.raises((ConnectionError, MaybeSent)):
        render(world, "jobs/bee.yaml", "prompt: a bee\n")
    for _ in range(5):
        world.clock.move(hours=5)
        with pytest.raises(ExceptionGroup):
            sweep(world.ports)
    world.post.broken = world.post.loses_answers = False
    world.clock.move(hours=5)
    sweep(world.ports)
    assert len(world.bus.details) == 1 and not owed(world)


def test_an_event_whose_sender_was_killed_comes_again_with_the_same_id(world: World) -> None:
    put = world.bus.put

    def put_and_die(detail: str) -> None:
        put(detail)
        raise KeyboardInterrupt

    world.bus.put = put_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        render(world, "jobs/bee.yaml", "prompt: a bee\n")
    world.bus.put = put  # type: ignore[method-assign]
    after_a_claim(world)
    first, second = world.bus.details
    assert first == second and len(world.post.sent) == 1
