"""How much a folder may have started in a day (UTC), and how much it has.

It is counted in the commit that starts a task, and given back in the commit that puts one back to
the queue that had no machine. What is over the limit is never refused: it waits for the next day.
"""

from collections.abc import Iterable

from functions.batching import Allowance
from functions.job import QueueEntry, Task, Usage
from functions.ports import Change, Ports, Put, Record, usage_key
from functions.settings import Settings

HELD = "today's allowance of this folder is used up; it goes on after midnight UTC"


def is_limited(settings: Settings) -> bool:
    """Whether there are limits at all."""
    return bool(settings.max_tasks_per_folder_day or settings.max_gpu_minutes_per_folder_day)


def left(ports: Ports, folder: str) -> tuple[Allowance, Record[Usage] | None]:
    """What a folder may still have started today, and the record that says so."""
    record = ports.ledger.get(usage_key(folder))
    usage = record.document if record else Usage(day=ports.now().date())
    if usage.day != ports.now().date():
        usage = Usage(day=ports.now().date())
    tasks = ports.settings.max_tasks_per_folder_day or float("inf")
    minutes = ports.settings.max_gpu_minutes_per_folder_day or float("inf")
    return Allowance(tasks - usage.tasks, 60 * minutes - usage.gpu_seconds), record


def allowances(ports: Ports, line: Iterable[QueueEntry]) -> dict[str, Allowance]:
    """For each folder in the line."""
    if not is_limited(ports.settings):
        return {}
    return {folder: left(ports, folder)[0] for folder in dict.fromkeys(e.folder for e in line)}


def counted(record: Record[Usage] | None, ports: Ports, seconds: Iterable[float]) -> Usage:
    """The usage with tasks of these lengths added."""
    today = ports.now().date()
    old = record.document if record and record.document.day == today else Usage(day=today)
    lengths = list(seconds)
    return Usage(
        day=today, tasks=old.tasks + len(lengths), gpu_seconds=old.gpu_seconds + sum(lengths)
    )


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
