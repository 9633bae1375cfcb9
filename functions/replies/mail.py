"""Builds the notification about a job that has ended."""

import shlex
import urllib.parse
from collections.abc import Sequence

from contract.document import Document
from functions import s3_keys
from functions.replies import words
from functions.replies.forecast import Forecast
from functions.replies.status import ending_words, problems_of
from functions.table.records import Job, State, Task

# SNS refuses subjects of 100 characters and more.
MAX_SUBJECT_CHARACTERS = 99
# SNS refuses messages of more than 256 KiB, and signed links are long.
_MAX_LINKS = 8
_MAX_NOTES = 10


class Mail(Document):
    """A notification. People read its text, and subscriptions are filtered by its attributes."""

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
    """A published video: its key, and a signed link to it."""

    video: str
    link: str


def mail_of(
    job: Job,
    tasks: Sequence[Task],
    links: Sequence[VideoLink],
    expected: Forecast,
    *,
    output_bucket: str,
    region: str,
) -> Mail:
    """Build the notification about a job that has ended.

    Args:
        tasks: all tasks of the job, by number.
        links: the published videos of the job.
        expected: the forecast. A dry run shows its cost.
    """
    lines = [
        f"{job.source.key} {_OUTCOMES[job.state]}.",
        "",
        *_failed_numbers(job, tasks),
        *_videos(links, output_bucket, region),
        *_what_was_made(job, tasks),
    ]
    if len(links) > 1:
        sheet = s3_keys.contact_sheet(job.path)
        lines += [f"Contact sheet: {_console(output_bucket, region, sheet)}", ""]
    if job.state in {State.PLANNED, State.CANCELED}:
        lines += [ending_words(job, tasks, expected), ""]
    if job.state == State.PLANNED and job.spec is not None and job.spec.enhance == "review":
        lines += _how_to_review(job, output_bucket)
    lines += _problems(job, tasks)
    lines += _notes(job, tasks)
    if job.state == State.REJECTED:
        lines.append(f"Full report: s3://{output_bucket}/{s3_keys.rejected(job.path)}")
    else:
        lines.append(f"Details: s3://{output_bucket}/{s3_keys.status(job.path)}")
    tags = job.spec.tags if job.spec else ()
    return Mail(
        subject=_subject(job),
        body="\n".join(lines) + "\n",
        attributes={
            "status": job.state.value,
            "job_id": job.job_id,
            # A message attribute may contain every character that a path may contain.
            "path": job.path,
            **({"tags": tags} if tags else {}),
        },
    )


def _subject(job: Job) -> str:
    """One line of ASCII. SNS refuses anything else, and a name must not add mail headers."""
    name, ending = s3_keys.name_of(job.path), f" {_OUTCOMES[job.state]}"
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    room = MAX_SUBJECT_CHARACTERS - len("reeldrop: ") - len(ending)
    return f"reeldrop: {plain[:room]}{ending}"


def _done(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.state == State.SUCCEEDED]


def _failed_numbers(job: Job, tasks: Sequence[Task]) -> list[str]:
    if len(tasks) < 2 or job.state != State.FAILED:
        return []
    failed = ", ".join(str(task.number) for task in tasks if task.state == State.FAILED)
    made = f"{len(_done(tasks))} of {words.videos(len(tasks))} were made"
    return [f"{made}; number {failed} failed.", ""]


def _videos(links: Sequence[VideoLink], output_bucket: str, region: str) -> list[str]:
    lines = []
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
        lines += [f"{words.videos(len(links) - _MAX_LINKS)} more in this folder: {folder}", ""]
    return lines


def _what_was_made(job: Job, tasks: Sequence[Task]) -> list[str]:
    done = _done(tasks)
    if not done:
        return []
    took = (job.updated_at - job.created_at).total_seconds()
    lines = [f"{took:.0f} s from drop to mail.", ""]
    for task in done[:_MAX_LINKS]:
        p = task.parameters
        number = f"{task.number:02d}: " if len(tasks) > 1 else ""
        lines += [
            f"{number}{p.num_frames} frames of {p.height} x {p.width} (height x width) at "
            f"{p.fps} fps, model {task.model}, seed {p.seed}",
            f"Prompt: {p.prompt}",
            "",
        ]
    return lines


def _problems(job: Job, tasks: Sequence[Task]) -> list[str]:
    lines = []
    for problem in problems_of(job, tasks):
        where = [problem.place.file] if problem.place.file else []
        where += [f"line {problem.place.line}"] if problem.place.line is not None else []
        place = f" ({', '.join(where)})" if where else ""
        lines += [f"{problem.message}{place}", f"{problem.hint}  [{problem.code}]", ""]
    return lines


def _notes(job: Job, tasks: Sequence[Task]) -> list[str]:
    reasons = dict.fromkeys(t.enhancement.reason for t in tasks if t.enhancement.reason)
    return [
        *(f"Note: the prompt was not enhanced: {reason}." for reason in reasons),
        *(f"Note: {warning.message}" for warning in job.warnings[:_MAX_NOTES]),
    ]


def _how_to_review(job: Job, output_bucket: str) -> list[str]:
    written = f"s3://{output_bucket}/{s3_keys.review(job.path)}"
    folder = f"s3://{job.source.bucket}/{s3_keys.JOBS_PREFIX}{s3_keys.folder_of(job.source.key)}"
    name = s3_keys.name_of(job.path) + ".yaml"
    target = f"{folder.rstrip('/')}/{name}"
    return [
        f"Read it:            aws s3 cp {shlex.quote(written)} -",
        f"Drop it as it is:   aws s3 cp {shlex.quote(written)} {shlex.quote(target)}",
        f"Or change it first: aws s3 cp {shlex.quote(written)} {shlex.quote(name)}",
        f"                    aws s3 cp {shlex.quote(name)} {shlex.quote(target)}",
        "",
    ]


def _console(bucket: str, region: str, key: str) -> str:
    return (
        f"https://{region}.console.aws.amazon.com/s3/object/{bucket}"
        f"?region={region}&prefix={urllib.parse.quote(key)}"
    )
