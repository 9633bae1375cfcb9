"""What a manifest asks for: reads it, checks it, and opens the references of its tasks.

Nothing here needs the model, so that a wrong manifest and a damaged reference are reported before
the weights are loaded.
"""

import math
from dataclasses import dataclass

from pydantic import ValidationError

from contract.catalogue import MODELS, Mode, Model
from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.timeline import timeline_of
from processing.clip import load_clip
from processing.image import load_reference
from processing.pipelines import Reference
from processing.sound import load_sound


@dataclass(frozen=True, kw_only=True)
class ReadyTask:
    """A task with its reference opened and fitted to the size of the video."""

    task: ManifestTask
    reference: Reference | None
    notices: tuple[Notice, ...]
    """Warnings about the reference."""


def read_manifest(layout: Layout) -> Manifest:
    """Read the manifest from its file.

    Raises:
        TaskFailed: `manifest-invalid`; the file is absent or not a manifest.
    """
    try:
        return Manifest.from_json(layout.manifest.read_bytes())
    except OSError as error:
        raise invalid(f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its text"
        raise invalid(f"is wrong at {place}: {first['msg']}") from error


def check_manifest(manifest: Manifest) -> Model:
    """Check that the tasks of `manifest` fit together, and return its model.

    Raises:
        TaskFailed: `manifest-invalid`; the manifest contradicts the catalogue or itself.
    """
    model = MODELS.get(manifest.model)
    if model is None:
        raise invalid(f"asks for the model {manifest.model}, which this worker does not have")
    for mode in modes_of(manifest):
        if mode not in model.weights:
            raise invalid(f"asks {model.name} for {mode}, which the model cannot do")
    if len({model.weights[mode].folder for mode in modes_of(manifest)}) > 1:
        raise invalid("has tasks for several model folders")
    check_ids(manifest)
    if len({task.parameters.preset for task in manifest.tasks}) > 1:
        raise invalid("has tasks of several presets")
    if len({(task.parameters.lora, task.parameters.lora_scale) for task in manifest.tasks}) > 1:
        raise invalid("has tasks with several LoRAs")
    for task in manifest.tasks:
        _check_task(task)
    return model


def check_ids(manifest: Manifest) -> None:
    """Check that no two tasks of `manifest` have the same id.

    Raises:
        TaskFailed: `manifest-invalid`.
    """
    ids = [task.task_id for task in manifest.tasks]
    if len(set(ids)) < len(ids):
        raise invalid("has two tasks with the same id")


def modes_of(manifest: Manifest) -> tuple[Mode, ...]:
    """The modes of the tasks, each once."""
    return tuple(dict.fromkeys(task.parameters.mode for task in manifest.tasks))


def ready(layout: Layout, task: ManifestTask) -> ReadyTask:
    """Check `task` and its sound, and open its image or video at the size of the video to make.

    Raises:
        TaskFailed: `field-range`; the strength leaves no step to do. `reference-unreadable`; the
            reference is absent or cannot be used.
    """
    parameters = task.parameters
    _check_strength(parameters)
    if task.audio is not None:
        # Only to see whether it can be used. It is decoded again when it is needed, because the
        # sounds of many tasks would take much memory.
        seconds = timeline_of(parameters).duration_seconds
        load_sound(layout.references / task.audio, seconds=seconds)
    if task.image is not None:
        image = load_reference(
            layout.references / task.image,
            height=parameters.height,
            width=parameters.width,
            fit=parameters.fit,
        )
        return ReadyTask(task=task, reference=image, notices=())
    if task.video is not None:
        clip = load_clip(
            layout.references / task.video,
            height=parameters.height,
            width=parameters.width,
            num_frames=parameters.num_frames,
            fps=parameters.generated_fps or parameters.fps,
            fit=parameters.fit,
        )
        return ReadyTask(task=task, reference=clip.frames, notices=clip.notices)
    return ReadyTask(task=task, reference=None, notices=())


def _check_task(task: ManifestTask) -> None:
    """Check that `task` has the inputs of its mode and no others."""
    mode, strength = task.parameters.mode, task.parameters.strength
    for name, given, its_mode in (
        ("image", task.image, Mode.IMAGE_TO_VIDEO),
        ("video", task.video, Mode.VIDEO_TO_VIDEO),
        ("strength", strength, Mode.VIDEO_TO_VIDEO),
    ):
        if mode == its_mode and given is None:
            raise invalid(f"has no {name} for {task.task_id}, which is for {mode}")
        if mode != its_mode and given is not None:
            raise invalid(f"gives {task.task_id} a {name}, but it is for {mode}")
    if not 0 < (strength or 1) <= 1:
        raise invalid(f"gives {task.task_id} a strength that is not between 0 and 1")


def _check_strength(parameters: Parameters) -> None:
    """Check that a video to video task has at least one step to do.

    diffusers would fail without one, with a message that nobody could act on.
    """
    strength = parameters.strength
    steps = parameters.num_inference_steps
    if strength is not None and int(steps * strength) < 1:
        raise TaskFailed(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"With a strength of {strength:g}, none of the {steps} steps is left.",
                hint=f"Write at least  strength: {math.ceil(100 / steps) / 100:g}",
            )
        )


def invalid(what: str) -> TaskFailed:
    """A failure of a manifest. `what` is said about it."""
    return TaskFailed(
        Problem(
            code=Code.MANIFEST_INVALID,
            message=f"The manifest {what}.",
            hint="Ask your administrator to deploy functions and worker from the same version.",
        )
    )
