"""Finds the cuts of a video, where one picture does not move on to the next.

Nothing may be interpolated across a cut. A cut is one interval in which the picture changes much
more than in the intervals beside it, and nearly as much as if the two frames had nothing in common.
Fast motion changes the picture in many intervals, a fade slowly, and a flash twice in a row.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

# Frames are compared in small, so that noise and small movements count little.
_SMALL_SIDE = 32
# The share of the difference between two unrelated pictures with the same colours. Measured on a
# film with five cuts, shown at 25, 12.5 and 6 frames per second: cuts have 0.91 to 1.07, the
# fastest motion has 0.49, 0.63 and 0.79.
_LEAST_SHARE = 0.4
# The same share, times how many times as much changes as in the intervals beside it: the cuts have
# at least 1.2 (at 6 frames per second; at 12.5 at least 1.6), and motion has at most 0.8.
_LEAST_CUT = 1.1
_MOST_TIMES = 3.0
# Less than this, in 255 levels, is noise.
_NOISE = 2.0


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Two neighbouring frames."""

    before: Frame
    after: Frame
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class _Change:
    before: Frame
    after: Frame
    levels: float
    """How much the picture changes, in 255 levels."""
    share: float
    """The same as a share of the change between unrelated pictures."""


def intervals(frames: Iterable[Frame]) -> Iterator[Interval]:
    """Each two neighbouring frames of `frames`, and whether there is a cut between them.

    Takes one frame more from `frames` than it needs for the interval that it yields.
    """
    changes = _changes(frames)
    change = next(changes, None)
    earlier = 0.0
    while change is not None:
        later = next(changes, None)
        beside = max(earlier, later.levels if later else 0.0)
        yield Interval(before=change.before, after=change.after, is_cut=_is_cut(change, beside))
        earlier = change.levels
        change = later


def _is_cut(change: _Change, beside: float) -> bool:
    if change.levels < _NOISE or change.share < _LEAST_SHARE:
        return False
    times = min(_MOST_TIMES, change.levels / max(beside, _NOISE))
    return change.share * times >= _LEAST_CUT


def _changes(frames: Iterable[Frame]) -> Iterator[_Change]:
    small_frames = ((frame, _small(frame)) for frame in frames)
    for (before, small_before), (after, small_after) in itertools.pairwise(small_frames):
        # The same pixels in another order are an unrelated picture with the same colours.
        mixed = np.random.default_rng(0).permutation(small_after)
        levels = float(np.abs(small_before - small_after).mean())
        unrelated = float(np.abs(small_before - mixed).mean())
        yield _Change(before=before, after=after, levels=levels, share=levels / max(unrelated, 1.0))


def _small(frame: Frame) -> NDArray[np.float32]:
    """The pixels of a small copy of `frame`, shape (pixels, 3)."""
    factor = max(1, max(frame.shape) // _SMALL_SIDE)
    return np.asarray(Image.fromarray(frame).reduce(factor), np.float32).reshape(-1, 3)
