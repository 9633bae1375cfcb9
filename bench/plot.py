"""Line plots on two logarithmic axes, drawn with Pillow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 1100, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 290, 60, 60
_COLOURS = ("#1f5fbf", "#1f5fbf", "#c0392b", "#c0392b", "#2e8b57", "#8e44ad")


@dataclass(frozen=True)
class Line:
    """A named line. Points with the value 0 are left out, because a logarithmic axis has no 0."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(path: Path, *, title: str, across: str, lines: Sequence[Line]) -> None:
    """Write a PNG. Every second line is dashed.

    Args:
        across: the label of the horizontal axis.
    """
    points = [p for line in lines for p in line.points if p[1] > 0]
    low_x, high_x = _decades([x for x, _ in points])
    low_y, high_y = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - low_x) / (high_x - low_x)
        up = (math.log10(y) - low_y) / (high_y - low_y)
        return (
            _LEFT + right * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(16)
    for power in range(low_x, high_x + 1):
        x, y = place(10**power, 10**low_y)
        pen.line([(x, _TOP), (x, y)], fill="#dddddd")
        pen.text((x, y + 8), f"{10**power:,}", fill="black", font=font, anchor="ma")
    for power in range(low_y, high_y + 1):
        x, y = place(10**low_x, 10**power)
        pen.line([(x, y), (_WIDTH - _RIGHT, y)], fill="#dddddd")
        pen.text((x - 8, y), f"{10.0**power:,g}", fill="black", font=font, anchor="rm")
    pen.text((_LEFT, 14), title, fill="black", font=ImageFont.load_default(19))
    pen.text((_WIDTH - _RIGHT, _HEIGHT - 26), across, fill="black", font=font, anchor="ra")
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        shown = [place(x, y) for x, y in line.points if y > 0]
        for start, end in pairwise(shown):
            _segment(pen, start, end, colour, dashed=bool(number % 2))
        for x, y in shown:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        # The legend is beside the plot, because inside it would cover some of the lines.
        left, at = _WIDTH - _RIGHT + 30, _TOP + 26 * number
        _segment(pen, (left, at + 9), (left + 40, at + 9), colour, dashed=bool(number % 2))
        pen.text((left + 48, at), line.name, fill=colour, font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _segment(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    *,
    dashed: bool,
) -> None:
    length = math.dist(start, end)
    step = 12.0 if dashed else max(length, 1.0)
    at = 0.0
    while at < length:
        to = min(length, at + (7.0 if dashed else step))
        ends = [
            (
                start[0] + (end[0] - start[0]) * part / length,
                start[1] + (end[1] - start[1]) * part / length,
            )
            for part in (at, to)
        ]
        pen.line(ends, fill=colour, width=3)
        at += step
