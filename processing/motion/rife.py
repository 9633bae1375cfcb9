"""Makes frames between two frames with RIFE, a trained network, if its weights were imported.

The network finds for each pixel halfway between two frames where it comes from in either of them,
and how much each of the two is worth there. It is the IFNet of "Real-Time Intermediate Flow
Estimation for Video Frame Interpolation" by Huang, Zhang, Heng, Shi and Zhou (ECCV 2022), in the
version HDv3. Its weights and its published code, whose layers and names this module follows so that
the weights fit, are under the MIT licence, Copyright (c) Megvii Inc.; local/command/rife_weights.py
has its text.

The network knows the middle only. For other offsets, what it found is moved along the motion.
The decision 0038 says how this compares with our own search for motion.

Importing this module imports torch.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (as in torch's documentation)
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from contract.model_folder import RIFE_FILE
from processing.motion.warping import frame, places, seen, tensor

# The network sees copies with about as many pixels at most. In larger ones it takes longer, and
# finds large motion less well. bench/interpolation.py compared them.
_MOST_PIXELS = 100_000
# Each side of a copy is a multiple of this: the first block sees a quarter of it, in steps of 4 and
# then twice as large again.
_UNIT = 32
# How much smaller each block sees the copy.
_SCALES = (4, 2, 1)


class Rife:
    """Makes frames between two frames. Several threads may use it at the same time.

    Args:
        weights: as the authors name them.

    Raises:
        RuntimeError: they do not fit the network.
        KeyError: the same.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._network = Network(len(weights["block0.conv0.1.0.bias"]))
        self._network.load_state_dict(dict(weights))
        self._network.eval()

    @classmethod
    def load(cls, folder: Path) -> "Rife":
        """RIFE with the weights in a folder.

        Raises:
            OSError: they cannot be read.
            SafetensorError: the same.
            RuntimeError: they do not fit the network.
            KeyError: the same.
        """
        return cls(load_file(folder / RIFE_FILE))

    def between(
        self, before: NDArray[np.uint8], after: NDArray[np.uint8], offsets: Sequence[Fraction]
    ) -> list[NDArray[np.uint8]]:
        """The frames at `offsets` between two frames, as `interpolation.between` returns them."""
        with torch.inference_mode():
            one, other = tensor(before), tensor(after)
            found = self._found(one / 255, other / 255)
            return [_moved(one, other, found, float(offset)) for offset in offsets]

    def _found(self, one: Tensor, other: Tensor) -> Tensor:
        """What the network finds, at the size of the pictures.

        Returns:
            Shape (1, 5, height, width): where each pixel halfway comes from in `one` and in
            `other`, each across and down in pixels, and the worth of `one` there.
        """
        height, width = one.shape[-2:]
        size = _size_of_copies(height, width)
        copies = (
            F.interpolate(picture, size, mode="bilinear", antialias=True)
            for picture in (one, other)
        )
        found = F.interpolate(self._network(*copies), (height, width), mode="bilinear")
        across, down = width / size[1], height / size[0]
        larger: Tensor = found * torch.tensor([across, down] * 2 + [1.0])[None, :, None, None]
        return larger


def _size_of_copies(height: int, width: int) -> tuple[int, int]:
    shrunk = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
    tall, wide = (max(1, round(side * shrunk / _UNIT)) * _UNIT for side in (height, width))
    return tall, wide


def _moved(one: Tensor, other: Tensor, found: Tensor, offset: float) -> NDArray[np.uint8]:
    """The frame at `offset`: both pictures, moved and blended."""
    here = places(one)
    # What is seen here at the offset is seen further on halfway.
    motion = found[0, 2:4] - found[0, :2]
    found = seen(found, here + (0.5 - offset) * motion)
    moved = seen(one, here + 2 * offset * found[0, :2])
    other_moved = seen(other, here + 2 * (1 - offset) * found[0, 2:4])
    worth = torch.sigmoid(found[:, 4:])
    share, other_share = (1 - offset) * worth, offset * (1 - worth)
    return frame((share * moved + other_share * other_moved) / (share + other_share))


class Network(nn.Module):
    """Three blocks, each of which corrects what the one before found in smaller copies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block0, self.block1, self.block2 = (_Block(channels) for _ in _SCALES)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        here = places(one)
        flow, worth = torch.zeros(1, 4, *one.shape[-2:]), torch.zeros_like(one[:, :1])
        moved, other_moved = one, other
        for block, scale in zip((self.block0, self.block1, self.block2), _SCALES, strict=True):
            # Once forwards and once backwards in time; the mean of both is better.
            seen_both = torch.cat([
                torch.cat([moved, other_moved, worth], 1),
                torch.cat([other_moved, moved, -worth], 1),
            ])  # fmt: skip
            more, more_worth = block(seen_both, torch.cat([flow, _swapped(flow)]), scale)
            flow = flow + (more[:1] + _swapped(more[1:])) / 2
            worth = worth + (more_worth[:1] - more_worth[1:]) / 2
            moved, other_moved = seen(one, here + flow[0, :2]), seen(other, here + flow[0, 2:])
        return torch.cat([flow, worth], 1)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        # Two pictures with three colours, the worth, and where pixels come from in both.
        self.conv0 = nn.Sequential(_convolution(11, half, 2), _convolution(half, channels, 2))
        self.convblock0, self.convblock1, self.convblock2, self.convblock3 = (
            nn.Sequential(_convolution(channels, channels), _convolution(channels, channels))
            for _ in range(4)
        )
        self.conv1, self.conv2 = _enlarging(channels, 4), _enlarging(channels, 1)

    def forward(self, pictures: Tensor, flow: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        size = pictures.shape[-2:]
        smaller = [side // scale for side in size]
        features = self.conv0(
            torch.cat([_resized(pictures, smaller), _resized(flow, smaller) / scale], 1)
        )
        for layers in (self.convblock0, self.convblock1, self.convblock2, self.convblock3):
            features = layers(features) + features
        return _resized(self.conv1(features), size) * scale, _resized(self.conv2(features), size)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.PReLU(outputs))


def _enlarging(inputs: int, outputs: int) -> nn.Module:
    half = inputs // 2
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, half, 4, 2, 1),
        nn.PReLU(half),
        nn.ConvTranspose2d(half, outputs, 4, 2, 1),
    )


def _swapped(flow: Tensor) -> Tensor:
    return torch.cat([flow[:, 2:], flow[:, :2]], 1)


def _resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture, tuple(size), mode="bilinear")
