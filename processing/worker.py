"""Renders all tasks of a manifest: the one use case of this room.

A failure that all tasks share (manifest, weights) goes up before any task has run. From then on a
task that fails, fails alone. What is already done is not done again, so the worker can be stopped
and started at any time.
"""

from __future__ import annotations

import errno
import hashlib
import math
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from contract.catalogue import MODELS, Mode, Model
from contract.errors import Code, Failure, Notice, Problem, TaskFailed
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.outcome import (
    GIF_FILE,
    POSTER_FILE,
    RESULT_FILE,
    VIDEO_FILE,
    Failed,
    Outcome,
    Rendered,
    Seconds,
    VideoFacts,
)
from processing import files, gif, pipelines, progress, video, weights
from processing.clip import load_clip
from processing.image import load_reference

T = TypeVar("T")


def read_manifest(layout: Layout) -> Manifest:
    """The manifest, as it stands in the file.

    Raises:
        TaskFailed: `manifest-invalid`; it is absent or not a manifest.
    """
    try:
        return Manifest.from_json(layout.manifest.read_bytes())
    except OSError as error:
        raise _invalid(f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its text"
        raise _invalid(f"is wrong at {place}: {first['msg']}") from error


def render_manifest(layout: Layout) -> None:
    """Render every task of the manifest under `layout` that has no result yet.

    When it returns, each task has its result.json, whether it succeeded or failed.

    Raises:
        Failure: no task can be rendered (`manifest-invalid`, `weights-missing`, `weights-damaged`,
            `out-of-memory` while loading). `fail_every_task` writes the results for it.
        OSError: a result cannot be written.
    """
    manifest = read_manifest(layout)
    model = _check(manifest)
    waiting = [task for task in manifest.tasks if not _has_result(layout, manifest, task)]
    progress.emit(
        "manifest",
        attempt_id=manifest.attempt_id,
        model=manifest.model,
        mode=manifest.mode,
        tasks=len(manifest.tasks),
        already_done=len(manifest.tasks) - len(waiting),
    )
    if not waiting:
        return
    weights.check(layout.model, manifest.mode)
    # Before anything heavy: a damaged picture need not wait for the weights.
    ready = _open_references(layout, manifest, waiting)
    if not ready:
        return
    with ThreadPoolExecutor(max_workers=1) as executor:
        # Hashing reads the weights once more, on a core that has nothing else to do.
        fingerprint = executor.submit(weights.fingerprint, layout.model)
        progress.emit("loading", model=manifest.model, mode=manifest.mode)
        pipeline = pipelines.load(
            model=model,
            mode=manifest.mode,
            folder=layout.model,
            texts={text for item in ready for text in pipelines.texts_of(item.task.parameters)},
        )
        progress.emit(
            "loaded", seconds=round(pipeline.loading_seconds, 3), device=pipeline.machine.device
        )
        rendering = _Rendering(layout, manifest, model, pipeline, fingerprint)
        for item in ready:
            rendering.run(item)


def fail_every_task(layout: Layout, failure: Failure) -> None:
    """Write a failed result.json for every task of the manifest that has no result yet.

    Does nothing when the manifest itself cannot be read.

    Raises:
        OSError: a result cannot be written.
    """
    try:
        manifest = read_manifest(layout)
    except Failure:
        return
    now = _now()
    for task in manifest.tasks:
        if not _has_result(layout, manifest, task):
            _write_failure(layout, manifest, task, started_at=now, error=failure)


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A task whose inputs are all there."""

    task: ManifestTask
    reference: pipelines.Reference | None
    notices: tuple[Notice, ...]


class _Rendering:
    """The tasks of one manifest going through one pipeline."""

    def __init__(
        self,
        layout: Layout,
        manifest: Manifest,
        model: Model,
        pipeline: pipelines.Pipeline,
        fingerprint: Future[str],
    ) -> None:
        self._layout = layout
        self._manifest = manifest
        self._model = model
        self._pipeline = pipeline
        self._fingerprint = fingerprint
        self._seconds_after_steps = 0.0

    def run(self, item: _Ready) -> None:
        """Render one task and write its result, whatever happens."""
        task = item.task
        started_at = _now()
        folder = self._layout.task_output(task.task_id)
        progress.emit("task-started", task_id=task.task_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.remove_parts(folder)
            rendered = self._render(item, started_at)
        except Exception as error:
            if pipelines.is_device_lost(error):
                # Every later task would fail with this one's error. Without results, they get
                # another attempt on a working device.
                raise
            _write_failure(self._layout, self._manifest, task, started_at=started_at, error=error)
        else:
            _write_result(self._layout, rendered)
            progress.emit(
                "task-succeeded", task_id=task.task_id, seconds=rendered.seconds.model_dump()
            )

    def _render(self, item: _Ready, started_at: datetime) -> Rendered:
        task, parameters = item.task, item.task.parameters
        folder = self._layout.task_output(task.task_id)
        steps = progress.StepReporter(
            self._layout,
            attempt_id=self._manifest.attempt_id,
            task_id=task.task_id,
            seconds_after=self._seconds_after_steps,
        )
        began = time.perf_counter()
        latents = self._with_less_memory_if_needed(
            lambda: self._pipeline.denoise(parameters, item.reference, steps.step)
        )
        denoised = time.perf_counter()
        progress.emit("decoding", task_id=task.task_id)
        frames = self._with_less_memory_if_needed(
            lambda: self._pipeline.decode(latents, parameters)
        )
        decoded = time.perf_counter()
        progress.emit("encoding", task_id=task.task_id)
        target = folder / VIDEO_FILE
        part = files.part_of(target)
        video.encode(frames, fps=parameters.fps, path=part, tags=self._tags(parameters))
        facts = video.probe(part)
        _check_facts(facts, parameters)
        poster = video.poster(frames)
        gif_target = folder / GIF_FILE
        if task.gif:
            gif.encode(frames, fps=parameters.fps, path=files.part_of(gif_target))
        quality = video.quality(frames)
        encoded = time.perf_counter()
        self._seconds_after_steps = encoded - denoised
        weights_sha256 = self._fingerprint.result()

        files.publish(target)
        files.write(folder / POSTER_FILE, poster)
        if task.gif:
            files.publish(gif_target)
        return Rendered(
            attempt_id=self._manifest.attempt_id,
            task_id=task.task_id,
            model=self._manifest.model,
            weights_sha256=weights_sha256,
            scheduler=self._model.scheduler,
            parameters=parameters,
            started_at=started_at,
            finished_at=_now(),
            seconds=Seconds(
                loading=round(self._pipeline.loading_seconds, 3),
                text_encoding=round(self._pipeline.text_encoding_seconds(parameters), 3),
                denoising=round(denoised - began, 3),
                decoding=round(decoded - denoised, 3),
                encoding=round(encoded - decoded, 3),
            ),
            machine=self._pipeline.machine,
            video=facts,
            poster_sha256=hashlib.sha256(poster).hexdigest(),
            gif_sha256=hashlib.sha256(gif_target.read_bytes()).hexdigest() if task.gif else None,
            quality=quality,
            warnings=self._warnings(item),
        )

    def _tags(self, parameters: Parameters) -> dict[str, str]:
        """What tells where a video came from once its sidecar is lost.

        Nothing that two renderings of the same task do not share: their files are the same.
        """
        return {
            "title": parameters.prompt,
            "comment": f"reeldrop, model {self._manifest.model}, seed {parameters.seed}",
        }

    def _warnings(self, item: _Ready) -> tuple[Notice, ...]:
        return item.notices + self._pipeline.notices(item.task.parameters)

    def _with_less_memory_if_needed(self, work: Callable[[], T]) -> T:
        """Do `work`, and once more in the leaner mode when it does not fit into memory.

        Raises:
            TaskFailed: `out-of-memory`; it does not fit in the leaner mode either.
        """
        try:
            return work()
        except Exception as error:
            if not pipelines.is_out_of_memory(error):
                raise
        # Outside of the handler: the traceback of the error holds on to the tensors that were in
        # the way.
        progress.emit("out-of-memory", retry="tiles")
        self._pipeline.use_less_memory()
        try:
            return work()
        except Exception as error:
            if not pipelines.is_out_of_memory(error):
                raise
            raise TaskFailed(
                Problem(
                    code=Code.OUT_OF_MEMORY,
                    message="The video did not fit into the memory of the machine.",
                    hint="Ask for fewer frames or a smaller size.",
                )
            ) from error


def _check(manifest: Manifest) -> Model:
    """The model of `manifest`.

    Raises:
        TaskFailed: `manifest-invalid`; the manifest contradicts the catalogue or itself.
    """
    model = MODELS.get(manifest.model)
    if model is None:
        raise _invalid(f"asks for the model {manifest.model}, which this worker does not know")
    if manifest.mode not in model.weights:
        raise _invalid(f"asks {model.name} for {manifest.mode}, which it cannot do")
    ids = [task.task_id for task in manifest.tasks]
    if len(set(ids)) < len(ids):
        raise _invalid("has two tasks with the same id")
    for task in manifest.tasks:
        if task.parameters.mode != manifest.mode:
            raise _invalid(f"is for {manifest.mode}, and {task.task_id} is not")
        for kind, given, mode in (
            ("image", task.image, Mode.IMAGE_TO_VIDEO),
            ("video", task.video, Mode.VIDEO_TO_VIDEO),
            ("strength", task.parameters.strength, Mode.VIDEO_TO_VIDEO),
        ):
            if (given is not None) != (manifest.mode == mode):
                raise _invalid(
                    f"is for {manifest.mode}, and the {kind} of {task.task_id} does not fit"
                )
        if not 0 < (task.parameters.strength or 1) <= 1:
            raise _invalid(f"gives {task.task_id} a strength that is not between 0 and 1")
    return model


def _invalid(what: str) -> TaskFailed:
    return TaskFailed(
        Problem(
            code=Code.MANIFEST_INVALID,
            message=f"The manifest {what}.",
            hint="Deploy functions and worker from the same version.",
        )
    )


def _open_references(layout: Layout, manifest: Manifest, tasks: list[ManifestTask]) -> list[_Ready]:
    """The tasks whose inputs can be used. The others get their failed result here."""
    ready = []
    for task in tasks:
        started_at = _now()
        try:
            _check_strength(task.parameters)
            ready.append(_open_reference(layout, task))
        except Exception as error:
            _write_failure(layout, manifest, task, started_at=started_at, error=error)
    return ready


def _check_strength(parameters: Parameters) -> None:
    """Check that a video to video task has a step to do.

    Raises:
        TaskFailed: `field-range`; diffusers would fail without one, in words of its own.
    """
    strength = parameters.strength
    steps = parameters.num_inference_steps
    if strength is not None and int(steps * strength) < 1:
        raise TaskFailed(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"A strength of {strength:g} leaves none of {steps} steps.",
                hint=f"Write at least  strength: {math.ceil(100 / steps) / 100:g}",
            )
        )


def _open_reference(layout: Layout, task: ManifestTask) -> _Ready:
    """`task` with its image or video, at the size of what it is to make.

    Raises:
        TaskFailed: `reference-unreadable`.
    """
    parameters = task.parameters
    if task.image is not None:
        image = load_reference(
            layout.references / task.image,
            height=parameters.height,
            width=parameters.width,
            fit=parameters.fit,
        )
        return _Ready(task=task, reference=image, notices=())
    if task.video is not None:
        clip = load_clip(
            layout.references / task.video,
            height=parameters.height,
            width=parameters.width,
            num_frames=parameters.num_frames,
            fps=parameters.fps,
            fit=parameters.fit,
        )
        return _Ready(task=task, reference=clip.frames, notices=clip.notices)
    return _Ready(task=task, reference=None, notices=())


def _has_result(layout: Layout, manifest: Manifest, task: ManifestTask) -> bool:
    """Whether this attempt has already written the result of `task`."""
    try:
        text = (layout.task_output(task.task_id) / RESULT_FILE).read_bytes()
        return Outcome.from_json(text).result.attempt_id == manifest.attempt_id
    except (OSError, ValidationError):
        return False


def _check_facts(facts: VideoFacts, parameters: Parameters) -> None:
    found = (facts.num_frames, facts.height, facts.width, facts.fps)
    wanted = (parameters.num_frames, parameters.height, parameters.width, float(parameters.fps))
    if found != wanted:
        raise TaskFailed(
            Problem(
                code=Code.VIDEO_DAMAGED,
                message=(
                    f"The video that was written has (frames, height, width, fps) {found} "
                    f"instead of {wanted}."
                ),
                hint="Drop the spec again.",
            )
        )


def _problem(error: Exception) -> Problem:
    """What a person is told about `error`."""
    if isinstance(error, Failure):
        return error.problems[0]
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Problem(
            code=Code.DISK_FULL,
            message="The disk of the worker was full before the video was written.",
            hint="Drop the spec again; if this stays, give the processing job a larger volume.",
        )
    return Problem(
        code=Code.RENDER_FAILED,
        message=f"Rendering failed with {type(error).__name__}.",
        hint="Drop the spec again; if this stays, the log of the processing job says more.",
    )


def _write_failure(
    layout: Layout,
    manifest: Manifest,
    task: ManifestTask,
    *,
    started_at: datetime,
    error: Exception,
) -> None:
    folder = layout.task_output(task.task_id)
    # A failed task has no video; and on a full disk the result needs the room.
    files.remove_parts(folder)
    for name in (VIDEO_FILE, POSTER_FILE, GIF_FILE):
        (folder / name).unlink(missing_ok=True)
    problem = _problem(error)
    detail = "".join(traceback.format_exception(error))
    print(detail, file=sys.stderr, flush=True)
    _write_result(
        layout,
        Failed(
            attempt_id=manifest.attempt_id,
            task_id=task.task_id,
            started_at=started_at,
            finished_at=_now(),
            problem=problem,
            detail=detail,
        ),
    )
    progress.emit(
        "task-failed", task_id=task.task_id, code=problem.code, message=problem.sentence()
    )


def _write_result(layout: Layout, result: Rendered | Failed) -> None:
    files.write(
        layout.task_output(result.task_id) / RESULT_FILE,
        Outcome(result=result).to_json().encode(),
    )


def _now() -> datetime:
    return datetime.now(UTC)
