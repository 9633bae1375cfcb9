"""What `make up` shows of a drop folder: what comes in, and what becomes of it.

On a terminal it is a table that changes, with a row for each job. Elsewhere, such as in a file or
a pipe, it is a line for each change.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from botocore.exceptions import ClientError
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from functions import s3_keys
from functions.replies.lone import LoneStatus
from functions.replies.status import Status
from functions.table.records import State
from local.command.drop import status_or_lone

MOST_ROWS = 40
# What the terminal shows beside the rows: the names of the columns, what is left out, the note, and
# the line of the cursor.
_OTHER_LINES = 4
# A listing takes longer the more statuses there are. The next one is after this many times as long.
_REST = 3
_COLOURS: dict[str, str] = {
    State.SUCCEEDED: "green", State.PLANNED: "green", State.FAILED: "red", State.REJECTED: "red",
    State.RUNNING: "cyan",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A status, where it is, and when it was written."""

    key: str
    status: Status | LoneStatus
    modified_at: datetime

    @property
    def dropped_at(self) -> datetime:
        """When the job came in. A file that no spec asks for has no such time."""
        return self.status.created_at if isinstance(self.status, Status) else self.modified_at


@dataclass(frozen=True)
class News:
    """What happened to the statuses of a drop folder."""

    written: tuple[Seen, ...] = ()
    """The new ones and those that changed, in the order in which they were written."""
    removed: frozenset[str] = frozenset()
    """The keys of those that are not there any more."""


class Watch:
    """Finds the statuses of a drop folder that are new or were written again."""

    def __init__(
        self, s3: Any, output_bucket: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._s3, self._bucket, self._now = s3, output_bucket, now
        self._etags: dict[str, str] = {}
        self._look_at = 0.0

    def news(self, most: int | None = None) -> News:
        """What happened since the last call.

        All statuses are listed, and those that changed are read. If listing takes long, the next
        calls return nothing for a while.

        Args:
            most: so many are read, the last ones. None: all.
        """
        began = self._now()
        if began < self._look_at:
            return News()
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=s3_keys.STATUS_PREFIX
        )
        items = {item["Key"]: item for page in pages for item in page.get("Contents", [])}
        self._look_at = began + _REST * (self._now() - began)
        changed = [item for key, item in items.items() if self._etags.get(key) != item["ETag"]]
        removed = frozenset(self._etags.keys() - items.keys())
        self._etags = {key: item["ETag"] for key, item in items.items()}
        changed.sort(key=lambda item: item["LastModified"])
        written = []
        for item in changed if most is None else changed[max(0, len(changed) - most) :]:
            with suppress(ClientError, ValueError):  # it was removed meanwhile
                body = self._s3.get_object(Bucket=self._bucket, Key=item["Key"])["Body"].read()
                written.append(Seen(item["Key"], status_or_lone(body), item["LastModified"]))
        return News(tuple(written), removed)


class View(Protocol):
    """Shows what is new."""

    keeps: int
    """How many of the jobs that are there at the beginning it shows."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End. What is shown stays."""

    def show(self, news: News) -> None:
        """Show what is new. It is called every second, also with nothing."""


def view_for(console: Console, output_bucket: str, note: str) -> View:
    """The view that suits where the text goes.

    Args:
        note: a line that stays visible below the table.
    """
    return LiveTable(console, note) if console.is_terminal else Lines(console, output_bucket)


class Lines:
    """A line for each job whose state changed."""

    keeps = 0

    def __init__(self, console: Console, output_bucket: str) -> None:
        self._console, self._bucket = console, output_bucket
        self._said: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, news: News) -> None:
        """See `View`."""
        for status in (one.status for one in news.written):
            line = f"{time.strftime('%H:%M:%S')}  {status.path}: {status.message}"
            if isinstance(status, Status):
                # While a job renders, its message changes with each step.
                said = "" if status.state == State.RUNNING else status.message
                now = f"{status.job_id} {status.state}", said
                if self._said.get(status.path) == now:
                    continue
                self._said[status.path] = now
                line += self._made(status)
            self._console.print(line, markup=False, highlight=False)

    def _made(self, status: Status) -> str:
        videos = [task.video for task in status.tasks if task.video]
        if not videos or not status.state.terminal:
            return ""
        more = f" and {len(videos) - 1} more" if len(videos) > 1 else ""
        return f" s3://{self._bucket}/{videos[0]}{more}"


class LiveTable:
    """A table of the last jobs, which changes in its place. The last drop comes first."""

    keeps = MOST_ROWS

    def __init__(
        self,
        console: Console,
        note: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._console, self._note, self._now = console, note, now
        self._jobs: dict[str, Seen] = {}
        self._shown: object = None
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, news: News) -> None:
        """See `View`."""
        found = self._jobs | {one.key: one for one in news.written}
        there = [one for key, one in found.items() if key not in news.removed]
        jobs = sorted(there, key=lambda one: one.dropped_at, reverse=True)[:MOST_ROWS]
        self._jobs = {one.key: one for one in jobs}
        ages = [_age((self._now() - one.dropped_at).total_seconds()) for one in jobs]
        # It is drawn only if something is different, so that a person can select text.
        if self._shown != (shown := (jobs, ages, self._console.size)):
            self._shown = shown
            self._live.update(self._drawn(jobs, ages), refresh=True)

    def _drawn(self, jobs: Sequence[Seen], ages: Sequence[str]) -> Group:
        table = Table(box=None, pad_edge=False, expand=True)
        for name, ratio in (("job", 2), ("state", None), ("progress", None), ("age", None)):
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio)
        table.add_column("what came out", no_wrap=True, overflow="ellipsis", ratio=3)
        space = max(1, self._console.size.height - _OTHER_LINES)
        for one, age in zip(jobs[:space], ages[:space], strict=True):
            status = one.status
            table.add_row(
                Text(status.path),
                Text(status.state, _COLOURS.get(status.state, "")),
                _progress(status),
                Text(age),
                Text(_what_came_out(status)),
            )
        left = len(jobs) - space
        rest = f"{left} more: reeldrop ls" if left > 0 else ""
        nothing = "" if jobs else "Nothing was dropped yet."
        note = Text(self._note, no_wrap=True, overflow="ellipsis")
        return Group(table, Text(rest or nothing, "dim"), note)


def _progress(status: Status | LoneStatus) -> ProgressBar | Text:
    """A bar for a job at work."""
    if not isinstance(status, Status) or status.state != State.RUNNING:
        return Text()
    percent = sum(task.percent for task in status.tasks) / max(1, len(status.tasks))
    return ProgressBar(completed=percent, width=12)


def _what_came_out(status: Status | LoneStatus) -> str:
    """The videos of a job; if there are none, what the status says."""
    videos = [] if isinstance(status, LoneStatus) else [t.video for t in status.tasks if t.video]
    if not videos:
        return status.message
    return videos[0] if len(videos) == 1 else f"{videos[0]} and {len(videos) - 1} more"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
