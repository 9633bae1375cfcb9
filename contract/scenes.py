"""Which frames of each scene are in a video, and where.

A scene that continues the one before begins with a frame that is already there: the last one of the
scene before. It is left out. A scene that fades in overlaps with the end of the scene before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.manifest import SceneParameters

FADE_SECONDS = 1.0
"""How long a scene fades into the next one, at most. The usual length in programs for editing. At 8
frames a second a shorter one changes more from frame to frame than what moves in a scene."""
# The same as a share of the shorter scene. So the two fades of a scene do not overlap.
_MOST_FADE = 2


@dataclass(frozen=True, kw_only=True)
class Part:
    """The frames of one scene in the joined frames of a video, all at the rate of the model."""

    first_frame: int
    """Where its first frame lies in the joined frames, counted from 0."""
    left_out: int
    """How many of its first frames are not in the video."""
    num_frames: int
    """How many of its frames are in the video, those of its fades included."""
    fade_frames: int
    """How many of them are blended with the last ones of the scene before."""

    @property
    def end(self) -> int:
        """The number of the frame after its last one."""
        return self.first_frame + self.num_frames


def parts_of(scenes: Sequence[SceneParameters], generated_fps: int) -> tuple[Part, ...]:
    """Where each of `scenes` lies in their video."""
    parts: list[Part] = []
    end = 0
    for number, scene in enumerate(scenes):
        left_out = 1 if scene.transition == "continue" and number else 0
        fade = 0
        if scene.transition == "fade" and number:
            shorter = min(scene.num_frames, scenes[number - 1].num_frames)
            fade = max(1, min(round(FADE_SECONDS * generated_fps), shorter // _MOST_FADE))
        part = Part(
            first_frame=end - fade,
            left_out=left_out,
            num_frames=scene.num_frames - left_out,
            fade_frames=fade,
        )
        parts.append(part)
        end = part.end
    return tuple(parts)


def num_frames_of(scenes: Sequence[SceneParameters], generated_fps: int) -> int:
    """How many frames the video of `scenes` has at the rate of the model."""
    return parts_of(scenes, generated_fps)[-1].end
