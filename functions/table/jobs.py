"""What is committed together with a job: its note that it waits, and the mail that it owes."""

from functions.stages.ports import Ports
from functions.table.ledger import Change, Put, Remove, letter_key, waiting_key
from functions.table.records import Job, Letter, State


def mail_owed(job: Job) -> list[Change]:
    """The mail about the end of a job, unless it asked for none."""
    if job.spec is not None and not job.spec.notify:
        return []
    return [Put(letter_key(job.job_id), Letter(job_id=job.job_id))]


def stop_waiting(ports: Ports, job: Job) -> list[Change]:
    """What removes the note that a job waits: for a reference, or for being read."""
    if job.state != State.WAITING:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for or "", job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []
