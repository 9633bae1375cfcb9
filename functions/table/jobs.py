"""Changes that are committed together with a job: the note that it waits, and the mail it owes."""

from functions.table.ledger import Change, Put, Remove, WithLedger, letter_key, waiting_key
from functions.table.records import Job, Letter, State


def mail_owed(job: Job) -> list[Change]:
    """The change that notes the mail about the end of a job; empty if its spec wants no mail.

    This is the only place that decides whether a mail is owed.
    """
    return [Put(letter_key(job.job_id), Letter(job_id=job.job_id))] if job.wants_mail else []


def stop_waiting(ports: WithLedger, job: Job) -> list[Change]:
    """The change that removes the note that a job waits for a reference, or is being read."""
    if job.state != State.WAITING:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for or "", job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []
