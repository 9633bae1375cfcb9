"""Finds the draft that a file in approve/ names, and what its final is.

The file itself may be empty. Its name says everything, and nothing in it is read.
"""

from contract.errors import Code, JobRejected, Problem
from functions import s3_keys
from functions.replies import words
from functions.replies.final import final_of
from functions.spec.lists import Spec
from functions.table.ledger import WithLedger, job_key, owner_key
from functions.table.records import Job
from functions.table.tasks import tasks_of


def final(ports: WithLedger, key: str) -> Spec:
    """The spec of the final.

    Args:
        key: key of the file in approve/.

    Raises:
        JobRejected: it names no draft that can be approved.
    """
    of_other_number = None
    for path, number in s3_keys.may_approve(key):
        owner = ports.ledger.get(owner_key(path))
        record = ports.ledger.get(job_key(owner.document.job_id)) if owner else None
        if record is None:
            continue
        job = record.document
        if number is not None and not (job.task_count > 1 and 1 <= number <= job.task_count):
            of_other_number = job
            continue
        tasks = [task.document for task in tasks_of(ports, job.job_id)]
        return Spec(s3_keys.final(path, number), final_of(job, tasks, number))
    raise _unknown(key, of_other_number)


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
