"""The moves of tasks between states, each one commit together with all that depends on it.

claim       queued → running, with the removal of the queue entry; many tasks in one commit
requeue     running → queued, with a new entry at the old place
close       running → succeeded | failed; the last task of a job closes the job and owes a mail
"""

from collections.abc import Callable, Sequence
from datetime import date

from contract.errors import Notice, Problem
from functions.spec.work import size_class_of, work_of
from functions.stages.ports import Ports
from functions.table import day_limits
from functions.table.ledger import (
    RETRIES,
    TASKS,
    Change,
    Conflict,
    Put,
    Record,
    Remove,
    job_key,
    letter_key,
    queue_key,
    task_key,
    usage_key,
)
from functions.table.records import Attempt, Job, Letter, QueueEntry, State, Task, TaskRef

CLAIMED_TOGETHER = 24
"""A commit takes 100 changes; a claim is four at most: task, entry, job, the folder's usage."""


def ref_of(task: Task) -> TaskRef:
    """The name of a task."""
    return TaskRef(job_id=task.job_id, number=task.number)


def entry_of(task: Task) -> QueueEntry:
    """A task's entry in the queue."""
    return QueueEntry(
        task=ref_of(task),
        task_id=task.task_id,
        model=task.model,
        mode=task.parameters.mode,
        priority=task.spec.priority,
        folder=task.folder,
        counted_on=task.counted_on,
        queued_at=task.queued_at,
        size_class=size_class_of(task.parameters),
        work=work_of(task.parameters),
    )


def owned_task(ports: Ports, attempt: Attempt, ref: TaskRef) -> Record[Task] | None:
    """The task, if it runs in this attempt."""
    record = ports.ledger.get(task_key(ref))
    return record if record is not None and is_owned(record.document, attempt) else None


def is_owned(task: Task, attempt: Attempt) -> bool:
    """Whether the task runs in this attempt."""
    return task.state == State.RUNNING and task.attempt_id == attempt.attempt_id


def claim_tasks(ports: Ports, attempt: Attempt, seconds_of: Callable[[Task], float]) -> list[Task]:
    """Take the queued tasks of an attempt into it, many in one commit.

    Those that somebody else has, that are no longer queued, or that are over their folder's
    allowance by now, are left out.

    Args:
        seconds_of: how long a task is expected to take, for those whose folders have limits.
    """
    taken: list[Task] = []
    for start in range(0, len(attempt.tasks), CLAIMED_TOGETHER):
        refs = attempt.tasks[start : start + CLAIMED_TOGETHER]
        taken += _claim_together(ports, attempt, refs, seconds_of)
    return taken


def _claim_together(
    ports: Ports,
    attempt: Attempt,
    refs: Sequence[TaskRef],
    seconds_of: Callable[[Task], float],
) -> list[Task]:
    mine: list[Task] = []
    for _ in range(RETRIES):
        records = [r for r in ports.ledger.get_all([task_key(ref) for ref in refs]) if r]
        # Some may be ours already: a handler that was taken over may still be claiming.
        mine = [r.document for r in records if is_owned(r.document, attempt)]
        queued = [r for r in records if r.document.state == State.QUEUED]
        queued, counted, usages = _within_allowance(ports, queued, seconds_of)
        if not queued:
            return mine
        jobs = ports.ledger.get_all(
            [job_key(job_id) for job_id in dict.fromkeys(r.document.job_id for r in queued)]
        )
        taken = [
            Put(
                record.key,
                record.document.model_copy(
                    update={
                        "state": State.RUNNING,
                        "attempts": record.document.attempts + 1,
                        "attempt_id": attempt.attempt_id,
                        "percent": 0,
                        "waiting_reason": None,
                        "started_at": ports.now(),
                        **_counted(counted.get(record.document.task_id)),
                    }
                ),
                record.revision,
            )
            for record in queued
        ]
        try:
            ports.ledger.commit(
                *taken,
                # An entry is never changed, so this is the one that was put with the task.
                *(Remove(queue_key(record.document), 1) for record in queued),
                *(c for job in jobs if job for c in _job_state(ports, job, State.RUNNING)),
                *usages,
            )
        except Conflict:
            continue
        by_ref = {ref_of(task): task for task in (*mine, *(put.document for put in taken))}
        return [by_ref[ref] for ref in refs if ref in by_ref]
    return mine


def _counted(what: tuple[date, float] | None) -> dict[str, object]:
    return {} if what is None else {"counted_on": what[0], "counted_seconds": what[1]}


def _within_allowance(
    ports: Ports, queued: Sequence[Record[Task]], seconds_of: Callable[[Task], float]
) -> tuple[list[Record[Task]], dict[str, tuple[date, float]], list[Change]]:
    """Those that their folders' limits allow, what is counted for each, and what counts it.

    The second is by task id: the day, and seconds.
    """
    days = day_limits.today(ports, (record.document.folder for record in queued))
    usages = {folder: day.usage for folder, day in days.items()}
    within: list[Record[Task]] = []
    counted: dict[str, tuple[date, float]] = {}
    for record in queued:
        task = record.document
        usage = usages.get(task.folder)
        if usage is None or task.counted_on == usage.day:
            within.append(record)
            continue
        seconds = seconds_of(task)
        after = usage.plus(seconds)
        if day_limits.allows(ports.settings, after):
            within.append(record)
            counted[task.task_id] = after.day, seconds
            usages[task.folder] = after
    changes: list[Change] = [
        Put(usage_key(folder), usages[folder], day.revision)
        for folder, day in days.items()
        if usages[folder] is not day.usage
    ]
    return within, counted, changes


def requeue_task(
    ports: Ports, attempt: Attempt, ref: TaskRef, *, charge: bool, reason: str
) -> None:
    """Put a task of an attempt back to its place in the queue; nothing if it is not the attempt's.

    Args:
        charge: whether this attempt counts as one of the task's, and to its folder's day.

    Raises:
        Conflict: the task or its job are being fought over.
    """
    for _ in range(RETRIES):
        record = owned_task(ports, attempt, ref)
        if record is None:
            return
        task = record.document.model_copy(
            update={
                "state": State.QUEUED,
                "attempts": record.document.attempts - (not charge),
                "attempt_id": None,
                "percent": 0,
                "expected_seconds_left": None,
                "waiting_reason": reason,
                "started_at": None,
                **({} if charge else {"counted_on": None, "counted_seconds": 0.0}),
            }
        )
        job = ports.ledger.get(job_key(task.job_id))
        assert job is not None  # tasks are committed together with their job
        others = ports.ledger.query(job.key.partition, Task, prefix=TASKS)
        running = any(
            other.document.state == State.RUNNING and other.key != record.key for other in others
        )
        try:
            ports.ledger.commit(
                Put(record.key, task, record.revision),
                Put(queue_key(task), entry_of(task)),
                *_job_state(ports, job, State.RUNNING if running else State.QUEUED),
                *([] if charge else day_limits.given_back(ports, record.document)),
            )
        except Conflict:
            continue
        return
    raise Conflict(f"{ref} is being fought over")


def close_task(
    ports: Ports,
    record: Record[Task],
    state: State,
    *,
    problem: Problem | None = None,
    warnings: tuple[Notice, ...] = (),
) -> None:
    """Make a task terminal; with the last one its job too, and the mail is owed.

    The job takes over what the worker warned of.

    Raises:
        Conflict: the task or its job changed meanwhile.
    """
    now = ports.now()
    task = record.document.model_copy(
        update={
            "state": state,
            "problem": problem,
            "finished_at": now,
            "expected_seconds_left": None,
            "percent": 100 if state == State.SUCCEEDED else record.document.percent,
        }
    )
    job = ports.ledger.get(job_key(task.job_id))
    assert job is not None  # tasks are committed together with their job
    left = job.document.open_tasks - 1
    failed = job.document.failed_tasks + (state == State.FAILED)
    moved = job.document.model_copy(
        update={
            "open_tasks": left,
            "failed_tasks": failed,
            "warnings": tuple(dict.fromkeys((*job.document.warnings, *warnings))),
            "updated_at": now,
        }
    )
    changes: list[Change] = []
    if left == 0:
        ending = State.FAILED if failed else State.SUCCEEDED
        moved = moved.model_copy(update={"state": ending})
        if moved.spec is None or moved.spec.notify:
            changes.append(Put(letter_key(task.job_id), Letter(job_id=task.job_id)))
    ports.ledger.commit(
        Put(record.key, task, record.revision), Put(job.key, moved, job.revision), *changes
    )
    ports.tell(state.value, {"task_id": task.task_id, "attempt_id": task.attempt_id})


def fail_task(ports: Ports, attempt: Attempt, ref: TaskRef, problem: Problem) -> None:
    """Fail a task of an attempt; nothing if it is not the attempt's.

    Raises:
        Conflict: the task or its job are being fought over.
    """
    for _ in range(RETRIES):
        record = owned_task(ports, attempt, ref)
        if record is None:
            return
        try:
            close_task(ports, record, State.FAILED, problem=problem)
        except Conflict:
            continue
        return
    raise Conflict(f"{ref} is being fought over")


def _job_state(ports: Ports, job: Record[Job], state: State) -> list[Change]:
    if job.document.state == state or job.document.state.terminal:
        return []
    moved = job.document.model_copy(update={"state": state, "updated_at": ports.now()})
    return [Put(job.key, moved, job.revision)]
