"""Finds jobs whose folder defaults have changed since they were accepted.

Until one of the videos of a job is claimed, its drop is announced again, and submit plans it again
(`plan_again.py`). Later its status says that the newer defaults do not apply to it.
"""

import itertools
import posixpath
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from contract.errors import Notice
from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import WithAnnounce, WithFiles
from functions.replies import publish
from functions.spec.input_bucket import InputBucket
from functions.table.ledger import (
    OPEN_ATTEMPTS,
    PRIORITIES,
    QUEUES,
    Conflict,
    Put,
    Record,
    job_key,
    queue_prefix,
)
from functions.table.records import Attempt, Job, QueueEntry, State

# How many jobs one run announces or changes. Later runs see to the others.
A_FEW = 100
# If a job was announced, nobody announces it again for this time.
ANNOUNCE_EVERY = timedelta(minutes=2)
_BEGUN = Notice(
    code="newer-defaults",
    message="The folder defaults changed when this job had been started, so they do not apply to "
    "it. To apply them, drop the spec again.",
)


class Needs(publish.NeedsForStatus, WithLog, WithAnnounce, Protocol):
    """What acting on newer folder defaults uses."""


class CurrentDefaults:
    """The versions of folder defaults in the input bucket. Each file is looked up once."""

    def __init__(self, ports: WithFiles, bucket: str) -> None:
        self._drop = InputBucket(ports, bucket)

    def of(self, job: Job) -> tuple[str, ...]:
        """The versions for a job."""
        return versions(self._drop, job.source.key)

    def apply_to(self, job: Job) -> bool:
        """Whether these are the versions with which a job was compared last."""
        return job.defaults == self.of(job)

    def changed_at(self, job: Job) -> datetime | None:
        """When the newest of a job's folder defaults was uploaded; None if there are none."""
        return newest(self._drop, job.source.key)

    def allow_claim(self, job: Job) -> bool:
        """Whether no newer folder defaults can change a job."""
        return not job.can_be_planned_again or self.apply_to(job)


def versions(drop: InputBucket, key: str) -> tuple[str, ...]:
    """The versions of the folder defaults that apply to a key, as in `Job.defaults`."""
    return tuple(drop.version_of(place) or "" for place in s3_keys.defaults_of(key))


def newest(drop: InputBucket, key: str) -> datetime | None:
    """When the newest of the folder defaults that apply to a key was uploaded."""
    places = (place for place in s3_keys.defaults_of(key) if drop.version_of(place))
    return max((drop.facts(place).modified_at for place in places), default=None)


def act_on(ports: Needs, jobs: Sequence[Record[Job]], current: CurrentDefaults) -> None:
    """Announce the jobs that newer folder defaults may change, and note it in those that run.

    Args:
        jobs: jobs as they were read. Those without newer folder defaults are left as they are.
    """
    now = ports.now()
    newer = [
        record
        for record in jobs
        if record.document.state in {State.QUEUED, State.RUNNING}
        and not current.apply_to(record.document)
    ]
    for record in newer[:A_FEW]:
        job = record.document
        if not job.can_be_planned_again:
            _note(ports, record, current)
        elif job.announced_at is None or now - job.announced_at >= ANNOUNCE_EVERY:
            _announce(ports, record)


def changed(ports: Needs, bucket: str, key: str) -> None:
    """Act on the jobs below folder defaults that were dropped, changed or deleted.

    These are all jobs in open attempts, and the first queued ones in the same folder. For the
    others, the sweep and dispatch see that they have changed.
    """
    below, folder = posixpath.dirname(key) + "/", s3_keys.folder_of(key)
    attempts = ports.ledger.query(OPEN_ATTEMPTS, Attempt)
    ids = [ref.job_id for record in attempts for ref in record.document.tasks]
    for queue, priority in itertools.product(QUEUES, PRIORITIES):
        prefix = queue_prefix(priority, folder)
        entries = ports.ledger.query(queue, QueueEntry, prefix=prefix, limit=A_FEW)
        ids += [record.document.task.job_id for record in entries]
    records = ports.ledger.get_all([job_key(job_id) for job_id in dict.fromkeys(ids)])
    jobs = [r for r in records if r is not None and r.document.source.key.startswith(below)]
    act_on(ports, jobs, CurrentDefaults(ports, bucket))


def _announce(ports: Needs, record: Record[Job]) -> None:
    """Announce the drop of a job, so that submit plans it again."""
    job = record.document
    try:
        ports.ledger.commit(Put(record.key, job.announced(ports.now()), record.revision))
    except Conflict:
        return  # it was claimed or changed in the meantime, and is looked at again if need be
    ports.announce(job.source.key, job.source.version_id)
    ports.log(Event.DEFAULTS_CHANGED, {"job_id": job.job_id})


def _note(ports: Needs, record: Record[Job], current: CurrentDefaults) -> None:
    """Note in a job that it began before its folder defaults changed."""
    job = record.document
    try:
        ports.ledger.commit(Put(record.key, job.kept(current.of(job), _BEGUN), record.revision))
    except Conflict:
        return  # the sweep looks at it again
    publish.publish_status(ports, job.job_id)
