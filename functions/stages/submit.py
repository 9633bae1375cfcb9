"""Acts on files that were dropped: accepts specs, and jobs that waited for a reference.

A job belongs to one version of one key. So the same event may come any number of times, and if a
handler was killed, it can be run again from the beginning.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from contract.errors import JobRejected, Problem
from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import Missing, WithAnnounce, WithFiles, WithWake
from functions.replies import publish
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.stages import accept, cancel, folder_defaults, plan_again
from functions.table.jobs import ended, job_of, stop_waiting
from functions.table.ledger import (
    WAITING,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    job_key,
    retried,
    used_key,
    waiting_prefix,
)
from functions.table.records import BadReference, Job, State, Waiting
from functions.table.references import note_refused, refused_for

# How old an earlier version may be to be found without its event. The sweep finds every version
# that stays the newest for some minutes, so only an older outage of reeldrop can hide one.
LOOK_BACK = timedelta(hours=6)
# The kinds of files of which a version may replace an earlier one.
MAY_REPLACE = {s3_keys.Kind.SPEC, s3_keys.Kind.REFERENCE}


class Needs(accept.Needs, cancel.Needs, WithWake, Protocol):
    """What acting on a dropped file uses."""


class NeedsForVersions(NeedsLedgerAndClock, WithFiles, Protocol):
    """What looking at the versions of a drop uses."""


class NeedsForWake(WithLedger, WithAnnounce, Protocol):
    """What announcing the jobs that wait for a reference uses."""


class NeedsForReject(NeedsLedgerAndClock, WithLog, Protocol):
    """What rejecting a job uses."""


def submit(ports: Needs, bucket: str, key: str, version: str | None = None) -> None:
    """Act on an object that was created in the input bucket.

    Args:
        version: the version id that the event named, if it named one.

    Raises:
        Transient: try again later.
    """
    kind = s3_keys.kind_of(key)
    if kind == s3_keys.Kind.IGNORED:
        return
    if kind == s3_keys.Kind.REFERENCE and _only_a_reference(ports, bucket, key, version):
        return
    drop = InputBucket(ports, bucket)
    if not _look_at(ports, drop, key, version):
        return
    if kind == s3_keys.Kind.DEFAULTS:
        if wrong := folder_defaults.changed(ports, bucket, key):
            _accept(ports, wrong.drop, key, wrong.refusal)
        return
    misplaced = kind == s3_keys.Kind.MISPLACED
    accepted = _accept(ports, drop, key, drop_files.misplaced(bucket, key) if misplaced else None)
    if not accepted and kind in MAY_REPLACE:
        _look_before(ports, bucket, key, version)
    if version is not None and version != drop.facts(key).version:
        # If this version still has no job, a newer one has replaced it, and it will have none.
        _clean_up(ports, bucket, key, version)


def _look_at(ports: Needs, drop: InputBucket, key: str, version: str | None) -> bool:
    """Find the version to act on. Returns False if there is nothing more to do."""
    try:
        facts = drop.facts(key)
    except Missing:
        ports.log(Event.DROP_GONE, {"key": key, "version": version})
        if version is not None:
            _clean_up(ports, drop.bucket, key, version)
        return False
    if version is None or not facts.versioned or facts.version == version:
        return True
    ports.log(Event.NOT_THE_NEWEST, {"key": key, "version": version})
    job = job_of(ports, drop.bucket, key, version)
    if job is None:
        return True  # only the newest version shows whether this one is still to be made
    if not _still_changes(ports, job.document):
        # A newer drop has replaced it, or it was accepted long ago.
        _settle(ports, job.document.job_id)
        _clean_up(ports, drop.bucket, key, version)
        return False
    try:
        drop.use(key, version)
    except Missing:
        # Versions expire long after the deadline of every job that waits, but a job may be queued
        # for longer.
        _keep(ports, drop, key, version)
        return False
    return True


def _keep(ports: Needs, drop: InputBucket, key: str, version: str) -> None:
    """Keep a queued job as it is, because its spec can no longer be read."""

    def keep() -> None:
        record = job_of(ports, drop.bucket, key, version)
        if record is not None and plan_again.is_needed(drop, record.document):
            plan_again.keep(ports, drop, record, "That version of its spec has expired.")

    retried(key, keep)
    if job := job_of(ports, drop.bucket, key, version):
        _settle(ports, job.document.job_id)


def _clean_up(ports: Needs, bucket: str, key: str, version: str) -> None:
    """Remove the copies of references that a handler made before it failed to accept the drop."""
    job = job_of(ports, bucket, key, version)
    if job is None:
        publish.remove_references(ports, s3_keys.job_id(bucket, key, version))
    elif job.document.bad_reference is not None:  # the handler may have tried it again
        publish.remove_references(ports, s3_keys.next_job_id(job.document.job_id))


def unmade_before(
    ports: NeedsForVersions, bucket: str, key: str, version: str | None = None
) -> Iterator[str]:
    """The earlier versions of a drop that was not accepted, which have no job yet.

    A version that is refused, only planned or still waits replaces no other. So the version before
    it is still to be made. It has no job if its event is late, or lost. Versions before one that
    was accepted are not to be made.

    Args:
        version: the version that the event named. Without an event, versions that are older than
            `LOOK_BACK` are ignored, because the bucket may be older than the table.

    Yields:
        Version ids, the newest first.
    """
    versions = ports.files.versions(bucket, key)
    named = [one.modified_at for one in versions if one.version == version]
    since = min([ports.now() - LOOK_BACK, *named])
    for earlier in versions[1:]:
        if earlier.modified_at < since or ports.ledger.get(used_key(key, earlier.version)):
            return
        job = job_of(ports, bucket, key, earlier.version)
        if job is None:
            yield earlier.version
        elif job.document.was_accepted:
            return


def _look_before(ports: Needs, bucket: str, key: str, version: str | None) -> None:
    """Act on earlier versions of a drop that was not accepted, until one of them is accepted.

    Args:
        version: the version that the event named.

    Raises:
        Transient: try again later.
    """
    for earlier in unmade_before(ports, bucket, key, version):
        before = InputBucket(ports, bucket)
        try:
            before.use(key, earlier)
        except Missing:
            return  # it expired, and so did those before it
        if _accept(ports, before, key, None):
            return


def _accept(ports: Needs, drop: InputBucket, key: str, refusal: JobRejected | None) -> bool:
    """Accept a drop, and publish what became of it. Returns whether it was accepted."""
    facts = drop.facts(key)

    def accepted() -> accept.Outcome:
        record = job_of(ports, drop.bucket, key, facts.version)
        if record is not None and record.document.is_judged_later(ports.now()):
            return accept.Outcome.DONE
        if record is not None and plan_again.is_needed(drop, record.document):
            plan_again.plan_again(ports, drop, record)
            return accept.Outcome.DONE
        ended = record is not None and record.document.state != State.WAITING
        if (
            record is not None
            and ended
            and not accept.is_reference_corrected(drop, record.document)
        ):
            return accept.Outcome.DONE
        # After a conflict this runs again: another handler accepted this drop, or one of its path.
        return accept.accept(ports, drop, key, record, refusal)

    came = retried(key, accepted) == accept.Outcome.REFERENCE_CAME
    if came:
        submit(ports, drop.bucket, key, facts.version if facts.versioned else None)
    job = job_of(ports, drop.bucket, key, facts.version)
    if job is None:
        return False
    if not came:
        cancel.superseded(ports, job.document.job_id)
    return _settle(ports, job.document.job_id)


def _settle(ports: Needs, job_id: str) -> bool:
    """Publish what the table says about a job, and wake dispatch if the job is or was queued.

    Returns whether the job was accepted.
    """
    publish.settle(ports, job_id)
    job = ports.ledger.get(job_key(job_id))
    if job is None:
        return False
    if job.document.state == State.QUEUED or (
        job.document.state == State.PLANNED and job.document.queued_at is not None
    ):
        ports.wake()  # if it was planned again, dispatch plans the next ones
    return job.document.was_accepted


def _still_changes(ports: Needs, job: Job) -> bool:
    """Whether an older version is still to be accepted, or can be planned again.

    That is if it waits or is queued, and no newer version was accepted.
    """
    changes = job.state == State.WAITING or job.can_be_planned_again
    return changes and not cancel.if_outdated(ports, job)


def _only_a_reference(ports: Needs, bucket: str, key: str, version: str | None) -> bool:
    """Announce the drops again that wait for a reference, or were refused because of it.

    Returns whether the file is only a reference. In some folders an image can be a job itself.
    """
    drop = InputBucket(ports, bucket)
    waited = _wake_waiting(ports, drop, key)
    version = version or drop.version_of(key)
    if version and job_of(ports, bucket, key, version):
        return False  # it was accepted as a job, whatever its folder defaults say now
    if version and accept.is_used_by_another(ports, bucket, key, version):
        # A handler may have been killed while it accepted the image, before a spec used it.
        publish.remove_references(ports, s3_keys.job_id(bucket, key, version))
        return True
    if waited or not drop_files.animates(drop, ports.reader, key):
        return True
    try:
        facts = drop.facts(key)
    except Missing:
        return True
    return facts.size_bytes == 0 or accept.is_used_by_another(ports, bucket, key, facts.version)


def _wake_waiting(ports: NeedsForWake, drop: InputBucket, reference: str) -> bool:
    """Announce the drops that wait for this reference again, and those that were refused because of
    another version of it. Returns whether it is the reference of any.

    Each of them is accepted by a call of its own, because many jobs may wait for one reference.
    """
    if not s3_keys.can_be_waited_for(reference):
        return False
    found = False
    for waiting in ports.ledger.query(WAITING, Waiting, prefix=waiting_prefix(reference)):
        job = ports.ledger.get(job_key(waiting.document.job_id))
        if job is None:
            continue
        source = job.document.source.key
        if any(s3_keys.may_mean(source, one, reference) for one in job.document.waiting_for):
            _announce(ports, job.document)
            found = True
    # A job that is rejected after it waited has its other note before it loses this one, so this
    # order finds one of them.
    for note, rejected in refused_for(ports, reference):
        if rejected is None or drop.version_of(rejected.source.key) != rejected.source.version:
            with suppress(Conflict):  # its spec was deleted or replaced, or it has another job
                ports.ledger.commit(Remove(note.key, note.revision))
            continue
        found = True
        if accept.is_reference_corrected(drop, rejected):
            _announce(ports, rejected)
    return found


def _announce(ports: WithAnnounce, job: Job) -> None:
    ports.announce(job.source.key, job.source.version_id)


def reject(ports: NeedsForReject, record: Record[Job], found: tuple[Problem, ...]) -> None:
    """Reject a job whose references never came. If one comes later, the drop is tried again.

    Args:
        found: a problem for each reference that the job waits for.

    Raises:
        Conflict: the job changed in the meantime.
    """
    bad = BadReference(key=record.document.waiting_for[0], version=None)
    rejected = record.document.rejected(found, ports.now(), bad)
    ports.ledger.commit(
        Put(record.key, rejected, record.revision),
        ended(rejected),
        *stop_waiting(ports, record.document, rejected),
        *note_refused(ports, rejected),
    )
    ports.log(
        Event.REJECTED, {"job_id": rejected.job_id, "codes": [problem.code for problem in found]}
    )
