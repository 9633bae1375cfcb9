"""Runs every few minutes and does what lost events should have done.

Events can be lost. So the sweep compares the input bucket, SageMaker, the results and the owed
notifications with the table, and calls the same stages that the events would have called.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Protocol, TypeVar

from functions import s3_keys
from functions.log import Event
from functions.ports import Listed, Missing
from functions.replies import problems, publish
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.stages import cancel, finish, submit
from functions.table.ledger import (
    LOOKED_AT,
    OPEN_ATTEMPTS,
    OUTBOX,
    QUEUE,
    WAITING,
    Conflict,
    Put,
    Record,
    job_key,
)
from functions.table.records import (
    Attempt,
    AttemptState,
    Ending,
    Job,
    Letter,
    Looked,
    QueueEntry,
    State,
    Waiting,
)

T = TypeVar("T")
# How many queue entries one sweep checks. The others can wait.
QUEUE_HEAD = 100
# The sweep ignores younger drops, because their events may still come.
INBOX_TO = timedelta(minutes=2)
# How far the first sweep looks back. Each later sweep begins where the last one ended, less the
# overlap. The overlap is needed because the time of an object is when its upload began.
INBOX_FROM = timedelta(hours=6)
OVERLAP = timedelta(minutes=30)
# How many drops are looked up in the table with one call.
TOGETHER = 100
# A dispatch takes over an attempt in one of these states if it has not moved for some minutes.
_UNFINISHED = {AttemptState.CLAIMING, AttemptState.RETURNING, AttemptState.REFUSED}
# If SageMaker does not know a processing job for this long, it will never know it.
UNKNOWN_AFTER = timedelta(minutes=10)


class Needs(submit.Needs, finish.Needs, Protocol):
    """What the sweep uses."""


def sweep(ports: Needs) -> None:
    """Check everything once. An error in one check does not stop the others.

    Raises:
        ExceptionGroup: all errors.
    """
    errors: list[Exception] = []

    def each(look: Callable[[Needs, T], None], items: Iterable[T]) -> None:
        for item in items:
            try:
                look(ports, item)
            except Exception as error:
                errors.append(error)

    each(_letter, ports.ledger.query(OUTBOX, Letter))
    each(_attempt, ports.ledger.query(OPEN_ATTEMPTS, Attempt))
    each(_waiting, ports.ledger.query(WAITING, Waiting))
    queued = ports.ledger.query(QUEUE, QueueEntry, limit=QUEUE_HEAD)
    if queued:
        ports.wake()
    each(_queued, {entry.document.task.job_id: entry for entry in queued}.values())
    # This comes last, because it takes longer in a larger bucket and may reach the time limit of
    # the function.
    try:
        _drops(ports)
    except Exception as error:
        errors.append(error)
    if errors:
        raise ExceptionGroup("parts of the sweep failed", errors)


def _letter(ports: Needs, letter: Record[Letter]) -> None:
    # Status and refusal are written before the mail is sent, so they may be missing, too.
    publish.settle(ports, letter.document.job_id)


def _attempt(ports: Needs, record: Record[Attempt]) -> None:
    attempt = record.document
    if attempt.state in _UNFINISHED:
        ports.wake()  # a dispatch takes it over when it is old enough
        return
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        _still_wanted(ports, job_id)
    status = ports.renderer.status(attempt.attempt_id)
    if status is None:
        if attempt.state == AttemptState.STARTING:
            ports.wake()
        elif ports.now() - attempt.updated_at > UNKNOWN_AFTER:
            finish.close_attempt(ports, attempt, Ending(state=None))
        return
    if status.state.ended:
        finish.attempt_ended(ports, attempt.attempt_id)
        return
    finish.results_waiting(ports, attempt)
    cancel.stop_if_idle(ports, attempt)


def _still_wanted(ports: Needs, job_id: str) -> bool:
    """Cancel a job whose spec was deleted or replaced without an event.

    Returns whether the job is still wanted.
    """
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state.terminal:
        return False
    return not (cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document))


def _queued(ports: Needs, entry: Record[QueueEntry]) -> None:
    job_id = entry.document.task.job_id
    if _still_wanted(ports, job_id):
        publish.publish_status(ports, job_id)  # its place changes when others leave the queue


def _waiting(ports: Needs, waiting: Record[Waiting]) -> None:
    job_id = waiting.document.job_id
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state != State.WAITING:
        return  # accepted in the meantime
    if cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document):
        return
    if job.document.waiting_for is None:
        if ports.now() > waiting.document.deadline:
            submit.submit_again(ports, job.document.source)
        return
    source, reference = job.document.source, job.document.waiting_for
    try:
        drop_files.located(InputBucket(ports, source.bucket), reference)
    except Missing:
        pass
    else:
        submit.submit_again(ports, job.document.source)
        job = ports.ledger.get(job_key(job_id))
        if job is None or job.document.state != State.WAITING:
            return
    if ports.now() < waiting.document.deadline:
        return
    minutes = ports.settings.reference_deadline_seconds // 60
    submit.reject(ports, job, problems.reference_never_came(reference, minutes))
    publish.settle(ports, job_id)


def _drops(ports: Needs) -> None:
    """Accept every drop that has no job, and note up to which time the bucket was checked.

    The listing names the current version of each object. So drops that have their job cost few
    calls: one listing and one read of the table for many drops. If the current version replaces no
    other, the versions before it are looked at, too, which costs one call each. The noted time
    moves only if there was no error. So each sweep tries a drop again until it could be accepted.

    Raises:
        ExceptionGroup: all errors.
    """
    now = ports.now()
    mark = ports.ledger.get(LOOKED_AT)
    if mark is None:
        mark = Record(LOOKED_AT, Looked(until=now - INBOX_FROM), 1)
        ports.ledger.commit(Put(LOOKED_AT, mark.document))
    since = mark.document.until - OVERLAP
    errors: list[Exception] = []
    found = (
        listed
        for listed in ports.files.listed(ports.settings.input_bucket, s3_keys.JOBS_PREFIX)
        if since < listed.modified_at <= now - INBOX_TO
        and s3_keys.kind_of(listed.key) != s3_keys.Kind.IGNORED
    )
    while some := list(islice(found, TOGETHER)):
        for listed, job in zip(some, _jobs(ports, some), strict=True):
            try:
                _drop(ports, listed, job)
            except Exception as error:
                errors.append(error)
    if errors:
        raise ExceptionGroup("not every drop could be accepted", errors)
    looked = Looked(until=now - INBOX_TO)
    if mark.document.until < looked.until:
        with suppress(Conflict):  # another sweep ran at the same time
            ports.ledger.commit(Put(LOOKED_AT, looked, mark.revision))


def _jobs(ports: Needs, some: Sequence[Listed]) -> list[Record[Job] | None]:
    bucket = ports.settings.input_bucket
    return ports.ledger.get_all([job_key(s3_keys.job_id(bucket, i.key, i.version)) for i in some])


def _drop(ports: Needs, listed: Listed, job: Record[Job] | None) -> None:
    bucket, kind = ports.settings.input_bucket, s3_keys.kind_of(listed.key)
    if job is None:
        # For a reference or folder defaults, the table does not show whether an event came.
        if kind in {s3_keys.Kind.SPEC, s3_keys.Kind.UNKNOWN}:
            ports.log(Event.DROP_WITHOUT_EVENT, {"key": listed.key})
        version = listed.version if listed.versioned else None
        submit.submit(ports, bucket, listed.key, version)
    elif kind in submit.MAY_REPLACE and not job.document.was_accepted:
        submit.look_before(ports, bucket, listed.key)
