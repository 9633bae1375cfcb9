"""Which job owns a path. Its status, refusal and videos are published at that path."""

from typing import Protocol

from functions import s3_keys
from functions.ports import WithFiles, is_there
from functions.table.ledger import Change, Put, WithLedger, family_key, job_key, owner_key
from functions.table.records import Family, Job, PathOwner, Source, State


class Needs(WithLedger, WithFiles, Protocol):
    """What deciding between two drops of one path uses."""


def is_newest(ports: WithLedger, job: Job) -> bool:
    """Whether status and refusal at the job's path are about this job."""
    owner = ports.ledger.get(owner_key(job.path))
    return owner is None or owner.document.job_id == job.job_id


def newest_of(ports: WithLedger, job: Job) -> Job | None:
    """The job that status and refusal at the path of a job are about. None: it is forgotten."""
    owner = ports.ledger.get(owner_key(job.path))
    record = ports.ledger.get(job_key(owner.document.job_id if owner else job.job_id))
    return record.document if record else None


def is_live(ports: WithLedger, job: Job) -> bool:
    """Whether the videos that are published at the job's path are from this job."""
    owner = ports.ledger.get(owner_key(job.path))
    return owner is None or owner.document.live in {None, job.job_id}


def is_outdated(ports: Needs, job: Job, owner: PathOwner) -> bool:
    """Whether a newer drop of the same path was accepted and is not canceled itself."""
    at = owner.live_modified_at
    if owner.live in {None, job.job_id} or at is None or at < job.source.modified_at:
        return False
    live = ports.ledger.get(job_key(owner.live or ""))
    if live is None or live.document.state == State.CANCELED:
        return False
    return _is_newer(ports, live.document.source, job.source)


def _has_newer(ports: Needs, job: Job, owner: PathOwner) -> bool:
    """Whether the newest known drop of a path is newer than this job."""
    if owner.job_id == job.job_id or owner.modified_at < job.source.modified_at:
        return False
    newest = ports.ledger.get(job_key(owner.job_id))
    return newest is not None and _is_newer(ports, newest.document.source, job.source)


def _is_newer(ports: WithFiles, one: Source, other: Source) -> bool:
    """Whether a drop is newer than another one of the same path.

    S3 reports times in whole seconds. Within a second, the order of two versions of one key is the
    one in which S3 lists them. Two keys have no order then, and neither drop is newer.
    """
    if one.modified_at != other.modified_at:
        return one.modified_at > other.modified_at
    if one == other:
        return False  # a drop that is tried again
    if (one.bucket, one.key) != (other.bucket, other.key):
        return False
    versions = [listed.version for listed in ports.files.versions(one.bucket, one.key)]
    return next((v for v in versions if v in {one.version, other.version}), None) == one.version


def with_equal_names(ports: Needs, job: Job) -> tuple[str, str] | None:
    """Find a job of another path that publishes under the same key as this one.

    Returns:
        The key of its spec, and a key that both publish; None if there is no such job.
    """
    mine, paths = job.outputs, _paths_with_equal_outputs(job)
    owners = ports.ledger.get_all([owner_key(path) for path in paths])
    live = [owner.document.live for owner in owners if owner is not None and owner.document.live]
    for record in ports.ledger.get_all([job_key(job_id) for job_id in live]):
        assert record is not None  # it took its path in the commit that accepted it
        other = record.document
        equal = mine & other.outputs
        makes = other.state not in {State.CANCELED, State.PLANNED}
        if equal and makes and is_there(ports, other.source.bucket, other.source.key):
            return other.source.key, max(equal)  # the MP4, if it is among them
    return None


def _paths_with_equal_outputs(job: Job) -> list[str]:
    return s3_keys.paths_with_equal_outputs(
        job.path, job.task_count, job.wanted_outputs, job.scene_count
    )


def take_names(ports: WithLedger, job: Job) -> list[Change]:
    """The change by which no other job takes a name of this job in the same moment."""
    if not _paths_with_equal_outputs(job):
        return []
    key = family_key(s3_keys.family_of(job.path))
    record = ports.ledger.get(key)
    return [Put(key, Family(job_id=job.job_id), record.revision if record else 0)]


def take_path(ports: Needs, job: Job) -> list[Change]:
    """The change that makes a job the owner of its path, unless a newer drop is known.

    If the job is accepted, its videos will be published there, and the earlier jobs of the path
    are noted as superseded. If the job is rejected, only planned or still waits, the videos of
    earlier jobs stay.
    """
    record = ports.ledger.get(owner_key(job.path))
    at = job.source.modified_at
    known = record.document if record else PathOwner(job_id=job.job_id, modified_at=at)
    owner = known if _has_newer(ports, job, known) else known.newest_is(job)
    accepted = job.state == State.QUEUED and known.live != job.job_id
    if accepted and not is_outdated(ports, job, known):
        # All of them are noted, because the handler that accepted the last one may have been killed
        # before it canceled the others.
        before = [job_id for job_id in (*known.superseded, known.live) if job_id]
        jobs = ports.ledger.get_all([job_key(job_id) for job_id in before])
        left = tuple(r.document.job_id for r in jobs if r and not r.document.state.terminal)
        owner = owner.live_is(job, left)
    if record is not None and owner == known:
        return []
    return [Put(owner_key(job.path), owner, record.revision if record else 0)]
