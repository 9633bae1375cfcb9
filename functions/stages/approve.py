"""Finds the draft that a file in approve/ names, and what its final is.

The file itself may be empty. Its name says everything, and nothing in it is read.
"""

from datetime import datetime
from typing import Protocol

from contract.errors import Code, JobRejected, Problem
from functions import s3_keys
from functions.ports import Missing, WithFiles
from functions.replies import words
from functions.replies.final import final_of
from functions.spec.lists import Spec
from functions.table.ledger import WithLedger, job_key, owner_key
from functions.table.records import Job, Source, Task
from functions.table.tasks import tasks_of


class Needs(WithLedger, WithFiles, Protocol):
    """What finding the final of a draft uses."""


def final(ports: Needs, approval: Source) -> Spec:
    """The spec of the final.

    Args:
        approval: the file in approve/.

    Raises:
        JobRejected: it names no draft that can be approved.
    """
    of_other_number = None
    for path, number in s3_keys.may_approve(approval.key):
        owner = ports.ledger.get(owner_key(path))
        record = ports.ledger.get(job_key(owner.document.job_id)) if owner else None
        if record is None:
            continue
        job = record.document
        if number is not None and not (job.task_count > 1 and 1 <= number <= job.task_count):
            of_other_number = job
            continue
        tasks = [task.document for task in tasks_of(ports, job.job_id)]
        spec = Spec(s3_keys.final(path, number), final_of(job, tasks, number), "draft")
        _check_seen(approval, job, _ended_at(job, tasks, number))
        _check_free(ports, approval, spec)
        return spec
    raise _unknown(approval.key, of_other_number)


def _ended_at(job: Job, tasks: list[Task], number: int | None) -> datetime:
    """When what is approved was made."""
    of_task = None if number is None else tasks[number - 1].finished_at
    return of_task or job.updated_at


def _check_seen(approval: Source, job: Job, ended_at: datetime) -> None:
    """Refuse a file that is older than the draft: a person meant an older draft, or none.

    The event of the file may come late, when a newer draft is at the same path.
    """
    if approval.modified_at >= ended_at.replace(microsecond=0):
        return
    raise JobRejected(
        Problem(
            code=Code.APPROVE_NOT_READY,
            message=f"{approval.key} was uploaded before the draft {job.path} was made.",
            hint="Look at the draft. If you like it, upload this file again.",
        )
    )


def _check_free(ports: WithFiles, approval: Source, final: Spec) -> None:
    """Refuse to write over what is no final under the name of the final.

    Args:
        approval: the file in approve/.
        final: what would be written.
    """
    key = final.key
    beside = ports.files.page(approval.bucket, f"{s3_keys.stem_of(key)}.").objects
    path = s3_keys.path_of(key)
    for other in (one.key for one in beside if s3_keys.has_videos(one.key)):
        if s3_keys.path_of(other) != path:
            continue
        if other == key and _is_older(ports, approval.bucket, final):
            continue
        raise JobRejected(
            Problem(
                code=Code.NAME_TAKEN,
                message=f"The final would be {key}, but {other} has that name already.",
                hint=f"Delete {other}, or give it another name. Then upload this file again.",
            )
        )


def _is_older(ports: WithFiles, bucket: str, final: Spec) -> bool:
    """Whether the file under this name is an earlier final as reeldrop wrote it, or gone."""
    try:
        return final.may_replace(ports.files.facts(bucket, final.key).mark)
    except Missing:
        return True


def _unknown(key: str, job: Job | None) -> JobRejected:
    """Why a file approves nothing.

    Args:
        job: the job that it names, if that has no video of this number.
    """
    if job is None:
        message = f"{key} names no job. There is none at that path."
        hint = (
            "Name the file as the status of the draft: for status/birthday/bee.json, upload "
            f"{s3_keys.approval('birthday/bee')}"
        )
    else:
        message = f"{key} names no video. {job.path} has {words.videos(job.task_count)}."
        hint = f"To approve everything, upload {s3_keys.approval(job.path)}"
        if job.task_count > 1:
            hint += f", and to approve the last video, {s3_keys.approval(job.path, job.task_count)}"
    return JobRejected(Problem(code=Code.APPROVE_NAME, message=message, hint=hint))
