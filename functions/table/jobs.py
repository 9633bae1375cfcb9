"""The job of a drop, and what is committed with it: the notes that it waits, or has ended."""

from functions import s3_keys
from functions.table.ledger import (
    Change,
    Put,
    Record,
    Remove,
    WithLedger,
    job_key,
    letter_key,
    waiting_key,
)
from functions.table.records import Job, Letter, State


def job_of(ports: WithLedger, bucket: str, key: str, version: str) -> Record[Job] | None:
    """The job that a version of a drop has become: the last one, if it was tried again."""
    return last_try(ports, ports.ledger.get(job_key(s3_keys.job_id(bucket, key, version))))


def last_try(ports: WithLedger, first: Record[Job] | None) -> Record[Job] | None:
    """The last job of a drop, if it was tried again.

    Args:
        first: the first one.
    """
    if first is None or first.document.last_try is None:
        return first
    return ports.ledger.get(job_key(first.document.last_try))


def ended(job: Job) -> Change:
    """The change that notes that a job has ended and is not settled yet."""
    return Put(letter_key(job.job_id), Letter(job_id=job.job_id))


def stop_waiting(ports: WithLedger, job: Job) -> list[Change]:
    """The change that removes the note that a job waits for a reference, or is being read."""
    if job.state != State.WAITING:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for or "", job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []
