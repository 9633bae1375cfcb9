"""Renders all tasks of a manifest. The other modules of this package are its parts.

    plan        what is to be made, and from which references
    loading     weights into memory
    pipelines   prompt to latents to frames
    motion      frames of the model to frames that are shown
    finishing   frames to files
    writer      does the finishing while the next task is rendered
    results     result.json

Clips that are only finished need no model: `edit` does that.

A failure that concerns all tasks (manifest, weights) is raised before any task has run. After that,
a task that fails does not affect the others. Tasks that already have a result are skipped, so the
worker can be stopped and started at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.catalogue import Mode, Model
from contract.errors import Code, Failure, Problem, TaskFailed
from contract.manifest import Layout, Manifest, ManifestTask
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    WEBM_FILE,
    Guidance,
    MemoryUse,
    Profile,
    Quality,
    Rendered,
    Seconds,
    WeightsSource,
)
from contract.timeline import timeline_of
from processing import (
    device,
    edit,
    files,
    finishing,
    loading,
    pipelines,
    plan,
    progress,
    quality,
    results,
    weights,
)
from processing.lora import Lora
from processing.motion.interpolator import Interpolator, interpolator_of
from processing.motion.shown import shown
from processing.plan import ReadyTask
from processing.writer import Writer, writing
from processing.xmp import Origin

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
    waiting = [task for task in manifest.tasks if not results.has_result(layout, manifest, task)]
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
    for mode in plan.modes_of(manifest):
        weights.check(layout.model, model, mode)
    # Before the weights are loaded, so that a damaged reference is reported at once.
    ready = _open_references(layout, manifest, waiting, take)
    if not ready:
        return
    lora = Lora.of(layout, ready[0].task.parameters)
    lora_sha256 = lora.sha256() if lora else None
    pipeline, compared = _load(layout, manifest, model, ready, lora)
    with writing() as writer:
        rendering = _Rendering(
            layout=layout,
            manifest=manifest,
            model=model,
            pipeline=pipeline,
            compared=compared,
            lora_sha256=lora_sha256,
            interpolator=interpolator_of(layout.interpolation),
            writer=writer,
        )
        for item in ready:
            if take(item.task.task_id):
                rendering.run(item)
        writer.wait()


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


def _load(
    layout: Layout, manifest: Manifest, model: Model, ready: list[ReadyTask], lora: Lora | None
) -> tuple[pipelines.Pipeline, weights.Compared]:
    """Load the model, and compare its files with model.json at the same time."""
    progress.emit("loading", model=manifest.model)
    began = time.perf_counter()
    # Before the files are compared, so that a machine that cannot render ends within seconds.
    loading.usable_device(model, with_lora=lora is not None)
    with ThreadPoolExecutor(max_workers=1) as executor:
        comparing = executor.submit(weights.compare, layout.model)
        try:
            pipeline = loading.load(
                model=model,
                modes=plan.modes_of(manifest),
                folder=layout.model,
                preset=ready[0].task.parameters.preset,
                texts={text for item in ready for text in pipelines.texts_of(item.task.parameters)},
                lora=lora,
                began=began,
            )
        except TaskFailed:
            # If a file is damaged, that is the cause of the failure, and it names the file.
            comparing.result()
            raise
        # Nothing is rendered with weights that may be damaged.
        compared = comparing.result()
    progress.emit(
        "loaded",
        seconds=round(pipeline.loading_seconds, 3),
        device=pipeline.machine.device,
        weights_checked=compared.expected is not None,
    )
    return pipeline, compared


@dataclass(frozen=True, kw_only=True)
class _Unwritten:
    """A video that was rendered and has no files yet."""

    item: ReadyTask
    started_at: datetime
    frames: NDArray[np.uint8]
    guidance: Guidance
    profile: Profile
    memory: MemoryUse
    denoising_seconds: float
    decoding_seconds: float


@dataclass(kw_only=True)
class _Rendering:
    """Renders the tasks of one manifest, one after the other, with one pipeline.

    While a task is rendered, the writer writes the files of the one before. `_write` and what it
    calls run in the thread of the writer, and must not use the parts of the pipeline that change
    from task to task.
    """

    layout: Layout
    manifest: Manifest
    model: Model
    pipeline: pipelines.Pipeline
    compared: weights.Compared
    lora_sha256: str | None
    interpolator: Interpolator
    writer: Writer
    decoding_seconds: float = 0.0
    """How long decoding took for the latest task, to predict the next one."""
    writing_seconds: float = 0.0
    """The same for writing."""

    def run(self, item: ReadyTask) -> None:
        """Render one task, and begin to write its result, whether it succeeds or fails.

        Raises:
            torch.AcceleratorError: The device is lost. The task and all later ones have no result.
            OSError: A result cannot be written.
        """
        if item.task.interrupted:
            self.writer.wait()
        started_at = results.now()
        progress.emit("task-started", task_id=item.task.task_id)
        try:
            unwritten = self._render(item, started_at)
        except Exception as error:
            if device.is_device_lost(error):
                # Every later task would fail with the same error. Without a result, they get
                # another attempt on a working device.
                raise
            self._fail(item.task, started_at, error)
        else:
            progress.emit("rendered", task_id=item.task.task_id)
            self.writer.begin(lambda: self._write(unwritten))
            if item.task.interrupted:
                self.writer.wait()

    def _render(self, item: ReadyTask, started_at: datetime) -> _Unwritten:
        """Make the frames of one task."""
        task, parameters = item.task, item.task.parameters
        folder = self.layout.task_output(task.task_id)
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_parts(folder)
        steps = self._step_reporter(task)
        self.pipeline.choose_memory(parameters)
        began = time.perf_counter()
        latents = self._with_less_memory_if_needed(
            lambda: self.pipeline.denoise(parameters, item.reference, steps.step)
        )
        denoised = time.perf_counter()
        progress.emit("decoding", task_id=task.task_id)
        frames = self._with_less_memory_if_needed(lambda: self.pipeline.decode(latents, parameters))
        self.decoding_seconds = time.perf_counter() - denoised
        return _Unwritten(
            item=item,
            started_at=started_at,
            frames=frames,
            guidance=self.pipeline.guidance,
            profile=self.pipeline.profile,
            memory=self.pipeline.memory,
            denoising_seconds=denoised - began,
            decoding_seconds=self.decoding_seconds,
        )

    def _write(self, unwritten: _Unwritten) -> None:
        """Write the files of one task, and its result last."""
        task = unwritten.item.task
        timeline = timeline_of(task.parameters)
        progress.emit("encoding", task_id=task.task_id)
        began = time.perf_counter()
        try:
            measured = quality.measured(unwritten.frames)
            finished = finishing.finish(
                shown(unwritten.frames, timeline, self.interpolator.between),
                task,
                folder=self.layout.task_output(task.task_id),
                origin=self._origin(task),
                sound=self.layout.references / task.audio if task.audio else None,
            )
            self.writing_seconds = time.perf_counter() - began
            finishing.publish(finished)
        except Exception as error:
            self._fail(task, unwritten.started_at, error)
        else:
            results.write_success(self.layout, self._rendered(unwritten, finished, measured))

    def _fail(self, task: ManifestTask, started_at: datetime, error: Exception) -> None:
        results.write_failure(self.layout, self.manifest, task, started_at=started_at, error=error)

    def _rendered(
        self, unwritten: _Unwritten, finished: finishing.Finished, measured: Quality
    ) -> Rendered:
        task, parameters = unwritten.item.task, unwritten.item.task.parameters
        interpolates = timeline_of(parameters).interpolated_frames > 0
        return Rendered(
            attempt_id=self.manifest.attempt_id,
            task_id=task.task_id,
            model=self.manifest.model,
            weights_sha256=self.compared.sha256,
            weights_source=self._weights_source(),
            lora_sha256=self.lora_sha256,
            scheduler=self.model.scheduler,
            parameters=parameters,
            guidance=unwritten.guidance,
            profile=unwritten.profile,
            interpolation=self.interpolator.facts if interpolates else None,
            started_at=unwritten.started_at,
            finished_at=results.now(),
            seconds=Seconds(
                loading=round(self.pipeline.loading_seconds, 3),
                text_encoding=round(self.pipeline.text_encoding_seconds(parameters), 3),
                denoising=round(unwritten.denoising_seconds, 3),
                decoding=round(unwritten.decoding_seconds, 3),
                encoding=round(self.writing_seconds, 3),
            ),
            machine=self.pipeline.machine,
            memory=unwritten.memory,
            video=finished.video,
            poster_sha256=finished.poster_sha256,
            gif_sha256=finished.also.get(GIF_FILE),
            h265_sha256=finished.also.get(H265_FILE),
            webm_sha256=finished.also.get(WEBM_FILE),
            samples_sha256=finished.samples_sha256,
            quality=measured,
            warnings=(
                *unwritten.item.notices,
                *self.pipeline.notices(parameters),
                *(self.interpolator.notices if interpolates else ()),
                *quality.notices(measured),
                *finished.notices,
            ),
        )

    def _weights_source(self) -> WeightsSource | None:
        expected = self.compared.expected
        if expected is None:
            return None
        return WeightsSource(repository=expected.repository, revision=expected.revision)

    def _step_reporter(self, task: ManifestTask) -> progress.StepReporter:
        return progress.StepReporter(
            self.layout,
            attempt_id=self.manifest.attempt_id,
            task_id=task.task_id,
            seconds_after=self.decoding_seconds + self.writing_seconds,
        )

    def _origin(self, task: ManifestTask) -> Origin:
        source = self._weights_source()
        return Origin(
            mode=task.parameters.mode,
            model=self.manifest.model,
            revision=source.revision if source else None,
            seed=task.parameters.seed,
            prompt=task.parameters.prompt if task.prompt_in_file else None,
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
