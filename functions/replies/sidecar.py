"""Builds videos/<path>.json: everything that is known about a video."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from contract.catalogue import Mode
from contract.document import Document
from contract.errors import Notice
from contract.instance_types import gpus
from contract.manifest import Transition
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
    scene_file,
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


class SceneFacts(Document):
    """What is known about one scene of a video."""

    number: int
    """Counted from 1."""
    prompt: str
    original_prompt: str
    """Before it was enhanced."""
    mode: Mode
    seed: int
    transition: Transition
    first_frame: int
    """Among the shown frames of the video, counted from 0. If the scene fades in, this is the first
    frame in which it can be seen."""
    num_frames: int
    """Up to the first frame of the next scene."""
    first_second: float
    duration_seconds: float
    file: str | None
    """The scene by itself. None: the spec does not ask for it."""
    file_sha256: str | None
    guidance: Guidance
    profile: Profile


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
    image_weights_sha256: str | None = None
    """The same of the weights for scenes that start from an image. None: the video needs no others
    for them."""
    image_weights_source: WeightsSource | None = None
    lora_sha256: str | None = None
    """SHA-256 of the LoRA's file. None: the video was made without a LoRA."""
    scheduler: str | None
    guidance: Guidance | None
    """None with scenes, of which each has its own. The same for `profile`."""
    profile: Profile | None
    interpolation: Interpolation | None = None
    """What made frames between those of the model. None: there are none."""
    scenes: tuple[SceneFacts, ...] = ()
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
    job: Job,
    task: Task,
    rendered: Rendered,
    video: VideoFacts,
    clips: Mapping[str, str],
    *,
    bucket: str,
    licence: str | None,
) -> Sidecar:
    """The sidecar of a task that succeeded.

    Args:
        licence: that of the model. None: no model was used.
        video: the MP4 that is published. If it is signed, it is not the one of the worker.
        clips: the SHA-256 of each scene that is published by itself, by the name of its file.
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
        references=_references(job, task),
        spec=task.spec,
        prompt=task.spec.prompt,
        enhancement=task.enhancement,
        model=rendered.model,
        licence=licence,
        weights_sha256=rendered.weights_sha256,
        weights_source=rendered.weights_source,
        image_weights_sha256=rendered.image_weights_sha256,
        image_weights_source=rendered.image_weights_source,
        lora_sha256=rendered.lora_sha256,
        scheduler=rendered.scheduler,
        guidance=rendered.guidance,
        profile=rendered.profile,
        interpolation=rendered.interpolation,
        scenes=_scenes(task, rendered, clips, f"s3://{bucket}", at),
        timing=_timing(job, task, rendered),
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


def _timing(job: Job, task: Task, rendered: Rendered) -> Timing:
    return Timing(
        dropped_at=job.created_at,
        queued_at=task.queued_at,
        started_at=rendered.started_at,
        finished_at=rendered.finished_at,
        seconds=rendered.seconds,
    )


def _references(job: Job, task: Task) -> tuple[MadeFrom, ...]:
    return tuple(
        MadeFrom(
            field=reference.field,
            file=f"s3://{job.source.bucket}/{reference.source}",
            version=reference.version,
        )
        for reference in task.references
        if reference.source
    )


def _scenes(
    task: Task, rendered: Rendered, clips: Mapping[str, str], bucket: str, at: s3_keys.Published
) -> tuple[SceneFacts, ...]:
    found, fps = [], rendered.parameters.fps
    pairs = zip(rendered.parameters.scenes, rendered.scenes, strict=True)
    for number, (scene, made) in enumerate(pairs, 1):
        sha256 = clips.get(scene_file(number))
        found.append(
            SceneFacts(
                number=number,
                prompt=scene.prompt,
                original_prompt=task.enhancement.originals[number - 1],
                mode=scene.mode,
                seed=scene.seed,
                transition=scene.transition,
                first_frame=made.first_frame,
                num_frames=made.num_frames,
                first_second=round(made.first_frame / fps, 3),
                duration_seconds=round(made.num_frames / fps, 3),
                file=f"{bucket}/{at.scene(number)}" if sha256 else None,
                file_sha256=sha256,
                guidance=made.guidance,
                profile=made.profile,
            )
        )
    return tuple(found)


def _cost(rendered: Rendered) -> float | None:
    machine = rendered.machine.name
    if (price := USD_PER_HOUR.get(machine)) is None:
        return None
    return round(rendered.seconds.occupied / gpus(machine) / 3600 * price, 4)
