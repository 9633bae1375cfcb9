"""The job of a drop, and what is committed with it: the notes that it waits, or has ended."""

from functions import s3_keys
from functions.table.ledger import (
    Change,
    Put,
    Record,
    RecordKey,
    Remove,
    WithLedger,
    job_key,
    letter_key,
    waiting_key,
)
from functions.table.records import Job, Letter, State, Waiting

AWAITED_TOGETHER = 10
"""For how many references at a time a job has notes that it waits for them. They are removed in the
commit with its tasks, which has little room."""


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


def notes_of(job: Job) -> list[RecordKey[Waiting]]:
    """The places of the notes that a job waits for references, or is being read.

    A job that waits for many has notes for the first of them. It is looked at again when one of
    these comes.
    """
    if job.state != State.WAITING:
        return []
    references = job.waiting_for[:AWAITED_TOGETHER] or ("",)
    return list(dict.fromkeys(waiting_key(one, job.job_id) for one in references))


def stop_waiting(ports: WithLedger, before: Job, job: Job) -> list[Change]:
    """The changes that remove the notes of a job that are no longer true.

    Args:
        before: the job until now.
        job: the job from now on.
    """
    kept = notes_of(job)
    past = [key for key in notes_of(before) if key not in kept]
    notes = ports.ledger.get_all(past) if past else []
    return [Remove(note.key, note.revision) for note in notes if note is not None]
