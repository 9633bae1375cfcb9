"""Daily limits: how much a folder may start in a day (UTC), and how much it has started.

The settings limit every folder. Folder defaults limit their own folder and all folders below. Their
limits are noted once for each `_defaults.yaml`, and looked up for each folder. So a change of the
limits of thousands of folders is one write, and also applies to the tasks that wait already.

A task is counted in the commit that starts it, at most once a day. If nothing was rendered, the
count is taken back. A task over the limit is never refused. It waits for the next day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Protocol, Self

from functions.settings import Settings, WithSettings
from functions.spec.folder_defaults import DayLimits, smallest
from functions.table.ledger import (
    Change,
    NeedsLedgerAndClock,
    Put,
    WithLedger,
    retried,
    task_key,
    usage_key,
)
from functions.table.noted import noted_above
from functions.table.records import Hold, HoldReason, State, Task, TaskRef, Usage


class Needs(NeedsLedgerAndClock, WithSettings, Protocol):
    """What comparing the usage of folders with their limits uses."""


def held(day: date) -> Hold:
    """The reason why a task over its folder's limits waits.

    Args:
        day: the day whose limit is used up.
    """
    return Hold(reason=HoldReason.DAILY_LIMIT, day=day)


def of_all(settings: Settings) -> DayLimits:
    """The limits of every folder, whatever its folder defaults say."""
    return DayLimits(
        videos=settings.max_tasks_per_folder_day,
        gpu_minutes=settings.max_gpu_minutes_per_folder_day,
    )


@dataclass(frozen=True)
class Day:
    """What a folder may start today and has started, and the revision of the record about that."""

    revision: int
    usage: Usage
    limits: DayLimits

    @property
    def is_within(self) -> bool:
        """Whether the folder may start as much."""
        return self.usage.within(self.limits)

    def plus(self, seconds: float) -> Self:
        """The day with one more task that is expected to take `seconds` of GPU time."""
        return replace(self, usage=self.usage.plus(seconds))


class NeedsForLimits(WithLedger, WithSettings, Protocol):
    """What finding the limits of folders uses."""


def limits_of(ports: NeedsForLimits, folders: Iterable[str]) -> dict[str, DayLimits]:
    """The daily limits of each folder, from the settings and from all folder defaults above it."""
    every = of_all(ports.settings)
    return {
        folder: smallest((every, *(noted.limits for noted in above)))
        for folder, above in noted_above(ports, folders).items()
    }


def today(ports: Needs, folders: Iterable[str]) -> dict[str, Day]:
    """The day of each folder that has limits. Folders without limits are left out."""
    limits = {folder: own for folder, own in limits_of(ports, folders).items() if own}
    if not limits:
        return {}
    records = ports.ledger.get_all([usage_key(folder) for folder in limits])
    day = ports.now().date()
    found: dict[str, Day] = {}
    for (folder, own), record in zip(limits.items(), records, strict=True):
        usage = record.document if record else Usage(day=day)
        # A later day is kept. It was begun by a handler whose clock is ahead of ours.
        if usage.day < day:
            usage = Usage(day=day)
        found[folder] = Day(record.revision if record else 0, usage, own)
    return found


def held_now(ports: Needs, folder: str) -> Hold | None:
    """Why a new drop in a folder has to wait for another day; None if it does not."""
    day = today(ports, [folder]).get(folder)
    if day is None or day.plus(0.0).is_within:
        return None
    return held(day.usage.day)


def given_back(ports: WithLedger, task: Task) -> list[Change]:
    """The change that takes back the count of a task of which nothing was rendered."""
    if task.counted_on is None:
        return []
    record = ports.ledger.get(usage_key(task.folder))
    if record is None or record.document.day != task.counted_on:
        return []
    return [Put(record.key, record.document.minus(task.counted_seconds), record.revision)]


def give_back_ended(ports: WithLedger, attempt_id: str, refs: Sequence[TaskRef]) -> None:
    """Take back the counts of tasks that ended in an attempt without a processing job.

    Raises:
        Conflict: a task kept changing.
    """
    for ref in refs:
        retried(f"{ref}", partial(_give_back, ports, attempt_id, ref))


def _give_back(ports: WithLedger, attempt_id: str, ref: TaskRef) -> None:
    record = ports.ledger.get(task_key(ref))
    if record is None or record.document.attempt_id != attempt_id:
        return
    task = record.document
    if task.state not in {State.CANCELED, State.FAILED} or task.counted_on is None:
        return
    ports.ledger.commit(
        Put(record.key, task.uncounted(), record.revision), *given_back(ports, task)
    )
