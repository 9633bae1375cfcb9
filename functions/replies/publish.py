"""Writes status, refusal, review and contact sheet into the bucket, and has owed mails sent.

Everything here follows from what the table and the published videos say, and may run any number
of times.
"""

from typing import Protocol

from functions import s3_keys
from functions.ports import Missing, WithFiles, keys_below
from functions.replies import gallery, outbox
from functions.replies.explanation import failure_of, refusal_of
from functions.replies.forecast import forecast
from functions.replies.review import review_of
from functions.replies.status import Status, differs, status_of
from functions.settings import WithSettings
from functions.spec.fields import JobSpec, Video
from functions.spec.reader import WithReader
from functions.table.ledger import NeedsLedgerAndClock, job_key
from functions.table.paths import is_live, is_newest, newest_of
from functions.table.records import Job, State, Task
from functions.table.tasks import tasks_of

# How often a handler writes, if what it writes about changes meanwhile.
_TRIES = 5


class NeedsForFiles(WithFiles, WithSettings, Protocol):
    """What writing a reply uses."""


class NeedsForStatus(NeedsLedgerAndClock, NeedsForFiles, Protocol):
    """What writing the status uses."""


class Needs(NeedsForStatus, outbox.Needs, WithReader, Protocol):
    """What publishing everything uses."""


def settle(ports: Needs, job_id: str) -> None:
    """Write and send everything that the table says about a job and that may be missing.

    Safe to call again: it writes the same files and sends no mail twice.
    """
    record = ports.ledger.get(job_key(job_id))
    if record is None:
        return
    job = record.document
    tasks = [task.document for task in tasks_of(ports, job_id)]
    if job.state.terminal and is_live(ports, job):
        _publish_contact_sheet(ports, job, tasks)
    newest = _publish_newest(ports, job)
    if newest is not None and _is_past(ports, newest):
        forget(ports, job.path)
    if job.state.terminal:
        _forget_references(ports, job, tasks)
    outbox.deliver(ports, job_id)  # last, because it removes the note that the job is not settled


def _publish_newest(ports: NeedsForStatus, job: Job) -> Job | None:
    """Write what is published about the newest job of a path, whichever of its jobs is settled.

    While a handler writes, the job may change, or another drop may come. Then the handlers of both
    write, and the last write may be the older one. So each of them reads again after it has
    written, and begins again if the table has changed. A handler that is killed in between runs
    again, and finds the newest job then.

    Args:
        job: any job of the path.

    Returns:
        The newest job.
    """
    for _ in range(_TRIES):
        newest = newest_of(ports, job)
        if newest is None:
            break
        tasks = [task.document for task in tasks_of(ports, newest.job_id)]
        _publish_explanation(ports, newest, tasks)
        _publish_review(ports, newest, tasks)
        publish_status(ports, newest.job_id)
        if newest_of(ports, job) == newest:
            break
    return newest


def _publish_review(ports: NeedsForFiles, job: Job, tasks: list[Task]) -> None:
    """Write the spec with its rewritten prompt, if a job asks for it."""
    if job.state == State.PLANNED and job.spec is not None and job.spec.enhance == "review":
        ports.files.write(
            ports.settings.output_bucket,
            s3_keys.review(job.path),
            review_of(job, tasks).encode(),
            "text/yaml; charset=utf-8",
        )


def _forget_references(ports: NeedsForFiles, job: Job, tasks: list[Task]) -> None:
    """Remove the copies of an ended job's references. They do not expire while it is open.

    A job without tasks may have copies, too, if it was refused after the first of them.
    """
    if tasks and not any(task.references for task in tasks):
        return
    remove_references(ports, job.job_id)


def remove_references(ports: NeedsForFiles, job_id: str) -> None:
    """Remove the copies of the references of a job that needs them no more."""
    work = ports.settings.work_bucket
    for key in keys_below(ports, work, s3_keys.kept_references(job_id)):
        ports.files.remove(work, key)


def _is_past(ports: NeedsForStatus, job: Job) -> bool:
    """Whether a job is about folder defaults that were wrong, and were corrected or deleted since.

    Correct folder defaults make no job. So the table does not show that this one is no longer the
    newest of its path.
    """
    source = job.source
    if s3_keys.kind_of(source.key) != s3_keys.Kind.DEFAULTS or not is_newest(ports, job):
        return False
    try:
        return ports.files.facts(source.bucket, source.key).version != source.version
    except Missing:
        return True


def forget(ports: NeedsForStatus, path: str) -> None:
    """Remove refusal, status and entry of folder defaults that were deleted or corrected.

    Args:
        path: the path of the folder defaults.
    """
    output = ports.settings.output_bucket
    for key in (s3_keys.rejected(path), s3_keys.status(path)):
        ports.files.remove(output, key)
    gallery.hide(ports, path)


def _publish_explanation(ports: NeedsForFiles, job: Job, tasks: list[Task]) -> None:
    """Write why a job was rejected or failed, and remove what an earlier version had."""
    output = ports.settings.output_bucket
    for state, key, text in (
        (State.REJECTED, s3_keys.rejected(job.path), refusal_of),
        (State.FAILED, s3_keys.failed(job.path), lambda job: failure_of(job, tasks)),
    ):
        if job.state == state:
            ports.files.write(output, key, text(job).encode(), "text/plain; charset=utf-8")
        else:
            ports.files.remove(output, key)


class NeedsForSheet(NeedsForFiles, WithReader, Protocol):
    """What a contact sheet uses."""


def _publish_contact_sheet(ports: NeedsForSheet, job: Job, tasks: list[Task]) -> None:
    """Put the posters of all videos of a job into one picture, if the job has several videos."""
    done = [task for task in tasks if task.state == State.SUCCEEDED]
    if len(done) < 2:
        return
    output = ports.settings.output_bucket
    varied = [
        name
        for name in Video.model_fields
        if len({str(getattr(task.spec, name)) for task in tasks}) > 1
    ]
    try:
        posters = [
            (
                f"{task.number:02d}  {_difference(task.spec, varied)}",
                ports.files.read(
                    output, s3_keys.published(job.path, task.number, len(tasks)).poster
                ),
            )
            for task in done
        ]
    except Missing:
        return  # a person deleted a poster
    sheet = ports.reader.contact_sheet(posters)
    ports.files.write(output, s3_keys.contact_sheet(job.path), sheet, "image/jpeg")


def _difference(spec: JobSpec, varied: list[str]) -> str:
    """How a video differs from the others of its job. Numbers come first, because texts are long.

    Args:
        varied: the fields in which the videos differ.
    """
    values = {name: getattr(spec, name) for name in varied}
    short = sorted(values, key=lambda name: isinstance(values[name], str))
    return ", ".join(f"{name} {values[name]}" for name in short)


def refresh_status(ports: NeedsForStatus, job_id: str) -> None:
    """Write the status again, if a reader would notice what has changed since it was written.

    The place in the queue and the expected end change while nothing happens to the job itself.
    """
    job = ports.ledger.get(job_key(job_id))
    if job is None or not is_newest(ports, job.document):
        return
    tasks = [record.document for record in tasks_of(ports, job_id)]
    now = ports.now()
    document = status_of(job.document, tasks, forecast(ports, tasks), now)
    output = ports.settings.output_bucket
    try:
        written = Status.from_json(ports.files.read(output, s3_keys.status(job.document.path)))
    except (Missing, ValueError):
        written = None  # it was deleted, or written by an earlier release
    if written is None or differs(written, document, now):
        publish_status(ports, job_id)


def publish_status(ports: NeedsForStatus, job_id: str) -> None:
    """Write status/<path>.json and the entry in the gallery, unless a newer drop owns the path.

    The status is written last. If the handler is killed before that, the status is found to be out
    of date, and both are written again (`refresh_status`, `settle`).

    Two handlers may do this at the same time, and the one that reads first may write last. So each
    handler reads again after it has written, and writes again if the table has changed. Because of
    this the last write is current. If a newer drop came meanwhile, this writes its status.
    """
    gallery.show(ports, job_id)
    for _ in range(_TRIES):
        job = ports.ledger.get(job_key(job_id))
        if job is None or not is_newest(ports, job.document):
            return
        tasks = tasks_of(ports, job_id)
        documents = [task.document for task in tasks]
        document = status_of(job.document, documents, forecast(ports, documents), ports.now())
        ports.files.write(
            ports.settings.output_bucket,
            s3_keys.status(job.document.path),
            document.to_json().encode(),
            "application/json",
        )
        newest = newest_of(ports, job.document)
        if newest is not None and newest.job_id != job_id:
            publish_status(ports, newest.job_id)
            return
        if newest == job.document and tasks_of(ports, job_id) == tasks:
            return
