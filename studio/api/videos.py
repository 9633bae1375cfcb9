"""/v1/videos: the drop folder for programs that use the videos of the OpenAI API.

A video of this API is a job of the folder. Its id is made from the path of the job, so it is known
as soon as the spec is dropped. The API has names for some fields of a spec. All other fields of a
request have the names that they have in a spec.
"""

import json
import re
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import NamedTuple

from contract.errors import Code
from functions import s3_keys
from functions.ports import Missing
from functions.spec.fields import JobSpec, quoted
from functions.table.ledger import GALLERY, gallery_key, job_key, shown_key, task_key
from functions.table.records import GalleryEntry, Job, State, Task, TaskRef
from functions.table.tasks import tasks_of
from studio.api import drops, jobs
from studio.api.form import FILE, Form, Sent
from studio.api.gallery import LINK_SECONDS
from studio.api.ports import Ports
from studio.api.refused import Refused
from studio.api.video import Deleted, Video, Videos, id_of, just_dropped, path_of, video_of

_VIDEOS, _MOST_VIDEOS = 20, 100
_PLACE = re.compile(r"\d{10}#[a-z0-9-]+")
_NUMBER = re.compile(r"\d{1,5}(\.\d{1,5})?")
_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX×*]\s*(\d{1,5})\s*")
# A request has an answer, or none, after 29 seconds. Clients repeat it twice.
_REPEATED_WITHIN = timedelta(minutes=2)


class Sender(NamedTuple):
    """Who sends a request to make a video."""

    person: str
    key: str
    """From the header Idempotency-Key: the same for every request that is about the same video."""
    again: bool
    """Whether the client says that it has sent the request before."""


def create(ports: Ports, form: Form, sender: Sender) -> Video:
    """Drop a spec, and the file that came with it.

    Raises:
        Refused: the bucket would refuse it.
    """
    bucket = ports.settings.input_bucket
    fields = _fields(form.fields)
    name = _name(ports, fields, form.file, sender)
    key = s3_keys.of_request(name)
    with suppress(Missing):
        ports.files.facts(bucket, key)
        return retrieve(ports, id_of(s3_keys.path_of(key)))
    files = {}
    if form.file is not None:
        reference = s3_keys.of_request(name, form.file.suffix)
        files[reference] = form.file.body
        _refer(fields, reference)
    files[key] = json.dumps(fields, ensure_ascii=False, indent=2).encode()
    spec = _checked(ports, key, files)
    # The spec comes last, so no job waits for a reference that never comes. Because of the mark, a
    # request that comes twice at the same time writes one version.
    for at, body in files.items():
        kind = "application/json" if at == key else "application/octet-stream"
        ports.files.write(bucket, at, body, kind, mark=sha256(body).hexdigest())
    return _just_dropped(ports, name, spec)


def _fields(given: dict[str, object]) -> dict[str, object]:
    """The fields of a spec. Two fields of this API have other names there."""
    fields = dict(given)
    if (seconds := fields.pop("seconds", None)) is not None:
        if isinstance(seconds, str) and _NUMBER.fullmatch(seconds):
            seconds = json.loads(seconds)  # it is a text in this API, in JSON too
        fields["duration_seconds"] = seconds
    if (size := fields.pop("size", None)) is not None:
        match = _SIZE.fullmatch(str(size))
        if match is None:
            raise Refused(
                400,
                f"size cannot be {quoted(size)}. Write width x height, such as 720x480.",
                Code.FIELD_RANGE,
            )
        fields["width"], fields["height"] = int(match[1]), int(match[2])
    return fields


def _refer(fields: dict[str, object], reference: str) -> None:
    """Name the file that came with a request in its spec."""
    field = "image" if s3_keys.is_image(reference) else "video"
    if s3_keys.is_audio(reference):
        field = "audio"
    if field in fields:
        raise Refused(400, f"Send {FILE} or {field}, but not both.", Code.FIELD_CONFLICT)
    fields[field] = s3_keys.name_of(reference)


def _name(ports: Ports, fields: dict[str, object], file: Sent | None, sender: Sender) -> str:
    """The name of the spec in the folder.

    Two requests make two videos, also if they are equal. A request that the client repeats, because
    it got no answer, has the name that it had before.
    """
    if sender.key:
        return f"video-{_digest(sender.person, sender.key)}"
    begin = s3_keys.slug(str(fields.get("prompt", ""))) or "video"
    said = json.dumps(fields, sort_keys=True)
    content = sha256(file.body).hexdigest() if file else ""
    begin = f"{begin}-{_digest(sender.person, said, content)}-"
    if sender.again:
        since = ports.now() - _REPEATED_WITHIN
        listed = ports.files.page(ports.settings.input_bucket, s3_keys.of_request(begin, ""))
        recent = [one for one in listed.objects if one.modified_at >= since]
        if recent:
            newest = max(recent, key=lambda one: one.modified_at)
            return s3_keys.stem_of(s3_keys.name_of(newest.key))
    return begin + ports.new_suffix()


def _digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _checked(ports: Ports, key: str, files: dict[str, bytes]) -> JobSpec:
    """The first video that a spec asks for.

    Args:
        files: what is in the folder besides the files that are there, by key.

    Raises:
        Refused: the bucket would refuse it. The text is what the bucket would say.
    """
    verdict, _ = drops.verdict(ports, key, files)
    if not verdict.ok:
        said = " ".join(f"{one.message} {one.hint}" for one in verdict.errors)
        raise Refused(400, said, verdict.errors[0].code)
    return verdict.tasks[0]


def _just_dropped(ports: Ports, name: str, spec: JobSpec | None) -> Video:
    """A video whose spec has not been read by the bucket. Raises Missing."""
    key = s3_keys.of_request(name)
    at = ports.files.facts(ports.settings.input_bucket, key).modified_at
    return just_dropped(s3_keys.path_of(key), at, spec, ports.settings.default_model)


class _Found(NamedTuple):
    """A video that the table knows."""

    entry: GalleryEntry
    job: Job | None
    tasks: list[Task]


def _find(ports: Ports, video_id: str) -> _Found | None:
    """What the table knows of a video; None if it knows nothing, because it has not been read.

    Raises:
        Refused: there is no such video.
    """
    path = path_of(video_id)
    shown = ports.ledger.get(shown_key(path)) if path else None
    if shown is None:
        _request_of(ports, video_id)
        return None
    entry = shown.document
    job = ports.ledger.get(job_key(entry.job_id))
    tasks = [record.document for record in tasks_of(ports, entry.job_id)]
    return _Found(entry, job.document if job else None, tasks)


def _request_of(ports: Ports, video_id: str) -> str:
    """The name of the request that made a video, if its spec is in the folder.

    Raises:
        Refused: there is no such video.
    """
    name = s3_keys.request_at(path_of(video_id) or "")
    if name is not None:
        with suppress(Missing):
            ports.files.facts(ports.settings.input_bucket, s3_keys.of_request(name))
            return name
    raise Refused(404, f"There is no video {quoted(video_id)}.", "not-found")


def retrieve(ports: Ports, video_id: str) -> Video:
    """What became of a video."""
    found = _find(ports, video_id)
    if found is not None:
        return video_of(*found)
    name = _request_of(ports, video_id)
    try:
        spec = _checked(ports, s3_keys.of_request(name), {})
    except Refused:
        spec = None  # it was changed, or its folder defaults were
    return _just_dropped(ports, name, spec)


def page(ports: Ports, after: str, limit: str, order: str) -> Videos:
    """Videos in the order of their drops: one query, and two reads of their jobs and first tasks.

    Args:
        after: the id of a video, or `last_id` of a page: the videos after it.
        limit: how many, as a number. Empty: 20.
        order: `desc` for the newest first, or `asc`.
    """
    count = int(limit or _VIDEOS) if re.fullmatch("[0-9]{0,3}", limit) else 0
    if not 1 <= count <= _MOST_VIDEOS:
        raise Refused(400, f"limit is a number from 1 to {_MOST_VIDEOS}.")
    if order not in {"asc", "desc"}:
        raise Refused(400, "order is asc or desc.")
    start = _place(ports, after) if after else ""
    records = ports.ledger.query(
        GALLERY, GalleryEntry, start=start, limit=count + 2, backwards=order == "asc"
    )
    records = [record for record in records if record.key.sort != start]
    entries = [record.document for record in records[:count]]
    ids = [entry.job_id for entry in entries]
    found = ports.ledger.get_all([job_key(job_id) for job_id in ids])
    firsts = ports.ledger.get_all([task_key(TaskRef(job_id=job_id, number=1)) for job_id in ids])
    videos = tuple(
        video_of(entry, job.document if job else None, [first.document] if first else [])
        for entry, job, first in zip(entries, found, firsts, strict=True)
    )
    return Videos(
        data=videos,
        first_id=videos[0].id if videos else None,
        # No id, so that a program may delete the videos of a page before it asks for the next one.
        last_id=records[len(videos) - 1].key.sort if videos else None,
        has_more=len(records) > count,
    )


def _place(ports: Ports, after: str) -> str:
    """Where a video is in the gallery."""
    if _PLACE.fullmatch(after):
        return after
    path = path_of(after)
    shown = ports.ledger.get(shown_key(path)) if path else None
    if shown is None:
        raise Refused(400, f"after is {quoted(after)}, and there is no such video.")
    return gallery_key(shown.document).sort


def content(ports: Ports, video_id: str, variant: str) -> str:
    """A link to the file of a video. If its job has several videos, it is that of the first one."""
    if variant not in {"video", "thumbnail"}:
        raise Refused(400, "variant is video or thumbnail.")
    found = _find(ports, video_id)
    state = found.entry.state if found else State.QUEUED
    done = [task for task in found.tasks if task.state == State.SUCCEEDED] if found else []
    if found is None or found.job is None or not done:
        # After 409, clients ask again.
        raise Refused(
            404 if state.terminal else 409, f"There is no video to download. Its job is {state}."
        )
    at = s3_keys.published(found.entry.path, done[0].number, found.job.task_count)
    key = at.video if variant == "video" else at.poster
    return ports.files.link(ports.settings.output_bucket, key, LINK_SECONDS)


def delete(ports: Ports, video_id: str) -> Deleted:
    """Delete a video that has ended, with everything of it. Cancel one that has not ended."""
    found = _find(ports, video_id)
    path = path_of(video_id) or ""
    if found is not None and not found.entry.state.terminal:
        jobs.cancel(ports, jobs.Path(path=path))
        return Deleted(id=video_id, deleted=False)
    name = s3_keys.request_at(path)
    # A person may have dropped another file with this path.
    if name is not None and (found is None or found.entry.key == s3_keys.of_request(name)):
        _remove_request(ports, name)
    if found is not None:
        jobs.delete(ports, jobs.Path(path=path))
    return Deleted(id=video_id, deleted=found is not None)


def _remove_request(ports: Ports, name: str) -> None:
    """Remove the files that came with a request: its spec, and its reference if it has one."""
    bucket = ports.settings.input_bucket
    keys = {s3_keys.of_request(name)}
    # The studio makes specs from this one beside it, which name the same reference: with another
    # seed, as the final and so on. Their names begin with this one.
    derived = ports.files.page(bucket, s3_keys.of_request(name, "-")).objects
    if not any(s3_keys.kind_of(listed.key) == s3_keys.Kind.SPEC for listed in derived):
        keys |= {s3_keys.of_request(name, suffix) for suffix in s3_keys.REFERENCE_SUFFIXES}
    for listed in ports.files.page(bucket, s3_keys.of_request(name, ".")).objects:
        if listed.key in keys:
            ports.files.remove(bucket, listed.key)
