"""What is particular to videos that are made of scenes: how the scenes become one video."""

import math
from collections.abc import Iterator, Mapping, Reversible, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from contract.errors import Notice
from contract.manifest import Parameters
from contract.outcome import SceneMade, scene_file
from contract.scenes import Part, parts_of
from contract.timeline import timeline_of
from processing.made import Made, Making
from processing.motion.interpolator import Frame
from processing.video import Chapter

_HALF = Fraction(1, 2)
# Players show chapters as a list with a line for each.
_TITLE_CHARACTERS = 80


def each_alone(parameters: Parameters) -> tuple[Parameters, ...]:
    """What the model makes one after the other, each as the parameters of a video of its own.

    A video without scenes is treated as one with a single scene.
    """
    if not parameters.scenes:
        return (parameters,)
    return tuple(
        parameters.model_copy(
            update={
                "mode": scene.mode,
                "prompt": scene.prompt,
                "num_frames": scene.num_frames,
                "seed": scene.seed,
                "scenes": (),
            }
        )
        for scene in parameters.scenes
    )


def name_of(number: int, parameters: Parameters) -> str:
    """What a message calls a scene, which is counted from 1."""
    return f"Scene {number} of {len(parameters.scenes)}"


class Film(Reversible[Frame]):
    """The frames of a video that is made of scenes, at the rate of the model.

    Each frame is copied from its scene, or blended from two, when it is asked for.

    Args:
        scenes: The frames of each scene, shape (num_frames, height, width, 3).
        parameters: Those of the whole video.
    """

    def __init__(self, scenes: Sequence[NDArray[np.uint8]], parameters: Parameters) -> None:
        self._scenes = scenes
        self._parts = _parts(parameters)

    def __len__(self) -> int:
        return self._parts[-1].end

    def __iter__(self) -> Iterator[Frame]:
        return map(self._frame, range(len(self)))

    def __reversed__(self) -> Iterator[Frame]:
        return map(self._frame, reversed(range(len(self))))

    def _frame(self, index: int) -> Frame:
        number = max(n for n, part in enumerate(self._parts) if part.first_frame <= index)
        frame = self._frame_of(number, index)
        part = self._parts[number]
        faded = index - part.first_frame + 1
        if faded > part.fade_frames:
            return frame
        before = self._frame_of(number - 1, index)
        share = faded / (part.fade_frames + 1)
        return np.rint(before + share * (frame.astype(np.float32) - before)).astype(np.uint8)

    def _frame_of(self, number: int, index: int) -> Frame:
        part = self._parts[number]
        return np.array(self._scenes[number][part.left_out + index - part.first_frame])


def cuts(parameters: Parameters) -> frozenset[int]:
    """The numbers of the joined frames that do not go on with the one before."""
    if not parameters.scenes:
        return frozenset()
    following = zip(parameters.scenes[1:], _parts(parameters)[1:], strict=True)
    return frozenset(part.first_frame for scene, part in following if scene.transition == "cut")


def clip(frames: NDArray[np.uint8], parameters: Parameters, number: int) -> Iterator[Frame]:
    """The frames of a scene as a video of its own: without fades, and all but those left out.

    Args:
        frames: All frames of the scene, shape (num_frames, height, width, 3).
        parameters: Those of the whole video.
        number: The number of the scene, counted from 1.
    """
    part = _parts(parameters)[number - 1]
    return (np.array(frame) for frame in frames[part.left_out :])


def clip_parameters(parameters: Parameters, number: int) -> Parameters:
    """The parameters of that video of its own. It is no loop."""
    part = _parts(parameters)[number - 1]
    changes = {"num_frames": part.num_frames, "loop": None}
    return each_alone(parameters)[number - 1].model_copy(update=changes)


def all_prompts(parameters: Parameters) -> str:
    """The prompt of a video, or those of its scenes in a line."""
    return " / ".join(alone.prompt for alone in each_alone(parameters) if alone.prompt)


def chapters(parameters: Parameters, *, with_prompts: bool) -> tuple[Chapter, ...]:
    """A chapter for each scene, called by its prompt if files may say it."""
    found = []
    for number, (scene, begins, ends) in enumerate(_shown(parameters), 1):
        title = scene.prompt.strip() if with_prompts else ""
        if len(title) > _TITLE_CHARACTERS:
            title = f"{title[: _TITLE_CHARACTERS - 1]}…"
        if ends > begins:
            title = title or f"Scene {number}"
            found.append(Chapter(first_frame=begins, num_frames=ends - begins, title=title))
    return tuple(found)


def scenes_made(
    parameters: Parameters, made: Sequence[Made], clips: Mapping[str, str]
) -> tuple[SceneMade, ...]:
    """What the result says about each scene.

    Args:
        parameters: Those of the whole video.
        made: The scenes.
        clips: The SHA-256 of scenes that are also files of their own, by the name of the file.
    """
    return tuple(
        SceneMade(
            first_frame=begins,
            num_frames=ends - begins,
            guidance=its.making.guidance,
            profile=its.making.profile,
            clip_sha256=clips.get(scene_file(number)),
        )
        for number, (its, (_, begins, ends)) in enumerate(
            zip(made, _shown(parameters), strict=True), 1
        )
    )


def notices(makings: Sequence[Making]) -> tuple[Notice, ...]:
    """The warnings about the texts of all scenes. What concerns all of them is said once."""
    common = [
        notice
        for notice in makings[0].notices
        if all(notice in making.notices for making in makings)
    ]
    own = [
        Notice(code=notice.code, message=f"Scene {number}: {notice.message}")
        for number, making in enumerate(makings, 1)
        for notice in making.notices
        if notice not in common
    ]
    return (*common, *own)


def _shown(parameters: Parameters) -> Iterator[tuple[Parameters, int, int]]:
    """Each scene, the first shown frame that belongs to it, and the one after its last one.

    A shown frame belongs to the scene of the nearest joined frame. In a ping-pong, all of the way
    back belongs to the last scene.
    """
    if not parameters.scenes:
        return
    timeline = timeline_of(parameters)
    begins = [
        math.floor((part.first_frame - _HALF) / timeline.step) + 1 - timeline.fade_frames
        for part in _parts(parameters)
    ]
    inside = [min(max(0, begin), timeline.num_frames) for begin in begins]
    ends = [*inside[1:], timeline.num_frames]
    yield from zip(each_alone(parameters), inside, ends, strict=True)


def _parts(parameters: Parameters) -> tuple[Part, ...]:
    return parts_of(parameters.scenes, parameters.generated_fps or parameters.fps)
