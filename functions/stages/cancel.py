"""Cancels jobs whose spec was deleted, or replaced by a newer one.

One commit cancels a job with all of its tasks that have not ended. If a processing job has no task
left after that, it is stopped.
"""

from collections.abc import Sequence
from typing import Protocol

from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import MOST_VERSIONS, Missing, WithAnnounce, WithFiles, is_there
from functions.replies import publish
from functions.stages import folder_defaults, lone
from functions.stages.renderer import WithRenderer
from functions.table.jobs import ended, stop_waiting
from functions.table.ledger import (
    Change,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    attempt_key,
    job_key,
    owner_key,
    queue_key,
    retried,
    task_key,
)
from functions.table.paths import is_outdated
from functions.table.records import Attempt, AttemptState, CancelReason, Job, Source, State, Task
from functions.table.tasks import tasks_of


class Needs(publish.Needs, WithLog, WithRenderer, Protocol):
    """What canceling a job uses."""


class NeedsForStop(WithLedger, WithLog, WithRenderer, Protocol):
    """What stopping a processing job uses."""


class NeedsForDeleted(Needs, WithAnnounce, Protocol):
    """What acting on a deletion uses."""


def deleted(ports: NeedsForDeleted, bucket: str, key: str) -> None:
    """Act on an object that was deleted from the input bucket.

    Events may come late and in any order, so what counts is whether the object exists now.

    Raises:
        Transient: try again later.
    """
    kind = s3_keys.kind_of(key)
    if kind == s3_keys.Kind.IGNORED:
        return
    if kind == s3_keys.Kind.DEFAULTS:
        folder_defaults.changed(ports, bucket, key)
        return
    if kind in {s3_keys.Kind.MISPLACED, s3_keys.Kind.APPROVAL}:
        if not is_there(ports, bucket, key):
            publish.forget(ports, s3_keys.path_of(key))
        return
    if kind == s3_keys.Kind.REFERENCE:
        lone.settle_all(ports, [key])
    owner = ports.ledger.get(owner_key(s3_keys.path_of(key)))
    if owner is None:
        return
    for job_id in dict.fromkeys((owner.document.live, owner.document.job_id)):
        job = ports.ledger.get(job_key(job_id)) if job_id else None
        if job is None:
            continue
        # First the job is read, then the object. So a drop that comes in between has another job.
        source = job.document.source
        if (source.bucket, source.key) == (bucket, key):
            if_gone(ports, job.document)


def if_gone(ports: Needs, job: Job) -> bool:
    """Cancel a job if its spec was deleted. Returns whether it was deleted."""
    if not _gone(ports, job.source):
        return False
    cancel(ports, job.job_id, CancelReason.DELETED)
    return True


def if_outdated(ports: Needs, job: Job) -> bool:
    """Cancel a job if a newer drop has replaced it. Returns whether one has."""
    owner = ports.ledger.get(owner_key(job.path))
    if owner is None or not is_outdated(ports, job, owner.document):
        return False
    cancel(ports, job.job_id, CancelReason.SUPERSEDED)
    return True


def _gone(ports: WithFiles, source: Source) -> bool:
    """Whether a version of a spec was deleted. Another version may be there again since."""
    try:
        now = ports.files.facts(source.bucket, source.key)
    except Missing:
        return True
    if now.version == source.version or not (now.versioned and source.versioned):
        return False
    since = ports.files.versions(source.bucket, source.key)
    # If not all versions were listed, this one may be older than those.
    return len(since) < MOST_VERSIONS and all(one.version != source.version for one in since)


def superseded(ports: Needs, job_id: str) -> None:
    """Cancel the jobs that this one has replaced, or this one if a newer drop has replaced it."""
    job = ports.ledger.get(job_key(job_id))
    owner = ports.ledger.get(owner_key(job.document.path)) if job else None
    if job is None or owner is None:
        return
    if owner.document.live != job_id:
        if_outdated(ports, job.document)
    else:
        for older in owner.document.superseded:
            cancel(ports, older, CancelReason.SUPERSEDED)


def cancel(ports: Needs, job_id: str, reason: CancelReason) -> None:
    """Cancel a job and its tasks. Does nothing if the job has ended.

    Raises:
        Conflict: the job kept changing.
    """

    def end() -> Sequence[Record[Task]] | None:
        job = ports.ledger.get(job_key(job_id))
        if job is None or job.document.state.terminal:
            return None
        tasks = tasks_of(ports, job_id)
        ports.ledger.commit(*_changes(ports, job, tasks, reason))
        return tasks

    tasks = retried(job_id, end)
    if tasks is None:
        return
    ports.log(Event.CANCELED, {"job_id": job_id, "reason": reason.value})
    for attempt_id in dict.fromkeys(task.document.attempt_id for task in tasks):
        attempt = ports.ledger.get(attempt_key(attempt_id)) if attempt_id else None
        if attempt is not None:
            stop_if_idle(ports, attempt.document)
    publish.settle(ports, job_id)


def _changes(
    ports: NeedsLedgerAndClock,
    job: Record[Job],
    tasks: Sequence[Record[Task]],
    reason: CancelReason,
) -> list[Change]:
    now = ports.now()
    canceled = job.document.canceled(reason, now)
    changes: list[Change] = [
        Put(job.key, canceled, job.revision),
        *stop_waiting(ports, job.document, canceled),
        ended(canceled),
    ]
    for task in tasks:
        if task.document.state.terminal:
            continue
        if task.document.state == State.QUEUED:
            entry = ports.ledger.get(queue_key(task.document))
            if entry is None:
                raise Conflict(f"{task.document.task_id} is being claimed")
            changes.append(Remove(entry.key, entry.revision))
        changes.append(Put(task.key, task.document.canceled(now), task.revision))
    return changes


def stop_if_idle(ports: NeedsForStop, attempt: Attempt) -> None:
    """Stop a running processing job if all of its tasks have ended and some were canceled."""
    if attempt.state != AttemptState.STARTED:
        return
    records = [ports.ledger.get(task_key(ref)) for ref in attempt.tasks]
    tasks = [record.document for record in records if record is not None]
    owned = any(task.owned_by(attempt.attempt_id) for task in tasks)
    if not owned and any(task.state == State.CANCELED for task in tasks):
        ports.log(Event.STOPPING, {"attempt_id": attempt.attempt_id})
        ports.renderer.stop(attempt.attempt_id)
