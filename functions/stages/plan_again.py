"""Plans a queued job again, because its folder defaults have changed since it was accepted.

The job is read as if it had just been dropped, and keeps its place in the queue. In the end it is
queued with other videos, or only planned. If the newer folder defaults do not fit it, it stays as
it was accepted, so that a mistake in one file does not refuse thousands of accepted drops.
"""

from datetime import timedelta

from contract.errors import JobRejected, Notice
from functions.log import Event
from functions.ports import Missing
from functions.replies import json_lines, words
from functions.spec.guardrail import GuardrailUnavailable
from functions.spec.input_bucket import InputBucket
from functions.spec.language_model import LanguageModelBusy
from functions.stages import newer_defaults
from functions.stages.accept import Accepting, Needs, ReferencesMissing
from functions.table.ledger import Conflict, Put, Record
from functions.table.records import Job, State
from functions.table.tasks import tasks_of


def is_needed(drop: InputBucket, job: Job) -> bool:
    """Whether folder defaults changed since a job was accepted, and none of its videos is begun."""
    if not job.can_be_planned_again:
        return False
    return job.defaults != newer_defaults.versions(drop, job.source.key)


def plan_again(ports: Needs, drop: InputBucket, record: Record[Job]) -> None:
    """Plan a queued job again.

    Args:
        drop: the bucket, with the version of the spec that the job belongs to.
        record: the job as it was read. `is_needed` is true for it.

    Raises:
        Conflict: the job was claimed or changed in the meantime.
    """
    job = record.document
    before = tasks_of(ports, job.job_id)
    if any(task.document.state != State.QUEUED or task.document.attempts for task in before):
        raise Conflict(f"{job.job_id} was claimed after it was read")
    accepting = Accepting(ports, job.read_again(ports.now()), drop, record, None, before)
    try:
        wanted = accepting.read()
        kept = accepting.keep_references(wanted)
        accepting.begin(accepting.make(wanted, kept))
    except ReferencesMissing as missing:
        _wait(ports, drop, record, missing.keys)
    except Missing:
        ports.log(Event.DROP_GONE, {"key": job.source.key, "version": job.source.version})
    except JobRejected as rejection:
        (first, *_) = json_lines.rejection_in(job.source.key, rejection).problems
        keep(ports, drop, record, first.sentence())
    except (LanguageModelBusy, GuardrailUnavailable) as error:
        accepting.ask_again_later(error)


def keep(ports: Needs, drop: InputBucket, record: Record[Job], why: str) -> None:
    """Note that a job stays as it was accepted, although its folder defaults have changed.

    Args:
        why: the reason, in sentences.

    Raises:
        Conflict: the job changed in the meantime.
    """
    job = record.document
    notice = Notice(
        code="newer-defaults",
        message=f"The folder defaults changed after this job was accepted, and they do not fit it. "
        f"It stays as it was. {why}",
    )
    kept = job.kept(newer_defaults.versions(drop, job.source.key), notice)
    ports.ledger.commit(Put(record.key, kept, record.revision))
    ports.log(Event.KEPT, {"job_id": job.job_id, "reason": why})


def _wait(
    ports: Needs, drop: InputBucket, record: Record[Job], references: tuple[str, ...]
) -> None:
    """Leave a job as it is while references that its newer folder defaults name are not there.

    It is not started meanwhile. The sweep announces it again.
    """
    changed_at = newer_defaults.newest(drop, record.document.source.key)
    deadline = timedelta(seconds=ports.settings.reference_deadline_seconds)
    if changed_at is None or ports.now() - changed_at > deadline:
        keep(ports, drop, record, f"There is no {words.listing(references)}.")
