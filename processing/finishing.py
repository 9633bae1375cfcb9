"""From the frames of a task to its files: MP4, poster, GIF, and what was measured on the way.

All files are first written under hidden names and checked. `publish` then gives them their own
names, so that no reader ever sees an unfinished file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, Problem, TaskFailed
from contract.manifest import ManifestTask, Parameters
from contract.outcome import GIF_FILE, POSTER_FILE, VIDEO_FILE, Quality, VideoFacts
from processing import files, gif, quality, video


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The files of one task, complete but not yet published."""

    folder: Path
    video: VideoFacts
    poster: bytes
    """The content of the poster, which is not on the disk yet."""
    gif_sha256: str | None
    """None if the task does not ask for a GIF."""
    quality: Quality

    @property
    def poster_sha256(self) -> str:
        """SHA-256 of the poster."""
        return hashlib.sha256(self.poster).hexdigest()


def finish(
    frames: NDArray[np.uint8], task: ManifestTask, *, folder: Path, tags: Mapping[str, str]
) -> Finished:
    """Encode `frames`, and check that the MP4 is what the task asks for.

    Args:
        frames: The video, RGB, shape (num_frames, height, width, 3).
        task: The task that the frames were made for.
        folder: The folder of the task. It must exist.
        tags: Metadata for the MP4, such as its title.

    Raises:
        TaskFailed: `video-damaged`; the MP4 cannot be read back or has other properties.
        OSError: A file cannot be written.
    """
    parameters = task.parameters
    part = files.part_of(folder / VIDEO_FILE)
    video.encode(frames, fps=parameters.fps, path=part, tags=tags)
    facts = video.probe(part)
    _check_facts(facts, parameters)
    poster = video.poster(frames)
    gif_sha256 = None
    if task.gif:
        gif_part = files.part_of(folder / GIF_FILE)
        gif.encode(frames, fps=parameters.fps, path=gif_part)
        gif_sha256 = hashlib.sha256(gif_part.read_bytes()).hexdigest()
    return Finished(
        folder=folder,
        video=facts,
        poster=poster,
        gif_sha256=gif_sha256,
        quality=quality.measured(frames),
    )


def publish(finished: Finished) -> None:
    """Give all files of a task their final names.

    Raises:
        OSError: A file cannot be written or renamed.
    """
    files.publish(finished.folder / VIDEO_FILE)
    files.write(finished.folder / POSTER_FILE, finished.poster)
    if finished.gif_sha256 is not None:
        files.publish(finished.folder / GIF_FILE)


def _check_facts(facts: VideoFacts, parameters: Parameters) -> None:
    found = (facts.num_frames, facts.height, facts.width, facts.fps)
    wanted = (parameters.num_frames, parameters.height, parameters.width, float(parameters.fps))
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
