"""When each frame of a video is shown, and which of the model's frames it comes from.

The model makes frames at a rate of its own. A spec can ask for another rate, for slow motion and
for a loop. The worker finishes the video by this arithmetic, and the functions forecast its length.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from contract.manifest import Parameters

FADE_SECONDS = 0.5
"""How long the end of a loop fades into its beginning, at most."""
_MOST_FADE = Fraction(1, 4)
"""The same as a share of the frames, for short videos."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Where the shown frames lie among the source frames.

    The source frames are those that the model made; with a ping-pong they go on backwards to the
    second one. Shown frame number `i` lies at the position `i * step`. A position of 2.5 is halfway
    between the source frames 2 and 3.
    """

    source_frames: int
    step: Fraction
    """How many source frames lie between two shown frames."""
    sampled_frames: int
    """How many positions there are, before a cross-fade."""
    fade_frames: int
    """How many of the last frames are blended with the first ones, which are then left out at the
    beginning. 0: there is no cross-fade."""
    wraps: bool
    """Whether the first source frame follows the last one."""
    fps: int

    @property
    def num_frames(self) -> int:
        """How many frames are shown."""
        return self.sampled_frames - self.fade_frames

    @property
    def duration_seconds(self) -> float:
        """How long the video is."""
        return self.num_frames / self.fps

    @property
    def interpolated_frames(self) -> int:
        """How many shown frames lie between two source frames, so that they must be made."""
        if self.step >= 1:
            return 0
        last = self.source_frames if self.wraps else self.source_frames - 1
        positions = (index * self.step for index in range(self.sampled_frames))
        return sum(1 for position in positions if position < last and position.denominator > 1)


def timeline_of(parameters: Parameters) -> Timeline:
    """The timeline of a video."""
    made = parameters.num_frames
    step = Fraction(
        parameters.generated_fps or parameters.fps, parameters.fps * parameters.slow_motion
    )
    if parameters.loop == "ping-pong" and made > 2:
        source = 2 * made - 2
        sampled, fade, wraps = _rounded(source / step), 0, True
    elif parameters.loop == "cross-fade" and made > 2:
        # The last frame is not held, because the fade hides where the loop begins again.
        source, wraps = made, False
        sampled = math.floor((made - 1) / step) + 1
        most = min(math.floor(sampled * _MOST_FADE), round(parameters.fps * FADE_SECONDS))
        fade = min(max(1, most), sampled - 1)
    else:
        source = made
        sampled, fade, wraps = max(1, _rounded(made / step)), 0, False
    return Timeline(
        source_frames=source,
        step=step,
        sampled_frames=sampled,
        fade_frames=fade,
        wraps=wraps,
        fps=parameters.fps,
    )


def _rounded(number: Fraction) -> int:
    """The nearest whole number; a half is rounded up."""
    return math.floor(number + Fraction(1, 2))
