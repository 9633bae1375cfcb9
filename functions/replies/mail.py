"""Builds the notification about a job that has ended."""

import posixpath
import shlex
import unicodedata
import urllib.parse
from collections.abc import Iterable, Sequence
from datetime import datetime

from contract.catalogue import Mode
from contract.document import Document
from contract.errors import one_line
from functions import s3_keys
from functions.planning.estimate import Cost
from functions.replies import words
from functions.replies.forecast import Forecast
from functions.replies.status import ending_words, problems_of, scene_keys
from functions.table.records import Job, State, Task

# SNS refuses subjects of 100 characters and more.
MAX_SUBJECT_CHARACTERS = 99
# SNS refuses messages of more than 256 KiB, and signed links are long.
_MAX_LINKS = 8
_MAX_NOTES = 10
_MAX_PROBLEMS = 10
# Prompts, names and messages are cut to this many characters each. The status has all of them.
_LONGEST_QUOTE = 400
# The text of a mail is cut to this many bytes, without its links.
LONGEST_TEXT_BYTES = 6000
LONGEST_LINK = 1000


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
    # It has no mail, but an event.
    State.HANDED_ON: "was handed on",
}


_FORMATS = {"gif": "GIF:", "h265": "H.265:", "webm": "WebM:"}


class VideoLink(Document):
    """A published video: its key, and a signed link to it."""

    video: str
    link: str


class Made(Document):
    """What the mail says about the videos of a job that were made."""

    links: tuple[VideoLink, ...] = ()
    links_end_at: datetime
    """When the links stop to work at the latest."""
    cost: Cost | None = None
    """What rendering them is estimated to have cost."""


def mail_of(
    job: Job,
    tasks: Sequence[Task],
    made: Made,
    expected: Forecast,
    *,
    output_bucket: str,
    region: str,
    again: bool = False,
) -> Mail:
    """Build the notification about a job that has ended.

    Nothing that a person wrote can add a line to it or make it long.

    Args:
        tasks: all tasks of the job, by number.
        made: the published videos of the job.
        expected: the forecast of the job, for one that was only planned.
        output_bucket: where everything is published.
        region: where the buckets are, for links to the console.
        again: whether SNS may have sent this mail already.
    """
    head = [f"{quoted(job.source.key)} {outcome(job)}.", *maybe_again(again=again)]
    lines = [*_failed_numbers(job, tasks), *_what_was_made(job, tasks, made)]
    lines += _how_to_approve(job, tasks)
    if job.state in {State.PLANNED, State.CANCELED}:
        lines += [one_line(ending_words(job, tasks, expected)), ""]
    if is_for_review(job):
        lines += _how_to_review(job, output_bucket, region)
    elif job.state == State.PLANNED:
        lines += [line for task in tasks[:_MAX_LINKS] for line in _planned(task)]
    if job.bad_rows:
        lines += [*map(quoted, words.rows(job)), ""]
    lines += [*_problems(job, tasks), *_kept_scenes(job, tasks, output_bucket, region)]
    lines += _notes(job, tasks)
    ending = [one_line(line) for line in _where_to_look(job, output_bucket, region)]
    text = [*_short(lines, room=LONGEST_TEXT_BYTES - bytes_of(ending)), *ending]
    body = [*head, "", *_videos(job, made, output_bucket, region), *text]
    tags = job.spec.tags if job.spec else ()
    return Mail(
        subject=subject_of(job.path, f" {outcome(job)}"),
        body="\n".join(body) + "\n",
        attributes={
            "status": job.state.value,
            "job_id": job.job_id,
            "path": one_line(job.path),
            **({"tags": tags} if tags else {}),
        },
    )


def is_for_review(job: Job) -> bool:
    return job.state == State.PLANNED and job.spec is not None and job.spec.enhance == "review"


def outcome(job: Job) -> str:
    """What became of a job, as a part of a sentence."""
    if job.bad_rows and job.dropped:
        return "has bad rows"
    return "needs your review" if is_for_review(job) else _OUTCOMES[job.state]


def subject_of(path: str, ending: str) -> str:
    """One line of ASCII. SNS refuses anything else, and a name must not add mail headers.

    Mails of different folders can be told apart, so it has the whole path, cut at its beginning.
    """
    plain = "/".join(_plain(part) for part in path.split("/"))
    room = MAX_SUBJECT_CHARACTERS - len("reeldrop: ") - len(ending)
    return f"reeldrop: {plain if len(plain) <= room else '...' + plain[3 - room :]}{ending}"


def _plain(name: str) -> str:
    """The ASCII letters of a name, without accents. The first line of the mail has the name."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(c for c in letters if c.isprintable()).strip() or "(name in the mail)"


def maybe_again(*, again: bool) -> list[str]:
    """The line of a mail that SNS may have sent already."""
    if not again:
        return []
    return ["You may have this mail already, because SNS did not confirm that it was sent."]


def quoted(text: str) -> str:
    """A text of a person on one line, not too long."""
    return one_line(text, _LONGEST_QUOTE)


def _short(lines: Iterable[str], room: int) -> list[str]:
    """The first lines, as many as fit into `room` bytes."""
    kept: list[str] = []
    for line in lines:
        room -= bytes_of([line])
        if room < 0:
            return [*kept, "(This mail was shortened. The status has everything.)"]
        kept.append(line)
    return kept


def bytes_of(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _done(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.state == State.SUCCEEDED]


def _failed_numbers(job: Job, tasks: Sequence[Task]) -> list[str]:
    if len(tasks) < 2 or job.state != State.FAILED:
        return []
    failed = ", ".join(str(task.number) for task in tasks if task.state == State.FAILED)
    made = f"{len(_done(tasks))} of {words.videos(len(tasks))} were made"
    return [f"{made}; number {failed} failed.", ""]


def _videos(job: Job, made: Made, output_bucket: str, region: str) -> list[str]:
    lines = []
    for link in made.links[:_MAX_LINKS]:
        also = s3_keys.beside(link.video).also(job.wanted_outputs)
        lines += [
            f"Video:    s3://{output_bucket}/{link.video}",
            f"Copy it:  aws s3 cp {shlex.quote(f's3://{output_bucket}/{link.video}')} .",
            f"Console:  {console_link(output_bucket, region, link.video)}",
            *(
                f"{_FORMATS[output]:<9} {console_link(output_bucket, region, key)}"
                for output, key in also
            ),
            *_scenes_beside(job, link.video, output_bucket),
            f"Link (until {made.links_end_at:%Y-%m-%d %H:%M} UTC at the latest): {link.link}",
            "",
        ]
    if len(made.links) > _MAX_LINKS:
        folder = f"s3://{output_bucket}/{made.links[0].video.rpartition('/')[0]}/"
        lines += [f"{words.videos(len(made.links) - _MAX_LINKS)} more in this folder: {folder}", ""]
    if len(made.links) > 1:
        sheet = s3_keys.contact_sheet(job.path)
        lines += [f"Contact sheet: {console_link(output_bucket, region, sheet)}", ""]
    return lines


def _scenes_beside(job: Job, video: str, output_bucket: str) -> list[str]:
    """Where the scenes of a video are, each by itself, if the spec asks for that."""
    if "scenes" not in job.wanted_outputs or not job.scene_count:
        return []
    at, count = s3_keys.beside(video), job.scene_count
    last = s3_keys.name_of(at.scene(count))
    return [f"Scenes:   s3://{output_bucket}/{at.scene(1)} to {last}"]


def _what_was_made(job: Job, tasks: Sequence[Task], made: Made) -> list[str]:
    done = _done(tasks)
    if not done:
        return []
    took = (job.updated_at - job.created_at).total_seconds()
    lines = [f"{took:.0f} s from drop to mail."]
    if made.cost is not None and made.cost.usd_low is not None:
        lines.append(f"Estimate of the cost: {words.cost(made.cost)}.")
    lines.append("")
    for task in done[:_MAX_LINKS]:
        lines += _about(task, number=len(tasks) > 1)
    return lines


def _how_to_approve(job: Job, tasks: Sequence[Task]) -> list[str]:
    if job.state != State.SUCCEEDED or not any(task.is_draft for task in tasks):
        return []
    bucket, key = shlex.quote(job.source.bucket), shlex.quote(s3_keys.approval(job.path))
    return [
        quoted(words.how_to_approve(job, tasks)),
        f"In a terminal: aws s3api put-object --bucket {bucket} --key {key}",
        "",
    ]


def _planned(task: Task) -> list[str]:
    return _about(task, number=True)


def _about(task: Task, *, number: bool) -> list[str]:
    p = task.parameters
    begin = f"{task.number:02d}: " if number else ""
    made = f"{begin}{words.length(p)}, {p.height} x {p.width} (height x width)"
    if p.mode == Mode.FINISHING:
        clip = posixpath.basename(task.spec.video or "")
        return [made, f"Finished from {quoted(clip)}, without a model.", ""]
    prompts = [("Prompt", p.prompt)]
    if p.scenes:
        prompts = [(f"Scene {n}", scene.prompt) for n, scene in enumerate(p.scenes, 1)]
    return [
        f"{made}, model {task.model}, seed {p.seed}",
        *(f"{what}: {quoted(' '.join(prompt.split()))}" for what, prompt in prompts),
        "",
    ]


def _kept_scenes(job: Job, tasks: Sequence[Task], output_bucket: str, region: str) -> list[str]:
    """Where the scenes before one that failed are."""
    lines = []
    for task in [task for task in tasks if task.scenes_kept][:_MAX_LINKS]:
        keys = scene_keys(job, task)
        folder = folder_link(output_bucket, region, s3_keys.parent(keys[0]))
        lines += [words.scenes_kept(keys), f"Console:  {folder}", ""]
    return lines


def _problems(job: Job, tasks: Sequence[Task]) -> list[str]:
    lines = []
    found = problems_of(job, tasks)
    for problem in found[:_MAX_PROBLEMS]:
        where = [problem.place.file] if problem.place.file else []
        unit = words.unit_of(job, problem)
        where += [f"{unit} {problem.place.line}"] if problem.place.line is not None else []
        place = f" ({quoted(', '.join(where))})" if where else ""
        message, hint = quoted(problem.message), quoted(problem.hint)
        lines += [f"{message}{place}", f"{hint}  [{problem.code}]", ""]
    if len(found) > _MAX_PROBLEMS:
        rest = f", which leaves out {job.more_problems}" if job.more_problems else ""
        lines += [f"{words.more_problems(len(found) - _MAX_PROBLEMS)} in the report{rest}.", ""]
    return lines


def _notes(job: Job, tasks: Sequence[Task]) -> list[str]:
    notices = [*words.not_enhanced(tasks), *job.warnings]
    return [f"Note: {quoted(notice.message)}" for notice in notices[:_MAX_NOTES]]


def _how_to_review(job: Job, output_bucket: str, region: str) -> list[str]:
    review = s3_keys.review(job.path)
    written = f"s3://{output_bucket}/{review}"
    folder_key = f"{s3_keys.JOBS_PREFIX}{s3_keys.folder_of(job.source.key)}".rstrip("/")
    name = s3_keys.name_of(job.path) + ".yaml"
    target = f"s3://{job.source.bucket}/{folder_key}/{name}"
    return [
        f"Read it in the console:  {console_link(output_bucket, region, review)}",
        f"Upload it, changed or not, here:  {folder_link(job.source.bucket, region, folder_key)}",
        "",
        "Or in a terminal:",
        f"Read it:            aws s3 cp {shlex.quote(written)} -",
        f"Drop it as it is:   aws s3 cp {shlex.quote(written)} {shlex.quote(target)}",
        f"Or change it first: aws s3 cp {shlex.quote(written)} {shlex.quote(name)}",
        f"                    aws s3 cp {shlex.quote(name)} {shlex.quote(target)}",
        "",
    ]


def _where_to_look(job: Job, output_bucket: str, region: str) -> list[str]:
    """Where the whole answer is, and where a corrected file has to be uploaded."""
    if job.state not in {State.REJECTED, State.FAILED}:
        return [f"Details: s3://{output_bucket}/{s3_keys.status(job.path)}"]
    rejected = job.state == State.REJECTED
    report = s3_keys.rejected(job.path) if rejected else s3_keys.failed(job.path)
    below = s3_keys.folder_of(job.source.key) if _is_in_jobs(job) else ""
    folder = f"{s3_keys.JOBS_PREFIX}{below}".rstrip("/")
    if s3_keys.kind_of(job.source.key) == s3_keys.Kind.APPROVAL:
        folder = s3_keys.parent(job.source.key)
    links = {
        "Console:     ": console_link(output_bucket, region, report),
        "Its folder:  ": folder_link(job.source.bucket, region, folder),
    }
    return [
        f"Full report: s3://{output_bucket}/{report}",
        # Mail programs cannot open longer ones, and they would fill the mail.
        *(f"{name}{link}" for name, link in links.items() if len(link) <= LONGEST_LINK),
    ]


def _is_in_jobs(job: Job) -> bool:
    return job.source.key.startswith(s3_keys.JOBS_PREFIX)


def console_link(bucket: str, region: str, key: str) -> str:
    return (
        f"https://{region}.console.aws.amazon.com/s3/object/{bucket}"
        f"?region={region}&prefix={urllib.parse.quote(key)}"
    )


def folder_link(bucket: str, region: str, folder_key: str) -> str:
    return (
        f"https://{region}.console.aws.amazon.com/s3/buckets/{bucket}"
        f"?region={region}&prefix={urllib.parse.quote(folder_key)}/"
    )
