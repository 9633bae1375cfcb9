"""The moves of tasks between states. Each move is one commit with all records that depend on it.

claim       queued → running; the queue entry is removed; one commit moves many tasks
requeue     running → queued; a new entry is put at the old place in the queue
end         running → succeeded | failed; the last task of a job ends the job, and its mail is owed
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol

from contract.catalogue import folder_of
from contract.errors import Notice, Problem
from functions.log import Event, WithLog
from functions.settings import WithSettings
from functions.table import day_limits, jobs
from functions.table.ledger import (
    TASKS,
    Change,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    job_key,
    queue_key,
    retried,
    task_key,
    usage_key,
)
from functions.table.records import Attempt, Hold, Job, State, Task, TaskRef

CLAIMED_TOGETHER = 24
"""How many tasks one commit claims. A commit has at most 100 changes, and a claim needs up to four:
the task, its queue entry, its job and the usage of its folder."""


class NeedsForClaim(NeedsLedgerAndClock, WithSettings, Protocol):
    """What a claim uses."""


class NeedsForEnd(NeedsLedgerAndClock, WithLog, Protocol):
    """What the end of a task uses."""


def owned_task(ports: WithLedger, attempt_id: str, ref: TaskRef) -> Record[Task] | None:
    """The task, if it runs in this attempt."""
    record = ports.ledger.get(task_key(ref))
    return record if record is not None and record.document.owned_by(attempt_id) else None


def tasks_of(ports: WithLedger, job_id: str) -> list[Record[Task]]:
    """All tasks of a job, by number."""
    return ports.ledger.query(job_key(job_id).partition, Task, prefix=TASKS)


def claim_tasks(
    ports: NeedsForClaim,
    attempt: Attempt,
    seconds_of: Callable[[Task], float],
    is_current: Callable[[Job], bool],
) -> list[Task]:
    """Claim the queued tasks of an attempt, many in one commit.

    Tasks are left out if they are no longer queued, if another attempt owns them, if their folder
    has used up its daily limit, or if newer folder defaults apply to them.

    Args:
        seconds_of: how many GPU seconds a task is expected to take, for folders with limits.
        is_current: whether no newer folder defaults apply to a job.

    Returns:
        The tasks that the attempt owns now.
    """
    taken: list[Task] = []
    for start in range(0, len(attempt.tasks), CLAIMED_TOGETHER):
        refs = attempt.tasks[start : start + CLAIMED_TOGETHER]
        taken += _claim_together(ports, attempt, refs, seconds_of, is_current)
    return taken


def _claim_together(
    ports: NeedsForClaim,
    attempt: Attempt,
    refs: Sequence[TaskRef],
    seconds_of: Callable[[Task], float],
    is_current: Callable[[Job], bool],
) -> list[Task]:
    attempt_id = attempt.attempt_id
    mine: list[Task] = []

    def claim() -> list[Task]:
        # The jobs are read before their tasks, and all of them are written. So if a job is planned
        # again in between, this commit conflicts.
        ids = dict.fromkeys(ref.job_id for ref in refs)
        jobs = {
            record.document.job_id: record
            for record in ports.ledger.get_all([job_key(job_id) for job_id in ids])
            if record and is_current(record.document)
        }
        records = [r for r in ports.ledger.get_all([task_key(ref) for ref in refs]) if r]
        # The attempt may own some already, if a handler that was killed had claimed them.
        mine[:] = [r.document for r in records if r.document.owned_by(attempt_id)]
        queued = [r for r in records if r.document.job_id in jobs and _suits(r.document, attempt)]
        queued, counted, usages = _within_limits(ports, queued, seconds_of)
        if not queued:
            return mine
        of_queued = [jobs[job_id] for job_id in dict.fromkeys(r.document.job_id for r in queued)]
        taken = [_claimed(r, attempt_id, ports, counted) for r in queued]
        ports.ledger.commit(
            *taken,
            *(Remove(queue_key(r.document), r.document.queue_revision) for r in queued),
            *(Put(job.key, job.document.running(ports.now()), job.revision) for job in of_queued),
            *usages,
        )
        by_ref = {task.ref: task for task in (*mine, *(put.document for put in taken))}
        return [by_ref[ref] for ref in refs if ref in by_ref]

    try:
        return retried(f"tasks of {attempt_id}", claim)
    except Conflict:
        return mine  # a later attempt will claim the others


def _suits(task: Task, attempt: Attempt) -> bool:
    """Whether an attempt can render a queued task. It may have been planned again since."""
    folder, its_own = folder_of(attempt.model, attempt.mode), folder_of(task.model, task.mode)
    wanted = (folder, bool(attempt.image_release), attempt.preset, attempt.lora)
    needs = (its_own, task.with_image_model, task.parameters.preset, task.lora)
    return task.state == State.QUEUED and needs == wanted


def _claimed(
    record: Record[Task],
    attempt_id: str,
    ports: NeedsLedgerAndClock,
    counted: dict[str, tuple[date, float]],
) -> Put[Task]:
    task = record.document.claimed(attempt_id, ports.now())
    if task.task_id in counted:
        task = task.counted(*counted[task.task_id])
    return Put(record.key, task, record.revision)


def _within_limits(
    ports: NeedsForClaim, queued: Sequence[Record[Task]], seconds_of: Callable[[Task], float]
) -> tuple[list[Record[Task]], dict[str, tuple[date, float]], list[Change]]:
    """Choose the tasks that their folders' daily limits allow, and count them.

    Returns:
        The tasks; the day and the GPU seconds of each task that is counted now, by task id; and the
        changes of the usages.
    """
    days = day_limits.today(ports, (record.document.folder for record in queued))
    after = dict(days)
    within: list[Record[Task]] = []
    counted: dict[str, tuple[date, float]] = {}
    for record in queued:
        task = record.document
        day = after.get(task.folder)
        if day is None or task.counted_on == day.usage.day:
            within.append(record)
            continue
        seconds = seconds_of(task)
        more = day.plus(seconds)
        if more.is_within:
            within.append(record)
            counted[task.task_id] = more.usage.day, seconds
            after[task.folder] = more
    changes: list[Change] = [
        Put(usage_key(folder), after[folder].usage, day.revision)
        for folder, day in days.items()
        if after[folder] is not day
    ]
    return within, counted, changes


def requeue_task(
    ports: NeedsLedgerAndClock,
    attempt: Attempt,
    ref: TaskRef,
    *,
    charge: bool,
    hold: Hold,
    suspicion: int = 0,
) -> None:
    """Return a task to its place in the queue, if the attempt still owns it.

    Args:
        charge: whether the attempt counts as one of the task's attempts, and in its folder's day.
        hold: why the task waits again.
        suspicion: how much the suspicion of the task grows. 0: it is not suspected.

    Raises:
        Conflict: the task or its job kept changing.
    """

    def requeue() -> None:
        record = owned_task(ports, attempt.attempt_id, ref)
        if record is None:
            return
        task = record.document.requeued(hold, charge=charge)
        if suspicion:
            task = task.suspected(suspicion, ports.now())
        job = ports.ledger.get(job_key(task.job_id))
        assert job is not None  # tasks are committed together with their job
        others = [r.document for r in tasks_of(ports, task.job_id) if r.key != record.key]
        running = any(other.state == State.RUNNING for other in others)
        begun = any(one.attempts for one in (task, *others))
        ports.ledger.commit(
            Put(record.key, task, record.revision),
            Put(queue_key(task), task.queue_entry),
            *([] if running else _queued(ports, job, begun=begun)),
            *([] if charge else day_limits.given_back(ports, record.document)),
        )

    retried(f"{ref}", requeue)


def plan_tasks(before: Sequence[Record[Task]], tasks: Sequence[Task]) -> list[Change]:
    """The changes that write the tasks of a job that is accepted, or planned again.

    Args:
        before: the tasks that it had, all of them queued.
        tasks: the tasks that it has from now on.
    """
    old = {record.document.number: record for record in before}
    changes: list[Change] = []
    for task in tasks:
        record = old.pop(task.number, None)
        changes.append(Put(task_key(task.ref), task, record.revision if record else 0))
        entry = queue_key(task) if task.state == State.QUEUED else None
        if record is not None and queue_key(record.document) != entry:
            changes.append(_remove_entry(record))
        if entry is not None:
            changes.append(Put(entry, task.queue_entry, task.queue_revision - 1))
    for record in old.values():
        changes += [_remove_entry(record), Remove(record.key, record.revision)]
    return changes


def _remove_entry(record: Record[Task]) -> Change:
    return Remove(queue_key(record.document), record.document.queue_revision)


def succeed_task(ports: NeedsForEnd, record: Record[Task], warnings: tuple[Notice, ...]) -> None:
    """End a task whose video is published. The last task of a job also ends the job.

    Args:
        warnings: what the worker noticed. They are added to the warnings of the job.

    Raises:
        Conflict: the task or its job changed in the meantime.
    """
    _end(ports, record, record.document.succeeded(ports.now()), warnings)


def fail_task(
    ports: NeedsForEnd, record: Record[Task], problem: Problem, scenes_kept: int = 0
) -> None:
    """End a task that gets no video. The last task of a job also ends the job.

    Args:
        scenes_kept: how many scenes before the one that failed are published.

    Raises:
        Conflict: the task or its job changed in the meantime.
    """
    _end(ports, record, record.document.failed(problem, ports.now(), scenes_kept), ())


def fail_owned_task(ports: NeedsForEnd, attempt: Attempt, ref: TaskRef, problem: Problem) -> None:
    """Fail a task, if the attempt still owns it.

    Raises:
        Conflict: the task or its job kept changing.
    """

    def fail() -> None:
        record = owned_task(ports, attempt.attempt_id, ref)
        if record is not None:
            fail_task(ports, record, problem)

    retried(f"{ref}", fail)


def _end(
    ports: NeedsForEnd, record: Record[Task], ended: Task, warnings: tuple[Notice, ...]
) -> None:
    record_of_job = ports.ledger.get(job_key(ended.job_id))
    assert record_of_job is not None  # tasks are committed together with their job
    if record_of_job.document.state.terminal:
        raise Conflict(f"{ended.task_id} was ended by another handler after it was read")
    job = record_of_job.document.task_ended(ended.state, warnings, ports.now())
    ports.ledger.commit(
        Put(record.key, ended, record.revision),
        Put(record_of_job.key, job, record_of_job.revision),
        *([jobs.ended(job)] if job.state.terminal else []),
    )
    event = Event.SUCCEEDED if ended.state == State.SUCCEEDED else Event.FAILED
    ports.log(event, {"task_id": ended.task_id, "attempt_id": ended.attempt_id})


def _queued(ports: NeedsLedgerAndClock, job: Record[Job], *, begun: bool) -> list[Change]:
    if job.document.state.terminal:
        return []
    return [Put(job.key, job.document.queued_again(ports.now(), begun=begun), job.revision)]
