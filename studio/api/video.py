"""A job, in the words that video servers share: the documents that /v1/videos answers with."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from contract.catalogue import NO_MODEL
from contract.document import Document
from contract.manifest import Parameters
from contract.timeline import timeline_of
from functions import s3_keys
from functions.replies import words
from functions.spec.fields import JobSpec, parameters_of
from functions.spec.resolve import prompts_of
from functions.table.records import GalleryEntry, Job, State, Task
from studio.api.refused import Refused

_PREFIX = "video_"
_Status = Literal["queued", "in_progress", "completed", "failed"]
_STATUS: dict[State, _Status] = {
    State.WAITING: "queued",
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
}


class VideoError(Document):
    """Why there is no video."""

    code: str
    message: str


class Facts(Document):
    """What a video says of its spec. Numbers that nobody knows yet are 0."""

    model: str
    prompt: str = ""
    seconds: str = "0"
    size: str = "0x0"
    """Width x height."""

    @classmethod
    def of(cls, spec: JobSpec, prompt: str, parameters: Parameters | None) -> "Facts":
        """The facts of a resolved spec.

        Args:
            prompt: what a person wrote, as `prompt_of` returned it.
            parameters: what the worker receives, if that is known.
        """
        facts = cls(model=spec.model or NO_MODEL, prompt=prompt)
        if parameters is None:
            return facts
        seconds = round(timeline_of(parameters).duration_seconds, 2)
        size = f"{parameters.width}x{parameters.height}"
        return facts.model_copy(update={"seconds": f"{seconds:g}", "size": size})


class Video(Facts):
    """A job. Times are in seconds since 1970."""

    id: str
    object: Literal["video"] = "video"
    status: _Status
    progress: int
    created_at: int
    completed_at: int | None = None
    expires_at: None = None
    error: VideoError | None = None
    remixed_from_video_id: None = None
    path: str
    """Where it is in the drop folder. Other servers have no such field, and clients ignore it."""


class Videos(Document):
    """A page of videos."""

    object: Literal["list"] = "list"
    data: tuple[Video, ...]
    first_id: str | None
    last_id: str | None
    """For `after`, to get the page after this one."""
    has_more: bool


class Deleted(Document):
    """What became of the wish to delete a video."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool
    """False: it had not ended, and was canceled. It can be deleted after that."""


class Error(Document):
    """What is wrong with a request."""

    message: str
    type: str
    param: None = None
    code: str | None


class Refusal(Document):
    """The answer to a request that is refused."""

    error: Error

    @classmethod
    def of(cls, refused: Refused) -> "Refusal":
        """The answer after an error."""
        kinds = {401: "authentication_error", 403: "permission_error"}
        kind = kinds.get(refused.status)
        if kind is None:
            kind = "invalid_request_error" if refused.status < 500 else "server_error"
        return cls(error=Error(message=str(refused), type=kind, code=refused.code))


def id_of(path: str) -> str:
    """The id of the video that has a path in the drop folder."""
    return _PREFIX + base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")


def path_of(video_id: str) -> str | None:
    """The path of a video; None if no video can have such an id."""
    text = video_id.removeprefix(_PREFIX)
    try:
        path = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None
    is_one = path and id_of(path) == video_id and len(path.encode()) <= s3_keys.MAX_PATH_BYTES
    return path if is_one else None


def prompt_of(spec: JobSpec) -> str:
    """The prompt of a spec, or those of all its scenes."""
    return " ".join(text for _, text in prompts_of(spec))


def just_dropped(path: str, at: datetime, spec: JobSpec | None, default_model: str) -> Video:
    """A video whose spec has not been read by the bucket.

    Args:
        at: when it was dropped.
        spec: what the bucket will make of it, if that is known.
        default_model: the model that is used if a spec names none.
    """
    facts = Facts(model=default_model)
    if spec is not None:
        # How long a clip is that is only finished is known when it is read.
        facts = Facts.of(spec, prompt_of(spec), parameters_of(spec) if spec.model else None)
    return Video(
        **dict(facts),
        id=id_of(path),
        status="queued",
        progress=0,
        created_at=_seconds(at),
        path=path,
    )


def video_of(entry: GalleryEntry, job: Job | None, tasks: Sequence[Task]) -> Video:
    """A video.

    Args:
        entry: what the gallery shows of its job.
        job: the job.
        tasks: the first task of the job, or all.
    """
    prompt = prompt_of(job.spec) if job is not None and job.spec is not None else entry.prompt
    facts = Facts(model=NO_MODEL, prompt=prompt)
    if tasks:
        facts = Facts.of(tasks[0].spec, prompt, tasks[0].parameters)
    status = _STATUS.get(entry.state, "failed")
    is_done = status == "completed"
    return Video(
        **dict(facts),
        id=id_of(entry.path),
        status=status,
        progress=entry.percent,
        created_at=_seconds(entry.dropped_at),
        completed_at=_seconds(job.updated_at) if job is not None and is_done else None,
        error=_error(entry, job, tasks) if status == "failed" else None,
        path=entry.path,
    )


def _error(entry: GalleryEntry, job: Job | None, tasks: Sequence[Task]) -> VideoError:
    if entry.state == State.CANCELED and job is not None:
        why = words.canceled(job.canceled_because)
        return VideoError(code="canceled", message=f"Canceled: {why}.")
    if entry.state == State.PLANNED:
        return VideoError(code="planned", message="Its spec only asks what would be made.")
    problems = [*(job.problems if job else ()), *(task.problem for task in tasks if task.problem)]
    if problems:
        return VideoError(code=problems[0].code, message=problems[0].sentence())
    return VideoError(code=entry.state.value, message=entry.problem)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
