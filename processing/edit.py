"""Finishes clips without a model: another frame rate, slow motion, a loop, sound, a note, formats.

Frames stream from the decoder through the motion to the encoders. Only a few are in memory, however
long the clip is.
"""

import mmap
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from contract.catalogue import NO_MODEL, Mode
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.origin import GENERATED, PARTLY_GENERATED
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    MACHINE_VARIABLE,
    WEBM_FILE,
    Interpolation,
    Machine,
    Rendered,
    Seconds,
)
from contract.timeline import timeline_of
from processing import files, finishing, plan, progress, results
from processing.clip import ClipFrames
from processing.motion.interpolator import Interpolator, interpolator_of
from processing.motion.shown import shown_of_clip
from processing.quality import Measured
from processing.sound import load_sound, own_sound
from processing.xmp import Origin

Frame = NDArray[np.uint8]


def finish_manifest(layout: Layout, manifest: Manifest, take: Callable[[str], bool]) -> None:
    """Finish every clip of a manifest that has no result yet, one after the other.

    Args:
        layout: The worker's folders. There is no model folder.
        manifest: A manifest with the mode finishing.
        take: Takes the task with an id. Returns False if another process has it.

    Raises:
        TaskFailed: `manifest-invalid`.
        OSError: A result cannot be written.
    """
    _check(manifest)
    waiting = [task for task in manifest.tasks if not results.has_result(layout, manifest, task)]
    progress.emit(
        "manifest",
        attempt_id=manifest.attempt_id,
        model=None,
        modes=[Mode.FINISHING],
        tasks=len(manifest.tasks),
        already_done=len(manifest.tasks) - len(waiting),
    )
    interpolator = interpolator_of(layout.interpolation)
    for task in waiting:
        if not take(task.task_id):
            continue
        started_at = results.now()
        progress.emit("task-started", task_id=task.task_id)
        try:
            rendered = _finished(layout, manifest, task, interpolator)
        except Exception as error:
            results.write_failure(layout, manifest, task, started_at=started_at, error=error)
        else:
            results.write_success(layout, rendered)


def _check(manifest: Manifest) -> None:
    plan.check_ids(manifest)
    if manifest.model != NO_MODEL:
        raise plan.invalid(f"asks for finishing with the model {manifest.model}")
    for task in manifest.tasks:
        if task.parameters.mode != Mode.FINISHING:
            raise plan.invalid("asks to render and to finish")
        if task.video is None or task.image is not None:
            raise plan.invalid(f"has no video for {task.task_id}, which is to be finished")


def _finished(
    layout: Layout, manifest: Manifest, task: ManifestTask, interpolator: Interpolator
) -> Rendered:
    """Write the files of one task."""
    started_at, began = results.now(), time.perf_counter()
    p, folder = task.parameters, layout.task_output(task.task_id)
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_parts(folder)
    timeline = timeline_of(p)
    assert task.video is not None  # checked
    path = layout.references / task.video
    sound = layout.references / task.audio if task.audio else None
    heard = _heard(path, sound, p)
    clip = ClipFrames(path, height=p.height, width=p.width, fps=p.generated_fps or p.fps)
    interpolation = interpolator.facts if timeline.interpolated_frames else None
    source_type, measure = _source_type(path, interpolation), Measured()
    frames = shown_of_clip(clip, timeline, interpolator.between, scratch=folder)
    finished = finishing.finish(
        _reported(map(measure.seen, frames), layout, manifest, task),
        task,
        folder=folder,
        origin=Origin(
            mode=p.mode, source_type=source_type, model=None, revision=None, seed=0, prompt=None
        ),
        sound=sound,
        own_sound=heard,
    )
    finishing.publish(finished)
    return Rendered(
        attempt_id=manifest.attempt_id,
        task_id=task.task_id,
        model=None,
        weights_sha256=None,
        scheduler=None,
        source_type=source_type,
        parameters=p,
        interpolation=interpolation,
        started_at=started_at,
        finished_at=results.now(),
        seconds=Seconds(
            loading=0.0,
            text_encoding=0.0,
            denoising=0.0,
            decoding=0.0,
            encoding=round(time.perf_counter() - began, 3),
        ),
        machine=_machine(),
        video=finished.video,
        poster_sha256=finished.poster_sha256,
        gif_sha256=finished.also.get(GIF_FILE),
        h265_sha256=finished.also.get(H265_FILE),
        webm_sha256=finished.also.get(WEBM_FILE),
        samples_sha256=finished.samples_sha256,
        quality=measure.quality,
        warnings=(
            *clip.notices(p.num_frames),
            *(interpolator.notices if interpolation else ()),
            *finished.notices,
        ),
    )


def _heard(path: Path, sound: Path | None, parameters: Parameters) -> NDArray[np.float32] | None:
    """The own sound of a clip, if it fits and there is no other one.

    Raises:
        TaskFailed: `reference-unreadable`; the other one is damaged.
    """
    seconds = timeline_of(parameters).duration_seconds
    if sound is not None:
        # Before the work begins, so that a damaged sound is reported at once.
        load_sound(sound, seconds=seconds)
        return None
    if parameters.slow_motion != 1 or parameters.loop is not None:
        return None
    return own_sound(path, seconds=seconds)


def _reported(
    frames: Iterator[Frame], layout: Layout, manifest: Manifest, task: ManifestTask
) -> Iterator[Frame]:
    """The same frames. Each of them is a step of the progress."""
    reporter = progress.StepReporter(
        layout, attempt_id=manifest.attempt_id, task_id=task.task_id, seconds_after=0.0
    )
    of = timeline_of(task.parameters).num_frames
    for number, frame in enumerate(frames, 1):
        yield frame
        reporter.step(number, of)


def _source_type(path: Path, interpolation: Interpolation | None) -> str | None:
    """How the video comes into being, if its mode does not say it."""
    trained = interpolation is not None and interpolation.method == "rife"
    return source_type_in(path) or (PARTLY_GENERATED if trained else None)


def source_type_in(path: Path) -> str | None:
    """What a file says about a model that made it, or made some of it: its digital source type.

    Both XMP and Content Credentials have it as plain text. What was generated stays generated when
    it is finished.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for source_type in (PARTLY_GENERATED, GENERATED):
            if content.find(source_type.encode()) >= 0:
                return source_type
    return None


def _machine() -> Machine:
    return Machine(
        name=os.environ.get(MACHINE_VARIABLE) or platform.node(),
        device="cpu",
        dtype="uint8",
        versions={"python": platform.python_version(), "av": av.__version__},
    )
