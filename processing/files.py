"""Writes files so that no reader ever sees an unfinished one.

A file is written under a hidden `.part` name and renamed when all of it is on the disk. SageMaker
uploads files while the worker runs, so a file must be complete as soon as it has its own name.
"""

import os
from pathlib import Path


def part_of(path: Path) -> Path:
    """The hidden name under which `path` is written until it is complete."""
    return path.parent / f".{path.name}.part"


def publish(path: Path) -> None:
    """Rename the complete file `part_of(path)` to `path`.

    Raises:
        OSError: The file does not exist, or the disk is full or broken.
    """
    part = part_of(path)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that readers see all of it or nothing. Creates missing folders.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part_of(path).write_bytes(data)
    publish(path)


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files that an interrupted run left in `folder`."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
