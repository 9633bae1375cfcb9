"""Finishing: a spec with a video and no prompt needs no model.

Its frame rate, length, sound, note and formats change, and its pictures stay. So what only a model
could use is refused, and the size and the rate are those of the clip.
"""

import posixpath
from collections.abc import Iterator

from contract.errors import Code, JobRejected, Notice, Place, Problem
from contract.timeline import timeline_of
from functions.spec.clip import MOST_LONG, MOST_SHORT, Clip
from functions.spec.expand import Wanted
from functions.spec.fields import JobSpec, parameters_of, quoted

LEAST_FRAMES = 2
MOST_FRAMES = 3_600
"""A minute at 60 frames per second. In slow motion and as a loop, a rate of 60 would make 9,600
frames of 161, and writing them would take longer than rendering."""
_MOST_FPS = 60
# At fewer frames per second, nobody would call it a video.
_LEAST_FPS_ADVISED = 12
# The frames of a ping-pong are on the disk until they are shown again. At 1920x1080, this many take
# 11 GB.
MOST_PING_PONG_FRAMES = 1_800
_OF_MODELS = (
    "negative_prompt", "model", "preset", "num_inference_steps", "guidance_scale", "seed",
    "strength", "lora", "lora_scale",
)  # fmt: skip
_OF_SIZE = ("aspect", "height", "width", "fit")
_OF_LENGTH = ("duration_seconds", "num_frames")


def resolve(wanted: Wanted, clip: Clip | None) -> JobSpec:
    """Fill in the defaults of a video that is only finished.

    Args:
        wanted: the video as the job describes it.
        clip: the clip, once it has been read.

    Raises:
        JobRejected: the spec says something that only a model can use, or the video would be too
            long.
    """
    spec = wanted.spec
    problems = list(_conflicts(wanted))
    if problems:
        raise JobRejected(*problems)
    resolved = spec.model_copy(
        update={
            **dict.fromkeys((*_OF_MODELS, *_OF_SIZE, *_OF_LENGTH)),
            "prompt": "",
            "negative_prompt": "",
            "variations": 1,
            "enhance": False,
            "fps": spec.fps or (min(_MOST_FPS, clip.constant_fps) if clip else None),
            "slow_motion": spec.slow_motion or 1,
            "loop": "cross-fade" if spec.loop is True else spec.loop or False,
        }
    )
    if clip is not None:
        _check_length(wanted, resolved, clip)
    return resolved


def _conflicts(wanted: Wanted) -> Iterator[Problem]:
    """A problem for each field that makes no sense, if the spec itself says it."""
    for fields, why in (
        (_OF_MODELS, "without a model"),
        (_OF_SIZE, "and keeps its size"),
        (_OF_LENGTH, "and keeps its length"),
    ):
        for field in fields:
            if wanted.said(field) and getattr(wanted.spec, field) not in (None, ""):
                yield _conflict(field, why, wanted.place(field))
    if wanted.said("variations") and wanted.draft.spec.variations > 1:
        yield _conflict("variations", "and always in the same way", wanted.place("variations"))
    own = next((layer.spec for layer in wanted.draft.layers if not layer.file), None)
    if own is not None and own.enhance == "review":
        yield _conflict("enhance: review", "without a model", wanted.place("enhance"))


def _conflict(field: str, why: str, place: Place) -> Problem:
    return Problem(
        code=Code.FIELD_CONFLICT,
        message=f"{field} cannot be used here: this spec has a video and no prompt, so the video "
        f"is only finished, {why}.",
        hint="To have a model make a new video from this one, add a prompt. Otherwise, delete the "
        "line.",
        place=place,
    )


def _check_length(wanted: Wanted, resolved: JobSpec, clip: Clip) -> None:
    """Refuse a video with too many frames, or with a single one.

    Raises:
        JobRejected: with numbers that work.
    """
    fps = resolved.fps
    assert fps is not None  # resolved with a clip
    name, shown = quoted(posixpath.basename(resolved.video or "")), _shown(resolved, clip, fps)
    if resolved.loop == "ping-pong" and clip.constant_frames > MOST_PING_PONG_FRAMES:
        raise _too_long(
            f"The video {name} has {clip.constant_frames:,} frames. A ping-pong can have at most "
            f"{MOST_PING_PONG_FRAMES:,} there and as many back.",
            f"Cut it to {MOST_PING_PONG_FRAMES // clip.constant_fps} s or less, or write  "
            "loop: cross-fade",
            wanted.place("loop"),
        )
    if shown > MOST_FRAMES:
        seconds = int(clip.duration_seconds * MOST_FRAMES / shown)
        cut = f"Cut it to {seconds} s or less"
        fitting = (f for f in range(fps, 0, -1) if _shown(resolved, clip, f) <= MOST_FRAMES)
        most = next(fitting, 0)
        if most >= _LEAST_FPS_ADVISED:
            cut = f"Write  fps: {most}  or less, or cut it to {seconds} s"
        raise _too_long(
            f"The video {name} is {clip.duration_seconds:.1f} s long, which makes {shown:,} frames "
            f"at {fps} fps{_with(resolved)}. The limit is {MOST_FRAMES:,}.",
            f"{cut}{', or use a smaller slow_motion' if resolved.slow_motion != 1 else ''}.",
            wanted.place("fps" if wanted.said("fps") else "video"),
        )
    if shown < LEAST_FRAMES:
        raise JobRejected(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"The video {name} is {clip.duration_seconds:.2f} s long, which is a "
                f"single frame at {fps} fps.",
                hint="Write a larger fps, or use a longer video.",
                place=wanted.place("fps" if wanted.said("fps") else "video"),
            )
        )


def _too_long(message: str, hint: str, place: Place) -> JobRejected:
    return JobRejected(
        Problem(code=Code.REFERENCE_TOO_LARGE, message=message, hint=hint, place=place)
    )


def _with(resolved: JobSpec) -> str:
    """What else makes a video longer, for a sentence."""
    parts = [f"slow_motion: {resolved.slow_motion}"] if resolved.slow_motion != 1 else []
    parts += ["loop: ping-pong"] if resolved.loop == "ping-pong" else []
    return f" with {' and '.join(parts)}" if parts else ""


def _shown(resolved: JobSpec, clip: Clip, fps: int) -> int:
    return timeline_of(parameters_of(resolved.model_copy(update={"fps": fps}), clip)).num_frames


def notices(spec: JobSpec, clip: Clip) -> tuple[Notice, ...]:
    """Warnings about what becomes of a clip that is only finished.

    Args:
        spec: the resolved spec.
    """
    name, found = posixpath.basename(spec.video or ""), []
    if max(clip.height, clip.width) > MOST_LONG or min(clip.height, clip.width) > MOST_SHORT:
        found.append(
            Notice(
                code="reference-smaller",
                message=f"The video {name} has {clip.height} x {clip.width} pixels (height x "
                f"width). It becomes {clip.finished_size.height} x {clip.finished_size.width}, "
                f"because sides can have at most {MOST_LONG:,} and {MOST_SHORT:,}.",
            )
        )
    if clip.has_sound and spec.audio is None and not keeps_sound(spec):
        why = "slowed down" if spec.slow_motion != 1 else "a loop"
        found.append(
            Notice(
                code="sound-left-out",
                message=f"The sound of {name} is left out, because the video is {why}, and the "
                "sound would not fit it. To have another one, write  audio: and its file name.",
            )
        )
    return tuple(found)


def keeps_sound(spec: JobSpec) -> bool:
    """Whether the own sound of a clip fits to the finished video."""
    return spec.slow_motion in {None, 1} and not spec.loop
