"""`make up` shows each news of a drop folder as a line."""

import io
from typing import Any

from functions.replies.lone import lone_status
from functions.replies.status import Status
from functions.table.records import State
from local.command.up import Watch
from tests.fakes import Clock

NOW = Clock()()


class Bucket:
    """The statuses in an output bucket, as boto3 answers."""

    def __init__(self, bodies: dict[str, str]) -> None:
        self.bodies = bodies

    def get_paginator(self, _name: str) -> "Bucket":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        found = [{"Key": key, "ETag": str(hash(body))} for key, body in self.bodies.items()]
        return [{"Contents": found}]

    def get_object(self, **of: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.bodies[of["Key"]].encode())}


def test_each_change_is_one_line_and_a_lone_picture_is_told_too() -> None:
    status = Status(
        job_id="a", path="bee", state=State.QUEUED, message="In the queue.", created_at=NOW,
        updated_at=NOW, tasks=(),
    )  # fmt: skip
    lone = lone_status("jobs/star.png", "jobs/star.yaml", "demo")
    bucket = Bucket({"status/bee.json": status.to_json(), "status/star.png.json": lone.to_json()})
    watch = Watch(bucket, "output")
    lines = watch.changes()
    assert [line.partition("  ")[2] for line in lines] == [
        "bee: In the queue.",
        f"star.png: {lone.message}",
    ]
    assert watch.changes() == []
