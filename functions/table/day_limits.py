"""How much a folder may have started in a day (UTC), and how much it has.

The settings limit every folder, and folder defaults their own. What is started is counted in the
commit that starts it, once a day for each task, and given back in a commit of its own kind when
nothing came of it. What is over the limit is never refused: it waits for the next day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from functions.settings import Settings
from functions.spec.folder_defaults import DayLimits
from functions.stages.ports import Ports
from functions.table.ledger import Change, Conflict, Put, task_key, usage_key
from functions.table.records import State, Task, TaskRef, Usage

_RETRIES = 8


def held(day: date) -> str:
    """Why a task waits that is over its folder's limits."""
    return f"the allowance of this folder for {day} (UTC) is used up; it goes on after midnight"


def of_all(settings: Settings) -> DayLimits:
    """What every folder has as limits, whatever its folder defaults say."""
    return DayLimits(
        videos=settings.max_tasks_per_folder_day,
        gpu_minutes=settings.max_gpu_minutes_per_folder_day,
    )


@dataclass(frozen=True)
class Day:
    """What a folder has had started today, and the revision of the record that says so."""

    revision: int
    usage: Usage


def today(ports: Ports, folders: Iterable[str]) -> dict[str, Day]:
    """For each folder that has limits; a folder that has none is not in it."""
    names = list(dict.fromkeys(folders))
    records = ports.ledger.get_all([usage_key(folder) for folder in names])
    day = ports.now().date()
    found: dict[str, Day] = {}
    for folder, record in zip(names, records, strict=True):
        usage = record.document if record else Usage(day=day)
        if not (usage.limits or of_all(ports.settings)):
            continue
        if usage.day < day:  # a later one was begun by a handler whose clock is ahead of ours
            usage = Usage(day=day, limits=usage.limits)
        found[folder] = Day(record.revision if record else 0, usage)
    return found


def allows(settings: Settings, usage: Usage) -> bool:
    """Whether a folder may have that much in a day."""
    return usage.within(of_all(settings)) and usage.within(usage.limits)


def held_now(ports: Ports, folder: str) -> str | None:
    """Why what is dropped now has to wait for another day, if it has."""
    day = today(ports, [folder]).get(folder)
    if day is None or allows(ports.settings, day.usage.plus(0.0)):
        return None
    return held(day.usage.day)


def set_limits(ports: Ports, folder: str, limits: DayLimits) -> None:
    """Note what the folder defaults say. They hold for all that waits there."""
    for _ in range(_RETRIES):
        record = ports.ledger.get(usage_key(folder))
        old = record.document if record else Usage(day=ports.now().date())
        if old.limits == limits:
            return
        new = old.model_copy(update={"limits": limits})
        try:
            ports.ledger.commit(Put(usage_key(folder), new, record.revision if record else 0))
        except Conflict:
            continue
        return
    raise Conflict(f"the limits of '{folder}' are being fought over")


def given_back(ports: Ports, task: Task) -> list[Change]:
    """What a task of which nothing came takes away from the day to which it was counted."""
    if task.counted_on is None:
        return []
    record = ports.ledger.get(usage_key(task.folder))
    if record is None or record.document.day != task.counted_on:
        return []
    usage = record.document
    less = usage.model_copy(
        update={
            "tasks": max(0, usage.tasks - 1),
            "gpu_seconds": max(0.0, usage.gpu_seconds - task.counted_seconds),
        }
    )
    return [Put(record.key, less, record.revision)]


def give_back_ended(ports: Ports, attempt_id: str, refs: Sequence[TaskRef]) -> None:
    """Give back what tasks were counted that ended in an attempt whose job was never created."""
    for ref in refs:
        for _ in range(_RETRIES):
            record = ports.ledger.get(task_key(ref))
            if record is None or record.document.attempt_id != attempt_id:
                break
            task = record.document
            if task.state not in {State.CANCELED, State.FAILED} or task.counted_on is None:
                break
            uncounted = task.model_copy(update={"counted_on": None, "counted_seconds": 0.0})
            try:
                ports.ledger.commit(
                    Put(record.key, uncounted, record.revision), *given_back(ports, task)
                )
            except Conflict:
                continue
            break
        else:
            raise Conflict(f"{ref} is being fought over")
