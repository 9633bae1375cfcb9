"""The moves of tasks between states, each one commit together with all that depends on it.

claim       queued → running, with the removal of the queue entry
requeue     running → queued, with a new entry at the old place
close       running → succeeded | failed; the last task of a job closes the job and owes a mail
"""

from functions.job import Attempt, Job, Letter, QueueEntry, State, Task, TaskRef
from functions.ports import (
    TASKS,
    Change,
    Conflict,
    Ports,
    Put,
    Record,
    Remove,
    job_key,
    letter_key,
    queue_key,
    task_key,
    waiting_key,
)
from processing.contract.errors import Notice, Problem

RETRIES = 8
"""How often a commit is made anew from what is there, before the queue has to repeat it all."""


def ref_of(task: Task) -> TaskRef:
    """The name of a task."""
    return TaskRef(job_id=task.job_id, number=task.number)


def entry_of(task: Task) -> QueueEntry:
    """A task's entry in the queue."""
    return QueueEntry(
        task=ref_of(task), task_id=task.task_id, model=task.model, mode=task.parameters.mode
    )


def stop_waiting(ports: Ports, job: Job) -> list[Change]:
    """What removes the note that a job waits: for a reference, or for being read."""
    if job.state != State.WAITING:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for or "", job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []


def owned(ports: Ports, attempt: Attempt, ref: TaskRef) -> Record[Task] | None:
    """The task, if it runs in this attempt."""
    record = ports.ledger.get(task_key(ref))
    if record is None or record.document.state != State.RUNNING:
        return None
    return record if record.document.attempt_id == attempt.attempt_id else None


def claim(ports: Ports, attempt: Attempt, ref: TaskRef) -> Task | None:
    """Take a queued task into an attempt. None: somebody else has it, or it is not queued."""
    for _ in range(RETRIES):
        record = ports.ledger.get(task_key(ref))
        if record is None:
            return None
        task = record.document
        if task.state == State.RUNNING and task.attempt_id == attempt.attempt_id:
            return task
        entry = ports.ledger.get(queue_key(task))
        job = ports.ledger.get(job_key(task.job_id))
        if task.state != State.QUEUED or entry is None or job is None:
            return None
        taken = task.model_copy(
            update={
                "state": State.RUNNING,
                "attempts": task.attempts + 1,
                "attempt_id": attempt.attempt_id,
                "percent": 0,
                "waiting_reason": None,
                "started_at": ports.now(),
            }
        )
        try:
            ports.ledger.commit(
                Put(record.key, taken, record.revision),
                Remove(entry.key, entry.revision),
                *_job_state(ports, job, State.RUNNING),
            )
        except Conflict:
            continue  # perhaps it was ours: a handler that was taken over may still be claiming
        return taken
    return None


def requeue(ports: Ports, attempt: Attempt, ref: TaskRef, *, charge: bool, reason: str) -> None:
    """Put a task of an attempt back to its place in the queue; nothing if it is not the attempt's.

    Args:
        charge: whether this attempt counts as one of the task's.

    Raises:
        Conflict: the task or its job are being fought over.
    """
    for _ in range(RETRIES):
        record = owned(ports, attempt, ref)
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
            )
        except Conflict:
            continue
        return
    raise Conflict(f"{ref} is being fought over")


def close(
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


def fail(ports: Ports, attempt: Attempt, ref: TaskRef, problem: Problem) -> None:
    """Fail a task of an attempt; nothing if it is not the attempt's.

    Raises:
        Conflict: the task or its job are being fought over.
    """
    for _ in range(RETRIES):
        record = owned(ports, attempt, ref)
        if record is None:
            return
        try:
            close(ports, record, State.FAILED, problem=problem)
        except Conflict:
            continue
        return
    raise Conflict(f"{ref} is being fought over")


def _job_state(ports: Ports, job: Record[Job], state: State) -> list[Change]:
    if job.document.state == state or job.document.state.terminal:
        return []
    moved = job.document.model_copy(update={"state": state, "updated_at": ports.now()})
    return [Put(job.key, moved, job.revision)]
