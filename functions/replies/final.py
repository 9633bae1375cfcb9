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
        raise JobRejected(
            Problem(
                code=Code.APPROVE_NAME,
                message=f"The videos of {job.path} are too different for one spec.",
                hint=f"Approve them one by one: {s3_keys.approval(job.path, 1)} and so on.",
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
                hint=_when_ready(state),
            )
        )
    drafts = [task for task in chosen if task.is_draft]
    if not drafts:
        raise JobRejected(
            Problem(
                code=Code.APPROVE_NO_DRAFT,
                message=f"{job.path} is no draft, so there is no other final of it.",
                hint="To have a draft first, write  preset: draft  into its spec, drop that, and "
                "approve what comes of it.",
            )
        )
    return drafts


def _when_ready(state: State) -> str:
    if not state.terminal:
        return "Wait until its video is ready, and upload this file again."
    if state == State.PLANNED:
        return (
            "Nothing was rendered. Have the draft made first: drop its spec without dry_run and "
            "without a review. Then upload this file again."
        )
    return "Drop its spec again. When its video is ready, upload this file again."
