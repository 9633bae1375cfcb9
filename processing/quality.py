"""Measures the frames of a video, and warns if it looks broken.

The limits were measured on videos of the demo model, good and broken ones, with
tests/demo_model/test_quality.py. They are cautious: a warning says what was seen, and the video is
published all the same.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from contract.errors import Notice
from contract.outcome import Quality

# Of the good videos, the darkest had a brightness of 22 and the plainest a contrast of 15.
_BLACK = 8.0
_FLAT = 4.0
# The stillest good video had 2.0.
_FROZEN = 0.1
# Good videos had at most 0.7. With a gain of 0.8 for every second frame, the least was 4.6.
_FLICKERING = 2.0
# The share of the contrast by which neighbouring frames differ. Good videos had at most 0.34. If
# rows, lines or tiles were displaced, the least was 0.46. Frames that are noise have 1.13.
_TORN_IN_TIME = 0.45
# The same share for neighbouring pixels. Good videos had at most 0.13, and noise has 1.15.
_TORN_IN_SPACE = 0.7


def measured(frames: NDArray[np.uint8]) -> Quality:
    """The figures of `frames`, shape (num_frames, height, width, 3)."""
    # Frame by frame, because the whole video as larger numbers would take gigabytes.
    means = np.array([frame.mean(axis=(0, 1)) for frame in frames])  # (num_frames, 3)
    motion = [_difference(before, after) for before, after in itertools.pairwise(frames)]
    across = [_difference(frame[:, :-1], frame[:, 1:]) for frame in frames]
    down = [_difference(frame[:-1], frame[1:]) for frame in frames]
    brightness = means.mean(axis=1)
    # The second difference is small for a scene that becomes brighter or darker steadily.
    changes = np.abs(brightness[:-2] - 2 * brightness[1:-1] + brightness[2:]) / 2
    return Quality(
        brightness=_rounded(brightness),
        contrast=_rounded([frame.std(axis=(0, 1)).mean() for frame in frames]),
        motion=_rounded(motion),
        flicker=_rounded(changes),
        sharpness=_rounded([*across, *down]),
    )


def notices(quality: Quality) -> tuple[Notice, ...]:
    """A warning for each way in which a video with these figures looks broken."""
    q = quality
    if q.contrast < _FLAT or (q.brightness < _BLACK and q.contrast < _BLACK):
        # Such a video cannot be torn, and it is no news that it does not move.
        if q.brightness < _BLACK:
            return (_notice("video-black", "is black or nearly black", "brightness", q.brightness),)
        return (_notice("video-flat", "shows nearly one colour", "contrast", q.contrast),)
    found = []
    if q.motion < _FROZEN:
        found.append(_notice("video-frozen", "does not move", "motion", q.motion))
    if q.flicker > _FLICKERING:
        found.append(_notice("video-flickering", "flickers", "flicker", q.flicker))
    shares = (q.motion / q.contrast, q.sharpness / q.contrast)
    if shares[0] > _TORN_IN_TIME or shares[1] > _TORN_IN_SPACE:
        worse = max(shares)
        found.append(
            _notice("video-torn", "looks torn or noisy", "difference of neighbours", worse)
        )
    return tuple(found)


def _notice(code: str, what: str, figure: str, value: float) -> Notice:
    return Notice(
        code=code,
        message=f"The video {what} ({figure} {value:.2g}). If that is not what you meant, try "
        "another seed or another prompt; if it happens often, tell your administrator.",
    )


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _rounded(values: NDArray[np.float64] | list[float]) -> float:
    """The mean of `values`, or 0 if there are none."""
    return round(float(np.mean(values)), 3) if len(values) else 0.0
