"""Which job owns a path: whose status, refusal and videos are published there."""

from functions.ports import Missing
from functions.stages.ports import Ports
from functions.table.ledger import job_key, owner_key
from functions.table.records import Job, PathOwner, State


def is_newest(ports: Ports, job: Job) -> bool:
    newest = ports.ledger.get(owner_key(job.path))
    return newest is None or newest.document.job_id == job.job_id


def is_live(ports: Ports, job: Job) -> bool:
    """Whether what is published at the job's path is this job's."""
    newest = ports.ledger.get(owner_key(job.path))
    return newest is None or newest.document.live in {None, job.job_id}


def is_outdated(ports: Ports, job: Job, newest: PathOwner) -> bool:
    """Whether a newer drop of the same path was accepted and is not canceled itself.

    S3 tells the time in whole seconds: of two versions of one key within a second, the current one
    is the newer.
    """
    mine, at = job.source, newest.live_modified_at
    if newest.live in {None, job.job_id} or at is None or at < mine.modified_at:
        return False
    live = ports.ledger.get(job_key(newest.live or ""))
    if live is None or live.document.state == State.CANCELED:
        return False
    theirs = live.document.source
    if at > mine.modified_at or (mine.bucket, mine.key) != (theirs.bucket, theirs.key):
        return at > mine.modified_at
    try:
        return ports.files.facts(theirs.bucket, theirs.key).version == theirs.version
    except Missing:
        return False
