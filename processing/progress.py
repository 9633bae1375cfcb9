"""Reports progress: as JSON lines on stdout for the log, and as files for the bucket."""

import json
import threading
import time
from dataclasses import dataclass

from contract.manifest import Layout
from contract.outcome import Progress, progress_file
from processing import files

LINE_EVERY_SECONDS = 1.0
FILE_EVERY_PERCENT = 10

# One thread renders and another one writes, and their lines must not mix.
_line = threading.Lock()


def emit(event: str, **fields: object) -> None:
    """Write one event as a line of JSON to stdout, without delay."""
    with _line:
        print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)


@dataclass(frozen=True, kw_only=True)
class ScenePlace:
    """Where a scene lies in the work on its video."""

    number: int
    """Counted from 1."""
    scenes: int
    """How many the video has."""
    made: int
    """How many of them are made already."""
    until_end: int
    """How many scenes are made after this one until the video has all of them. Those of other
    videos that are made between them count, too."""


class StepReporter:
    """Reports the denoising steps of one video or scene, and estimates the time that is left.

    Args:
        layout: The worker's folders.
        attempt_id: The attempt, for the progress files.
        task_id: The task, for the log and the progress files.
        seconds_after: Expected time for decoding and encoding after the last step: the time of an
            earlier task of the same manifest, or 0 for the first task.
        place: The scene. None: the video is not made of scenes.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        attempt_id: str,
        task_id: str,
        seconds_after: float,
        place: ScenePlace | None = None,
    ) -> None:
        self._folder = layout.task_output(task_id)
        self._attempt_id = attempt_id
        self._task_id = task_id
        self._seconds_after = seconds_after
        self._began = time.monotonic()
        self._first_step_at: float | None = None
        self._last_line_at = float("-inf")
        self._place = place or ScenePlace(number=1, scenes=1, made=0, until_end=0)
        self._scene = place.number if place else None
        self._filed_percent = 100 * self._place.made // self._place.scenes

    def step(self, step: int, of: int) -> None:
        """Report that step number `step` of `of` steps is done. The first step is number 1."""
        now = time.monotonic()
        place = self._place
        steps_left = of - step + of * place.until_end
        left = round(self._seconds_of_steps(now, step, steps_left) + self._seconds_after, 1)
        # 100 percent is only reached with result.json, because work is left after the last step.
        percent = min(99, 100 * (place.made * of + step) // (place.scenes * of))
        if now - self._last_line_at >= LINE_EVERY_SECONDS or step == of:
            self._last_line_at = now
            emit(
                "progress",
                task_id=self._task_id,
                **named(self._scene),
                step=step,
                of=of,
                percent=percent,
                expected_seconds_left=left,
            )
        if percent // FILE_EVERY_PERCENT > self._filed_percent // FILE_EVERY_PERCENT:
            self._filed_percent = percent
            progress = Progress(
                attempt_id=self._attempt_id,
                task_id=self._task_id,
                percent=percent,
                expected_seconds_left=left,
                scene=self._scene,
            )
            files.write(self._folder / progress_file(percent), progress.to_json().encode())

    def _seconds_of_steps(self, now: float, step: int, steps_left: int) -> float:
        """Estimate the seconds for `steps_left` more steps from the steps that are done."""
        if self._first_step_at is None:
            self._first_step_at = now
            return steps_left * (now - self._began)
        # The first step also warms up the device and is slower, so it does not count.
        return steps_left * (now - self._first_step_at) / (step - 1)


def named(scene: int | None) -> dict[str, int]:
    """What events say about the scene: nothing if the video has none."""
    return {} if scene is None else {"scene": scene}
