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
)
from contract.timeline import timeline_of
from processing import files, video
from processing.gif import Gif
from processing.poster import Poster


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The files of one task, complete but not yet published."""

    folder: Path
    video: VideoFacts
    poster: bytes
    """The content of the poster, which is not on the disk yet."""
    also: Mapping[str, str]
    """The files that the task asks for beside video and poster: name to SHA-256."""
    notices: tuple[Notice, ...]

    @property
    def poster_sha256(self) -> str:
        """SHA-256 of the poster."""
        return hashlib.sha256(self.poster).hexdigest()


def finish(
    frames: Iterable[NDArray[np.uint8]],
    task: ManifestTask,
    *,
    folder: Path,
    tags: Mapping[str, str],
) -> Finished:
    """Encode `frames` into all files of a task in one pass, and check what was written.

    Args:
        frames: The frames as they are shown, RGB, each of the shape (height, width, 3). They are
            taken one by one, and only small copies for the GIF are kept.
        task: The task that the frames were made for.
        folder: The folder of the task. It must exist.
        tags: Metadata for the videos, such as their title.

    Raises:
        TaskFailed: `video-damaged`; a video cannot be read back or has other properties.
        OSError: A file cannot be written.
    """
    parameters = task.parameters
    num_frames = timeline_of(parameters).num_frames
    poster = Poster()
    gif = Gif(num_frames=num_frames, fps=parameters.fps) if task.gif else None

    def watched() -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            poster.add(frame)
            if gif is not None:
                gif.add(frame)
            yield frame

    formats = _formats(task)
    parts = {name: files.part_of(folder / name) for name in (VIDEO_FILE, GIF_FILE, *formats)}
    video.encode(
        watched(),
        fps=parameters.fps,
        path=parts[VIDEO_FILE],
        tags=tags,
        preset=parameters.preset,
        also={format_: parts[name] for name, format_ in formats.items()},
    )
    facts = _checked(parts[VIDEO_FILE], parameters)
    also = {name: _checked(parts[name], parameters).sha256 for name in formats}
    if gif is not None:
        gif.write(parts[GIF_FILE])
        also[GIF_FILE] = hashlib.sha256(parts[GIF_FILE].read_bytes()).hexdigest()
    return Finished(
        folder=folder,
        video=facts,
        poster=poster.jpeg(),
        also=also,
        notices=_notices(gif),
    )


def publish(finished: Finished) -> None:
    """Give all files of a task their final names.

    Raises:
        OSError: A file cannot be written or renamed.
    """
    files.publish(finished.folder / VIDEO_FILE)
    files.write(finished.folder / POSTER_FILE, finished.poster)
    for name in finished.also:
        files.publish(finished.folder / name)


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


def _checked(path: Path, parameters: Parameters) -> VideoFacts:
    """The properties of a video, which must be those that were asked for."""
    facts = video.probe(path)
    num_frames = timeline_of(parameters).num_frames
    found = (facts.num_frames, facts.height, facts.width, facts.fps)
    wanted = (num_frames, parameters.height, parameters.width, float(parameters.fps))
    if found != wanted:
        raise TaskFailed(
            Problem(
                code=Code.VIDEO_DAMAGED,
                message=(
                    f"The video was written with (frames, height, width, fps) {found} "
                    f"instead of {wanted}."
                ),
                hint="Drop the spec again.",
            )
        )
    return facts
