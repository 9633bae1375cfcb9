"""Tells people: writes status and refusals into the bucket, and sends the mail that is owed.

Everything here is made from the table alone and may run any number of times.
"""

from datetime import timedelta

from functions import s3_keys
from functions.ports import Missing
from functions.replies.forecast import forecast
from functions.replies.mail import VideoLink, mail_of
from functions.replies.refusal import refusal_of
from functions.replies.review import review_of
from functions.replies.status import status_of
from functions.spec.fields import JobSpec, Video
from functions.stages.ports import Ports
from functions.table.ledger import TASKS, Conflict, Put, Remove, job_key, letter_key
from functions.table.paths import is_live, is_newest
from functions.table.records import Job, State, Task

# No function of ours may run for longer than five minutes (stacks/reeldrop.py), so whoever claimed
# a letter longer ago is dead.
LETTER_CLAIM = timedelta(minutes=6)


def settle(ports: Ports, job_id: str) -> None:
    """Bring everything outside of the table up to what the table says of a job."""
    record = ports.ledger.get(job_key(job_id))
    if record is None:
        return
    job = record.document
    output = ports.settings.output_bucket
    if not is_newest(ports, job):
        pass  # refusal and status at this path speak of a newer drop
    elif job.state == State.REJECTED:
        ports.files.write(
            output,
            s3_keys.rejected(job.path),
            refusal_of(job).encode(),
            "text/plain; charset=utf-8",
        )
    else:
        # The refusal of an earlier version of this spec is out of date.
        ports.files.remove(output, s3_keys.rejected(job.path))
    tasks = [t.document for t in ports.ledger.query(record.key.partition, Task, prefix=TASKS)]
    review = job.state == State.PLANNED and job.spec is not None and job.spec.enhance == "review"
    if review and is_newest(ports, job):
        ports.files.write(
            output,
            s3_keys.review(job.path),
            review_of(job, tasks).encode(),
            "text/yaml; charset=utf-8",
        )
    if job.state.terminal and is_live(ports, job):
        _publish_contact_sheet(ports, job, tasks)
    status(ports, job_id)
    if job.state == State.QUEUED:
        ports.wake()
    deliver(ports, job_id)


def forget(ports: Ports, path: str) -> None:
    """Take back what was said of folder defaults that are gone or were mended."""
    output = ports.settings.output_bucket
    for key in (s3_keys.rejected(path), s3_keys.status(path)):
        ports.files.remove(output, key)


def _publish_contact_sheet(ports: Ports, job: Job, tasks: list[Task]) -> None:
    """Put the posters of all videos of a job into one picture, when there are several."""
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
        return  # somebody has deleted one
    sheet = ports.reader.contact_sheet(posters)
    ports.files.write(output, s3_keys.contact_sheet(job.path), sheet, "image/jpeg")


def _difference(spec: JobSpec, varied: list[str]) -> str:
    """What tells this video from the others of its job, the numbers first: texts are long."""
    values = {name: getattr(spec, name) for name in varied}
    short = sorted(values, key=lambda name: isinstance(values[name], str))
    return ", ".join(f"{name} {values[name]}" for name in short)


def status(ports: Ports, job_id: str) -> None:
    """Write status/<path>.json, unless a newer drop has taken the path.

    Two handlers may do this at once, and the one that read first may write last. So each reads
    again after writing and repeats while the table has moved on: the last write is always fresh.
    """
    for _ in range(5):
        job = ports.ledger.get(job_key(job_id))
        if job is None or not is_newest(ports, job.document):
            return
        tasks = ports.ledger.query(job.key.partition, Task, prefix=TASKS)
        documents = [task.document for task in tasks]
        document = status_of(job.document, documents, forecast(ports, documents))
        ports.files.write(
            ports.settings.output_bucket,
            s3_keys.status(job.document.path),
            document.to_json().encode(),
            "application/json",
        )
        again = ports.ledger.get(job_key(job_id))
        tasks_again = ports.ledger.query(job.key.partition, Task, prefix=TASKS)
        if again == job and tasks_again == tasks:
            return


def deliver(ports: Ports, job_id: str) -> None:
    """Send the notification that is owed for a job, if one is.

    SNS has no way to send once: a kill between its acknowledgement and the removal of the letter
    sends it again after `LETTER_CLAIM`. Nothing else does.
    """
    letter = ports.ledger.get(letter_key(job_id))
    if letter is None:
        return
    claimed_at = letter.document.claimed_at
    if claimed_at is not None and ports.now() - claimed_at < LETTER_CLAIM:
        return
    claimed = letter.document.model_copy(update={"claimed_at": ports.now()})
    try:
        ports.ledger.commit(Put(letter.key, claimed, letter.revision))
    except Conflict:
        return
    job = ports.ledger.get(job_key(job_id))
    assert job is not None  # a letter is committed together with its job
    tasks = [t.document for t in ports.ledger.query(job.key.partition, Task, prefix=TASKS)]
    mail = mail_of(
        job.document,
        tasks,
        _links(ports, job.document, tasks),
        forecast(ports, tasks),
        output_bucket=ports.settings.output_bucket,
        region=ports.region,
    )
    ports.post.send(mail.subject, mail.body, dict(mail.attributes))
    ports.ledger.commit(Remove(letter.key, letter.revision + 1))


def _links(ports: Ports, job: Job, tasks: list[Task]) -> list[VideoLink]:
    output = ports.settings.output_bucket
    videos = [
        s3_keys.published(job.path, task.number, job.task_count).video
        for task in tasks
        if task.state == State.SUCCEEDED
    ]
    return [
        VideoLink(video=video, link=ports.files.link(output, video, ports.settings.link_seconds))
        for video in videos
    ]
