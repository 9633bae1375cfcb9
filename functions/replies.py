"""What the bucket and the inbox say to people: status, refusal, sidecar and mail, as texts.

Pure: records in, text out.
"""

import json
import shlex
import urllib.parse
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from functions import keys
from functions.estimate import USD_PER_HOUR
from functions.forecast import Cost, Forecast
from functions.job import Enhancement, Job, State, Task
from functions.spec import JobSpec, Video
from processing.contract.document import Document
from processing.contract.errors import Code, Notice, Problem
from processing.contract.outcome import Machine, Quality, Rendered, Seconds, VideoFacts

# SNS refuses subjects of 100 characters and more.
MAX_SUBJECT_CHARACTERS = 99
# SNS refuses messages of more than 256 KiB, and links that are signed are long.
_MAX_LINKS = 8
_MAX_NOTES = 10


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


def status(job: Job, tasks: Sequence[Task], expected: Forecast) -> Status:
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
                video=keys.published(job.path, task.number, job.task_count).video
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
        place = f" behind {_videos(ahead)}" if ahead else ""
        because = f": {'; '.join(sorted(reasons))}" if reasons else ""
        return f"In the queue{place}{because}."
    if job.state == State.RUNNING:
        done = sum(task.state == State.SUCCEEDED for task in tasks)
        percent = sum(task.percent for task in tasks) // max(1, len(tasks))
        if not any(task.state == State.RUNNING for task in tasks):
            reasons = {task.waiting_reason for task in tasks if task.waiting_reason}
            because = f": {'; '.join(sorted(reasons))}" if reasons else ""
            return f"{done} of {_videos(len(tasks))} done, the rest in the queue{because}."
        return f"Rendering: {percent} % ({done} of {len(tasks)} done)."
    return _ending(job, tasks, expected)


def _ending(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.state == State.SUCCEEDED:
        return "Ready."
    if job.state == State.PLANNED:
        return _planned(job, tasks, expected)
    if job.state == State.CANCELED:
        done = sum(task.state == State.SUCCEEDED for task in tasks)
        kept = f" {done} of {_videos(len(tasks))} had been made and stay." if done else ""
        return f"Canceled: {job.reason}.{kept}"
    sentences = [problem.sentence() for problem in _problems(job, tasks)]
    done = sum(task.state == State.SUCCEEDED for task in tasks)
    if done:
        sentences.insert(0, f"{done} of {_videos(len(tasks))} were made.")
    return " ".join(sentences) or job.state.value.capitalize()


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


def _planned(job: Job, tasks: Sequence[Task], expected: Forecast) -> str:
    if job.spec is not None and job.spec.enhance == "review":
        kept = [task.enhancement for task in tasks if task.enhancement.status != "enhanced"]
        if len(kept) == len(tasks):
            why = f" ({kept[0].reason})" if kept and kept[0].reason else ""
            return (
                f"Nothing was rendered: the prompt could not be rewritten{why}. "
                f"{keys.review(job.path)} has the spec as it is."
            )
        return (
            f"Nothing was rendered yet: {keys.review(job.path)} has the spec with its prompt "
            "rewritten. Read it, change it, and drop it."
        )
    takes = f" It would take {cost_words(expected.cost)}." if expected.cost else ""
    return f"Dry run: this would make {_videos(len(tasks))}.{takes} Nothing was rendered."


def cost_words(cost: Cost) -> str:
    """What something takes, in a sentence."""
    words = (
        f"about {cost.gpu_minutes:.1f} minutes of rendering on {cost.instance_type} after "
        f"{cost.startup_minutes:.1f} minutes of start-up"
    )
    if cost.usd_low is None or cost.usd_high is None:
        return f"{words}; the price of that instance type is not known here"
    return f"{words}, {cost.usd_low:.2f} to {cost.usd_high:.2f} USD"


def review(job: Job, tasks: Sequence[Task]) -> str:
    """review/<path>.yaml: the spec with its prompts rewritten, to be read, changed and dropped.

    Every value is filled in, so that it makes these videos wherever it is dropped. What differs
    between them stands under `matrix: include:`. Values are written as JSON, which YAML reads.
    """
    specs = list({task.spec.model_dump_json(): task.spec for task in tasks}.values())
    plain = [spec.model_dump(mode="json", exclude={"matrix", "preset", "aspect"}) for spec in specs]
    varied = [
        name
        for name in Video.model_fields
        if name in plain[0] and any(one[name] != plain[0][name] for one in plain)
    ]
    lines = [
        "# The spec with its prompt rewritten. Change what you like, then drop it under jobs/,"
    ]
    lines.append(f"# as {keys.name_of(job.path)}.yaml or under another name. You had written:")
    originals = dict.fromkeys(task.enhancement.original for task in tasks)
    lines += [f"#   {' '.join(original.split())}" for original in originals if original.strip()]
    reasons = dict.fromkeys(task.enhancement.reason for task in tasks if task.enhancement.reason)
    lines += [f"# It is not rewritten: {' '.join(reason.split())}" for reason in reasons]
    lines += [
        f"{name}: {_json(value)}"
        for name, value in plain[0].items()
        if name not in varied and value is not None
    ]
    if varied:
        lines += ["matrix:", "  include:"]
        lines += [f"    - {_json({name: one[name] for name in varied})}" for one in plain]
    else:
        lines.append("matrix: null")  # a folder may have one
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    """Text with its own letters, but for those that end a line or are no text in YAML."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _problems(job: Job, tasks: Sequence[Task]) -> list[Problem]:
    """What is wrong with a job and its tasks, each thing once."""
    return list(dict.fromkeys([*job.problems, *(task.problem for task in tasks if task.problem)]))


def refusal(job: Job) -> str:
    """rejected/<path>.txt, for a person: what is wrong, where, and how to mend it."""
    defaults = keys.kind_of(job.source.key) == keys.Kind.DEFAULTS
    what = "cannot be used as folder defaults" if defaults else "was not turned into a video"
    lines = [f"{job.source.key} {what}.", ""]
    for problem in job.problems:
        place = problem.place
        where = [f"file {place.file}"] if place.file is not None else []
        where += [f"line {place.line}"] if place.line is not None else []
        where += [f"column {place.column}"] if place.column is not None else []
        where += [f"field {place.field}"] if place.field else []
        lines += [
            f"What:  {problem.message}",
            *([f"Where: {', '.join(where)}"] if where else []),
            f"Mend:  {problem.hint}",
            f"Code:  {problem.code}",
            "",
        ]
    lines.append(f"{_again(job)} Job {job.job_id}, {job.updated_at:%Y-%m-%d %H:%M:%S} UTC.")
    return "\n".join(lines) + "\n"


def _again(job: Job) -> str:
    """What to do when everything is mended."""
    if any(problem.code in {Code.KEY_SUFFIX, Code.KEY_TOO_DEEP} for problem in job.problems):
        return "Upload the file again under a name that fits."
    blamed = {problem.place.file for problem in job.problems} - {None, job.source.key}
    if blamed:
        files = ", ".join(sorted(str(file) for file in blamed))
        return f"Correct {files}, and upload that and then {job.source.key} again."
    return "Correct the file and upload it again under the same name."


class Timing(Document):
    """When things happened, and how long each part of the work took."""

    dropped_at: datetime
    queued_at: datetime
    started_at: datetime
    finished_at: datetime
    seconds: Seconds


class Sidecar(Document):
    """videos/<path>.json: all there is to know about a video.

    `spec` is itself a valid spec: dropped again, it makes the same video.
    """

    status: Literal["succeeded"] = "succeeded"
    job_id: str
    task_id: str
    attempt_id: str
    attempts: int
    source: str
    source_version: str
    spec: JobSpec
    prompt: str
    enhancement: Enhancement
    model: str
    licence: str
    weights_sha256: str
    scheduler: str
    timing: Timing
    machine: Machine
    video_file: str
    video: VideoFacts
    poster_file: str
    gif_file: str | None
    quality: Quality
    cost_usd: float | None
    """Of the seconds above without its share of the start-up; None: the price is not known."""
    warnings: tuple[Notice, ...]


def sidecar(job: Job, task: Task, rendered: Rendered, *, bucket: str, licence: str) -> Sidecar:
    """The sidecar of a task that succeeded."""
    at = keys.published(job.path, task.number, job.task_count)
    return Sidecar(
        job_id=job.job_id,
        task_id=task.task_id,
        attempt_id=rendered.attempt_id,
        attempts=task.attempts,
        source=f"s3://{job.source.bucket}/{job.source.key}",
        source_version=job.source.version,
        spec=task.spec,
        prompt=task.spec.prompt,
        enhancement=task.enhancement,
        model=rendered.model,
        licence=licence,
        weights_sha256=rendered.weights_sha256,
        scheduler=rendered.scheduler,
        timing=Timing(
            dropped_at=job.created_at,
            queued_at=task.queued_at,
            started_at=rendered.started_at,
            finished_at=rendered.finished_at,
            seconds=rendered.seconds,
        ),
        machine=rendered.machine,
        video_file=f"s3://{bucket}/{at.video}",
        video=rendered.video,
        poster_file=f"s3://{bucket}/{at.poster}",
        gif_file=f"s3://{bucket}/{at.gif}" if rendered.gif_sha256 else None,
        quality=rendered.quality,
        cost_usd=_cost(rendered),
        warnings=tuple(dict.fromkeys((*job.warnings, *rendered.warnings))),
    )


def _cost(rendered: Rendered) -> float | None:
    s = rendered.seconds
    seconds = s.text_encoding + s.denoising + s.decoding + s.encoding
    price = USD_PER_HOUR.get(rendered.machine.name)
    return None if price is None else round(seconds / 3600 * price, 4)


class Mail(Document):
    """A notification: words for people, attributes for machines."""

    subject: str
    body: str
    attributes: dict[str, str | tuple[str, ...]]


_OUTCOMES = {
    State.SUCCEEDED: "is ready",
    State.REJECTED: "was refused",
    State.FAILED: "failed",
    State.CANCELED: "was canceled",
    State.PLANNED: "was planned",
}


class VideoLink(Document):
    """A published video, as a mail names it."""

    video: str
    link: str


def mail(
    job: Job,
    tasks: Sequence[Task],
    links: Sequence[VideoLink],
    expected: Forecast,
    *,
    output_bucket: str,
    region: str,
) -> Mail:
    """The notification of a job that has ended."""
    name = keys.name_of(job.path)
    ending = f" {_OUTCOMES[job.state]}"
    # ASCII, one line: SNS refuses anything else, and a name must not add headers.
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    room = MAX_SUBJECT_CHARACTERS - len("reeldrop: ") - len(ending)
    lines = [f"{job.source.key} {_OUTCOMES[job.state]}.", ""]
    done = [task for task in tasks if task.state == State.SUCCEEDED]
    if len(tasks) > 1 and job.state == State.FAILED:
        failed = ", ".join(str(task.number) for task in tasks if task.state == State.FAILED)
        lines += [f"{len(done)} of {_videos(len(tasks))} were made; number {failed} failed.", ""]
    for link in links[:_MAX_LINKS]:
        lines += [
            f"Video:    s3://{output_bucket}/{link.video}",
            f"Copy it:  aws s3 cp {shlex.quote(f's3://{output_bucket}/{link.video}')} .",
            f"Console:  {_console(output_bucket, region, link.video)}",
            f"Link (works for a short time): {link.link}",
            "",
        ]
    if len(links) > _MAX_LINKS:
        folder = f"s3://{output_bucket}/{links[0].video.rpartition('/')[0]}/"
        lines += [f"And {_videos(len(links) - _MAX_LINKS)} more beside them: {folder}", ""]
    if done:
        took = (job.updated_at - job.created_at).total_seconds()
        lines += [f"{took:.0f} s from drop to mail.", ""]
    for task in done[:_MAX_LINKS]:
        p = task.parameters
        number = f"{task.number:02d}: " if len(tasks) > 1 else ""
        lines += [
            f"{number}{p.num_frames} frames of {p.height} x {p.width} (height x width) at "
            f"{p.fps} fps, model {task.model}, seed {p.seed}",
            f"Prompt: {p.prompt}",
            "",
        ]
    if len(links) > 1:
        sheet = keys.contact_sheet(job.path)
        lines += [f"All together: {_console(output_bucket, region, sheet)}", ""]
    if job.state in {State.PLANNED, State.CANCELED}:
        lines += [_ending(job, tasks, expected), ""]
    if job.state == State.PLANNED and job.spec is not None and job.spec.enhance == "review":
        lines += _how_to_review(job, output_bucket)
    for problem in _problems(job, tasks):
        where = [problem.place.file] if problem.place.file else []
        where += [f"line {problem.place.line}"] if problem.place.line is not None else []
        place = f" ({', '.join(where)})" if where else ""
        lines += [f"{problem.message}{place}", f"{problem.hint}  [{problem.code}]", ""]
    reasons = dict.fromkeys(t.enhancement.reason for t in tasks if t.enhancement.reason)
    lines += [f"Note: the prompt was not enhanced: {reason}." for reason in reasons]
    lines += [f"Note: {warning.message}" for warning in job.warnings[:_MAX_NOTES]]
    if job.state == State.REJECTED:
        lines.append(f"The whole answer: s3://{output_bucket}/{keys.rejected(job.path)}")
    else:
        lines.append(f"Details: s3://{output_bucket}/{keys.status(job.path)}")
    tags = job.spec.tags if job.spec else ()
    return Mail(
        subject=f"reeldrop: {plain[:room]}{ending}",
        body="\n".join(lines) + "\n",
        attributes={
            "status": job.state.value,
            "job_id": job.job_id,
            # Attribute values are text; a message attribute may hold any of the path's characters.
            "path": job.path,
            **({"tags": tags} if tags else {}),
        },
    )


def _how_to_review(job: Job, output_bucket: str) -> list[str]:
    written = f"s3://{output_bucket}/{keys.review(job.path)}"
    folder = f"s3://{job.source.bucket}/{keys.JOBS_PREFIX}{keys.folder_of(job.source.key)}"
    name = keys.name_of(job.path) + ".yaml"
    target = f"{folder.rstrip('/')}/{name}"
    return [
        f"Look at it:         aws s3 cp {shlex.quote(written)} -",
        f"Take it as it is:   aws s3 cp {shlex.quote(written)} {shlex.quote(target)}",
        f"Or change it first: aws s3 cp {shlex.quote(written)} {shlex.quote(name)}",
        f"                    aws s3 cp {shlex.quote(name)} {shlex.quote(target)}",
        "",
    ]


def _console(bucket: str, region: str, key: str) -> str:
    return (
        f"https://{region}.console.aws.amazon.com/s3/object/{bucket}"
        f"?region={region}&prefix={urllib.parse.quote(key)}"
    )
