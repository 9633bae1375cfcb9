"""One job: what became of it, its files, and what a person can do with it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic import field_serializer

from contract.catalogue import Preset
from contract.document import Document
from contract.errors import JobRejected
from functions import s3_keys
from functions.ports import Missing
from functions.replies import gallery as entries
from functions.replies.final import final_of
from functions.replies.status import Status, scene_keys
from functions.spec.fields import JobSpec, Matrix
from functions.spec.lists import Spec
from functions.table.ledger import Record, job_key, letter_key, owner_key, shown_key
from functions.table.records import GalleryEntry, Job, State
from functions.table.tasks import tasks_of
from studio.api.gallery import LINK_SECONDS, Card, card
from studio.api.ports import Ports
from studio.api.refused import Refused

_SEEDS = 2**32
# As many as boto3 has connections. A job may have hundreds of files, with two calls for each, and a
# request may take 29 seconds.
_REMOVED_AT_ONCE = 10


class Path(Document):
    """Names a job."""

    path: str


class File(Document):
    """A file of a job that can be downloaded."""

    name: str
    link: str


class Video(Document):
    """A video that is published."""

    number: int
    video: File
    poster: File
    sidecar: File
    others: tuple[File, ...]


class WholeSpec(JobSpec):
    """A spec with all of its values, so that the defaults of its folder change none of them."""

    @field_serializer("matrix")
    def _said(self, matrix: Matrix | None) -> dict[str, Any] | None:
        # What a matrix does not vary is an empty list here, which the bucket refuses. An entry of
        # its own lists only has some of the fields.
        return matrix.model_dump(mode="json", exclude_defaults=True) if matrix else None


class JobView(Document):
    """What the page of a job shows."""

    card: Card
    status: Status | None
    """None: it was deleted, or written by an older version."""
    videos: tuple[Video, ...]
    scenes: tuple[File, ...]
    """Scenes that are published as videos of their own, also those of videos that failed."""
    spec: WholeSpec | None
    """As it was dropped, merged with the defaults of its folders."""


class Again(Document):
    """How a job is made again."""

    path: str
    best: bool
    """With the preset `best` and the same seed. False: with another seed."""


class Dropped(Document):
    """A spec that the studio has dropped."""

    path: str


def job(ports: Ports, asked: Path) -> JobView:
    """Everything about the newest job of a path."""
    entry = _entry(ports, asked.path)
    of_job = _job(ports, entry)
    try:
        body = ports.files.read(ports.settings.output_bucket, s3_keys.status(entry.path))
        status = Status.from_json(body)
    except (Missing, ValueError):
        status = None
    tasks = [task.document for task in tasks_of(ports, of_job.job_id)]
    done = [task.number for task in tasks if task.state == State.SUCCEEDED]
    scenes = (_file(ports, key) for task in tasks for key in scene_keys(of_job, task))
    return JobView(
        card=card(ports, entry),
        status=status,
        videos=tuple(_video(ports, of_job, number) for number in done),
        scenes=tuple(scenes),
        spec=WholeSpec(**dict(of_job.spec)) if of_job.spec else None,
    )


def review(ports: Ports, asked: Path) -> str:
    """The spec with its rewritten prompt, of a job with `enhance: review`."""
    entry = _entry(ports, asked.path)
    try:
        body = ports.files.read(ports.settings.output_bucket, s3_keys.review(entry.path))
    except Missing:
        raise Refused(404, "There is no rewritten spec for this job.") from None
    return body.decode()


def cancel(ports: Ports, asked: Path) -> None:
    """Cancel a job, by deleting its spec. Safe to call again."""
    entry = _entry(ports, asked.path)
    if entry.state.terminal:
        raise Refused(409, f"The job has already ended: it is {entry.state}.")
    ports.files.remove(ports.settings.input_bucket, _dropped(entry))


def delete(ports: Ports, asked: Path) -> None:
    """Delete a job that has ended: its spec and everything that was published for it.

    References stay, because other specs may name them. Safe to call again if it was interrupted.
    """
    entry = _entry(ports, asked.path)
    newest = _job(ports, entry)
    if not newest.state.terminal:
        raise Refused(409, "The job has not ended. Cancel it first.")
    if ports.ledger.get(letter_key(newest.job_id)) is not None:
        raise Refused(409, "The job is being completed. Try again in a minute.")
    owner = ports.ledger.get(owner_key(entry.path))
    keys = set(newest.outputs)
    if owner is not None and owner.document.live not in {None, newest.job_id}:
        live = ports.ledger.get(job_key(owner.document.live or ""))
        if live is not None and not live.document.state.terminal:
            raise Refused(409, "An older version of the job has not ended. Cancel it first.")
        keys |= live.document.outputs if live is not None else set()
    output = ports.settings.output_bucket
    for build in (s3_keys.status, s3_keys.rejected, s3_keys.failed, s3_keys.review):
        keys.add(build(entry.path))
    with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
        # What fails in a thread fails here.
        list(threads.map(partial(ports.files.remove, output), sorted(keys)))
    ports.files.remove(ports.settings.input_bucket, _dropped(entry))
    # Last, so that an interrupted deletion can be repeated.
    entries.hide(ports, entry.path)


def again(ports: Ports, asked: Again) -> Dropped:
    """Drop the spec of a job again, beside its first one: with another seed, or as `best`."""
    entry = _entry(ports, asked.path)
    of_job = _job(ports, entry)
    if of_job.spec is None:
        raise Refused(409, "The spec of this job could not be read, so it cannot be made again.")
    changes: dict[str, object] = {"dry_run": False}
    if of_job.spec.enhance == "review":
        changes["enhance"] = True
    if asked.best:
        tasks = tasks_of(ports, of_job.job_id)
        seed = of_job.spec.seed
        if seed is None and tasks:
            seed = tasks[0].document.spec.seed
        changes |= {"preset": Preset.BEST, "num_inference_steps": None, "seed": seed}
    else:
        changes["seed"] = int(ports.new_suffix(), 16) % _SEEDS
    spec = WholeSpec.model_validate({**dict(of_job.spec), **changes})
    name = f"{s3_keys.stem_of(_dropped(entry))}-{'best' if asked.best else 'again'}"
    return drop(ports, name, spec.model_dump_json(indent=2).encode())


def approve(ports: Ports, asked: Path) -> None:
    """Approve a draft: the submit function then drops the spec of its final. Safe to call again."""
    entry = _entry(ports, asked.path)
    of_job = _job(ports, entry)
    tasks = [task.document for task in tasks_of(ports, of_job.job_id)]
    try:
        final = Spec(s3_keys.final(entry.path), final_of(of_job, tasks, None), "draft")
    except JobRejected as rejection:
        raise Refused(409, rejection.problems[0].sentence()) from None
    bucket = ports.settings.input_bucket
    with suppress(Missing):
        # The same final is not dropped twice, and what is no final is not replaced.
        mark = ports.files.facts(bucket, final.key).mark
        if mark == final.mark or not final.may_replace(mark):
            again = "To have the final made again, delete that file first."
            raise Refused(409, f"{final.key} is there already. {again}")
    ports.files.write(bucket, s3_keys.approval(entry.path), b"", "text/plain")


def drop(ports: Ports, stem: str, body: bytes) -> Dropped:
    """Drop a spec under a name that no file has yet.

    Args:
        ports: what the studio uses.
        stem: the beginning of its key.
        body: the spec, as JSON.
    """
    key = f"{stem}-{ports.new_suffix()}.json"
    ports.files.write(ports.settings.input_bucket, key, body, "application/json")
    return Dropped(path=s3_keys.path_of(key))


def _entry(ports: Ports, path: str) -> GalleryEntry:
    shown: Record[GalleryEntry] | None = ports.ledger.get(shown_key(path))
    if shown is None:
        raise Refused(404, "There is no such job.")
    return shown.document


def _job(ports: Ports, entry: GalleryEntry) -> Job:
    record = ports.ledger.get(job_key(entry.job_id))
    if record is None:
        raise Refused(404, "There is no such job.")
    return record.document


def _dropped(entry: GalleryEntry) -> str:
    """The key of the drop, if the studio may touch it."""
    if not entry.key.startswith(s3_keys.JOBS_PREFIX):
        raise Refused(409, "This file is not in the folder jobs/. Delete it in the bucket.")
    return entry.key


def _file(ports: Ports, key: str) -> File:
    link = ports.files.link(ports.settings.output_bucket, key, LINK_SECONDS)
    return File(name=s3_keys.name_of(key), link=link)


def _video(ports: Ports, of_job: Job, number: int) -> Video:
    at = s3_keys.published(of_job.path, number, of_job.task_count)
    return Video(
        number=number,
        video=_file(ports, at.video),
        poster=_file(ports, at.poster),
        sidecar=_file(ports, at.sidecar),
        others=tuple(_file(ports, key) for _, key in at.also(of_job.wanted_outputs)),
    )
