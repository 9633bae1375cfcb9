"""Every few minutes: whatever an event should have done and did not.

Events are hints. This compares the inbox, SageMaker, the results and the letters with the table
and calls the same use cases that the events would have called.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from functions import answers, finish, keys, submit
from functions.job import Attempt, Letter, QueueEntry, State, Waiting
from functions.ports import (
    OPEN_ATTEMPTS,
    OUTBOX,
    QUEUE,
    WAITING,
    Listed,
    Missing,
    Ports,
    Record,
    job_key,
)
from processing.contract.errors import Code, Place, Problem

T = TypeVar("T")

# Younger drops are still on their way; older ones were looked at by earlier sweeps.
INBOX_FROM = timedelta(hours=6)
INBOX_TO = timedelta(minutes=2)
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
    if ports.ledger.query(QUEUE, QueueEntry, limit=1):
        ports.wake()
    # Last, because it grows with the inbox, and may run into the function's limit.
    each(_dropped, ports.files.listed(ports.settings.input_bucket, keys.JOBS_PREFIX))
    if errors:
        raise ExceptionGroup("the sweep went wrong in places", errors)


def _letter(ports: Ports, letter: Record[Letter]) -> None:
    # Status and refusal come before the mail, so a letter that is left may mean that they are too.
    answers.settle(ports, letter.document.job_id)


def _attempt(ports: Ports, record: Record[Attempt]) -> None:
    attempt = record.document
    if attempt.state in {"claiming", "returning"}:
        ports.wake()  # a dispatch takes it over when it is old enough
        return
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


def _waiting(ports: Ports, waiting: Record[Waiting]) -> None:
    job_id = waiting.document.job_id
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state != State.WAITING:
        return  # taken in meanwhile
    source, reference = job.document.source, job.document.waiting_for
    try:
        ports.files.facts(source.bucket, reference or "")
    except Missing:
        pass
    else:
        submit.submit(
            ports, source.bucket, source.key, source.version if source.versioned else None
        )
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
            message=f"The image {reference} was not uploaded within {minutes} minutes.",
            hint="Check its name (upper and lower case count), upload it, and then this file "
            "again.",
            place=Place(field="image"),
        ),
    )
    answers.settle(ports, job_id)


def _dropped(ports: Ports, listed: Listed) -> None:
    bucket = ports.settings.input_bucket
    if not INBOX_TO < ports.now() - listed.modified_at < INBOX_FROM:
        return
    if keys.kind_of(listed.key) not in {keys.Kind.SPEC, keys.Kind.UNKNOWN}:
        return
    try:
        facts = ports.files.facts(bucket, listed.key)
    except Missing:
        return
    job_id = keys.job_id(bucket, listed.key, facts.version)
    if ports.ledger.get(job_key(job_id)) is None:
        ports.tell("drop-without-event", {"key": listed.key})
        submit.submit(ports, bucket, listed.key, facts.version if facts.versioned else None)
