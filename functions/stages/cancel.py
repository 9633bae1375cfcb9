"""Ends jobs that nobody wants any more: their spec was deleted, or a newer one took its place.

One commit cancels the job with all of its tasks that are not done. A processing job that then has
no task left is stopped.
"""

from functions import s3_keys
from functions.ports import Missing
from functions.replies import publish
from functions.spec.input_bucket import InputBucket
from functions.stages.folder_defaults import defaults_changed
from functions.stages.ports import Ports
from functions.table.jobs import stop_waiting
from functions.table.ledger import (
    RETRIES,
    TASKS,
    Change,
    Conflict,
    Put,
    Record,
    Remove,
    attempt_key,
    job_key,
    letter_key,
    owner_key,
    queue_key,
    task_key,
)
from functions.table.paths import is_outdated
from functions.table.records import Attempt, Job, Letter, State, Task

DELETED = "its spec was deleted"
SUPERSEDED = "a newer version was dropped"


def deleted(ports: Ports, bucket: str, key: str) -> None:
    """Act on an object that was deleted from the input bucket.

    Events come late and in any order, so what counts is whether the object is there now.

    Raises:
        Transient: try again later.
    """
    kind = s3_keys.kind_of(key)
    if kind == s3_keys.Kind.IGNORED:
        return
    path = s3_keys.path_of(key)
    if kind == s3_keys.Kind.DEFAULTS:
        defaults_changed(ports, InputBucket(ports, bucket), key)
        publish.forget(ports, path)
        return
    newest = ports.ledger.get(owner_key(path))
    if newest is None:
        return
    for job_id in dict.fromkeys((newest.document.live, newest.document.job_id)):
        job = ports.ledger.get(job_key(job_id)) if job_id else None
        # Looked at after the job was read: a drop that comes now has another job.
        if job is not None and (job.document.source.bucket, job.document.source.key) == (
            bucket,
            key,
        ):
            if_gone(ports, job.document)


def if_gone(ports: Ports, job: Job) -> bool:
    """Cancel a job whose spec is no longer there. Returns whether it was."""
    if not _gone(ports, job):
        return False
    cancel(ports, job.job_id, DELETED, mail=True)
    return True


def if_outdated(ports: Ports, job: Job) -> bool:
    """Cancel a job whose place a newer drop has taken. Returns whether one has."""
    newest = ports.ledger.get(owner_key(job.path))
    if newest is None or not is_outdated(ports, job, newest.document):
        return False
    cancel(ports, job.job_id, SUPERSEDED, mail=False)
    return True


def _gone(ports: Ports, job: Job) -> bool:
    try:
        ports.files.facts(job.source.bucket, job.source.key)
    except Missing:
        return True
    return False


def superseded(ports: Ports, job_id: str) -> None:
    """Cancel the jobs whose place this one has taken, or this one, if it is the older."""
    job = ports.ledger.get(job_key(job_id))
    newest = ports.ledger.get(owner_key(job.document.path)) if job else None
    if job is None or newest is None:
        return
    if newest.document.live != job_id:
        if_outdated(ports, job.document)
    else:
        for older in newest.document.superseded:
            cancel(ports, older, SUPERSEDED, mail=False)


def cancel(ports: Ports, job_id: str, reason: str, *, mail: bool) -> None:
    """End a job and its tasks, once; nothing if it has ended.

    Raises:
        Conflict: the job is being fought over.
    """
    for _ in range(RETRIES):
        job = ports.ledger.get(job_key(job_id))
        if job is None or job.document.state.terminal:
            return
        tasks = ports.ledger.query(job.key.partition, Task, prefix=TASKS)
        try:
            ports.ledger.commit(*_changes(ports, job, tasks, reason, mail=mail))
        except Conflict:
            continue
        break
    else:
        raise Conflict(f"{job_id} is being fought over")
    ports.tell("canceled", {"job_id": job_id, "reason": reason})
    for attempt_id in dict.fromkeys(task.document.attempt_id for task in tasks):
        attempt = ports.ledger.get(attempt_key(attempt_id)) if attempt_id else None
        if attempt is not None:
            stop_if_idle(ports, attempt.document)
    publish.settle(ports, job_id)


def _changes(
    ports: Ports, job: Record[Job], tasks: list[Record[Task]], reason: str, *, mail: bool
) -> list[Change]:
    now = ports.now()
    ended = job.document.model_copy(
        update={"state": State.CANCELED, "reason": reason, "open_tasks": 0, "updated_at": now}
    )
    changes: list[Change] = [
        Put(job.key, ended, job.revision),
        *stop_waiting(ports, job.document),
    ]
    if mail and (job.document.spec is None or job.document.spec.notify):
        changes.append(Put(letter_key(ended.job_id), Letter(job_id=ended.job_id)))
    for task in tasks:
        if task.document.state.terminal:
            continue
        if task.document.state == State.QUEUED:
            entry = ports.ledger.get(queue_key(task.document))
            if entry is None:
                raise Conflict(f"{task.document.task_id} is being claimed")
            changes.append(Remove(entry.key, entry.revision))
        canceled = task.document.model_copy(
            update={
                "state": State.CANCELED,
                "finished_at": now,
                "expected_seconds_left": None,
                "waiting_reason": None,
            }
        )
        changes.append(Put(task.key, canceled, task.revision))
    return changes


def stop_if_idle(ports: Ports, attempt: Attempt) -> None:
    """Stop a running processing job whose tasks are done or canceled, and some canceled."""
    if attempt.state != "started":
        return
    records = [ports.ledger.get(task_key(ref)) for ref in attempt.tasks]
    tasks = [record.document for record in records if record is not None]
    owned = [t for t in tasks if t.state == State.RUNNING and t.attempt_id == attempt.attempt_id]
    if not owned and any(task.state == State.CANCELED for task in tasks):
        ports.tell("stopping", {"attempt_id": attempt.attempt_id})
        ports.renderer.stop(attempt.attempt_id)
