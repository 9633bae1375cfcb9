"""Builds the event that tells other systems how a job ended.

Its form is a promise: other people's programs read it. `docs/job-ended.schema.json` is made from
here. A field may be added. If one is removed or means something else, `version` changes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from contract.document import Document
from contract.errors import Problem
from functions import s3_keys
from functions.planning.estimate import Cost
from functions.replies.mail import is_for_review, outcome, quoted
from functions.replies.status import problems_of
from functions.table.records import Job, State, Task

# EventBridge refuses events of more than 256 KiB. The keys of 32 videos may need 200 of them.
MOST_REASONS = 5
# A drop because of which others were dropped has no videos.
MOST_DROPPED = 50


class Drop(Document):
    """The file that a job came from."""

    bucket: str
    key: str
    version: Annotated[str, Field(description="Its version in S3.")]
    dropped_at: datetime


class Reason(Document):
    """One thing that was wrong."""

    code: Annotated[str, Field(description="One of the codes in the guide.")]
    message: Annotated[str, Field(description="What is wrong, as a sentence.")]
    hint: Annotated[str, Field(description="How to fix it.")]
    file: Annotated[
        str | None, Field(description="Key of the file that is wrong. Null: the drop itself.")
    ]
    field: Annotated[str | None, Field(description="The field of the spec that is wrong.")]
    line: Annotated[int | None, Field(description="Counted from 1.")]


class VideoEnded(Document):
    """How one video of a job ended."""

    number: Annotated[int, Field(description="Counted from 1.")]
    state: Literal["succeeded", "failed", "planned", "canceled"]
    video: Annotated[
        str | None, Field(description="Key of the MP4 in the output bucket, if it was made.")
    ]
    poster: Annotated[str | None, Field(description="Key of a picture of it, likewise.")]
    sidecar: Annotated[
        str | None, Field(description="Key of the JSON with everything that is known about it.")
    ]
    code: Annotated[str | None, Field(description="Why it failed.")]


class EstimatedCost(Document):
    """What rendering videos costs, as far as it is known."""

    usd_low: Annotated[
        float | None,
        Field(description="If other videos share the start-up. Null: the price is not known."),
    ]
    usd_high: Annotated[float | None, Field(description="If none does. Null: likewise.")]
    gpu_minutes: Annotated[float, Field(description="Of rendering, without the start-up.")]


class JobEnded(Document):
    """How a job ended. It is the detail of an event on the bus of the deployment."""

    version: Annotated[
        Literal["1"],
        Field(description="The version of this form. New fields may come without a new version."),
    ] = "1"
    id: Annotated[
        str, Field(description="The same if the event comes again, so that you can ignore it then.")
    ]
    job_id: str
    path: Annotated[str, Field(description="The key of the drop without `jobs/` and suffix.")]
    state: Annotated[
        Literal["succeeded", "failed", "rejected", "planned", "canceled", "handed-on"],
        Field(
            description="`planned`: nothing is rendered, because the spec asks for a plan or a "
            "review. `handed-on`: other specs were dropped because of it, which have jobs of their "
            "own."
        ),
    ]
    canceled_because: Annotated[
        Literal["deleted", "superseded"] | None,
        Field(description="The drop was deleted, or a newer version took its place."),
    ]
    summary: Annotated[
        str, Field(description="A line for people: `jobs/bee.yaml is ready`. Long keys are cut.")
    ]
    drop: Drop
    tags: Annotated[tuple[str, ...], Field(description="Those of the spec.")]
    ended_at: datetime
    reasons: Annotated[
        tuple[Reason, ...], Field(description=f"Why, at most {MOST_REASONS} of `reason_count`.")
    ]
    reason_count: Annotated[
        int, Field(description="How many things were wrong. The status lists more of them.")
    ]
    output_bucket: Annotated[str, Field(description="Where status, review and videos are.")]
    status: Annotated[str, Field(description="Key of the status.")]
    review: Annotated[
        str | None, Field(description="Key of the rewritten spec, if a person has to read it.")
    ]
    dropped: Annotated[
        tuple[str, ...],
        Field(
            description="Keys of the specs that were dropped because of it, at most "
            f"{MOST_DROPPED} of `dropped_count`."
        ),
    ]
    dropped_count: int
    videos: tuple[VideoEnded, ...]
    cost: Annotated[
        EstimatedCost | None,
        Field(
            description="Estimate for the videos that were made, or planned. Null: there are none, "
            "or they cost nothing."
        ),
    ]


def job_ended(
    job: Job, tasks: Sequence[Task], cost: Cost | None, *, output_bucket: str
) -> JobEnded:
    """The event about a job that has ended.

    Args:
        tasks: all tasks of the job, by number.
        cost: what the videos that were made or planned cost.
        output_bucket: where everything is published.
    """
    source, problems = job.source, problems_of(job, tasks)
    return JobEnded(
        id=f"{job.job_id}-{job.state}",
        job_id=job.job_id,
        path=job.path,
        state=job.state.value,  # type: ignore[arg-type] # pydantic checks that it is terminal
        canceled_because=job.canceled_because.value if job.canceled_because else None,
        summary=f"{quoted(source.key)} {outcome(job)}",
        drop=Drop(
            bucket=source.bucket,
            key=source.key,
            version=source.version,
            dropped_at=source.modified_at,
        ),
        tags=job.spec.tags if job.spec else (),
        ended_at=job.updated_at,
        reasons=tuple(_reason(problem) for problem in problems[:MOST_REASONS]),
        reason_count=len(problems) + job.more_problems,
        output_bucket=output_bucket,
        status=s3_keys.status(job.path),
        review=s3_keys.review(job.path) if is_for_review(job) else None,
        dropped=job.dropped[:MOST_DROPPED],
        dropped_count=len(job.dropped),
        videos=tuple(_video(job, task) for task in tasks),
        cost=_estimate(cost) if cost else None,
    )


def _estimate(cost: Cost) -> EstimatedCost:
    return EstimatedCost(usd_low=cost.usd_low, usd_high=cost.usd_high, gpu_minutes=cost.gpu_minutes)


def _reason(problem: Problem) -> Reason:
    return Reason(
        code=problem.code.value,
        message=problem.message,
        hint=problem.hint,
        file=problem.place.file,
        field=problem.place.field,
        line=problem.place.line,
    )


def _video(job: Job, task: Task) -> VideoEnded:
    at = None
    if task.state == State.SUCCEEDED:
        at = s3_keys.published(job.path, task.number, job.task_count)
    return VideoEnded(
        number=task.number,
        state=task.state.value,  # type: ignore[arg-type] # pydantic checks that it is terminal
        video=at.video if at else None,
        poster=at.poster if at else None,
        sidecar=at.sidecar if at else None,
        code=task.problem.code.value if task.problem else None,
    )
