"""Reports progress: as JSON lines on stdout for the log, and as files for the bucket."""

import json
import threading
import time

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


class StepReporter:
    """Reports the denoising steps of one task and estimates the time that is left.

    Args:
        layout: The worker's folders.
        attempt_id: The attempt, for the progress files.
        task_id: The task, for the log and the progress files.
        seconds_after: Expected time for decoding and encoding after the last step: the time of an
            earlier task of the same manifest, or 0 for the first task.
    """

    def __init__(
        self, layout: Layout, *, attempt_id: str, task_id: str, seconds_after: float
    ) -> None:
        self._folder = layout.task_output(task_id)
        self._attempt_id = attempt_id
        self._task_id = task_id
        self._seconds_after = seconds_after
        self._began = time.monotonic()
        self._first_step_at: float | None = None
        self._last_line_at = float("-inf")
        self._filed_percent = 0

    def step(self, step: int, of: int) -> None:
        """Report that step number `step` of `of` steps is done. The first step is number 1."""
        now = time.monotonic()
        left = round(self._seconds_of_steps(now, step, of - step) + self._seconds_after, 1)
        # 100 percent is only reached with result.json, because work is left after the last step.
        percent = min(99, 100 * step // of)
        if now - self._last_line_at >= LINE_EVERY_SECONDS or step == of:
            self._last_line_at = now
            emit(
                "progress",
                task_id=self._task_id,
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
            )
            files.write(self._folder / progress_file(percent), progress.to_json().encode())

    def _seconds_of_steps(self, now: float, step: int, steps_left: int) -> float:
        """Estimate the seconds for `steps_left` more steps from the steps that are done."""
        if self._first_step_at is None:
            self._first_step_at = now
            return steps_left * (now - self._began)
        # The first step also warms up the device and is slower, so it does not count.
        return steps_left * (now - self._first_step_at) / (step - 1)
