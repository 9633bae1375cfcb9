"""Builds the spec of the final of a draft: its videos, with the steps that a final has."""

from collections.abc import Sequence

from contract.catalogue import Preset
from contract.errors import Code, JobRejected, Problem
from functions import s3_keys
from functions.replies.review import (
    have_other_scenes,
    to_json,
    together,
    variations_of,
    without_equal,
)
from functions.spec.parsed import MAX_SPEC_BYTES
from functions.table.records import Job, State, Task


def final_of(job: Job, tasks: Sequence[Task], number: int | None) -> bytes:
    """The spec of the final, as JSON.

    It has every value, so that the defaults of its folder change none of them: the prompt that was
    rendered, and the seed. Only the preset is that of a spec that names none.

    Args:
        job: the job that a person approves.
        tasks: all of its tasks, by number.
        number: the video that is approved, of several. None: all that are drafts.

    Raises:
        JobRejected: they cannot be approved.
    """
    drafts = _approved(job, tasks, number)
    variations = variations_of(job) if number is None else 1
    changes = {"preset": Preset.STANDARD, "num_inference_steps": None}
    made = (task.spec for task in drafts[::variations])
    specs = without_equal(spec.model_copy(update=changes) for spec in made)
    fields = together(specs, variations)
    lines = (f"  {to_json(name)}: {to_json(value)}" for name, value in fields.items())
    body = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    if have_other_scenes(specs) or len(body) > MAX_SPEC_BYTES:
        first = s3_keys.approval(job.path, drafts[0].number)
        raise JobRejected(
            Problem(
                code=Code.APPROVE_NAME,
                message=f"The videos of {job.path} are too different for one spec.",
                hint=f"Approve them one by one: {first} and so on.",
            )
        )
    return body


def _approved(job: Job, tasks: Sequence[Task], number: int | None) -> list[Task]:
    """The videos that a person approves.

    Raises:
        JobRejected: they are not made, or are no drafts.
    """
    chosen = [task for task in tasks if number in {None, task.number}]
    state = job.state if number is None or not chosen else chosen[0].state
    if state != State.SUCCEEDED:
        raise JobRejected(
            Problem(
                code=Code.APPROVE_NOT_READY,
                message=f"{job.path} cannot be approved: it is {state}.",
                hint=_when_ready(job, tasks, state),
            )
        )
    drafts = [task for task in chosen if task.is_draft]
    if not drafts:
        raise _no_draft(job, tasks, number)
    return drafts


def _no_draft(job: Job, tasks: Sequence[Task], number: int | None) -> JobRejected:
    """Why what a person approves has no final.

    Args:
        number: the video that a person approves; None if it is the whole job.
    """
    message = f"{job.path} is no draft, so there is no other final of it."
    hint = (
        "To have a draft first, write  preset: draft  into its spec, drop that, and approve what "
        "comes of it."
    )
    if (draft := _first_draft(job, tasks)) is not None:
        message = f"Video {number} of {job.path} is no draft, so there is no other final of it."
        hint = f"Approve one that is a draft, such as {draft}"
    return JobRejected(Problem(code=Code.APPROVE_NO_DRAFT, message=message, hint=hint))


def _first_draft(job: Job, tasks: Sequence[Task]) -> str | None:
    """The file that approves the first draft of a job that was made; None without any."""
    made = (task.number for task in tasks if task.is_draft and task.state == State.SUCCEEDED)
    number = next(made, None)
    if number is None:
        return None
    return s3_keys.approval(job.path, number if len(tasks) > 1 else None)


def _when_ready(job: Job, tasks: Sequence[Task], state: State) -> str:
    """What to do about a job that cannot be approved.

    Args:
        state: that of the job, or of its video that a person approves.
    """
    if not state.terminal:
        return "Wait until its video is ready, and upload this file again."
    if job.dropped:
        one = s3_keys.approval(s3_keys.path_of(job.dropped[0]))
        return f"Approve what was dropped for it, such as {one}"
    if state == State.PLANNED:
        return (
            "Nothing was rendered. Have the draft made first: drop its spec without dry_run and "
            "without a review. Then upload this file again."
        )
    again = "Drop its spec again. When its video is ready, upload this file again."
    if (draft := _first_draft(job, tasks)) is not None:
        return f"Approve a video that was made, such as {draft}. Or have all of them: d{again[1:]}"
    return again
