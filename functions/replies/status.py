"""Builds status/<path>.json: the state of a job, in fields and in one sentence."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from contract.document import Document
from contract.errors import Notice, Problem
from contract.timeline import timeline_of
from functions import s3_keys
from functions.replies import words
from functions.replies.forecast import Forecast
from functions.spec.fields import JobSpec
from functions.table.records import HoldReason, Job, State, Task

# By how much an expected end must change at least, so that the status is written again.
NOTICEABLE = timedelta(minutes=1)
# How many problems of a list the message has. The refusal has all.
_MOST_SENTENCES = 5


class Length(Document):
    """How long a video is, or will be."""

    duration_seconds: float
    fps: int
    num_frames: int


class TaskStatus(Document):
    """The state of one video."""

    task_id: str
    state: State
    percent: int
    attempt: int
    expected_seconds_left: float | None = None
    hold: HoldReason | None = None
    """Why it does not run yet, as a code. `waiting_reason` says the same in words."""
    waiting_reason: str | None = None
    length: Length | None = None
    video: str | None = None
    """Key of the MP4 in the output bucket, after it was published."""
    other_formats: tuple[str, ...] = ()
    """Keys of the same video in the other formats that the spec asks for."""
    scene: int | None = None
    """While it runs: the scene that is being made, counted from 1."""
    scenes: int | None = None
    """How many scenes it has. None: it is not made of scenes."""
    scene_files: tuple[str, ...] = ()
    """Keys of the scenes that are published as videos of their own. Of a failed video, they are
    those before the scene that failed."""
    problem: Problem | None = None
    spec: JobSpec | None = None
    """For a planned job: what would be made."""


class Status(Document):
    """The content of status/<path>.json."""

    job_id: str
    path: str
    state: State
    message: str
    created_at: datetime
    updated_at: datetime
    expected: Forecast = Forecast()
    tasks: tuple[TaskStatus, ...]
    problems: tuple[Problem, ...] = ()
    more_problems: int = 0
    """How many further problems are not listed."""
    warnings: tuple[Notice, ...] = ()
    dropped: tuple[str, ...] = ()
    """The keys of the specs that were dropped because of it: the final of an approved draft, or the
    good rows of a list."""


def status_of(job: Job, tasks: Sequence[Task], expected: Forecast, now: datetime) -> Status:
    """The status of a job now.

    Args:
        tasks: all tasks of the job, by number.
        expected: the forecast of the job.
        now: a reason to wait until an earlier time is left out.
    """
    tasks = [task.released(now) for task in tasks]
    return Status(
        job_id=job.job_id,
        path=job.path,
        state=job.state,
        message=_message(job, tasks, expected),
        created_at=job.created_at,
        updated_at=job.updated_at,
        expected=expected,
        tasks=tuple(_task_status(job, task) for task in tasks),
        problems=job.problems,
        more_problems=job.more_problems,
        warnings=(*job.warnings, *words.not_enhanced(tasks)),
        dropped=job.dropped,
    )


def differs(written: Status, current: Status, now: datetime) -> bool:
    """Whether a reader would notice the difference between two statuses of a job.

    Estimates move all the time. A new one is worth a new status if it is more than a minute, and
    more than a tenth of the time until then, away from the one before.
    """
    if written.model_dump(exclude={"expected"}) != current.model_dump(exclude={"expected"}):
        return True
    old, new = written.expected, current.expected
    if old.queue_position != new.queue_position or (old.ends_at is None) != (new.ends_at is None):
        return True
    if old.ends_at is None or new.ends_at is None:
        return False
    left = abs(new.ends_at - now)
    return abs(new.ends_at - old.ends_at) > max(NOTICEABLE, left / 10)


def _task_status(job: Job, task: Task) -> TaskStatus:
    parameters = task.parameters
    timeline, scenes = timeline_of(parameters), len(parameters.scenes)
    at = None
    if task.state == State.SUCCEEDED:
        at = s3_keys.published(job.path, task.number, job.task_count)
    return TaskStatus(
        task_id=task.task_id,
        state=task.state,
        percent=task.percent,
        attempt=task.attempts,
        expected_seconds_left=task.expected_seconds_left,
        hold=task.hold.reason if task.hold else None,
        waiting_reason=words.hold(task.hold) if task.hold else task.unpublished_because,
        length=Length(
            duration_seconds=round(timeline.duration_seconds, 2),
            fps=timeline.fps,
            num_frames=timeline.num_frames,
        ),
        video=at.video if at else None,
        other_formats=tuple(key for _, key in at.also(job.wanted_outputs)) if at else (),
        scene=task.scene if task.state == State.RUNNING else None,
        scenes=scenes or None,
        scene_files=scene_keys(job, task),
        problem=task.problem,
        spec=task.spec if task.state == State.PLANNED else None,
    )


def scene_keys(job: Job, task: Task) -> tuple[str, ...]:
    """The keys of the scenes of a task that are published as videos of their own."""
    count = task.scenes_kept
    if task.state == State.SUCCEEDED and "scenes" in task.spec.outputs:
        count = len(task.parameters.scenes)
    at = s3_keys.published(job.path, task.number, job.task_count)
    return tuple(at.scene(number) for number in range(1, count + 1))


def _message(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.state == State.WAITING:
        return _waiting(job)
    if job.state == State.QUEUED:
        ahead = (expected.queue_position or 1) - 1
        place = f" behind {words.videos(ahead)}" if ahead else ""
        unjudged = f" {words.not_judged(job.not_judged)}" if job.not_judged else ""
        return f"In the queue{place}{_because(tasks)}.{unjudged}"
    if job.state == State.RUNNING:
        if held_back := [task for task in tasks if task.unpublished_because]:
            return words.held_back(held_back)
        done = sum(task.state == State.SUCCEEDED for task in tasks)
        if not any(task.state == State.RUNNING for task in tasks):
            rest = f"the rest in the queue{_because(tasks)}"
            return f"{done} of {words.videos(len(tasks))} done, {rest}."
        percent = sum(task.percent for task in tasks) // max(1, len(tasks))
        return f"Rendering: {percent} % ({done} of {len(tasks)} done{_at_scene(tasks)})."
    return ending_words(job, tasks, expected)


def _at_scene(tasks: Sequence[Task]) -> str:
    """Which scene is being made, if only one video is."""
    at_work = [task for task in tasks if task.state == State.RUNNING and task.scene is not None]
    if len(at_work) != 1:
        return ""
    return f", scene {at_work[0].scene} of {len(at_work[0].parameters.scenes)}"


def _waiting(job: Job) -> str:
    if job.waiting_for:
        return _waiting_for_references(job)
    if s3_keys.kind_of(job.source.key) == s3_keys.Kind.LIST:
        return "The list is being read."
    if job.not_judged:
        return words.not_judged(job.not_judged)
    if job.enhance_until is None:
        enhanced = job.spec is None or job.spec.enhance
        return f"The prompt is being {'enhanced' if enhanced else 'checked'}."
    return (
        "The prompt is being enhanced, but the language model is busy. It is asked again until "
        f"{job.enhance_until:%H:%M} UTC; after that, the prompt is used as it is."
    )


def _waiting_for_references(job: Job) -> str:
    sentences = []
    if absent := [key for key in job.waiting_for if key not in job.found_empty]:
        sentences.append(f"Waiting for {words.listing(absent)} to be uploaded.")
    if empty := job.found_empty:
        files = "the file there is" if len(empty) == 1 else "the files there are"
        sentences.append(f"Waiting for the content of {words.listing(empty)}: {files} empty.")
    return " ".join(sentences)


def _because(tasks: Sequence[Task]) -> str:
    reasons = {words.hold(task.hold) for task in tasks if task.hold}
    return f": {'; '.join(sorted(reasons))}" if reasons else ""


def ending_words(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    """How a job ended, in one or a few sentences."""
    if job.state == State.SUCCEEDED:
        is_draft = any(task.is_draft for task in tasks)
        return f"Ready. {words.how_to_approve(job, tasks)}" if is_draft else "Ready."
    if job.state == State.HANDED_ON:
        return words.handed_on(job)
    if job.state == State.PLANNED:
        return _planned(job, tasks, expected)
    done = sum(task.state == State.SUCCEEDED for task in tasks)
    of_all = f"{done} of {words.videos(len(tasks))}"
    if job.state == State.CANCELED:
        kept = f" {of_all} had been made and stay." if done else ""
        return f"Canceled: {words.canceled(job.canceled_because)}.{kept}"
    sentences, more = [one.sentence() for one in problems_of(job, tasks)], job.more_problems
    if job.bad_rows:
        first = job.problems[:_MOST_SENTENCES]
        sentences = [*words.rows(job), *(words.in_row(problem) for problem in first)]
        more += len(job.problems) - len(first)
    if more:
        sentences.append(f"{words.more_problems(more)} not named here.")
    sentences += [words.scenes_kept(scene_keys(job, task)) for task in tasks if task.scenes_kept]
    if done:
        sentences.insert(0, f"{of_all} were made.")
    return " ".join(sentences) or job.state.value.capitalize()


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
    takes = f" It would take {words.cost(expected.cost)}." if expected.cost else ""
    lengths = {words.length(task.parameters) for task in tasks}
    each = f" of {lengths.pop()}{' each' if len(tasks) > 1 else ''}" if len(lengths) == 1 else ""
    made = f"{words.videos(len(tasks))}{each}"
    return f"Dry run: this would make {made}.{takes} Nothing was rendered."


def problems_of(job: Job, tasks: Sequence[Task]) -> list[Problem]:
    """What is wrong with a job and its tasks, each problem once."""
    return list(dict.fromkeys([*job.problems, *(task.problem for task in tasks if task.problem)]))
