"""`make up` shows what comes in and goes out: as a table, or as a line for each change."""

import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from functions import s3_keys
from functions.replies.lone import LoneStatus, lone_status
from functions.replies.status import Status, TaskStatus
from functions.table.records import State
from local.command.watch import Lines, LiveTable, News, Watch, view_for
from tests.fakes import Clock

NOW = Clock()()
NOTE = "Studio: http://studio.example/"


class Bucket:
    """The statuses in an output bucket, as boto3 answers. It counts what is read."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[str, datetime]] = {}
        self.looks, self.read = 0, list[str]()

    def put(self, status: Status | LoneStatus) -> None:
        written_at = NOW + timedelta(seconds=len(self.bodies))
        self.bodies[s3_keys.status(status.path)] = status.to_json(), written_at

    def get_paginator(self, _name: str) -> "Bucket":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        self.looks += 1
        found = [
            {"Key": key, "ETag": str(hash(body)), "LastModified": at}
            for key, (body, at) in self.bodies.items()
        ]
        return [{"Contents": found}]

    def get_object(self, **of: str) -> dict[str, Any]:
        self.read.append(of["Key"])
        return {"Body": io.BytesIO(self.bodies[of["Key"]][0].encode())}


def status_of(path: str, state: State, message: str, percent: int = 0, videos: int = 1) -> Status:
    made = state == State.SUCCEEDED
    tasks = tuple(
        TaskStatus(
            task_id=f"{path}{number}", state=state, percent=percent, attempt=1,
            video=f"videos/{path}-{number}.mp4" if made else None,
        )
        for number in range(1, videos + 1)
    )  # fmt: skip
    return Status(
        job_id=path, path=path, state=state, message=message, created_at=NOW, updated_at=NOW,
        tasks=tasks,
    )  # fmt: skip


LONE = lone_status("jobs/star.png", "jobs/star.yaml", "demo")


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def watching(bucket: Bucket) -> Watch:
    """A watch for which no look takes any time."""
    return Watch(bucket, "output", lambda: 0.0)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_change_is_one_line_and_a_lone_picture_is_told_too(bucket: Bucket) -> None:
    console = Console(file=io.StringIO(), width=200)
    bucket.put(status_of("old", State.QUEUED, "In the queue."))
    watch = watching(bucket)
    with view_for(console, "output", NOTE) as view:
        assert isinstance(view, Lines)
        view.show(watch.news(most=view.keeps))
        assert bucket.read == []  # what was there before is no news, and costs no call
        bucket.put(status_of("bee", State.RUNNING, "Rendering: 10 %.", 10))
        bucket.put(LONE)
        view.show(watch.news())
        bucket.put(status_of("bee", State.RUNNING, "Rendering: 90 %.", 90))
        view.show(watch.news())
        bucket.put(status_of("bee", State.SUCCEEDED, "Ready.", 100, videos=3))
        view.show(watch.news())
        view.show(watch.news())
    lines = [line.partition("  ")[2] for line in printed(console).splitlines()]
    assert lines == [
        "bee: Rendering: 10 %.",
        f"star.png: {LONE.message}",
        "bee: Ready. s3://output/videos/bee-1.mp4 and 2 more",
    ]


def terminal(height: int = 24) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None,
        legacy_windows=False,
    )  # fmt: skip


def shown(console: Console) -> list[str]:
    """The lines of the table as it was drawn last."""
    screen = printed(console).rpartition("job ")[2]
    return [line.rstrip() for line in f"job {screen}".splitlines()]


def test_a_terminal_shows_a_row_for_each_job_and_draws_only_what_is_new(bucket: Bucket) -> None:
    console, clock = terminal(), Clock()
    watch = watching(bucket)
    with LiveTable(console, NOTE, clock) as view:
        view.show(watch.news(most=view.keeps))
        assert "Nothing was dropped yet." in shown(console)
        bucket.put(status_of("bee", State.RUNNING, "Rendering: 50 %.", 50))
        clock.move(seconds=5)
        bucket.put(LONE)
        view.show(watch.news())
        lone, bee = shown(console)[1:3]
        assert lone.split()[:2] == ["star.png", "lone"] and "No spec asks for" in lone
        assert bee.split()[:2] == ["bee", "running"] and "━━━━━━" in bee
        assert "5 s" in bee and bee.endswith("Rendering: 50 %.")
        assert shown(console)[-1] == NOTE

        bucket.put(status_of("bee", State.SUCCEEDED, "Ready.", 100, videos=2))
        bucket.put(status_of("wrong", State.REJECTED, "There is no field called 'stpes'."))
        clock.move(minutes=3)
        view.show(watch.news())
        rows = {line.split()[0]: line for line in shown(console)[1:4]}
        assert rows["bee"].split()[1:4] == ["succeeded", "3", "min"] and "━" not in rows["bee"]
        assert rows["bee"].endswith("videos/bee-1.mp4 and 1 more")
        assert rows["wrong"].endswith("There is no field called 'stpes'.")

        drawn = len(printed(console))
        view.show(watch.news())
        assert len(printed(console)) == drawn  # or nobody could select text
        del bucket.bodies["status/bee.json"]
        view.show(watch.news())
        assert [line.split()[0] for line in shown(console)[1:3]] == ["star.png", "wrong"]


def test_the_table_fits_the_window_and_reads_no_more_than_it_shows(bucket: Bucket) -> None:
    for number in range(100):
        bucket.put(status_of(f"{number:03}", State.QUEUED, "In the queue. " * 20))
    console = terminal(height=12)
    watch = watching(bucket)
    with LiveTable(console, NOTE, Clock()) as view:
        view.show(watch.news(most=view.keeps))
        assert len(bucket.read) == view.keeps == 40
        lines = shown(console)
        assert len(lines) == 11 and max(map(len, lines)) <= 100
        assert "32 more" in lines[9] and lines[-1] == NOTE


def test_a_look_that_takes_long_is_followed_by_a_pause(bucket: Bucket) -> None:
    seconds = [0.0]

    def slow() -> float:
        seconds[0] += 1  # each listing asks for the time before and after
        return seconds[0]

    watch = Watch(bucket, "output", slow)
    looks = []
    for _ in range(7):
        assert watch.news() == News()
        looks.append(bucket.looks)
    # Listed from 1 to 2, and then not before 4.
    assert looks == [1, 1, 2, 2, 3, 3, 4]
