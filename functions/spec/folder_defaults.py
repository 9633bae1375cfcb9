"""Combines a spec with the defaults of its folders.

`_defaults.yaml` in a folder applies to everything below that folder. A closer folder overrides one
farther up, and the spec overrides all folders.

Some fields set the same thing in different ways: `preset` and `num_inference_steps` both set the
number of steps. If a spec gives one of them, the others of its folders are ignored too. Otherwise a
folder's `num_inference_steps` would override the steps of `preset: best` in a spec.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.document import Document
from contract.errors import Notice, Place
from functions.spec.fields import FOLDER_FIELDS, FolderDefaults, JobSpec, Layer, Video

# The fields of a group set the same thing.
_GROUPS = (
    ("prompt", "scenes"),
    ("image", "video", "scenes"),
    ("strength", "scenes"),
    ("aspect", "height", "width"),
    ("duration_seconds", "num_frames", "scenes"),
    ("preset", "num_inference_steps"),
)


class DayLimits(Document):
    """How much may be started in a folder in one day (UTC)."""

    videos: int = 0
    """0: no limit."""
    gpu_minutes: int = 0
    """Estimated minutes of rendering. 0: no limit."""

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self.videos or self.gpu_minutes)

    def allow(self, *, videos: int, gpu_seconds: float) -> bool:
        """Whether the limits allow this much work in one day.

        A single video is always allowed. Otherwise a video that takes longer than the minutes of
        one day would wait forever.

        Args:
            videos: number of videos of the day.
            gpu_seconds: estimated seconds of rendering of the day.
        """
        return videos <= 1 or (
            (not self.videos or videos <= self.videos)
            and (not self.gpu_minutes or gpu_seconds <= 60 * self.gpu_minutes)
        )


def limits_in(defaults: FolderDefaults) -> DayLimits:
    """The limits that one `_defaults.yaml` sets."""
    return DayLimits(
        videos=defaults.max_videos_per_day or 0,
        gpu_minutes=defaults.max_gpu_minutes_per_day or 0,
    )


def smallest(limits: Iterable[DayLimits]) -> DayLimits:
    """The limits that apply together.

    They are the smallest that any folder sets, so that a folder farther down cannot raise a limit.
    """
    given = list(limits)
    return DayLimits(
        videos=min((one.videos for one in given if one.videos), default=0),
        gpu_minutes=min((one.gpu_minutes for one in given if one.gpu_minutes), default=0),
    )


@dataclass(frozen=True)
class Draft:
    """A job as all its files together describe it: its spec and its folder defaults."""

    spec: JobSpec
    layers: tuple[Layer, ...]
    """The spec itself first, if there is one, then the folder defaults, the closest first."""

    @property
    def animate_images(self) -> bool:
        """Whether a dropped image is a job by itself. The closest folder that sets this decides."""
        for layer in self.layers:
            given = layer.spec
            if isinstance(given, FolderDefaults) and "animate_images" in given.model_fields_set:
                return given.animate_images
        return False

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """The warnings from reading the files."""
        return tuple(notice for layer in self.layers for notice in layer.parsed.warnings)

    def place(self, field: str, *path: str | int) -> Place:
        """Where the value of a field is written; if nowhere, a place in the spec itself."""
        for layer in self.layers:
            if field in layer.spec.model_fields_set:
                return layer.place(field, *path)
        return self.layers[0].place(field, *path) if self.layers else Place(field=field)

    def said(self, field: str) -> bool:
        """Whether the spec itself gives a field, and not only its folder defaults."""
        return any(field in layer.spec.model_fields_set for layer in self.layers if not layer.file)


def draft(layers: Sequence[Layer]) -> Draft:
    """Merge `layers`, of which an earlier one overrides the later ones."""
    values: dict[str, Any] = {}
    for layer in reversed(layers):
        values = over(layer.spec, values)
    for field in FOLDER_FIELDS:
        values.pop(field, None)
    return Draft(JobSpec(**values), tuple(layers))


def over(strong: Video, weak: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the fields of `strong` over those of `weak`.

    A field of `weak` is also dropped if `strong` has another field of the same group.
    """
    given = {name: getattr(strong, name) for name in strong.model_fields_set}
    replaced = {name for group in _GROUPS if any(n in given for n in group) for name in group}
    return {name: value for name, value in weak.items() if name not in replaced} | given
