"""Runs every few minutes and does what lost events should have done.

Events can be lost. So the sweep compares the input bucket, SageMaker, the results and the owed
notifications with the table. For a drop it sends the lost event again, and for everything else it
calls the stages that the events would have called.

However much there is, a sweep ends in time, because each check has its share of the time. The next
sweep continues where a check stopped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol

from functions.log import Event
from functions.ports import Missing
from functions.replies import outbox, problems, publish
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.stages import cancel, digests, finish, inbox, lone, newer_defaults, submit
from functions.stages.newer_defaults import CurrentDefaults
from functions.table.attempts import capacity
from functions.table.jobs import notes_of
from functions.table.ledger import (
    COLLECTED,
    DEFAULTS,
    DIGESTS,
    LONE,
    OPEN_ATTEMPTS,
    OUTBOX,
    QUEUES,
    WAITING,
    Conflict,
    D,
    NeedsLedgerAndClock,
    Put,
    Record,
    collected_prefix,
    cursor_key,
    job_key,
)
from functions.table.records import (
    Attempt,
    AttemptState,
    Collected,
    Cursor,
    Digest,
    Ending,
    Job,
    Letter,
    Lone,
    NotedDefaults,
    QueueEntry,
    State,
    Waiting,
)

# The function is stopped after five minutes (stacks/functions.py). The last minute is left for
# what was begun before.
WORK_FOR = timedelta(minutes=4)
# The checks of the table have this much of it together. The input bucket has the rest.
TABLE_FOR = timedelta(minutes=2)
# How many queue entries and how many folder defaults one sweep checks. The others can wait.
A_FEW = 100
# A dispatch takes over an attempt in one of these states if it has not moved for some minutes.
_UNFINISHED = {AttemptState.CLAIMING, AttemptState.RETURNING, AttemptState.REFUSED}
# A processing job runs long if it takes twice as long as expected, and then this long.
TOLERATED = timedelta(minutes=30)
# If SageMaker does not know a processing job for this long, it will never know it.
UNKNOWN_AFTER = timedelta(minutes=10)


class Needs(finish.Needs, cancel.Needs, inbox.Needs, Protocol):
    """What the sweep uses."""


@dataclass(frozen=True)
class _Check(Generic[D]):
    """What a sweep does with the records of a partition."""

    partition: str
    kind: type[D]
    look: Callable[[Needs, Record[D]], None]
    together: int = 20
    """How many records are read together."""
    at_most: int | None = None
    """How many records one sweep looks at. The others can wait."""
    of: Callable[[D], str] | None = None
    """What a record is about, such as its job, if one look at that is enough."""


def sweep(ports: Needs) -> None:
    """Check everything once. An error in one check does not stop the others.

    Raises:
        ExceptionGroup: all errors.
    """
    began = ports.now()
    checks: list[_Check[Any]] = [
        _Check(OUTBOX, Letter, _letter),
        _Check(DIGESTS, Digest, outbox.deliver_digest),
        # Those that one digest will tell of are next to each other.
        _Check(COLLECTED, Collected, _collected, A_FEW, None, _digest),
        # Each attempt may take long, because all of its results may have to be published.
        _Check(OPEN_ATTEMPTS, Attempt, _attempt, together=1),
        _Check(WAITING, Waiting, _waiting),
        *(
            _Check(queue, QueueEntry, _queued, A_FEW, A_FEW, lambda entry: entry.task.job_id)
            for queue in QUEUES
        ),
        _Check(DEFAULTS, NotedDefaults, _defaults, A_FEW, A_FEW),
        _Check(LONE, Lone, lone.settle),
    ]
    errors: list[Exception] = []
    with _kept(errors):
        if any(ports.ledger.query(queue, QueueEntry, limit=1) for queue in QUEUES):
            ports.wake()
    for number, check in enumerate(checks):
        left = began + TABLE_FOR - ports.now()
        until = ports.now() + max(left, timedelta(0)) / (len(checks) - number)
        with _kept(errors):
            _each(ports, check, until, errors)
    with _kept(errors):
        errors += inbox.look_through(ports, began + WORK_FOR)
    if errors:
        raise ExceptionGroup("parts of the sweep failed", errors)


@contextmanager
def _kept(errors: list[Exception]) -> Iterator[None]:
    """Add an error to `errors` instead of raising it."""
    try:
        yield
    except Exception as error:
        errors.append(error)


def _each(ports: Needs, check: _Check[D], until: datetime, errors: list[Exception]) -> None:
    """Look at each record of a partition, from where the last sweep stopped.

    Stops at the end of the partition, after `at_most` records, or when the time is up. It always
    looks at one record.

    Args:
        errors: gets the errors from looking at single records.
    """
    cursor = _Cursor(ports, check.partition)
    looked, seen = 0, set[str]()
    while True:
        found = ports.ledger.query(
            check.partition, check.kind, start=cursor.start, limit=check.together + 1
        )
        following = found[check.together].key.sort if len(found) > check.together else ""
        # This is written before the work. If the work kills the sweep, the next one goes on behind.
        cursor.move(following)
        for record in found[: check.together]:
            if looked and ports.now() >= until:
                cursor.move(record.key.sort)
                return
            looked += 1
            about = check.of(record.document) if check.of else record.key.sort
            if about not in seen:
                seen.add(about)
                with _kept(errors):
                    check.look(ports, record)
        if not following or looked == check.at_most or ports.now() >= until:
            return


class _Cursor:
    """The place in a partition where the next sweep continues."""

    def __init__(self, ports: NeedsLedgerAndClock, partition: str) -> None:
        self._ledger, self._key = ports.ledger, cursor_key(partition)
        record = ports.ledger.get(self._key)
        self._cursor, self._revision = Cursor(), 0
        if record is not None:
            self._cursor, self._revision = record.document, record.revision

    @property
    def start(self) -> str:
        """The sort key to begin with."""
        return self._cursor.start

    def move(self, start: str) -> None:
        """Note that the next sweep begins at a sort key."""
        if start == self.start:
            return
        self._cursor = self._cursor.at(start)
        with suppress(Conflict):  # another sweep runs at the same time, and notes its own place
            self._ledger.commit(Put(self._key, self._cursor, self._revision))
            self._revision += 1


def _letter(ports: Needs, letter: Record[Letter]) -> None:
    # Status and refusal are written before the mail is sent, so they may be missing, too.
    publish.settle(ports, letter.document.job_id)


def _digest(collected: Collected) -> str:
    return collected_prefix(collected.kind, collected.folder)


def _collected(ports: Needs, record: Record[Collected]) -> None:
    digests.make_if_due(ports, record.document.kind, record.document.folder)


def _attempt(ports: Needs, record: Record[Attempt]) -> None:
    attempt = record.document
    if attempt.state in _UNFINISHED:
        ports.wake()  # a dispatch takes it over when it is old enough
        return
    current = CurrentDefaults(ports, ports.settings.input_bucket)
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        if job := _still_wanted(ports, job_id):
            newer_defaults.act_on(ports, [job], current)
            publish.refresh_status(ports, job_id)
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
    _note_if_long(ports, attempt)
    finish.results_waiting(ports, attempt)
    cancel.stop_if_idle(ports, attempt)


def _note_if_long(ports: Needs, attempt: Attempt) -> None:
    """Log that a processing job runs for much longer than expected. An alarm fires for that."""
    for lease in capacity(ports)[0].leases:
        if lease.attempt_id == attempt.attempt_id:
            expected = lease.ends_at - attempt.created_at
            if ports.now() - attempt.created_at > 2 * expected + TOLERATED:
                facts = {"attempt_id": attempt.attempt_id, "expected_end": f"{lease.ends_at:%F %T}"}
                ports.log(Event.RUNS_LONG, {**facts, "instance_type": attempt.instance_type})


def _still_wanted(ports: Needs, job_id: str) -> Record[Job] | None:
    """Cancel a job whose spec was deleted or replaced without an event.

    Returns the job if it is still wanted.
    """
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state.terminal:
        return None
    if cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document):
        return None
    return job


def _queued(ports: Needs, entry: Record[QueueEntry]) -> None:
    job = _still_wanted(ports, entry.document.task.job_id)
    if job is None:
        return
    current = CurrentDefaults(ports, ports.settings.input_bucket)
    newer_defaults.act_on(ports, [job], current)
    # Its place changes when others leave the queue.
    publish.refresh_status(ports, job.document.job_id)


def _waiting(ports: Needs, waiting: Record[Waiting]) -> None:
    job_id = waiting.document.job_id
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state != State.WAITING:
        return  # accepted in the meantime
    if cancel.if_gone(ports, job.document) or cancel.if_outdated(ports, job.document):
        return
    if waiting.key != notes_of(job.document)[0]:
        return  # a job is looked at once, even if it waits for several references
    source, references = job.document.source, job.document.waiting_for
    is_late = ports.now() > waiting.document.deadline
    if not references:
        if is_late:
            ports.announce(source.key, source.version_id)
        return
    drop = InputBucket(ports, source.bucket)
    if any(drop_files.meant(drop, source.key, reference) for reference in references):
        ports.announce(source.key, source.version_id)
        return
    if not is_late:
        return
    minutes = ports.settings.reference_deadline_seconds // 60
    submit.reject(ports, job, problems.references_never_came(job.document, minutes))
    publish.settle(ports, job_id)


def _defaults(ports: Needs, noted: Record[NotedDefaults]) -> None:
    """Act on folder defaults that were deleted without an event."""
    bucket, key = ports.settings.input_bucket, noted.key.sort
    try:
        ports.files.facts(bucket, key)
    except Missing:
        cancel.deleted(ports, bucket, key)
