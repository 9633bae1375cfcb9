"""Says how far the worker is: JSON lines on stdout for the log, progress files for the bucket."""

import json
import time

from contract.manifest import Layout
from contract.outcome import Progress, progress_file
from processing import files

LINE_EVERY_SECONDS = 1.0
FILE_EVERY_PERCENT = 10


def emit(event: str, **fields: object) -> None:
    """Write one event as a line of JSON to stdout, at once."""
    print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)


class StepReporter:
    """Follows the denoising steps of one task.

    `seconds_after` is what is expected to follow the last step (decoding, encoding): what an
    earlier task of the same manifest took, or 0 when this is the first.
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
        """Report that `step` of `of` steps is done; the first one is 1."""
        now = time.monotonic()
        left = round(self._seconds_of_steps(now, step, of - step) + self._seconds_after, 1)
        # 100 percent is result.json: there is work left after the last step.
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
        """What `steps_left` more steps will take, judged by those that are done."""
        if self._first_step_at is None:
            self._first_step_at = now
            return steps_left * (now - self._began)
        # The first step also warms up the device, so the others say more about what is to come.
        return steps_left * (now - self._first_step_at) / (step - 1)
