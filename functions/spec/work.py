"""Estimates the work of rendering a video, and of writing its files, from its parameters."""

import math
from collections.abc import Iterable, Mapping

from contract.catalogue import Mode
from contract.manifest import Parameters
from contract.timeline import timeline_of

_PIXELS = 720 * 480
# Seconds of one core for frames of so many pixels. The worker needs them to find the motion between
# two frames, and for each frame that it makes there. RIFE takes up to twice as long for small
# frames and no longer for large ones, and the worker uses up to four cores. Encoders took 0.01
# (H.264) to 0.06 s (GIF).
_SECONDS_TO_FIND_MOTION = 0.2
_SECONDS_TO_INTERPOLATE = 0.04
_SECONDS_TO_ENCODE = 0.03
_SECONDS_TO_DECODE = 0.015


def work_of(parameters: Parameters) -> float:
    """The amount of work, in millions of pixels times frames times denoising steps.

    A video that is only finished has no steps. Its work is the seconds that one core is expected to
    need.
    """
    return sum(work_by_mode(parameters).values())


def work_by_mode(parameters: Parameters) -> Mapping[Mode, float]:
    """The same for each mode. The scenes of a video may have different modes."""
    p = parameters
    if p.mode == Mode.FINISHING:
        decoding = _SECONDS_TO_DECODE * p.num_frames * p.height * p.width / _PIXELS
        return {p.mode: decoding + writing_seconds_of(p, ())}
    # With a strength below 1, only that share of the steps is run, namely the last ones.
    steps = p.num_inference_steps * (1.0 if p.strength is None else p.strength)
    made = [(scene.mode, scene.num_frames) for scene in p.scenes] or [(p.mode, p.num_frames)]
    work: dict[Mode, float] = {}
    for mode, num_frames in made:
        work[mode] = work.get(mode, 0.0) + p.height * p.width * num_frames * steps / 1e6
    return work


def writing_seconds_of(parameters: Parameters, outputs: Iterable[str]) -> float:
    """How long interpolating the frames of a video and encoding its files take.

    The files are written while the next video is rendered. So this time counts only where it is
    longer than the rendering.

    Args:
        outputs: the `outputs` of the spec.
    """
    timeline = timeline_of(parameters)
    made = timeline.interpolated_frames
    seconds = _SECONDS_TO_ENCODE * timeline.num_frames * len({"mp4", *outputs})
    if made:
        seconds += _SECONDS_TO_FIND_MOTION * timeline.source_frames + _SECONDS_TO_INTERPOLATE * made
    return seconds * parameters.height * parameters.width / _PIXELS


def size_class_of(parameters: Parameters) -> int:
    """The size class of a task, for batching tasks of similar size.

    Within a class, the numbers of pixels times frames differ by less than a factor of two. A
    compiled pipeline is compiled again for each shape, and the largest video of a batch decides how
    much memory is needed. Batches of similar videos are therefore cheaper. Of a video with scenes,
    the longest scene counts, because one scene is made after the other. Nothing of that matters for
    videos that are only finished, so all of them are in one class.
    """
    p = parameters
    if p.mode == Mode.FINISHING:
        return 0
    longest = max((scene.num_frames for scene in p.scenes), default=p.num_frames)
    return int(math.log2(p.height * p.width * longest))
