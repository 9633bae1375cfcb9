"""The problems of jobs that were accepted or waited: code, message, place and fix."""

from collections.abc import Collection

from contract.errors import Code, Place, Problem
from functions import s3_keys
from functions.replies import words
from functions.spec.fields import MAX_PROBLEMS, field_naming, references_of
from functions.table.records import Ending, Job, KeptReference, Task

_LONGEST_DETAIL = 400


def start_refused(detail: str) -> Problem:
    """SageMaker refuses the processing job for good.

    Args:
        detail: the message of SageMaker.
    """
    return Problem(
        code=Code.START_REFUSED,
        message=f"The rendering could not be started: {detail[:_LONGEST_DETAIL]}",
        hint="Ask your administrator to correct the deployment. Then drop the file again.",
    )


def worker_stopped(attempts: int, how: Ending) -> Problem:
    """Every attempt ended without a result.

    Args:
        how: how the last attempt ended.
    """
    return Problem(
        code=Code.WORKER_STOPPED,
        message=f"Rendering was tried {attempts} times and stopped each time; "
        f"the last time {words.ending(how)[:_LONGEST_DETAIL]}.",
        hint="Drop the file again later. Your administrator can find details in the log.",
    )


def video_blocked(reasons: Collection[str], *, prompted: bool) -> Problem:
    """The guardrail blocks the finished video.

    Args:
        reasons: why, in words.
        prompted: whether it has a prompt.
    """
    why = f": {', '.join(reasons)}" if reasons else ""
    change = "the prompt or write another seed" if prompted else "the video or the label"
    return Problem(
        code=Code.VIDEO_BLOCKED,
        message=f"The finished video was blocked by this account's content rules{why}. Nobody can "
        "see it.",
        hint=f"Change {change}, and drop the file again.",
    )


def name_taken(spec: str, key: str) -> Problem:
    """Another spec publishes under the same key.

    Args:
        spec: the key of the other spec.
        key: what both publish.
    """
    return Problem(
        code=Code.NAME_TAKEN,
        message=f"This job would make {key}, which {spec} makes.",
        hint="Give this file another name, or delete the other spec first.",
    )


def row_taken(there: str, key: str) -> Problem:
    """A file that is no spec of a row is in the way of the spec of a row.

    Args:
        there: the key of that file.
        key: the key of the spec.
    """
    message = f"{there} has the name of this row already, which would replace its job."
    if there == key:
        message = f"{there} is not as a list has written it, so this row does not replace it."
    name = s3_keys.name_of(s3_keys.stem_of(key))
    return Problem(
        code=Code.NAME_TAKEN,
        message=message,
        hint=f"Give the row another name, such as  name: {name}-2  or delete {there}.",
        place=Place(field="name"),
    )


def references_never_came(job: Job, minutes: int) -> tuple[Problem, ...]:
    """References were not uploaded in time: a problem for each of them.

    Args:
        job: the job that waited for them.
        minutes: how long it waited.
    """
    return tuple(
        Problem(
            code=Code.REFERENCE_NEVER_CAME,
            message=f"The reference {key} was not uploaded within {minutes} minutes, or only as "
            "an empty file.",
            hint="Check its name (upper and lower case matter) and upload it. This file need not "
            "be uploaded again, unless its name has to be corrected here.",
            place=Place(field=field_naming(job.spec, key) if job.spec else None),
        )
        for key in job.waiting_for[:MAX_PROBLEMS]
    )


def reference_gone(task: Task, reference: KeptReference) -> Problem:
    """The copy of a task's reference was deleted before the task started."""
    name = dict(references_of(task.spec))[reference.field]
    return Problem(
        code=Code.REFERENCE_GONE,
        message=f"The copy of {name} was deleted before the video was made.",
        hint="Drop this file again. Upload its reference first if you deleted that, too.",
        place=Place(field=reference.field),
    )


def lora_gone(task: Task) -> Problem:
    """The LoRA of a task was deleted before the task started."""
    return Problem(
        code=Code.LORA_UNKNOWN,
        message=f"The LoRA {task.spec.lora} was deleted before the video was made.",
        hint="Ask your administrator to upload it again, then drop this file again.",
        place=Place(field="lora"),
    )


def result_invalid() -> Problem:
    """The worker's result cannot be read."""
    return Problem(
        code=Code.RESULT_INVALID,
        message="The renderer's result cannot be read.",
        hint="Drop the file again. Your administrator can find details in the log.",
    )


def video_damaged(file_name: str) -> Problem:
    """A file is missing, or differs from what the worker wrote."""
    return Problem(
        code=Code.VIDEO_DAMAGED,
        message=f"The file {file_name} is missing or damaged.",
        hint="Drop the file again.",
    )
