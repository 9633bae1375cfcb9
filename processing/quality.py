"""Measures the frames of a video, and warns if it looks broken.

The limits were measured on videos of the demo model, good and broken ones, with
tests/demo_model/test_quality.py. They are cautious: a warning says what was seen, and the video is
published all the same.
"""

from collections.abc import Container, Iterable

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


class Measured:
    """Looks at the frames of a video one after the other, and keeps figures of each."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._brightness: list[list[float]] = []
        """Of the frames of each scene."""
        self._contrast: list[float] = []
        self._motion: list[float] = []
        self._across: list[float] = []
        self._down: list[float] = []

    def cut(self) -> None:
        """The next frame does not go on with the one before."""
        self._before = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Look at the next `frame`, shape (height, width, 3). It must not change afterwards."""
        if self._before is None:
            self._brightness.append([])
        else:
            self._motion.append(_difference(self._before, frame))
        self._brightness[-1].append(float(frame.mean(axis=(0, 1)).mean()))
        self._contrast.append(float(frame.std(axis=(0, 1)).mean()))
        self._across.append(_difference(frame[:, :-1], frame[:, 1:]))
        self._down.append(_difference(frame[:-1], frame[1:]))
        self._before = frame

    def seen(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same `frame`, after a look at it."""
        self.add(frame)
        return frame

    @property
    def quality(self) -> Quality:
        """The figures of all frames together."""
        scenes = [np.array(brightness) for brightness in self._brightness]
        # The second difference is small for a scene that becomes brighter or darker steadily.
        changes = [np.abs(scene[:-2] - 2 * scene[1:-1] + scene[2:]) / 2 for scene in scenes]
        return Quality(
            brightness=_rounded(np.concatenate(scenes)),
            contrast=_rounded(self._contrast),
            motion=_rounded(self._motion),
            flicker=_rounded(np.concatenate(changes)),
            sharpness=_rounded([*self._across, *self._down]),
        )


def measured(frames: Iterable[NDArray[np.uint8]], cuts: Container[int] = ()) -> Quality:
    """The figures of `frames`, each of the shape (height, width, 3).

    Args:
        frames: The frames.
        cuts: The numbers of those that do not go on with the one before.
    """
    measure = Measured()
    for number, frame in enumerate(frames):
        if number in cuts:
            measure.cut()
        measure.add(frame)
    return measure.quality


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
