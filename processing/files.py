"""Writes files so that nobody ever sees half of one.

The finished name appears by a rename, after the bytes are on the disk. Whoever watches the folder
(SageMaker's uploader, a test, a person) may see a `.part` file, and never a finished name with
unfinished content.
"""

import os
from pathlib import Path


def part_of(path: Path) -> Path:
    """The hidden name under which `path` is written until it is complete."""
    return path.parent / f".{path.name}.part"


def publish(path: Path) -> None:
    """Give the complete file `part_of(path)` its own name.

    Raises:
        OSError: the file is not there, or the disk is full or broken.
    """
    part = part_of(path)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, in one piece for every reader. Makes missing folders.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part_of(path).write_bytes(data)
    publish(path)


def remove_parts(folder: Path) -> None:
    """Remove what an interrupted run left in `folder`."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
