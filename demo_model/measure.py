"""Measures what a clip shows from its pixels: colours, shape and motion.

Nothing here is learned. The background is the colour of the border, the object is what differs from
it, the shape is that of the best template, and the motion is that of the object's centre. On true
clips of the world, a test requires this to be right in 99 percent.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo_model import world

_TEMPLATE_SIZE = 24
_TURNS = 12
_LEAST_PIXELS = 25
_LEAST_CONTRAST = 60.0
_LEAST_WAY = 0.35
_GROWTH = 1.5
_SHOWN_FRAMES = range(1, world.FRAMES - 1, 3)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found in a clip. None for whatever was not clear enough."""

    shape: str | None
    colour: str | None
    background: str
    motion: str | None


def measure(video: NDArray[np.uint8]) -> Seen:
    """Measure what a clip shows: RGB, shape (frames, 64, 96, 3)."""
    pixels = video.astype(np.float32)
    border = np.concatenate(
        [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1
    ).reshape(-1, 3)
    ground = np.median(border, axis=0)
    background = _nearest(ground, world.BACKGROUNDS)
    masks = [_object(frame, ground) for frame in pixels]
    found = [mask for mask in masks if mask is not None]
    if len(found) < len(masks) // 2:
        return Seen(shape=None, colour=None, background=background, motion=None)
    return Seen(
        shape=_shape([mask for mask in (masks[i] for i in _SHOWN_FRAMES) if mask is not None]),
        colour=_colour(pixels, masks, background),
        background=background,
        motion=_motion(masks),
    )


def _nearest(colour: NDArray[np.float32], names: tuple[str, ...]) -> str:
    return min(names, key=lambda name: float(np.abs(colour - world.PALETTE[name]).sum()))


def _object(frame: NDArray[np.float32], ground: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """The largest connected area that differs from the background, or None if there is none."""
    difference = np.linalg.norm(frame - ground, axis=-1)
    # At the edge of an object, the difference is half of the contrast.
    strongest = float(np.sort(difference.ravel())[-_LEAST_PIXELS])
    if strongest < _LEAST_CONTRAST:
        return None
    part = _largest_part(difference > max(strongest / 2, _LEAST_CONTRAST / 2))
    return part if part.sum() >= _LEAST_PIXELS else None


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest area of `mask` whose pixels are connected by their sides."""
    framed = np.pad(mask, 1)  # so that no run of pixels continues in the next row or column
    numbers = np.where(framed, np.arange(1, framed.size + 1).reshape(framed.shape), 0)
    while True:
        spread = _largest_in_runs(_largest_in_runs(numbers).T).T
        if np.array_equal(spread, numbers):
            break
        numbers = spread
    found, counts = np.unique(numbers[framed], return_counts=True)
    part = numbers == found[counts.argmax()] if len(found) else framed
    return np.asarray(part[1:-1, 1:-1])


def _largest_in_runs(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace each number by the largest one of its row that is not behind a zero."""
    flat = numbers.ravel()
    starts = np.flatnonzero(np.diff(flat > 0, prepend=True))
    starts = np.union1d(starts, [0])
    largest = np.maximum.reduceat(flat, starts)
    return np.repeat(largest, np.diff(starts, append=len(flat))).reshape(numbers.shape)


def _colour(
    pixels: NDArray[np.float32], masks: list[NDArray[np.bool_] | None], background: str
) -> str:
    inside = np.concatenate(
        [frame[mask] for frame, mask in zip(pixels, masks, strict=True) if mask is not None]
    )
    names = tuple(name for name in world.COLOURS if name != background)
    return _nearest(np.median(inside, axis=0), names)


@functools.cache
def _templates(shape: str) -> NDArray[np.bool_]:
    """The masks of a shape in several rotations, shape (rotations, 24, 24)."""
    corners = {"circle": 1, "square": 4, "triangle": 3, "star": 5}[shape]
    turns = 1 if shape == "circle" else _TURNS
    drawn = [
        world.coverage(shape, 48, 48, 30, turn * 2 * math.pi / corners / turns, height=96, width=96)
        for turn in range(turns)
    ]
    return np.stack([_cut(mask > 0.5) for mask in drawn])


def _cut(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cut a square out of `mask` around its centre, scaled to the shape (24, 24)."""
    rows, columns = np.nonzero(mask)
    middle_y, middle_x = rows.mean(), columns.mean()
    # The size of the square depends on the area only, so stray pixels hardly change it.
    reach = 1.05 * math.sqrt(len(rows))
    steps = (np.arange(_TEMPLATE_SIZE) + 0.5) / _TEMPLATE_SIZE * 2 - 1
    y = np.clip((middle_y + steps * reach).round().astype(int), 0, mask.shape[0] - 1)
    x = np.clip((middle_x + steps * reach).round().astype(int), 0, mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(y, x)])


def _shape(masks: list[NDArray[np.bool_]]) -> str | None:
    if not masks:
        return None
    scores = dict.fromkeys(world.SHAPES, 0.0)
    for mask in masks:
        cut = _cut(mask)
        for shape in world.SHAPES:
            templates = _templates(shape)
            both = (templates & cut).sum(axis=(1, 2))
            either = (templates | cut).sum(axis=(1, 2))
            scores[shape] += float((both / either).max())
    return max(scores, key=lambda shape: scores[shape])


def _motion(masks: list[NDArray[np.bool_] | None]) -> str | None:
    """The motion between the first three and the last three frames that show the object."""
    shown = [mask for mask in masks if mask is not None]
    first, last = shown[:3], shown[-3:]
    start, end = (
        np.mean([np.argwhere(mask).mean(axis=0) for mask in part], axis=0) for part in (first, last)
    )
    # In pixels, the paths are twice as wide as high.
    down, right = (end - start) / (22, 44)
    x = int(np.sign(right)) if abs(right) > _LEAST_WAY else 0
    y = int(np.sign(down)) if abs(down) > _LEAST_WAY else 0
    for name, towards in world.DIRECTIONS.items():
        if towards == (x, y):
            return name
    growth = np.mean([mask.sum() for mask in last]) / np.mean([mask.sum() for mask in first])
    if growth > _GROWTH:
        return "grow"
    if growth < 1 / _GROWTH:
        return "shrink"
    # If the object rotates in place, it covers other pixels than in the first frame.
    both, either = (shown[0] & shown[-1]).sum(), (shown[0] | shown[-1]).sum()
    middle = shown[len(shown) // 2]
    half_both, half_either = (shown[0] & middle).sum(), (shown[0] | middle).sum()
    return "rotate" if min(both / either, half_both / half_either) < 0.85 else "still"
