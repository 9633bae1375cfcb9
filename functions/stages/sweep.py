"""Every few minutes: whatever an event should have done and did not.

Events are hints. This compares the inbox, SageMaker, the results and the letters with the table
and calls the same use cases that the events would have called.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from contract.errors import Code, Place, Problem
from functions import s3_keys
from functions.ports import Listed, Missing
from functions.replies import publish
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.stages import cancel, finish, submit
from functions.stages.ports import Ports
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
from functions.table.records import Attempt, Job, Letter, Looked, QueueEntry, State, Waiting

T = TypeVar("T")
# So many places of the queue are looked at in a sweep; the others have time.
QUEUE_HEAD = 100
# Younger drops are still on their way.
INBOX_TO = timedelta(minutes=2)
# How far the first sweep looks back; each later one goes on where the last one ended, less this
# much, because the time of an object is that of the beginning of its upload.
INBOX_FROM = timedelta(hours=6)
OVERLAP = timedelta(minutes=30)
# Drops that are looked up in the table together.
TOGETHER = 100
# A processing job that SageMaker does not know is gone for good after this long.
UNKNOWN_AFTER = timedelta(minutes=10)


def sweep(ports: Ports) -> None:
    """Look at everything once. What goes wrong with one thing does not keep the others from it.

    Raises:
        ExceptionGroup: of all that went wrong.
    """
    errors: list[Exception] = []

    def each(look: Callable[[Ports, T], None], items: Iterable[T]) -> None:
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
    # Last, because it grows with the inbox, and may run into the function's limit.
    try:
        _inbox(ports)
    except Exception as error:
        errors.append(error)
    if errors:
        raise ExceptionGroup("the sweep went wrong in places", errors)


def _letter(ports: Ports, letter: Record[Letter]) -> None:
    # Status and refusal come before the mail, so a letter that is left may mean that they are too.
    publish.settle(ports, letter.document.job_id)


def _attempt(ports: Ports, record: Record[Attempt]) -> None:
    attempt = record.document
    if attempt.state in {"claiming", "returning"}:
        ports.wake()  # a dispatch takes it over when it is old enough
        return
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        _still_wanted(ports, job_id)
    status = ports.renderer.status(attempt.attempt_id)
    if status is None:
        if attempt.state == "starting":
            ports.wake()
        elif ports.now() - attempt.updated_at > UNKNOWN_AFTER:
            finish.close_attempt(ports, record, "SageMaker does not know the processing job")
        return
    if status.ended:
        finish.attempt_ended(ports, attempt.attempt_id)
        return
    finish.results_waiting(ports, attempt)
    cancel.stop_if_idle(ports, attempt)


def _still_wanted(ports: Ports, job_id: str) -> bool:
    """Cancel a job whose spec was deleted, or its place taken, without our acting on it."""
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state.terminal:
        return False
    return not (cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document))


def _queued(ports: Ports, entry: Record[QueueEntry]) -> None:
    job_id = entry.document.task.job_id
    if _still_wanted(ports, job_id):
        publish.status(ports, job_id)  # others have left the queue meanwhile


def _waiting(ports: Ports, waiting: Record[Waiting]) -> None:
    job_id = waiting.document.job_id
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state != State.WAITING:
        return  # taken in meanwhile
    if cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document):
        return
    if job.document.waiting_for is None:
        if ports.now() > waiting.document.deadline:
            _submit_again(ports, job.document)
        return
    source, reference = job.document.source, job.document.waiting_for
    try:
        drop_files.located(InputBucket(ports, source.bucket), reference)
    except Missing:
        pass
    else:
        _submit_again(ports, job.document)
        job = ports.ledger.get(job_key(job_id))
        if job is None or job.document.state != State.WAITING:
            return
    if ports.now() < waiting.document.deadline:
        return
    minutes = ports.settings.reference_deadline_seconds // 60
    submit.reject(
        ports,
        job,
        Problem(
            code=Code.REFERENCE_NEVER_CAME,
            message=f"The reference {reference} was not uploaded within {minutes} minutes.",
            hint="Check its name (upper and lower case count), upload it, and then this file "
            "again.",
            place=Place(field="image" if s3_keys.is_image(reference or "") else "video"),
        ),
    )
    publish.settle(ports, job_id)


def _inbox(ports: Ports) -> None:
    """Take in every drop that no event told of, and remember how far the inbox was looked at.

    Listing says which version is the current one, so a drop whose job is in the table costs its
    share of two calls for many. The mark moves only when nothing went wrong: what could not be
    taken in is looked at again, however long that takes.

    Raises:
        ExceptionGroup: of all that went wrong.
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
        for listed in _without_job(ports, some):
            # Of a reference or folder defaults nothing shows whether an event told.
            if s3_keys.kind_of(listed.key) in {s3_keys.Kind.SPEC, s3_keys.Kind.UNKNOWN}:
                ports.tell("drop-without-event", {"key": listed.key})
            version = listed.version if listed.versioned else None
            try:
                submit.submit(ports, ports.settings.input_bucket, listed.key, version)
            except Exception as error:
                errors.append(error)
    if errors:
        raise ExceptionGroup("not every drop could be taken in", errors)
    looked = Looked(until=now - INBOX_TO)
    if mark.document.until < looked.until:
        with suppress(Conflict):  # another sweep looked as well
            ports.ledger.commit(Put(LOOKED_AT, looked, mark.revision))


def _without_job(ports: Ports, some: Sequence[Listed]) -> list[Listed]:
    bucket = ports.settings.input_bucket
    jobs = ports.ledger.get_all([job_key(s3_keys.job_id(bucket, i.key, i.version)) for i in some])
    return [listed for listed, job in zip(some, jobs, strict=True) if job is None]


def _submit_again(ports: Ports, job: Job) -> None:
    source = job.source
    submit.submit(ports, source.bucket, source.key, source.version if source.versioned else None)
