"""Chooses the frame that stands for a video, and writes it as JPEG."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 90
# Sharpness is measured in a small copy of the frame. Scaling down removes noise, which would
# otherwise count as sharp.
_MEASURED_SIDE = 160
# Mean brightness, 0 to 255. A frame outside is black or white.
_DARKEST = 16.0
_BRIGHTEST = 240.0
# By how many levels the mean brightness changes from frame to frame at most, if neither is part of
# a fade. Good videos of the demo model flicker by up to 0.7.
_STEADY = 1.5


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    frame: NDArray[np.uint8]
    brightness: float
    sharpness: float
    """Mean squared difference of neighbouring pixels. Of a blend of two frames, it is never more
    than that of the sharper one, so the middle of a cross-fade does not win."""


class Poster:
    """Looks at the frames of a video one after the other, and keeps the best one.

    That is the sharpest frame. Frames that are black or white, or between which the brightness
    changes as in a fade, are taken only if there are no others.
    """

    def __init__(self) -> None:
        self._best: NDArray[np.uint8] | None = None
        self._best_rank: tuple[bool, bool, float] | None = None
        self._latest: _Candidate | None = None
        self._latest_is_steady = True

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Look at the next `frame`, shape (height, width, 3). It must not change afterwards."""
        height, width, _ = frame.shape
        small = (
            Image.fromarray(frame).convert("L").reduce(max(1, min(height, width) // _MEASURED_SIDE))
        )
        luma = np.asarray(small).astype(np.int32)
        found = _Candidate(
            frame=frame,
            brightness=float(luma.mean()),
            sharpness=float((np.diff(luma, axis=0) ** 2).mean() + (np.diff(luma) ** 2).mean()),
        )
        steady = True
        if self._latest is not None:
            steady = abs(found.brightness - self._latest.brightness) < _STEADY
            self._judge(self._latest, steady=steady and self._latest_is_steady)
        self._latest, self._latest_is_steady = found, steady

    def jpeg(self) -> bytes:
        """The best of all frames as JPEG.

        Raises:
            ValueError: There was no frame.
        """
        if self._latest is not None:
            self._judge(self._latest, steady=self._latest_is_steady)
        if self._best is None:
            raise ValueError("a poster needs a frame")
        jpeg = io.BytesIO()
        Image.fromarray(self._best).save(jpeg, "JPEG", quality=QUALITY)
        return jpeg.getvalue()

    def _judge(self, candidate: _Candidate, *, steady: bool) -> None:
        lit = _DARKEST < candidate.brightness < _BRIGHTEST
        rank = (lit, steady, candidate.sharpness)
        if self._best_rank is None or rank > self._best_rank:
            self._best, self._best_rank = candidate.frame, rank
