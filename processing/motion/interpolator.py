"""What makes frames between two frames: RIFE if its weights are there, otherwise our own search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from contract.errors import Notice, TaskFailed
from contract.outcome import Interpolation
from processing import weights

Frame = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""
Between = Callable[[Frame, Frame, Sequence[Fraction]], list[Frame]]
"""Makes the frames at some offsets between two frames: 0 is the first one, 1 the second one."""


@dataclass(frozen=True, kw_only=True)
class Interpolator:
    """A way to make frames between two frames."""

    between: Between
    facts: Interpolation
    notices: tuple[Notice, ...] = ()
    """For each video with such frames."""


def search(before: Frame, after: Frame, offsets: Sequence[Fraction]) -> list[Frame]:
    """Make the frames with our own search for motion."""
    # This imports torch, which is slow. So it waits until a frame is needed.
    from processing.motion import interpolation  # noqa: PLC0415

    return interpolation.between(before, after, offsets)


def interpolator_of(folder: Path) -> Interpolator:
    """The way that `folder` decides. If the weights in it cannot be used, that is a warning.

    Args:
        folder: with the weights of RIFE. It does not exist if they were not imported.
    """
    if not folder.is_dir():
        return Interpolator(between=search, facts=Interpolation(method="search"))
    from processing.motion.rife import Rife  # noqa: PLC0415 - imports torch

    try:
        sha256 = weights.compare(folder).sha256
        rife = Rife.load(folder)
    except (TaskFailed, OSError, SafetensorError, RuntimeError, KeyError) as error:
        said = error.problems[0].message if isinstance(error, TaskFailed) else str(error)
        return Interpolator(
            between=search,
            facts=Interpolation(method="search"),
            notices=(_unusable(said),),
        )
    facts = Interpolation(method="rife", weights_sha256=sha256)
    return Interpolator(between=rife.between, facts=facts)


def _unusable(why: str) -> Notice:
    first_line = (why.splitlines() or ["they do not fit"])[0][:300].rstrip(".")
    return Notice(
        code="rife-unusable",
        message=f"The weights of RIFE cannot be used: {first_line}. The frames between those of "
        "the model were made without it. Ask your administrator to run "
        "`reeldrop import-model rife` again.",
    )
