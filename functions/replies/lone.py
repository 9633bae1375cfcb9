"""Builds the status of a reference that no spec asks for: what to write to make a video."""

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Literal

from contract.catalogue import MODELS, Mode
from contract.document import Document
from functions import s3_keys

# YAML reads such names as they are.
_PLAIN = re.compile(r"[^\W\d_][\w.-]*( [\w.-]+)*")


class LoneStatus(Document):
    """The content of status/<path>.json of a picture, a clip or a sound."""

    path: str
    state: Literal["lone"] = "lone"
    message: str
    spec_key: str
    """Where to drop a spec, as an example."""
    spec: str
    """Its text."""


def spec_keys(reference: str) -> Iterator[str]:
    """The keys under which a spec for a reference could be dropped, the best one first."""
    folder, name = posixpath.split(reference)
    stem = posixpath.splitext(name)[0]
    for possible in (f"{stem}.yaml", f"{stem}-video.yaml", f"video-{stem}.yaml"):
        key = posixpath.join(folder, possible)
        if s3_keys.kind_of(key) == s3_keys.Kind.SPEC:
            yield key


def lone_status(reference: str, spec_key: str, default_model: str) -> LoneStatus:
    """The status of a picture, a clip or a sound that no spec asks for.

    Args:
        reference: its key.
        spec_key: where to drop a spec.
        default_model: the model that makes a video if the spec names none.
    """
    name = posixpath.basename(reference)
    value = name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    field, prompt, mode = "video", "The same scene as a painting.", Mode.VIDEO_TO_VIDEO
    if s3_keys.is_image(reference):
        field, prompt, mode = "image", "The picture comes to life.", Mode.IMAGE_TO_VIDEO
    elif s3_keys.is_audio(reference):
        field, prompt, mode = "audio", "Waves roll onto a beach.", Mode.TEXT_TO_VIDEO
    lines = [f"{field}: {value}", f"prompt: {prompt}"]
    if mode not in MODELS[default_model].weights:
        able = (name for name, model in MODELS.items() if name != "demo" and mode in model.weights)
        lines.append(f"model: {next(able)}")
    return LoneStatus(
        path=s3_keys.path_of(reference),
        message=f"No spec asks for {reference} yet, so no video is made with it. To make one, drop "
        f"a file {spec_key} with the lines in 'spec', and your own prompt.",
        spec_key=spec_key,
        spec="\n".join(lines) + "\n",
    )
