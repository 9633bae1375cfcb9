"""The handlers: the events that AWS sends, and the messages that return to the queue."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from functions.adapters import sqs
from functions.handlers import dispatch, finish, runtime, submit, sweep
from functions.log import Event
from functions.table.records import State
from tests.fakes import World
from tests.functions.stored import jobs, tasks

CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="id"
)


@pytest.fixture(autouse=True)
def _in_world(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ports", lambda: world.ports)


def messages(*bodies: str) -> dict[str, Any]:
    """An SQS event."""
    return {
        "Records": [
            {
                "messageId": f"m{number}", "receiptHandle": "r", "body": body, "attributes": {},
                "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:q",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }  # fmt: skip


def object_created(bucket: str, key: str, version: str | None = None) -> str:
    """An event as AWS documents it, including fields that we do not read."""
    created = {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
               "sequencer": "00617F08299329D189"}  # fmt: skip
    return json.dumps(
        {
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": "Object Created", "source": "aws.s3", "account": "111122223333",
            "time": "2021-11-12T00:00:00Z", "region": "us-east-1",
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0", "bucket": {"name": bucket},
                "object": created | ({"version-id": version} if version else {}),
                "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012",
                "source-ip-address": "1.2.3.4", "reason": "PutObject",
            },
        }
    )  # fmt: skip


def processing_changed(name: str, status: str) -> str:
    return json.dumps(
        {
            "version": "0", "id": "0a15f67d-aa23-0123-0123-01a23w89r01t",
            "detail-type": "SageMaker Processing Job State Change", "source": "aws.sagemaker",
            "account": "123456789012", "time": "2021-05-31T21:50:57Z", "region": "us-east-1",
            "resources": ["arn:aws:sagemaker:us-east-1:123456789012:processing-job/x"],
            "detail": {"ProcessingJobName": name, "ProcessingJobStatus": status,
                       "CreationTime": 1622497800000, "ProcessingJobArn": "arn"},
        }
    )  # fmt: skip


def test_submit_acts_on_an_announced_drop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    delays: list[int] = []

    def send_message(**message: Any) -> None:
        sent.append(message["MessageBody"])
        delays.append(message["DelaySeconds"])

    queue = SimpleNamespace(send_message=send_message)
    monkeypatch.setattr("boto3.client", lambda *_, **__: queue)
    announce = sqs.announcer("https://sqs/drops", "input")
    for name in ("one", "ü+%2F"):
        world.drop(f"jobs/{name}.yaml", event=False)
    announce("jobs/one.yaml", "v1")
    announce("jobs/ü+%2F.yaml", None, delay_seconds=60)
    assert delays == [0, 60]
    assert submit.handler(messages(*sent), CONTEXT) == {"batchItemFailures": []}
    assert [job.source.key for job in jobs(world)] == ["jobs/one.yaml", "jobs/ü+%2F.yaml"]


def test_only_the_message_that_failed_returns_to_the_queue(world: World) -> None:
    world.drop("jobs/one.yaml", event=False)
    world.drop("jobs/two.yaml", event=False)
    answer = submit.handler(
        messages(
            object_created("input", "jobs/one.yaml", "v1"),
            '{"detail-type": "Object Created"}',
            object_created("input", "jobs/two.yaml"),
        ),
        CONTEXT,
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert [job.path for job in jobs(world)] == ["one", "two"]


def test_all_that_fail_are_named_and_nothing_is_raised(world: World) -> None:
    answer = submit.handler(messages("?", "{}"), CONTEXT)
    assert [f["itemIdentifier"] for f in answer["batchItemFailures"]] == ["m0", "m1"]


def test_one_dispatch_serves_all_wake_ups(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(dispatch, "dispatch", calls.append)
    assert dispatch.handler(messages("{}", "{}", "{}"), CONTEXT) == {"batchItemFailures": []}
    assert len(calls) == 1


def test_a_dispatch_that_fails_is_not_tried_for_each_wake_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def failing(ports: object) -> None:
        calls.append(ports)
        raise ConnectionError("SageMaker is away")

    monkeypatch.setattr(dispatch, "dispatch", failing)
    answer = dispatch.handler(messages("{}", "{}", "{}"), CONTEXT)
    assert len(answer["batchItemFailures"]) == 3 and len(calls) == 1


def test_a_drop_becomes_a_video_through_the_handlers(world: World) -> None:
    world.drop("jobs/bee.yaml", event=False)
    submit.handler(messages(object_created("input", "jobs/bee.yaml", "v1")), CONTEXT)
    dispatch.handler(messages("{}"), CONTEXT)
    (attempt,) = world.running()
    world.render(attempt, tell=False)
    (task,) = tasks(world)
    answer = finish.handler(
        messages(
            object_created("work", f"attempts/{attempt}/output/{task.task_id}/result.json"),
            object_created("work", f"attempts/{attempt}/output/{task.task_id}/video.mp4"),
            processing_changed(attempt, "Completed"),
            processing_changed("reeldrop-of-somebody-else", "Failed"),
        ),
        CONTEXT,
    )
    assert answer == {"batchItemFailures": []}
    assert jobs(world)[0].state == State.SUCCEEDED and len(world.post.sent) == 1


def test_events_are_counted_as_metrics(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    runtime._log(Event.QUEUED, {"job_id": "x"})
    submit.handler(messages(object_created("input", "jobs/", "v1")), CONTEXT)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (counted,) = [line for line in lines if "_aws" in line]
    assert counted["queued"] == [1.0]
    submit.handler(messages(object_created("input", "jobs/", "v1")), CONTEXT)
    assert "_aws" not in capsys.readouterr().out


def test_the_sweep_handler_runs_a_sweep(world: World) -> None:
    world.drop("jobs/bee.yaml", event=False)
    world.clock.move(minutes=5)
    sweep.handler({"source": "aws.events"}, CONTEXT)
    assert jobs(world)[0].state == State.QUEUED
