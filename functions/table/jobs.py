"""Changes that are committed with a job: the notes that it waits, and that it has ended."""

from functions.table.ledger import Change, Put, Remove, WithLedger, letter_key, waiting_key
from functions.table.records import Job, Letter, State


def ended(job: Job) -> Change:
    """The change that notes that a job has ended and is not settled yet."""
    return Put(letter_key(job.job_id), Letter(job_id=job.job_id))


def stop_waiting(ports: WithLedger, job: Job) -> list[Change]:
    """The change that removes the note that a job waits for a reference, or is being read."""
    if job.state != State.WAITING:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for or "", job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []
