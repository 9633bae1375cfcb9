"""Daily limits: how much a folder may start in a day (UTC), and how much it has started.

The settings limit every folder. Folder defaults limit their own folder. A task is counted in the
commit that starts it, at most once a day. If nothing was rendered, the count is taken back. A task
over the limit is never refused. It waits for the next day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Protocol

from functions.settings import Settings, WithSettings
from functions.spec.folder_defaults import DayLimits
from functions.table.ledger import (
    Change,
    NeedsLedgerAndClock,
    Put,
    WithLedger,
    retried,
    task_key,
    usage_key,
)
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
    """What a folder has started today, and the revision of the record that was read."""

    revision: int
    usage: Usage


def today(ports: Needs, folders: Iterable[str]) -> dict[str, Day]:
    """The usage of each folder that has limits. Folders without limits are left out."""
    names = list(dict.fromkeys(folders))
    records = ports.ledger.get_all([usage_key(folder) for folder in names])
    day = ports.now().date()
    found: dict[str, Day] = {}
    for folder, record in zip(names, records, strict=True):
        usage = record.document if record else Usage(day=day)
        if not (usage.limits or of_all(ports.settings)):
            continue
        # A later day is kept. It was begun by a handler whose clock is ahead of ours.
        if usage.day < day:
            usage = Usage(day=day, limits=usage.limits)
        found[folder] = Day(record.revision if record else 0, usage)
    return found


def allows(settings: Settings, usage: Usage) -> bool:
    """Whether a folder may start that much in a day."""
    return usage.within(of_all(settings)) and usage.within(usage.limits)


def held_now(ports: Needs, folder: str) -> Hold | None:
    """Why a new drop in a folder has to wait for another day; None if it does not."""
    day = today(ports, [folder]).get(folder)
    if day is None or allows(ports.settings, day.usage.plus(0.0)):
        return None
    return held(day.usage.day)


def set_limits(ports: NeedsLedgerAndClock, folder: str, limits: DayLimits) -> None:
    """Note the limits from the folder defaults. They also apply to the tasks that wait already.

    Raises:
        Conflict: the folder's usage kept changing.
    """

    def note() -> None:
        record = ports.ledger.get(usage_key(folder))
        old = record.document if record else Usage(day=ports.now().date())
        if old.limits != limits:
            revision = record.revision if record else 0
            ports.ledger.commit(Put(usage_key(folder), old.limited(limits), revision))

    retried(f"the limits of '{folder}'", note)


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
