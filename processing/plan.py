"""What a manifest asks for: reads it, checks it, and opens the references of its tasks.

Nothing here needs the model, so that a wrong manifest and a damaged reference are reported before
the weights are loaded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from contract.catalogue import MODELS, Mode, Model
from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.scenes import num_frames_of
from contract.timeline import timeline_of
from processing.clip import load_clip
from processing.image import load_reference
from processing.pipelines import Reference
from processing.scenes import each_alone, name_of
from processing.sound import load_sound


@dataclass(frozen=True, kw_only=True)
class Round:
    """What is rendered with the weights of one folder."""

    folder: Path
    modes: tuple[Mode, ...]


@dataclass(frozen=True, kw_only=True)
class ReadyScene:
    """What the model makes at once: a scene, or a whole video without scenes."""

    number: int
    """Counted from 1."""
    parameters: Parameters
    """As those of a video of its own."""
    reference: Reference | None = None
    """At the size of the video."""
    continues: bool = False
    """Whether it starts from the last frame of the scene before."""


@dataclass(frozen=True, kw_only=True)
class ReadyTask:
    """A task with its references opened and fitted to the size of the video."""

    task: ManifestTask
    scenes: tuple[ReadyScene, ...]
    """A video without scenes is treated as one with a single scene."""
    notices: tuple[Notice, ...] = ()
    """Warnings about the references."""


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
    needs = {
        frozenset(model.weights[mode].folder for mode in task.parameters.modes)
        for task in manifest.tasks
    }
    if len(needs) > 1:
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
    return tuple(dict.fromkeys(mode for task in manifest.tasks for mode in task.parameters.modes))


def rounds_of(layout: Layout, manifest: Manifest, model: Model) -> tuple[Round, ...]:
    """The model folders that the tasks need, in the order in which they are loaded.

    Scenes that start from an image come last. Some of them start from a scene of the first round.
    """
    modes = modes_of(manifest)
    if len({model.weights[mode].folder for mode in modes}) == 1:
        return (Round(folder=layout.model, modes=modes),)
    others = tuple(mode for mode in modes if mode != Mode.IMAGE_TO_VIDEO)
    return (
        Round(folder=layout.model, modes=others),
        Round(folder=layout.image_model, modes=(Mode.IMAGE_TO_VIDEO,)),
    )


def ready(layout: Layout, task: ManifestTask) -> ReadyTask:
    """Check `task` and its sound, and open its images or video at the size of the video to make.

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
    if task.video is not None:
        clip = load_clip(
            layout.references / task.video,
            height=parameters.height,
            width=parameters.width,
            num_frames=parameters.num_frames,
            fps=parameters.generated_fps or parameters.fps,
            fit=parameters.fit,
        )
        scene = ReadyScene(number=1, parameters=parameters, reference=clip.frames)
        return ReadyTask(task=task, scenes=(scene,), notices=clip.notices)
    return ReadyTask(task=task, scenes=tuple(_ready_scenes(layout, task)))


def _ready_scenes(layout: Layout, task: ManifestTask) -> Iterator[ReadyScene]:
    transitions = [scene.transition for scene in task.parameters.scenes] or ["cut"]
    images = task.scene_images or (task.image,)
    alone = each_alone(task.parameters)
    for number, (p, image, how) in enumerate(zip(alone, images, transitions, strict=True), 1):
        reference = None
        if image is not None:
            path = layout.references / image
            try:
                reference = load_reference(path, height=p.height, width=p.width, fit=p.fit)
            except TaskFailed as error:
                raise _in_scene(error, number, task.parameters) from error.__cause__
        yield ReadyScene(
            number=number, parameters=p, reference=reference, continues=how == "continue"
        )


def _in_scene(error: TaskFailed, number: int, parameters: Parameters) -> TaskFailed:
    """The same failure, with a message that names the scene if the video has some."""
    if not parameters.scenes:
        return error
    problem = error.problems[0]
    message = f"{name_of(number, parameters)}: {problem.message}"
    return TaskFailed(problem.model_copy(update={"message": message}))


def _check_scenes(task: ManifestTask) -> None:
    """Check that the scenes of `task` have the inputs of their modes and no others."""
    scenes, p = task.parameters.scenes, task.parameters
    if not scenes and (task.scene_images or task.scene_clips):
        raise invalid(f"says something about the scenes of {task.task_id}, which has none")
    if not scenes:
        return
    if task.image is not None or task.video is not None or p.strength is not None:
        raise invalid(f"gives {task.task_id} a reference beside those of its scenes")
    if len(task.scene_images) != len(scenes):
        raise invalid(f"has {len(task.scene_images)} scene_images for {len(scenes)} scenes")
    for number, (scene, image) in enumerate(zip(scenes, task.scene_images, strict=True), 1):
        continues = scene.transition == "continue"
        if continues and number == 1:
            raise invalid(f"lets the first scene of {task.task_id} continue another one")
        from_image = continues or image is not None
        if (continues and image is not None) or scene.mode != (
            Mode.IMAGE_TO_VIDEO if from_image else Mode.TEXT_TO_VIDEO
        ):
            raise invalid(f"gives scene {number} of {task.task_id} another mode than its input")
    if p.mode != scenes[0].mode:
        raise invalid(f"gives {task.task_id} another mode than its first scene")
    if p.num_frames != num_frames_of(scenes, p.generated_fps or p.fps):
        raise invalid(f"gives {task.task_id} another number of frames than its scenes have")


def _check_task(task: ManifestTask) -> None:
    """Check that `task` has the inputs of its mode and no others."""
    _check_scenes(task)
    if task.parameters.scenes:
        return
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
