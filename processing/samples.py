"""Takes some frames of a video for a guardrail to look at."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.outcome import SAMPLES

QUALITY = 90
# Bedrock accepts images of up to 4 MB. A JPEG of this size has less than half of that.
MAX_SIDE = 1024


class Samples:
    """Looks at the frames of a video one after the other, and keeps some at equal distances."""

    def __init__(self, num_frames: int) -> None:
        """
        Args:
            num_frames: How many frames the video has. If it has few, all of them are samples.
                0: there are none.
        """
        count = min(SAMPLES, num_frames)
        # In the middle of each part. So neither a fade at the beginning nor one at the end is all
        # that is seen.
        self._wanted = {(2 * part + 1) * num_frames // (2 * count) for part in range(count)}
        self._seen = 0
        self.jpegs: list[bytes] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Look at the next `frame`, shape (height, width, 3)."""
        if self._seen in self._wanted:
            picture = Image.fromarray(frame)
            picture.thumbnail((MAX_SIDE, MAX_SIDE))
            jpeg = io.BytesIO()
            picture.save(jpeg, "JPEG", quality=QUALITY)
            self.jpegs.append(jpeg.getvalue())
        self._seen += 1
