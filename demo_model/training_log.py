"""What a training leaves behind: checkpoints, a log of losses, its curve and strips of frames."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a stage may train: so many steps or so many seconds, whichever ends first."""

    steps: int | None = None
    seconds: float | None = None

    def done(self, step: int, seconds: float) -> float:
        """The part of the budget that is used, 0 to 1."""
        parts = [0.0]
        if self.steps is not None:
            parts.append(step / self.steps)
        if self.seconds is not None:
            parts.append(seconds / self.seconds)
        return min(max(parts), 1.0)


def learning_rate_factor(done: float, step: int, *, warmup_steps: int) -> float:
    """A linear warm-up, then flat, then a cosine fall to 2 percent over the last 60 percent."""
    fall = max(done - 0.4, 0) / 0.6
    return min((step + 1) / warmup_steps, 1.0) * (
        0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall))
    )


class Log:
    """The log of one stage in `folder`: NAME.jsonl, NAME.png and NAME.pt, the checkpoint."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self.checkpoint = folder / f"{name}.pt"

    def write(self, **values: float) -> None:
        """Add one line of figures and print it."""
        line = json.dumps({key: round(value, 5) for key, value in values.items()})
        with (self._folder / f"{self._name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(time.strftime("%H:%M:%S"), self._name, line, flush=True)

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint aside and move it, so that a crash leaves the last one whole."""
        import torch  # noqa: PLC0415

        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None."""
        import torch  # noqa: PLC0415

        if not self.checkpoint.is_file():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        return state

    def draw_curve(self, key: str = "loss") -> None:
        """Draw `key` over the steps, its axis logarithmic, to NAME.png."""
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


def write_strips(
    path: Path, videos: list[NDArray[np.uint8]], labels: list[str], *, every: int = 4
) -> None:
    """A row a video of some of its frames, its label above. Videos: (frames, height, width, 3)."""
    rows = []
    for video, label in zip(videos, labels, strict=True):
        strip = np.concatenate(video[::every], axis=1)
        head = Image.new("RGB", (strip.shape[1], 12), "white")
        ImageDraw.Draw(head).text((2, 0), label[:95], fill="black")
        rows += [np.asarray(head), strip]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
