"""Decodes the videos that the worker wrote."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def decoded(path: Path) -> NDArray[np.uint8]:
    """The frames of a video: (number of frames, height, width, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
