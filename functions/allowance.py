"""How much a folder may have started in a day (UTC), and how much it has.

The settings limit every folder, and folder defaults their own. It is counted in the commit that
starts a task, and given back in the commit that puts one back to the queue that had no machine.
What is over the limit is never refused: it waits for the next day.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from functions.job import Limits, QueueEntry, Task, Usage
from functions.ports import Change, Ports, Put, usage_key
from functions.settings import Settings

HELD = "today's allowance of this folder is used up; it goes on after midnight UTC"


@dataclass(frozen=True)
class Day:
    """What a folder has had started today, and the revision of the record that says so."""

    revision: int
    usage: Usage


def of_all(settings: Settings) -> Limits:
    """What every folder has as limits, whatever its folder defaults say."""
    return Limits(
        videos=settings.max_tasks_per_folder_day,
        gpu_minutes=settings.max_gpu_minutes_per_folder_day,
    )


def is_limited(settings: Settings, task: Task | QueueEntry) -> bool:
    """Whether the folder of a task has limits at all, and so is counted."""
    return bool(of_all(settings) or task.limits)


def allows(settings: Settings, task: Task | QueueEntry, usage: Usage) -> bool:
    """Whether the folder of a task may have that much in a day."""
    return of_all(settings).allow(usage) and task.limits.allow(usage)


def today(ports: Ports, folder: str) -> Day:
    """What a folder has had started today."""
    record = ports.ledger.get(usage_key(folder))
    usage = Usage(day=ports.now().date())
    if record is not None and record.document.day == usage.day:
        usage = record.document
    return Day(record.revision if record else 0, usage)


def usages(ports: Ports, line: Iterable[QueueEntry]) -> dict[str, Usage]:
    """For each folder in the line that has limits."""
    limited = (entry.folder for entry in line if is_limited(ports.settings, entry))
    return {folder: today(ports, folder).usage for folder in dict.fromkeys(limited)}


def given_back(ports: Ports, task: Task) -> list[Change]:
    """What a task that was put back takes away from its folder's usage of the day it started."""
    if task.counted_seconds is None or task.started_at is None:
        return []
    record = ports.ledger.get(usage_key(task.folder))
    if record is None or record.document.day != task.started_at.date():
        return []
    usage = record.document
    less = usage.model_copy(
        update={
            "tasks": max(0, usage.tasks - 1),
            "gpu_seconds": max(0.0, usage.gpu_seconds - task.counted_seconds),
        }
    )
    return [Put(record.key, less, record.revision)]
