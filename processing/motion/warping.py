"""Moves pictures along motion. Importing this module imports torch."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (as in torch's documentation)
from numpy.typing import NDArray
from torch import Tensor


def use_one_core() -> None:
    """Make torch use one core in the thread that calls this. It then never waits for others."""
    torch.set_num_threads(1)


def tensor(frame: NDArray[np.uint8]) -> Tensor:
    """A frame of shape (height, width, 3) as a picture of shape (1, 3, height, width)."""
    return torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)[None]


def frame(picture: Tensor) -> NDArray[np.uint8]:
    """A picture with levels from 0 to 255 as a frame."""
    levels = picture[0].permute(1, 2, 0).round().clamp(0, 255).byte()
    return np.asarray(levels.numpy(), np.uint8)


def places(picture: Tensor) -> Tensor:
    """The place of each pixel: shape (2, height, width), across and down."""
    height, width = picture.shape[-2:]
    down, across = torch.meshgrid(
        torch.arange(height, dtype=torch.float32),
        torch.arange(width, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([across, down])


def seen(picture: Tensor, at: Tensor) -> Tensor:
    """What `picture` shows at the places `at`. Its edges go on outside."""
    height, width = picture.shape[-2:]
    across, down = at[0] * (2 / (width - 1)) - 1, at[1] * (2 / (height - 1)) - 1
    grid = torch.stack([across, down], -1)[None]
    found: Tensor = F.grid_sample(picture, grid, padding_mode="border", align_corners=True)
    return found
