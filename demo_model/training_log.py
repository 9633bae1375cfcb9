"""Budget and progress of a training, and the files that it writes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a stage may train. If both limits are set, the one that is reached first counts."""

    steps: int | None = None
    seconds: float | None = None

    def done(self, step: int, seconds: float) -> float:
        """The share of the budget that is used up after so many steps and seconds, 0 to 1."""
        parts = [0.0]
        if self.steps is not None:
            parts.append(step / self.steps)
        if self.seconds is not None:
            parts.append(seconds / self.seconds)
        return min(max(parts), 1.0)


def learning_rate_factor(done: float, step: int, *, warmup_steps: int) -> float:
    """The share of the full learning rate to use: a warm-up, a plateau, and a cosine decay.

    Args:
        done: The share of the budget that is used up. The decay starts at 0.4 and ends at 2 percent
            of the full rate.
        step: The number of steps done so far.
        warmup_steps: The number of steps of the linear warm-up.
    """
    fall = max(done - 0.4, 0) / 0.6
    return min((step + 1) / warmup_steps, 1.0) * (
        0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall))
    )


class Log:
    """The files of one stage in `folder`: the log NAME.jsonl, its curve NAME.png, and NAME.pt."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self.checkpoint = folder / f"{name}.pt"

    def write(self, **values: float) -> None:
        """Add one line with these figures to the log, and print it."""
        line = json.dumps({key: round(value, 5) for key, value in values.items()})
        with (self._folder / f"{self._name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(time.strftime("%H:%M:%S"), self._name, line, flush=True)

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint. If this is interrupted, the last checkpoint stays as it was."""
        import torch  # noqa: PLC0415

        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None if there is none."""
        import torch  # noqa: PLC0415

        if not self.checkpoint.is_file():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        return state

    def draw_curve(self, key: str = "loss") -> None:
        """Draw `key` over the steps to NAME.png, with a logarithmic vertical axis."""
        file = self._folder / f"{self._name}.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        points = [json.loads(line) for line in lines]
        steps = np.array([point["step"] for point in points if key in point], dtype=float)
        values = np.array([point[key] for point in points if key in point], dtype=float)
        if len(steps) < 2:
            return
        width, height, margin = 640, 320, 40
        logs = np.log10(np.maximum(values, 1e-6))
        low, high = float(logs.min()), float(max(logs.max(), logs.min() + 1e-3))
        x = margin + (steps - steps[0]) / max(steps[-1] - steps[0], 1) * (width - 2 * margin)
        y = height - margin - (logs - low) / (high - low) * (height - 2 * margin)
        picture = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(picture)
        draw.rectangle((margin, margin, width - margin, height - margin), outline="grey")
        draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill="blue", width=2)
        draw.text((margin, 12), f"{self._name}: {key} (log)  last {values[-1]:.4f}", fill="black")
        draw.text((2, margin), f"{10**high:.3g}", fill="black")
        draw.text((2, height - margin - 10), f"{10**low:.3g}", fill="black")
        draw.text((width - margin - 30, height - margin + 6), f"{int(steps[-1])}", fill="black")
        picture.save(self._folder / f"{self._name}.png")


class Course:
    """How far the training of one stage is, and when it writes to its log and its checkpoint.

    Args:
        log: The log of the stage.
        budget: How long it may train, earlier runs included.
        report_steps: Number of steps between two lines of the log.
        save_seconds: Seconds between two checkpoints.
        state: The checkpoint to go on from, or None.
    """

    def __init__(
        self,
        log: Log,
        budget: Budget,
        *,
        report_steps: int,
        save_seconds: float,
        state: dict[str, Any] | None,
    ) -> None:
        self._log = log
        self._budget = budget
        self._report_steps = report_steps
        self._save_seconds = save_seconds
        self.step: int = state["step"] if state is not None else 0
        self.seconds: float = state["seconds"] if state is not None else 0.0
        self._mean_loss = 0.0
        self.start()

    def start(self) -> None:
        """Start to measure time. Call this again after a preparation that must not count."""
        self._saved_at = self._last_step_at = time.monotonic()

    def done(self) -> float:
        """The share of the budget that is used up, 0 to 1."""
        return self._budget.done(self.step, self.seconds)

    def advance(self, loss: float, **figures: float) -> None:
        """Count one step. Every `report_steps` steps, log the mean loss and `figures`."""
        self.step += 1
        self._mean_loss += loss / self._report_steps
        now = time.monotonic()
        self.seconds += now - self._last_step_at
        self._last_step_at = now
        if self.step % self._report_steps == 0:
            self._log.write(step=self.step, loss=self._mean_loss, seconds=self.seconds, **figures)
            self._mean_loss = 0.0

    def must_save(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._last_step_at - self._saved_at > self._save_seconds or self.done() >= 1

    def save(
        self, state: dict[str, Any], check: Callable[[], dict[str, float]] | None = None
    ) -> None:
        """Write `state` as checkpoint, then log the figures that `check` returns."""
        self._log.save({**state, "step": self.step, "seconds": self.seconds})
        self._log.draw_curve()
        if check is not None:
            self._log.write(step=self.step, **check())
        self._saved_at = time.monotonic()


def write_strips(
    path: Path, videos: list[NDArray[np.uint8]], labels: list[str], *, every: int = 4
) -> None:
    """Write a picture with one row of frames for each video.

    Args:
        path: The PNG to write.
        videos: RGB, each of the shape (frames, height, width, 3).
        labels: A text for each video, to be shown above its row.
        every: Show each frame whose number divides by this.
    """
    rows = []
    for video, label in zip(videos, labels, strict=True):
        strip = np.concatenate(video[::every], axis=1)
        head = Image.new("RGB", (strip.shape[1], 12), "white")
        ImageDraw.Draw(head).text((2, 0), label[:95], fill="black")
        rows += [np.asarray(head), strip]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
