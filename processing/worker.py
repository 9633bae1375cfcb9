"""Renders all tasks of a manifest. The other modules of this package are its parts.

    plan        what is to be made, and from which references
    loading     weights into memory
    pipelines   prompt to latents to frames
    made        scenes wait on the disk for the others of their video
    scenes      scenes to the frames of one video
    motion      frames of the model to frames that are shown
    finishing   frames to files
    ending      from frames to the result of a task
    writer      does the ending while the next task is rendered
    results     result.json

A video that is made of scenes may need two model folders. So that each is loaded once, and never
two transformers are in memory, a manifest has two rounds then. The first one makes the scenes that
start from a text, of all tasks. The second one makes those that start from an image, task by task.

Clips that are only finished need no model: `edit` does that.

A failure that concerns all tasks (manifest, weights) is raised before any task has run. After that,
a task that fails does not affect the others. Tasks that already have a result are skipped, and
scenes that are kept are not made again, so the worker can be stopped and started at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from contract.catalogue import Mode
from contract.errors import Code, Failure, Problem, TaskFailed
from contract.manifest import Layout, Manifest, ManifestTask
from processing import (
    device,
    edit,
    files,
    loading,
    made,
    pipelines,
    plan,
    progress,
    results,
    weights,
)
from processing.ending import Ending, Unfinished
from processing.lora import Lora
from processing.made import Made, Making
from processing.motion.interpolator import interpolator_of
from processing.plan import ReadyScene, ReadyTask, Round
from processing.writer import Writer, writing

T = TypeVar("T")


def render_manifest(layout: Layout, take: Callable[[str], bool] = lambda _: True) -> None:
    """Render every task of the manifest under `layout` that has no result yet.

    When it returns, each task that it took has its result.json, whether it succeeded or failed.

    Args:
        layout: The worker's folders.
        take: Takes the task with an id. Returns False if another process has it.

    Raises:
        Failure: No task can be rendered (`manifest-invalid`, `weights-missing`, `weights-damaged`,
            `out-of-memory` while loading). Call `fail_every_task` to write that down, unless it is
            `MachineUnusable`.
        OSError: A result cannot be written.
    """
    manifest = plan.read_manifest(layout)
    if manifest.mode == Mode.FINISHING:
        edit.finish_manifest(layout, manifest, take)
        return
    model = plan.check_manifest(manifest)
    waiting = _waiting(layout, manifest)
    progress.emit(
        "manifest",
        attempt_id=manifest.attempt_id,
        model=manifest.model,
        modes=plan.modes_of(manifest),
        tasks=len(manifest.tasks),
        already_done=len(manifest.tasks) - len(waiting),
    )
    if not waiting:
        return
    rounds = plan.rounds_of(layout, manifest, model)
    for each in rounds:
        for mode in each.modes:
            weights.check(each.folder, model, mode)
    # Before the weights are loaded, so that a damaged reference is reported at once.
    ready = _open_references(layout, manifest, waiting, take)
    if not ready:
        return
    lora = Lora.of(layout, ready[0].task.parameters)
    ending = Ending(
        layout=layout,
        manifest=manifest,
        model=model,
        rounds=rounds,
        lora_sha256=lora.sha256() if lora else None,
    )
    for group in _groups(ending, ready):
        for index in range(len(rounds)):
            _render_round(ending, group, rounds[index:], lora, take)


def _waiting(layout: Layout, manifest: Manifest) -> list[ManifestTask]:
    """The tasks that have no result yet."""
    waiting = []
    for task in manifest.tasks:
        if results.has_result(layout, manifest, task):
            # The worker may have been stopped before it could remove them.
            made.forget(layout.task_scenes(task.task_id))
        else:
            waiting.append(task)
    return waiting


def _groups(ending: Ending, ready: Sequence[ReadyTask]) -> list[list[Unfinished]]:
    """The tasks that go through all rounds together.

    With several rounds, all tasks of a group are in work at the same time. So a task that was
    interrupted before is a group of its own, and comes when all others before it have a result.
    """
    tasks = [Unfinished.of(ending.layout, ending.manifest, item) for item in ready]
    if len(ending.rounds) == 1:
        return [tasks]
    together = [task for task in tasks if not task.item.task.interrupted]
    alone = [[task] for task in tasks if task.item.task.interrupted]
    return [together, *alone] if together else alone


def fail_every_task(layout: Layout, failure: Failure) -> None:
    """Write a failed result.json for every task of the manifest that has no result yet.

    Does nothing if the manifest itself cannot be read.

    Raises:
        OSError: A result cannot be written.
    """
    try:
        manifest = plan.read_manifest(layout)
    except Failure:
        return
    now = results.now()
    for task in manifest.tasks:
        if not results.has_result(layout, manifest, task):
            results.write_failure(layout, manifest, task, started_at=now, error=failure)


def _open_references(
    layout: Layout,
    manifest: Manifest,
    tasks: list[ManifestTask],
    take: Callable[[str], bool],
) -> list[ReadyTask]:
    """The tasks whose inputs can be used. For the others, this writes a failed result."""
    ready = []
    for task in tasks:
        started_at = results.now()
        try:
            ready.append(plan.ready(layout, task))
        except Exception as error:
            if take(task.task_id):
                results.write_failure(layout, manifest, task, started_at=started_at, error=error)
    return ready


def _render_round(
    ending: Ending,
    group: Sequence[Unfinished],
    rounds: Sequence[Round],
    lora: Lora | None,
    take: Callable[[str], bool],
) -> None:
    """Make all scenes of the first of `rounds`, and end each task that has all of its scenes.

    Args:
        ending: Ends tasks.
        group: The tasks that go through the rounds together.
        rounds: This round and the later ones.
        lora: What is added to the weights.
        take: See `render_manifest`.
    """
    this, *later = rounds
    due = [
        task
        for task in group
        if task.is_mine is not False and (task.to_make(this) or not (later or task.is_ending))
    ]
    if not due:
        return
    pipeline = _load(ending, this, due, lora)
    with writing() as writer:
        rendering = _Rendering(
            ending=ending, pipeline=pipeline, writer=writer, group=group, rounds=rounds
        )
        for task in due:
            if task.is_mine is None:
                task.is_mine = take(task.task_id)
            if task.is_mine:
                rendering.run(task)
        writer.wait()


def _load(
    ending: Ending, this: Round, due: Sequence[Unfinished], lora: Lora | None
) -> pipelines.Pipeline:
    """Load the model, and compare its files with model.json at the same time."""
    progress.emit("loading", model=ending.manifest.model, modes=this.modes)
    began = time.perf_counter()
    if ending.machine is not None:
        # Nothing refers to the model of the round before any more. Two are too large for a GPU.
        device.free_memory()
    # Before the files are compared, so that a machine that cannot render ends within seconds.
    loading.usable_device(ending.model, with_lora=lora is not None)
    alone = [scene.parameters for task in due for scene in task.to_make(this)]
    with ThreadPoolExecutor(max_workers=1) as executor:
        comparing = executor.submit(_compare, ending)
        try:
            pipeline = loading.load(
                model=ending.model,
                modes=this.modes,
                folder=this.folder,
                preset=due[0].parameters.preset,
                texts={text for parameters in alone for text in pipelines.texts_of(parameters)},
                lora=lora,
                began=began,
            )
        except TaskFailed:
            # If a file is damaged, that is the cause of the failure, and it names the file.
            comparing.result()
            raise
        # Nothing is rendered with weights that may be damaged.
        comparing.result()
    ending.machine = pipeline.machine
    if ending.interpolator is None:
        ending.interpolator = interpolator_of(ending.layout.interpolation)
    ending.loading_seconds += pipeline.loading_seconds
    progress.emit(
        "loaded",
        seconds=round(pipeline.loading_seconds, 3),
        device=pipeline.machine.device,
        weights_checked=ending.compared[this.folder].expected is not None,
    )
    return pipeline


def _compare(ending: Ending) -> None:
    """Compare the folders of all rounds with their model.json, once.

    So damaged weights of a later round are found before anything is rendered for it.
    """
    if not ending.compared:
        ending.compared = {each.folder: weights.compare(each.folder) for each in ending.rounds}


@dataclass(kw_only=True)
class _Rendering:
    """Makes the scenes of one round, task by task, with one pipeline.

    While a task is rendered, the writer ends the one before.
    """

    ending: Ending
    pipeline: pipelines.Pipeline
    writer: Writer
    group: Sequence[Unfinished]
    rounds: Sequence[Round]
    """This round and the later ones."""
    decoding_seconds: float = 0.0
    """How long decoding took for the latest scene, to predict the next one."""

    def run(self, task: Unfinished) -> None:
        """Make the scenes of a task that are due, and begin to end it if it has all of them.

        Raises:
            torch.AcceleratorError: The device is lost. The task and all later ones have no result.
            OSError: A result cannot be written.
        """
        asked = task.item.task
        if asked.interrupted:
            self.writer.wait()
        if task.started_at is None:
            task.started_at = results.now()
            files.remove_parts(self.ending.layout.task_output(asked.task_id))
            progress.emit("task-started", task_id=asked.task_id)
        for scene in task.to_make(self.rounds[0]):
            try:
                task.made[scene.number] = self._make(task, scene)
            except Exception as error:
                if device.is_device_lost(error):
                    # Every later task would fail with the same error. Without a result, they get
                    # another attempt on a working device.
                    raise
                task.fail(scene.number, error)
                break
        if not task.to_make(*self.rounds):
            self._end(task)

    def _end(self, task: Unfinished) -> None:
        task.is_ending = True
        if task.reason is not None and not task.has_scenes:
            self.ending.end(task)
            return
        if task.reason is None:
            progress.emit("rendered", task_id=task.task_id)
        self.writer.begin(lambda: self.ending.end(task))
        if task.item.task.interrupted:
            self.writer.wait()

    def _make(self, task: Unfinished, scene: ReadyScene) -> Made:
        """Make the frames of one scene."""
        parameters, reference = scene.parameters, scene.reference
        folder = self.ending.layout.task_output(task.task_id)
        folder.mkdir(parents=True, exist_ok=True)
        if scene.continues:
            reference = Image.fromarray(np.array(task.made[scene.number - 1].frames[-1]))
        steps = self._step_reporter(task, scene)
        self.pipeline.choose_memory(parameters)
        began = time.perf_counter()
        latents = self._with_less_memory_if_needed(
            lambda: self.pipeline.denoise(parameters, reference, steps.step)
        )
        denoised = time.perf_counter()
        name = progress.named(task.scene_number(scene))
        progress.emit("decoding", task_id=task.task_id, **name)
        frames = self._with_less_memory_if_needed(lambda: self.pipeline.decode(latents, parameters))
        self.decoding_seconds = time.perf_counter() - denoised
        making = Making(
            guidance=self.pipeline.guidance,
            profile=self.pipeline.profile,
            memory=self.pipeline.memory,
            text_encoding_seconds=self.pipeline.text_encoding_seconds(parameters),
            denoising_seconds=denoised - began,
            decoding_seconds=self.decoding_seconds,
            notices=self.pipeline.notices(parameters),
        )
        result = Made(frames=frames, making=making)
        if task.has_scenes:
            result = task.kept.keep(scene.number, parameters, result)
            progress.emit("scene-made", task_id=task.task_id, **name)
        return result

    def _step_reporter(self, task: Unfinished, scene: ReadyScene) -> progress.StepReporter:
        place = self._place(task, scene) if task.has_scenes else None
        coming = 1 + (place.until_end if place else 0)
        loading_seconds = self.pipeline.loading_seconds if task.to_make(*self.rounds[1:]) else 0.0
        return progress.StepReporter(
            self.ending.layout,
            attempt_id=self.ending.manifest.attempt_id,
            task_id=task.task_id,
            seconds_after=coming * self.decoding_seconds
            + loading_seconds
            + self.ending.writing_seconds,
            place=place,
        )

    def _place(self, task: Unfinished, scene: ReadyScene) -> progress.ScenePlace:
        # Whose scenes are still to be made, in order. The first one is `scene`.
        owners = [
            other.task_id
            for each in self.rounds
            for other in self.group
            if other.is_mine is not False
            for _ in other.to_make(each)
        ]
        last = max(index for index, owner in enumerate(owners) if owner == task.task_id)
        return progress.ScenePlace(
            number=scene.number,
            scenes=len(task.item.scenes),
            made=len(task.made),
            until_end=last,
        )

    def _with_less_memory_if_needed(self, work: Callable[[], T]) -> T:
        """Do `work`, and repeat it in the smallest way if it does not fit into memory.

        The next task starts with its own choice again, so it gives the same video as alone.

        Raises:
            TaskFailed: `out-of-memory`; it does not fit in the smallest way either.
        """
        try:
            return work()
        except Exception as error:
            if not device.is_out_of_memory(error):
                raise
        # Not inside of the handler: the traceback of the error keeps the large tensors alive.
        self.pipeline.use_less_memory()
        progress.emit("out-of-memory", retry=self.pipeline.memory.mode)
        try:
            return work()
        except Exception as error:
            if not device.is_out_of_memory(error):
                raise
            raise TaskFailed(
                Problem(
                    code=Code.OUT_OF_MEMORY,
                    message="The video did not fit into the memory of the machine.",
                    hint="Use fewer frames or a smaller size.",
                )
            ) from error
