"""status/<path>.json: where a job is, in fields and in one sentence."""

from collections.abc import Sequence
from datetime import datetime

from contract.document import Document
from contract.errors import Notice, Problem
from functions import s3_keys
from functions.planning.estimate import Cost
from functions.replies.forecast import Forecast
from functions.spec.fields import JobSpec
from functions.table.records import Job, State, Task


class TaskStatus(Document):
    """Where one video is."""

    task_id: str
    state: State
    percent: int
    attempt: int
    expected_seconds_left: float | None = None
    waiting_reason: str | None = None
    video: str | None = None
    """Key of the MP4 in the output bucket, once it is there."""
    problem: Problem | None = None
    spec: JobSpec | None = None
    """What would be made, when nothing was to be rendered."""


class Status(Document):
    """status/<path>.json"""

    job_id: str
    path: str
    state: State
    message: str
    created_at: datetime
    updated_at: datetime
    expected: Forecast = Forecast()
    tasks: tuple[TaskStatus, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Notice, ...] = ()


def status_of(job: Job, tasks: Sequence[Task], expected: Forecast) -> Status:
    """The live status of a job."""
    return Status(
        job_id=job.job_id,
        path=job.path,
        state=job.state,
        message=_status_message(job, tasks, expected),
        created_at=job.created_at,
        updated_at=job.updated_at,
        expected=expected,
        tasks=tuple(
            TaskStatus(
                task_id=task.task_id,
                state=task.state,
                percent=task.percent,
                attempt=task.attempts,
                expected_seconds_left=task.expected_seconds_left,
                waiting_reason=task.waiting_reason,
                video=s3_keys.published(job.path, task.number, job.task_count).video
                if task.state == State.SUCCEEDED
                else None,
                problem=task.problem,
                spec=task.spec if task.state == State.PLANNED else None,
            )
            for task in tasks
        ),
        problems=job.problems,
        warnings=job.warnings,
    )


def _status_message(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.state == State.WAITING:
        upload = job.waiting_for and f"Waiting for {job.waiting_for} to be uploaded."
        return upload or "Being read."
    if job.state == State.QUEUED:
        reasons = {task.waiting_reason for task in tasks if task.waiting_reason}
        ahead = (expected.queue_position or 1) - 1
        place = f" behind {videos_words(ahead)}" if ahead else ""
        because = f": {'; '.join(sorted(reasons))}" if reasons else ""
        return f"In the queue{place}{because}."
    if job.state == State.RUNNING:
        done = sum(task.state == State.SUCCEEDED for task in tasks)
        percent = sum(task.percent for task in tasks) // max(1, len(tasks))
        if not any(task.state == State.RUNNING for task in tasks):
            reasons = {task.waiting_reason for task in tasks if task.waiting_reason}
            because = f": {'; '.join(sorted(reasons))}" if reasons else ""
            return f"{done} of {videos_words(len(tasks))} done, the rest in the queue{because}."
        return f"Rendering: {percent} % ({done} of {len(tasks)} done)."
    return ending_words(job, tasks, expected)


def ending_words(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.state == State.SUCCEEDED:
        return "Ready."
    if job.state == State.PLANNED:
        return _planned(job, tasks, expected)
    if job.state == State.CANCELED:
        done = sum(task.state == State.SUCCEEDED for task in tasks)
        kept = f" {done} of {videos_words(len(tasks))} had been made and stay." if done else ""
        return f"Canceled: {job.reason}.{kept}"
    sentences = [problem.sentence() for problem in problems_of(job, tasks)]
    done = sum(task.state == State.SUCCEEDED for task in tasks)
    if done:
        sentences.insert(0, f"{done} of {videos_words(len(tasks))} were made.")
    return " ".join(sentences) or job.state.value.capitalize()


def videos_words(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


def _planned(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.spec is not None and job.spec.enhance == "review":
        kept = [task.enhancement for task in tasks if task.enhancement.status != "enhanced"]
        if len(kept) == len(tasks):
            why = f" ({kept[0].reason})" if kept and kept[0].reason else ""
            return (
                f"Nothing was rendered: the prompt could not be rewritten{why}. "
                f"{s3_keys.review(job.path)} has the spec as it is."
            )
        return (
            f"Nothing was rendered yet: {s3_keys.review(job.path)} has the spec with its prompt "
            "rewritten. Read it, change it, and drop it."
        )
    takes = f" It would take {cost_words(expected.cost)}." if expected.cost else ""
    return f"Dry run: this would make {videos_words(len(tasks))}.{takes} Nothing was rendered."


def cost_words(cost: Cost) -> str:
    """What something takes, in a sentence."""
    words = (
        f"about {cost.gpu_minutes:.1f} minutes of rendering on {cost.instance_type} after "
        f"{cost.startup_minutes:.1f} minutes of start-up"
    )
    if cost.usd_low is None or cost.usd_high is None:
        return f"{words}; the price of that instance type is not known here"
    return f"{words}, {cost.usd_low:.2f} to {cost.usd_high:.2f} USD"


def problems_of(job: Job, tasks: Sequence[Task]) -> list[Problem]:
    """What is wrong with a job and its tasks, each thing once."""
    return list(dict.fromkeys([*job.problems, *(task.problem for task in tasks if task.problem)]))
