"""From the frames of a task to its files: videos, poster, GIF.

All files are first written under hidden names and checked. `publish` then gives them their own
names, so that no reader ever sees an unfinished file.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import ManifestTask, Parameters
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    POSTER_FILE,
    VIDEO_FILE,
    WEBM_FILE,
    VideoFacts,
    sample_file,
)
from contract.timeline import timeline_of
from processing import files, video, xmp
from processing.gif import Gif
from processing.label import Label
from processing.poster import Poster
from processing.samples import Samples
from processing.sound import load_sound
from processing.xmp import Origin

# Sound is encoded in pieces of 1024 samples or less.
_SOUND_TOLERANCE_SECONDS = 1024 / 48_000


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The files of one task, complete but not yet published."""

    folder: Path
    video: VideoFacts
    poster: bytes
    """The content of the poster, which is not on the disk yet."""
    also: Mapping[str, str]
    """The files that the task asks for beside video and poster: name to SHA-256."""
    samples: tuple[bytes, ...]
    """JPEGs for a guardrail. Empty if the task does not ask for them."""
    notices: tuple[Notice, ...]

    @property
    def poster_sha256(self) -> str:
        """SHA-256 of the poster."""
        return hashlib.sha256(self.poster).hexdigest()

    @property
    def samples_sha256(self) -> tuple[str, ...]:
        """SHA-256 of each sample."""
        return tuple(hashlib.sha256(sample).hexdigest() for sample in self.samples)


def finish(
    frames: Iterable[NDArray[np.uint8]],
    task: ManifestTask,
    *,
    folder: Path,
    origin: Origin,
    sound: Path | None = None,
    own_sound: NDArray[np.float32] | None = None,
) -> Finished:
    """Encode `frames` into all files of a task in one pass, and check what was written.

    Args:
        frames: The frames as they are shown, RGB, each of the shape (height, width, 3). They are
            taken one by one, and only small copies for the GIF are kept.
        task: The task that the frames were made for.
        folder: The folder of the task. It must exist.
        origin: What the files say about where the video comes from.
        sound: The file with the sound of the videos.
        own_sound: What is heard without that file, as `sound.own_sound` returns it.

    Raises:
        TaskFailed: `reference-unreadable`; the sound cannot be decoded. `video-damaged`; a video
            cannot be read back or has other properties.
        OSError: A file cannot be written.
    """
    parameters, timeline = task.parameters, timeline_of(task.parameters)
    poster = Poster()
    gif = Gif(num_frames=timeline.num_frames, fps=parameters.fps) if task.gif else None
    samples = Samples(timeline.num_frames if task.samples else 0)
    formats = _formats(task)
    parts = {name: files.part_of(folder / name) for name in (VIDEO_FILE, GIF_FILE, *formats)}
    heard = load_sound(sound, seconds=timeline.duration_seconds) if sound else own_sound
    video.encode(
        _watched(_labelled(frames, parameters), poster, samples, *([gif] if gif else [])),
        fps=parameters.fps,
        path=parts[VIDEO_FILE],
        metadata=origin.metadata,
        preset=parameters.preset,
        also={format_: parts[name] for name, format_ in formats.items()},
        sound=heard,
    )
    packet = origin.packet
    _add_to_mp4s(parts, packet)
    facts, *others = (
        _checked(parts[name], parameters, with_sound=heard is not None)
        for name in (VIDEO_FILE, *formats)
    )
    also = {name: its.sha256 for name, its in zip(formats, others, strict=True)}
    if gif is not None:
        gif.write(parts[GIF_FILE])
        xmp.add_to_gif(parts[GIF_FILE], packet)
        also[GIF_FILE] = hashlib.sha256(parts[GIF_FILE].read_bytes()).hexdigest()
    return Finished(
        folder=folder,
        video=facts,
        poster=xmp.added_to_jpeg(poster.jpeg(), packet),
        also=also,
        samples=tuple(samples.jpegs),
        notices=_notices(gif),
    )


def write_clip(
    frames: Iterable[NDArray[np.uint8]], parameters: Parameters, *, path: Path, origin: Origin
) -> str:
    """Encode `frames` as an MP4 without sound, and check it. `files.publish` gives it its name.

    Args:
        frames: The frames as they are shown.
        parameters: Those of a video of its own that has these frames.
        path: What the file will be called.
        origin: What the file says about where it comes from.

    Returns:
        Its SHA-256.

    Raises:
        TaskFailed: `video-damaged`; it cannot be read back or has other properties.
        OSError: It cannot be written.
    """
    part = files.part_of(path)
    video.encode(
        _labelled(frames, parameters),
        fps=parameters.fps,
        path=part,
        metadata=origin.metadata,
        preset=parameters.preset,
    )
    xmp.add_to_mp4(part, origin.packet)
    return _checked(part, parameters, with_sound=False).sha256


def _labelled(
    frames: Iterable[NDArray[np.uint8]], parameters: Parameters
) -> Iterable[NDArray[np.uint8]]:
    """The frames with the label of the spec, if it has one."""
    if not parameters.label.strip():
        return frames
    label = Label.drawn(parameters.label, height=parameters.height, width=parameters.width)
    return map(label.on, frames)


def _add_to_mp4s(parts: Mapping[str, Path], packet: bytes) -> None:
    for name in {*parts} & {VIDEO_FILE, H265_FILE}:
        xmp.add_to_mp4(parts[name], packet)


def publish(finished: Finished) -> None:
    """Give all files of a task their final names.

    Raises:
        OSError: A file cannot be written or renamed.
    """
    files.publish(finished.folder / VIDEO_FILE)
    files.write(finished.folder / POSTER_FILE, finished.poster)
    for name in finished.also:
        files.publish(finished.folder / name)
    for number, sample in enumerate(finished.samples, 1):
        files.write(finished.folder / sample_file(number), sample)


def _watched(
    frames: Iterable[NDArray[np.uint8]], *watchers: Poster | Gif | Samples
) -> Iterator[NDArray[np.uint8]]:
    """The same frames, which poster, GIF and samples see on their way."""
    for frame in frames:
        for watcher in watchers:
            watcher.add(frame)
        yield frame


def _notices(gif: Gif | None) -> tuple[Notice, ...]:
    if gif is None or not gif.is_shortened:
        return ()
    return (
        Notice(
            code="gif-shortened",
            message=f"The GIF shows only the first {gif.seconds:.3g} s, because GIFs of longer "
            "videos are too large for web pages and mails.",
        ),
    )


def _formats(task: ManifestTask) -> dict[str, video.Format]:
    """The videos that a task asks for beside the MP4: name of the file to its format."""
    formats = {}
    if task.h265:
        formats[H265_FILE] = video.H265
    if task.webm:
        formats[WEBM_FILE] = video.WEBM
    return formats


def _checked(path: Path, parameters: Parameters, *, with_sound: bool) -> VideoFacts:
    """The properties of a video, which must be those that were asked for."""
    facts = video.probe(path)
    timeline = timeline_of(parameters)
    found = (facts.num_frames, facts.height, facts.width, facts.fps)
    wanted = (timeline.num_frames, parameters.height, parameters.width, float(parameters.fps))
    if found != wanted:
        raise _damaged(f"(frames, height, width, fps) {found} instead of {wanted}")
    seconds = facts.audio_duration_seconds
    if (seconds is not None) != with_sound:
        raise _damaged(f"{'no' if with_sound else 'a'} sound")
    if seconds is not None and abs(seconds - timeline.duration_seconds) > _SOUND_TOLERANCE_SECONDS:
        raise _damaged(f"{seconds:.3f} s of sound instead of {timeline.duration_seconds:.3f} s")
    return facts


def _damaged(what: str) -> TaskFailed:
    return TaskFailed(
        Problem(
            code=Code.VIDEO_DAMAGED,
            message=f"The video was written with {what}.",
            hint="Drop the spec again.",
        )
    )
