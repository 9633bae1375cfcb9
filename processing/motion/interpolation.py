"""Makes frames between two frames, by following the motion from one to the other.

First the motion of each pixel halfway between the two frames is found, in small copies first and
then in larger ones. Then both frames are moved along it, and blended. Where that does not fit, they
are blended as they are. The decision 0034 says why ffmpeg's filter `minterpolate` is not used.

Importing this module imports torch.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (as in torch's documentation)
from numpy.typing import NDArray
from torch import Tensor

from processing.motion.warping import frame, places, seen, tensor

# All figures below were the best of those tried with bench/interpolation.py.

# Motion is found in copies with at most this many pixels. Larger ones take longer, for no gain.
_MOST_PIXELS = 150_000
# The sides of the smallest copy are at least half of this.
_LEAST_SIDE = 24
# How far, in pixels of a copy, the motion may lie from that of the next smaller copy.
_REACH = 2
# How far away, in pixels of a copy, motion is taken from: parts of one thing move alike.
_NEIGHBOURS = (3, 8)
# Pixels are compared with this many others to each side.
_AROUND = 2
# What it costs, in levels, to move by one pixel more or less than the pixels around.
_OWN_WAY = 0.5
_OWN_WAY_OF_NEIGHBOURS = 0.1
# Other motion must be better than the present one by this many levels.
_BETTER = 0.1
# Less than this share of the difference without motion must be left, or the motion does not fit.
_FITTING = 0.9

# The pairs that a sorting network compares to bring the median of nine to the place 4.
_NETWORK = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7),
    (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def between(
    before: NDArray[np.uint8], after: NDArray[np.uint8], offsets: Sequence[Fraction]
) -> list[NDArray[np.uint8]]:
    """The frames at `offsets` between two frames.

    Args:
        before: RGB, shape (height, width, 3). It has the offset 0.
        after: The same. It has the offset 1.
        offsets: Between 0 and 1.

    Returns:
        A frame for each offset.
    """
    with torch.inference_mode():
        one, other = tensor(before), tensor(after)
        motion = _enlarged(_motion(one, other), one)
        return [_moved(one, other, motion, float(offset)) for offset in offsets]


def _motion(one: Tensor, other: Tensor) -> Tensor:
    """How far each pixel moves from `one` to `other`, seen halfway.

    Args:
        one: A picture, shape (1, 3, height, width).
        other: The same.

    Returns:
        Shape (2, height, width), across and down in pixels, for a smaller copy if they are large.
    """
    copies = [(one, other)]
    while min(copies[-1][0].shape[-2:]) >= _LEAST_SIDE:
        one, other = (F.avg_pool2d(copy, 2) for copy in copies[-1])
        copies.append((one, other))
    smallest = copies[-1][0]
    motion = torch.zeros(2, *smallest.shape[-2:])
    for one, other in reversed(copies):
        if one[0, 0].numel() > _MOST_PIXELS and one is not smallest:
            break
        motion = _enlarged(motion, one)
        for _ in range(2 if one is smallest else 1):
            motion = _median(_searched(one, other, motion))
        motion = _median(_like_neighbours(one, other, motion))
        for _ in range(2):
            motion = _median(_refined(one, other, motion))
        motion = _mean(motion[None], 1)[0]
    return motion


def _searched(one: Tensor, other: Tensor, motion: Tensor) -> Tensor:
    """Try all motion that is a few whole pixels more or less, and take the best."""
    one, other = _halfway(one, other, motion)
    around = _mean(motion[None], 2 * _AROUND)[0]
    wider, other_wider = (_padded(picture, _REACH) for picture in (one, other))
    steps = range(-_REACH, _REACH + 1)
    best = torch.full(motion.shape[1:], torch.inf)
    found = motion
    for across, down in ((across, down) for down in steps for across in steps):
        # Each picture moves by half of the step. If it is odd, the second one moves further.
        right, lower = -(-across // 2), -(-down // 2)
        difference = _part(wider, right - across, lower - down, _REACH) - _part(
            other_wider, right, lower, _REACH
        )
        tried = motion + torch.tensor([across, down], dtype=torch.float32)[:, None, None]
        costs = _cost(difference) + _OWN_WAY * _distance(tried, around)
        best, found = _better(best, found, costs, tried)
    return found


def _like_neighbours(one: Tensor, other: Tensor, motion: Tensor) -> Tensor:
    """Try the motion of pixels nearby and none, and take what is better than `motion`."""
    around = _mean(motion[None], 2 * _AROUND)[0]

    def costs(tried: Tensor) -> Tensor:
        moved, other_moved = _halfway(one, other, tried)
        return _cost(moved - other_moved) + _OWN_WAY_OF_NEIGHBOURS * _distance(tried, around)

    best, found = costs(motion) - _BETTER, motion
    wider = _padded(motion[None], max(_NEIGHBOURS))
    neighbours = [
        _part(wider, across * far, down * far, max(_NEIGHBOURS))[0]
        for far in _NEIGHBOURS
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    for tried in (torch.zeros_like(motion), *neighbours):
        best, found = _better(best, found, costs(tried), tried)
    return found


def _refined(one: Tensor, other: Tensor, motion: Tensor) -> Tensor:
    """Correct `motion` by parts of a pixel, by the method of Lucas and Kanade."""
    one, other = _halfway(one, other, motion)
    left = other - one
    wider = _padded((one + other) / 2, 1)
    across = (_part(wider, 1, 0, 1) - _part(wider, -1, 0, 1)) / 2
    down = (_part(wider, 0, 1, 1) - _part(wider, 0, -1, 1)) / 2
    # Pixels that fit badly say little about the motion.
    weight = 1 / (left.abs().mean(1, keepdim=True) + 4)
    products = (across * across, across * down, down * down, across * left, down * left)
    sums = [(weight * product).sum(1, keepdim=True) for product in products]
    xx, xy, yy, xl, yl = _mean(torch.cat(sums, 1), _AROUND)[0]
    # Without detail, nothing is corrected.
    xx, yy = xx + 2, yy + 2
    correction = torch.stack([yy * xl - xy * yl, xx * yl - xy * xl]) / (xx * yy - xy * xy)
    refined: Tensor = motion - correction.clamp(-1, 1)
    return refined


def _moved(one: Tensor, other: Tensor, motion: Tensor, offset: float) -> NDArray[np.uint8]:
    """The frame at `offset`: both pictures, moved and blended."""
    here = places(one)
    # What is seen here at the offset is seen further on halfway.
    motion = seen(motion[None], here + (0.5 - offset) * motion)[0]
    from_one, from_other = here - offset * motion, here + (1 - offset) * motion
    moved, other_moved = seen(one, from_one), seen(other, from_other)
    # What lies outside of one picture comes from the other one.
    share = (1 - offset) * (_inside(one, from_one) + 1e-3)
    other_share = offset * (_inside(other, from_other) + 1e-3)
    followed = (share * moved + other_share * other_moved) / (share + other_share)
    left, still = _cost(moved - other_moved, 3), _cost(one - other, 3)
    unfit = _mean(torch.sigmoid((left - _FITTING * still) / 2)[None, None], 2)
    blended = (1 - offset) * one + offset * other
    return frame(followed + unfit * (blended - followed))


def _halfway(one: Tensor, other: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    """Both pictures moved to where they meet. They are equal if `motion` is right."""
    here = places(one)
    return seen(one, here - motion / 2), seen(other, here + motion / 2)


def _inside(picture: Tensor, at: Tensor) -> Tensor:
    """1 where the places `at` lie inside of `picture`, 0 elsewhere."""
    height, width = picture.shape[-2:]
    across, down = at
    inside: Tensor = (across >= -0.5) & (across <= width - 0.5)
    inside = inside & (down >= -0.5) & (down <= height - 0.5)
    return inside.float()


def _better(best: Tensor, found: Tensor, costs: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
    """The lesser costs of each pixel, and the motion that has them."""
    is_better = costs < best
    return torch.where(is_better, costs, best), torch.where(is_better, tried, found)


def _cost(difference: Tensor, around: int = _AROUND) -> Tensor:
    """How much the surroundings of each pixel differ, in levels: shape (height, width)."""
    return _mean(difference.abs().mean(1, keepdim=True), around)[0, 0]


def _distance(motion: Tensor, other: Tensor) -> Tensor:
    distance: Tensor = (motion - other).abs().sum(0)
    return distance


def _mean(values: Tensor, around: int) -> Tensor:
    """The mean of each pixel and those up to `around` away."""
    size = 2 * around + 1
    across = F.avg_pool2d(F.pad(values, (around, around, 0, 0), mode="replicate"), (1, size), 1)
    return F.avg_pool2d(F.pad(across, (0, 0, around, around), mode="replicate"), (size, 1), 1)


def _median(motion: Tensor) -> Tensor:
    """The median of each pixel and the eight around it, which removes single wrong ones."""
    wider = _padded(motion[None], 1)
    nine = [_part(wider, across, down, 1)[0] for down in (-1, 0, 1) for across in (-1, 0, 1)]
    for low, high in _NETWORK:
        nine[low], nine[high] = (
            torch.minimum(nine[low], nine[high]),
            torch.maximum(nine[low], nine[high]),
        )
    return nine[4]


def _padded(values: Tensor, by: int) -> Tensor:
    return F.pad(values, (by, by, by, by), mode="replicate")


def _part(padded: Tensor, across: int, down: int, by: int) -> Tensor:
    """The part of what was padded `by` so many pixels that lies `across` and `down` its middle."""
    height, width = (side - 2 * by for side in padded.shape[-2:])
    return padded[..., by + down : by + down + height, by + across : by + across + width]


def _enlarged(motion: Tensor, picture: Tensor) -> Tensor:
    """`motion` of a smaller copy, at the size of `picture`."""
    height, width = picture.shape[-2:]
    larger: Tensor = F.interpolate(motion[None], (height, width), mode="bilinear")[0]
    return larger * torch.tensor([width / motion.shape[2], height / motion.shape[1]])[:, None, None]
