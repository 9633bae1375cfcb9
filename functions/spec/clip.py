"""What is known about a clip, and what becomes of it if it is only finished."""

import math
from typing import Literal

from contract.catalogue import Size
from contract.document import Document

MOST_LONG, MOST_SHORT = 1920, 1080
"""The longest sides of a finished video, in pixels. Larger clips are scaled down to them."""
# How far a rate may be from a whole number: 23.976, 29.97, 59.94 and 119.88 are.
_NEARLY = 0.13
# A rate that is a little above a usual one is rounded down to it.
_SHARE_OF_RATE = 0.97
_USUAL_RATES = (12, 15, 24, 25, 30, 48, 50, 60, 120, 240)


class Clip(Document):
    """What a player shows of a video: size in pixels, length, and frames per second."""

    height: int
    width: int
    num_frames: int
    fps: float
    """That of most of its frames."""
    duration_seconds: float
    has_sound: bool
    hdr: Literal["HLG", "PQ"] | None
    """How its brightness is stored. None for a video with the usual range of brightness."""

    @property
    def constant_fps(self) -> int:
        """The constant rate that is nearest to its own, in whole frames per second.

        A clip with a variable rate is counted at the next usual one, so that no frame is lost.
        """
        whole = max(1, round(self.fps))
        if abs(self.fps - whole) <= _NEARLY:
            return whole
        usual = (rate for rate in _USUAL_RATES if rate >= self.fps * _SHARE_OF_RATE)
        return next(usual, _USUAL_RATES[-1])

    @property
    def constant_frames(self) -> int:
        """How many frames it has at that rate."""
        return max(1, round(self.duration_seconds * self.constant_fps))

    @property
    def finished_size(self) -> Size:
        """The size of a finished video: its own, with even sides, or a smaller one."""
        long, short = max(self.height, self.width), min(self.height, self.width)
        scale = min(1.0, MOST_LONG / long, MOST_SHORT / short)
        return Size(height=_even(self.height * scale), width=_even(self.width * scale))


def _even(side: float) -> int:
    """Encoders need even sides. One row of pixels may be lost."""
    return max(2, 2 * math.floor(side / 2 + 1e-6))
