"""Warnings about what becomes of a reference: what is cut off, repeated or converted."""

import posixpath
from collections.abc import Iterable, Mapping

from contract.catalogue import MODELS, Mode, Size
from contract.errors import Notice
from contract.timeline import timeline_of
from functions import s3_keys
from functions.spec import finishing
from functions.spec.clip import Clip
from functions.spec.fields import (
    JobSpec,
    is_only_finished,
    listed,
    parameters_of,
    quoted,
    references_of,
)
from functions.spec.reader import Original, Picture, Sound

SAME_SECONDS = 0.1
"""A sound and a video whose lengths differ by less are about equally long."""
LEAST_CUT = 0.2
"""As a share of the reference. A photo of 4:3 or 16:9 loses less on a video of 3:2."""


def notices(
    made_from: Iterable[tuple[JobSpec, Mapping[str, Original]]],
) -> tuple[Notice, ...]:
    """Warnings about references, each once.

    Args:
        made_from: resolved specs, each with its references by the field that names them.
    """
    found: list[Notice] = []
    for spec, originals in made_from:
        video = originals.get("video")
        clip = video if is_only_finished(spec) and isinstance(video, Clip) else None
        sound = originals.get("audio")
        if isinstance(sound, Sound) and (clip or not is_only_finished(spec)):
            found += _other_length(spec, sound, clip)
        pictures = {name: one for name, one in originals.items() if isinstance(one, Picture | Clip)}
        names = {field: posixpath.basename(name) for field, name in references_of(spec)}
        found += [
            _hdr(names[field], one.hdr)
            for field, one in pictures.items()
            if isinstance(one, Clip) and one.hdr is not None
        ]
        if clip is not None:
            found += finishing.notices(spec, clip)
        if is_only_finished(spec):
            continue
        assert spec.model and spec.height and spec.width  # resolved
        size = Size(height=spec.height, width=spec.width)
        found += [
            _cut_off(names[field], one, size, spec.model)
            for field, one in pictures.items()
            if spec.fit != "pad" and _cut(one, size) >= LEAST_CUT
        ]
    return tuple(dict.fromkeys(found))


def other_name(wanted: str, taken: str) -> Notice | None:
    """A warning if another file was taken than the one that a spec names.

    Args:
        wanted: the key that the spec names.
        taken: the key of the file.
    """
    if s3_keys.one_spelling(wanted) == s3_keys.one_spelling(taken):
        return None
    return Notice(
        code="reference-name",
        message=f"No file is called {quoted(posixpath.basename(wanted))}, so "
        f"{quoted(taken.removeprefix(s3_keys.JOBS_PREFIX))} was taken. Upper and lower case are "
        "different in S3, and so are unusual spaces.",
    )


def _hdr(name: str, curve: str) -> Notice:
    return Notice(
        code="reference-hdr",
        message=f"The video {name} is HDR ({curve}). It is converted to the usual range of "
        "brightness, which every screen shows: what is brighter than white becomes white.",
    )


def _other_length(spec: JobSpec, sound: Sound, clip: Clip | None) -> list[Notice]:
    """The notice for a sound that is longer or shorter than the video.

    Args:
        clip: the clip that is finished, if one is.
    """
    seconds = timeline_of(parameters_of(spec, clip)).duration_seconds
    if abs(sound.duration_seconds - seconds) < SAME_SECONDS:
        return []
    name = posixpath.basename(spec.audio or "")
    if sound.duration_seconds > seconds:
        said = f"The sound {name} is longer than the video, so it ends after {seconds:.1f} s."
        return [Notice(code="audio-cut", message=said)]
    return [
        Notice(
            code="audio-repeated",
            message=f"The sound {name} is {sound.duration_seconds:.1f} s long and the video "
            f"{seconds:.1f} s, so the sound is repeated.",
        )
    ]


def _cut(original: Picture | Clip, size: Size) -> float:
    """The share of a reference that is outside a video of this size, if it fills the video."""
    shapes = sorted((original.height / original.width, size.height / size.width))
    return 1 - shapes[0] / shapes[1]


def _cut_off(name: str, original: Picture | Clip, size: Size, model: str) -> Notice:
    noun, mode = "picture", Mode.IMAGE_TO_VIDEO
    if isinstance(original, Clip):
        noun, mode = "video", Mode.VIDEO_TO_VIDEO
    upright = original.height / original.width > size.height / size.width
    where = "at the top and at the bottom" if upright else "on the left and on the right"
    keeping = [
        other.name
        for other in MODELS.values()
        if mode in other.weights
        and any(_cut(original, possible) < LEAST_CUT for possible in other.weights[mode].sizes)
    ]
    advice = "To keep all of it, write  fit: pad  (with black bars)"
    if model in keeping:
        advice += f", or leave out aspect, height and width: {model} has a size for its shape"
    elif keeping:
        advice += f", or use a model that has a size for its shape: {listed(keeping)}"
    return Notice(
        code="reference-cut",
        message=f"{_cut(original, size):.0%} of the {noun} {name} is cut off, {where}, because the "
        f"video has {size} pixels (height x width). {advice}.",
    )
