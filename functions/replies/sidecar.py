"""Builds videos/<path>.json: everything that is known about a video."""

from datetime import datetime
from typing import Literal

from contract.document import Document
from contract.errors import Notice
from contract.instance_types import gpus
from contract.outcome import (
    Guidance,
    Interpolation,
    Machine,
    MemoryUse,
    Profile,
    Quality,
    Rendered,
    Seconds,
    VideoFacts,
    WeightsSource,
)
from functions import s3_keys
from functions.planning.estimate import USD_PER_HOUR
from functions.spec.enhance import Enhancement
from functions.spec.fields import JobSpec
from functions.table.records import Job, Task


class Timing(Document):
    """When things happened, and how long each part of the work took."""

    dropped_at: datetime
    queued_at: datetime
    started_at: datetime
    finished_at: datetime
    seconds: Seconds


class MadeFrom(Document):
    """A file that a video was made from."""

    field: str
    """The field of the spec that names it."""
    file: str
    version: str


class Sidecar(Document):
    """videos/<path>.json: everything that is known about a video.

    `spec` is a valid spec. If it is dropped, it makes the same video again.
    """

    status: Literal["succeeded"] = "succeeded"
    job_id: str
    task_id: str
    attempt_id: str
    attempts: int
    source: str
    source_version: str
    references: tuple[MadeFrom, ...]
    spec: JobSpec
    prompt: str
    enhancement: Enhancement
    model: str | None
    """None, as all that follows from it: no model was used, because a clip was only finished."""
    licence: str | None
    weights_sha256: str | None
    weights_source: WeightsSource | None
    """None: the model folder has no model.json, so its files could not be checked."""
    lora_sha256: str | None = None
    """SHA-256 of the LoRA's file. None: the video was made without a LoRA."""
    scheduler: str | None
    guidance: Guidance | None
    profile: Profile | None
    interpolation: Interpolation | None = None
    """What made frames between those of the model. None: there are none."""
    timing: Timing
    machine: Machine
    memory: MemoryUse | None
    video_file: str
    video: VideoFacts
    generated_fps: int
    """Frames per second at which the model made the motion, in the frames that `spec` counts, or at
    which the clip shows it. `video` has the rate at which frames are shown."""
    unsigned_sha256: str | None = None
    """SHA-256 of the MP4 as the worker wrote it, before it was signed. None: it is not signed."""
    poster_file: str
    gif_file: str | None
    h265_file: str | None = None
    webm_file: str | None = None
    quality: Quality
    cost_usd: float | None
    """The cost of the time in which no other video could be rendered, without a share of the
    start-up. None if the price is not known."""
    warnings: tuple[Notice, ...]


def sidecar_of(
    job: Job, task: Task, rendered: Rendered, video: VideoFacts, *, bucket: str, licence: str | None
) -> Sidecar:
    """The sidecar of a task that succeeded.

    Args:
        licence: that of the model. None: no model was used.
        video: the MP4 that is published. If it is signed, it is not the one of the worker.
    """
    signed = video.sha256 != rendered.video.sha256
    at = s3_keys.published(job.path, task.number, job.task_count)
    return Sidecar(
        job_id=job.job_id,
        task_id=task.task_id,
        attempt_id=rendered.attempt_id,
        attempts=task.attempts,
        source=f"s3://{job.source.bucket}/{job.source.key}",
        source_version=job.source.version,
        references=tuple(
            MadeFrom(
                field=reference.field,
                file=f"s3://{job.source.bucket}/{reference.source}",
                version=reference.version,
            )
            for reference in task.references
            if reference.source
        ),
        spec=task.spec,
        prompt=task.spec.prompt,
        enhancement=task.enhancement,
        model=rendered.model,
        licence=licence,
        weights_sha256=rendered.weights_sha256,
        weights_source=rendered.weights_source,
        lora_sha256=rendered.lora_sha256,
        scheduler=rendered.scheduler,
        guidance=rendered.guidance,
        profile=rendered.profile,
        interpolation=rendered.interpolation,
        timing=Timing(
            dropped_at=job.created_at,
            queued_at=task.queued_at,
            started_at=rendered.started_at,
            finished_at=rendered.finished_at,
            seconds=rendered.seconds,
        ),
        machine=rendered.machine,
        memory=rendered.memory,
        video_file=f"s3://{bucket}/{at.video}",
        video=video,
        unsigned_sha256=rendered.video.sha256 if signed else None,
        generated_fps=rendered.parameters.generated_fps or rendered.parameters.fps,
        poster_file=f"s3://{bucket}/{at.poster}",
        gif_file=f"s3://{bucket}/{at.gif}" if rendered.gif_sha256 else None,
        h265_file=f"s3://{bucket}/{at.h265}" if rendered.h265_sha256 else None,
        webm_file=f"s3://{bucket}/{at.webm}" if rendered.webm_sha256 else None,
        quality=rendered.quality,
        cost_usd=_cost(rendered),
        warnings=tuple(dict.fromkeys((*job.warnings, *rendered.warnings))),
    )


def _cost(rendered: Rendered) -> float | None:
    machine = rendered.machine.name
    if (price := USD_PER_HOUR.get(machine)) is None:
        return None
    return round(rendered.seconds.occupied / gpus(machine) / 3600 * price, 4)
