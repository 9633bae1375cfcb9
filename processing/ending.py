"""From what the model made to the files and the result of a task.

`worker` makes, and this ends what is made, in the thread of the writer. So nothing here uses the
model.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from contract.catalogue import Model
from contract.manifest import Layout, Manifest, Parameters
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    WEBM_FILE,
    Machine,
    MemoryUse,
    Quality,
    Rendered,
    Seconds,
    WeightsSource,
    scene_file,
)
from contract.timeline import timeline_of
from processing import files, finishing, progress, quality, results, scenes
from processing.made import KeptScenes, Made, Making
from processing.motion.interpolator import Frame, Interpolator
from processing.motion.shown import shown
from processing.plan import ReadyScene, ReadyTask, Round
from processing.results import Reason
from processing.weights import Compared
from processing.xmp import Origin


@dataclass(kw_only=True)
class Unfinished:
    """A task without a result, and what is made of it so far."""

    item: ReadyTask
    kept: KeptScenes
    made: dict[int, Made] = field(default_factory=dict)
    """By the number of the scene."""
    started_at: datetime | None = None
    failed_scene: int | None = None
    """The first scene that cannot be made. Those after it are not made either."""
    reason: Reason | None = None
    is_mine: bool | None = None
    """Whether this process has taken the task. None: it did not try to."""
    is_ending: bool = False
    """Whether its result is being written, or is there."""

    @classmethod
    def of(cls, layout: Layout, manifest: Manifest, item: ReadyTask) -> "Unfinished":
        """A task with the scenes that an earlier run has kept."""
        kept = KeptScenes(layout.task_scenes(item.task.task_id), manifest.attempt_id)
        task = cls(item=item, kept=kept)
        if task.has_scenes:
            for scene in item.scenes:
                found = kept.find(scene.number, scene.parameters)
                if found is not None:
                    task.made[scene.number] = found
        return task

    @property
    def task_id(self) -> str:
        return self.item.task.task_id

    @property
    def parameters(self) -> Parameters:
        """Those of the whole video."""
        return self.item.task.parameters

    @property
    def has_scenes(self) -> bool:
        return bool(self.parameters.scenes)

    def to_make(self, *rounds: Round) -> list[ReadyScene]:
        """The scenes that are to be made in some rounds."""
        if self.is_ending:
            return []
        modes = {mode for each in rounds for mode in each.modes}
        return [
            scene
            for scene in self.item.scenes
            if scene.parameters.mode in modes
            and scene.number not in self.made
            and (self.failed_scene is None or scene.number < self.failed_scene)
        ]

    def fail(self, number: int, error: Exception) -> None:
        """Scene `number` cannot be made, and so the video cannot."""
        name = scenes.name_of(number, self.parameters) if self.has_scenes else ""
        self.failed_scene, self.reason = number, results.reason_of(error, name)

    def scene_number(self, scene: ReadyScene) -> int | None:
        """What the log calls the scene. None: the video has none."""
        return scene.number if self.has_scenes else None


@dataclass(kw_only=True)
class Ending:
    """Ends the tasks of one manifest."""

    layout: Layout
    manifest: Manifest
    model: Model
    rounds: tuple[Round, ...]
    lora_sha256: str | None
    compared: Mapping[Path, Compared] = field(default_factory=dict)
    """What each model folder is."""
    machine: Machine | None = None
    interpolator: Interpolator | None = None
    """Both are known when the first model is loaded."""
    loading_seconds: float = 0.0
    """How long all rounds so far took to load."""
    writing_seconds: float = 0.0
    """How long writing took for the latest task, to predict the next one."""

    def end(self, task: Unfinished) -> None:
        """Write the files of a task and its result last.

        Raises:
            OSError: The result cannot be written.
        """
        try:
            if task.reason is None:
                self._succeed(task)
            else:
                self._fail(task, task.reason, self._kept_clips(task))
        finally:
            # Of a video without scenes, these are up to half a gigabyte.
            task.made.clear()

    def _succeed(self, task: Unfinished) -> None:
        progress.emit("encoding", task_id=task.task_id)
        began = time.perf_counter()
        assert self.interpolator is not None  # the scenes were made
        try:
            p, asked = task.parameters, task.item.task
            frames, cuts = _joined(task), scenes.cuts(p)
            measured = quality.measured(frames, cuts)
            finished = finishing.finish(
                shown(frames, timeline_of(p), self.interpolator.between, cuts),
                asked,
                folder=self._folder(task),
                origin=self._origin(task),
                sound=self.layout.references / asked.audio if asked.audio else None,
            )
            clips = self._write_clips(task, task.made if asked.scene_clips else ())
            self.writing_seconds = time.perf_counter() - began
            finishing.publish(finished)
            self._publish_clips(task, clips)
        except Exception as error:
            self._fail(task, results.reason_of(error), {})
        else:
            results.write_success(self.layout, self._rendered(task, finished, measured, clips))

    def _fail(self, task: Unfinished, reason: Reason, clips: Mapping[str, str]) -> None:
        results.write_reason(
            self.layout,
            self.manifest,
            task.item.task,
            started_at=task.started_at or results.now(),
            reason=reason,
            scene_clips=clips,
        )

    def _kept_clips(self, task: Unfinished) -> Mapping[str, str]:
        """Write the scenes before the one that failed, each as a video of its own."""
        numbers = [number for number in sorted(task.made) if number < (task.failed_scene or 0)]
        if not task.has_scenes or not numbers:
            return {}
        progress.emit("encoding", task_id=task.task_id)
        try:
            clips = self._write_clips(task, numbers)
            self._publish_clips(task, clips)
        except Exception as error:
            progress.emit("scenes-lost", task_id=task.task_id, error=repr(error))
            return {}
        return clips

    def _write_clips(self, task: Unfinished, numbers: Collection[int]) -> dict[str, str]:
        """Write scenes as videos of their own. Returns the SHA-256 by the name of the file."""
        clips = {}
        assert self.interpolator is not None  # the scenes were made
        for number in sorted(numbers):
            alone = scenes.clip_parameters(task.parameters, number)
            frames = scenes.clip(task.made[number].frames, task.parameters, number)
            clips[scene_file(number)] = finishing.write_clip(
                shown(frames, timeline_of(alone), self.interpolator.between),
                alone,
                path=self._folder(task) / scene_file(number),
                origin=self._origin(task, number),
            )
        return clips

    def _publish_clips(self, task: Unfinished, clips: Iterable[str]) -> None:
        for name in clips:
            files.publish(self._folder(task) / name)

    def _folder(self, task: Unfinished) -> Path:
        return self.layout.task_output(task.task_id)

    def _origin(self, task: Unfinished, scene: int | None = None) -> Origin:
        """Where the video of a task comes from, or one of its scenes."""
        with_prompts = task.item.task.prompt_in_file
        p = scenes.each_alone(task.parameters)[scene - 1] if scene else task.parameters
        source = self._source(self._folder_of(p))
        return Origin(
            mode=p.mode,
            model=self.manifest.model,
            revision=source.revision if source else None,
            seed=p.seed,
            prompt=scenes.all_prompts(p) if with_prompts else None,
            chapters=scenes.chapters(p, with_prompts=with_prompts),
        )

    def _folder_of(self, parameters: Parameters) -> Path:
        """The model folder for a video, or for the first scene of one."""
        return next(each.folder for each in self.rounds if parameters.mode in each.modes)

    def _source(self, folder: Path) -> WeightsSource | None:
        expected = self.compared[folder].expected
        if expected is None:
            return None
        return WeightsSource(repository=expected.repository, revision=expected.revision)

    def _rendered(
        self,
        task: Unfinished,
        finished: finishing.Finished,
        measured: Quality,
        clips: Mapping[str, str],
    ) -> Rendered:
        p, made = task.parameters, [task.made[number] for number in sorted(task.made)]
        makings = [its.making for its in made]
        first, *others = (each.folder for each in self.rounds)
        interpolates = timeline_of(p).interpolated_frames > 0
        assert self.machine is not None and self.interpolator is not None
        assert task.started_at is not None  # it was made
        return Rendered(
            attempt_id=self.manifest.attempt_id,
            task_id=task.task_id,
            model=self.manifest.model,
            weights_sha256=self.compared[first].sha256,
            weights_source=self._source(first),
            image_weights_sha256=self.compared[others[0]].sha256 if others else None,
            image_weights_source=self._source(others[0]) if others else None,
            lora_sha256=self.lora_sha256,
            scheduler=self.model.scheduler,
            parameters=p,
            guidance=None if p.scenes else makings[0].guidance,
            profile=None if p.scenes else makings[0].profile,
            interpolation=self.interpolator.facts if interpolates else None,
            scenes=scenes.scenes_made(p, made, clips) if p.scenes else (),
            started_at=task.started_at,
            finished_at=results.now(),
            seconds=self._seconds(makings),
            machine=self.machine,
            memory=_least_memory(makings),
            video=finished.video,
            poster_sha256=finished.poster_sha256,
            gif_sha256=finished.also.get(GIF_FILE),
            h265_sha256=finished.also.get(H265_FILE),
            webm_sha256=finished.also.get(WEBM_FILE),
            samples_sha256=finished.samples_sha256,
            quality=measured,
            warnings=(
                *task.item.notices,
                *scenes.notices(makings),
                *(self.interpolator.notices if interpolates else ()),
                *quality.notices(measured),
                *finished.notices,
            ),
        )

    def _seconds(self, makings: Collection[Making]) -> Seconds:
        return Seconds(
            loading=round(self.loading_seconds, 3),
            text_encoding=round(sum(making.text_encoding_seconds for making in makings), 3),
            denoising=round(sum(making.denoising_seconds for making in makings), 3),
            decoding=round(sum(making.decoding_seconds for making in makings), 3),
            encoding=round(self.writing_seconds, 3),
        )


def _joined(task: Unfinished) -> Iterable[Frame]:
    """The frames of a video at the rate of the model."""
    made = [task.made[number].frames for number in sorted(task.made)]
    return scenes.Film(made, task.parameters) if task.has_scenes else made[0]


def _least_memory(makings: Collection[Making]) -> MemoryUse:
    """The memory that was used: that of a scene for which less had to be used, if there is one."""
    uses = [making.memory for making in makings]
    return next((use for use in uses if use.stepped_down), uses[-1])
