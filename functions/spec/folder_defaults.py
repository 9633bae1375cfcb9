"""Puts a spec over the defaults of its folders.

`_defaults.yaml` in a folder holds for everything below it; nearer folders win over farther ones,
and the spec over all. A field that chooses the same thing as one further below replaces it:
`preset: best` in a spec is not held back by a folder's `num_inference_steps`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.document import Document
from contract.errors import Notice, Place
from functions.spec.fields import FOLDER_FIELDS, FolderDefaults, JobSpec, Layer, Video

# Fields of one group choose the same thing.
_GROUPS = (
    ("image", "video"),
    ("aspect", "height", "width"),
    ("duration_seconds", "num_frames"),
    ("preset", "num_inference_steps"),
)


class DayLimits(Document):
    """What a folder may have started in a day (UTC)."""

    videos: int = 0
    """0: no limit."""
    gpu_minutes: int = 0
    """Expected ones; 0: no limit."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.videos or self.gpu_minutes)

    def allow(self, *, videos: int, gpu_seconds: float) -> bool:
        """Whether a day may have that much in it.

        One video is always allowed. Otherwise one that takes longer than a day's minutes would
        wait for ever.
        """
        return videos <= 1 or (
            (not self.videos or videos <= self.videos)
            and (not self.gpu_minutes or gpu_seconds <= 60 * self.gpu_minutes)
        )


@dataclass(frozen=True)
class Draft:
    """What a person wants, from all files that say something about it."""

    spec: JobSpec
    layers: tuple[Layer, ...]
    """The spec itself first, if there is one, then folders from the nearest on."""

    @property
    def animate_images(self) -> bool:
        """Whether an image alone is a job here: what the nearest folder that says so wants."""
        for layer in self.layers:
            given = layer.spec
            if isinstance(given, FolderDefaults) and "animate_images" in given.model_fields_set:
                return given.animate_images
        return False

    @property
    def limits(self) -> DayLimits:
        """Of a folder's day: the smallest that any folder on the way says, so that none further
        below can raise them."""
        folders = [layer.spec for layer in self.layers if isinstance(layer.spec, FolderDefaults)]
        videos = [f.max_videos_per_day for f in folders if f.max_videos_per_day is not None]
        minutes = [
            f.max_gpu_minutes_per_day for f in folders if f.max_gpu_minutes_per_day is not None
        ]
        return DayLimits(videos=min(videos, default=0), gpu_minutes=min(minutes, default=0))

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What the reading of the files noticed."""
        return tuple(notice for layer in self.layers for notice in layer.parsed.warnings)

    def place(self, field: str, *path: str | int) -> Place:
        """Where the value that counts for a field stands; the spec itself, if nowhere."""
        for layer in self.layers:
            if field in layer.spec.model_fields_set:
                return layer.place(field, *path)
        return self.layers[0].place(field, *path) if self.layers else Place(field=field)

    def said(self, field: str) -> bool:
        """Whether the spec itself, not a folder, gives a field."""
        return any(field in layer.spec.model_fields_set for layer in self.layers if not layer.file)


def draft(layers: Sequence[Layer]) -> Draft:
    """Merge `layers`, the strongest first."""
    values: dict[str, Any] = {}
    for layer in reversed(layers):
        values = over(layer.spec, values)
    for field in FOLDER_FIELDS:
        values.pop(field, None)
    return Draft(JobSpec(**values), tuple(layers))


def over(strong: Video, weak: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `strong` gives, over those of `weak`."""
    given = {name: getattr(strong, name) for name in strong.model_fields_set}
    replaced = {name for group in _GROUPS if any(n in given for n in group) for name in group}
    return {name: value for name, value in weak.items() if name not in replaced} | given
