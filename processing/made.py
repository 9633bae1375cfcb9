"""What the model made. A scene waits on the disk until the other scenes of its video are made.

So the memory is that of one scene, however long the video is, and a worker that is started again
goes on with the scenes that are there.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from contract.document import Document
from contract.errors import Notice
from contract.manifest import Parameters
from contract.outcome import Guidance, MemoryUse, Profile
from processing import files


class Making(Document):
    """How frames were made."""

    guidance: Guidance
    profile: Profile
    memory: MemoryUse
    text_encoding_seconds: float
    denoising_seconds: float
    decoding_seconds: float
    notices: tuple[Notice, ...]
    """Warnings about the texts."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The frames of a video without scenes, or of one scene, and how they were made."""

    frames: NDArray[np.uint8]
    """RGB, shape (num_frames, height, width, 3)."""
    making: Making


class _Record(Document):
    """What lies beside the frames of a scene."""

    attempt_id: str
    parameters: Parameters
    making: Making


class KeptScenes:
    """The scenes of one task that wait on the disk.

    Args:
        folder: Their folder.
        attempt_id: The attempt. Scenes of another one do not count.
    """

    def __init__(self, folder: Path, attempt_id: str) -> None:
        self._folder = folder
        self._attempt_id = attempt_id

    def keep(self, number: int, parameters: Parameters, made: Made) -> Made:
        """Write scene `number` to the disk. The frames of what is returned are not in memory.

        Raises:
            OSError: It cannot be written.
        """
        frames, record = self._paths(number)
        self._folder.mkdir(parents=True, exist_ok=True)
        with files.part_of(frames).open("wb") as file:
            np.save(file, made.frames)
        files.publish(frames)
        # Written last, so the frames are complete if it is there.
        its = _Record(attempt_id=self._attempt_id, parameters=parameters, making=made.making)
        files.write(record, its.to_json().encode())
        return Made(frames=np.load(frames, mmap_mode="r"), making=made.making)

    def find(self, number: int, parameters: Parameters) -> Made | None:
        """Scene `number`, if it was kept. It must have been made with the same `parameters`."""
        frames, record = self._paths(number)
        try:
            its = _Record.from_json(record.read_bytes())
            if (its.attempt_id, its.parameters) != (self._attempt_id, parameters):
                return None
            return Made(frames=np.load(frames, mmap_mode="r"), making=its.making)
        except (OSError, ValueError, ValidationError):
            return None

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"scene-{number:02d}.npy", self._folder / f"scene-{number:02d}.json"


def forget(folder: Path) -> None:
    """Remove the kept scenes of a task, whose folder may not exist."""
    shutil.rmtree(folder, ignore_errors=True)
