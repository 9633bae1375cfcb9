"""The files that describe a model folder: model.json and READY.

model.json says what a model folder must contain, so that damaged weights are never used. Whoever
puts a model folder together calls `write` last. The worker compares every file with it before it
renders.

The work bucket keeps each release of a model folder under a prefix of its own. READY says which of
them is used. An import writes it last, so a model folder is never used before it is complete.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal

from contract.document import Document

MODEL_FILE = "model.json"
READY_FILE = "READY"
RIFE = "rife"
"""The name of the folder with the weights of RIFE, which interpolates frames if it is there. It is
no model of the catalogue, because it makes no videos."""
RIFE_FILE = "rife.safetensors"
# hashlib lets other threads run. A few threads read as fast as a disk can.
_THREADS = 4


class ModelFile(Document):
    """One file of a model folder."""

    path: str
    """Relative to the folder, with slashes."""
    size_bytes: int
    sha256: str


class ModelFolder(Document):
    """The content of model.json."""

    version: Literal[1] = 1
    repository: str | None
    """Where the files come from on Hugging Face, or None for weights that this project trains."""
    revision: str | None
    """The commit of the repository, or None without a repository."""
    files: tuple[ModelFile, ...]
    """All files except for model.json and hidden ones, sorted by path."""


class Ready(Document):
    """The content of READY."""

    version: Literal[1] = 1
    release: str
    """The name of the release that is used: the last part of its prefix."""
    repository: str | None
    revision: str | None
    sha256: str
    """The `fingerprint` of its files."""
    size_bytes: int
    """The size of its files together."""
    imported_at: datetime


def release_of(revision: str | None, sha256: str) -> str:
    """The name of a release: the beginning of its revision, or of its fingerprint without one."""
    return (revision or sha256)[:16]


def write(folder: Path, *, repository: str | None, revision: str | None) -> ModelFolder:
    """Write model.json for the files that are in `folder` now.

    Args:
        folder: A complete model folder.
        repository: Where its files come from on Hugging Face, if they do.
        revision: The commit of the repository.

    Raises:
        OSError: A file cannot be read or written. Its name is in `filename`.
    """
    content = ModelFolder(repository=repository, revision=revision, files=files_of(folder))
    (folder / MODEL_FILE).write_text(content.to_json(), encoding="utf-8")
    return content


def belongs(path: str) -> bool:
    """Whether a file of a repository is used: weights as safetensors, settings, and vocabularies.

    Weights in other formats could contain programs.

    Args:
        path: relative to the repository, with slashes.
    """
    visible = not any(part.startswith(".") for part in path.split("/"))
    return visible and path.endswith((".json", ".safetensors", ".txt", ".model"))


def files_of(
    folder: Path, only: Callable[[str], bool] = lambda _path: True
) -> tuple[ModelFile, ...]:
    """All files in `folder` with their hashes, except for model.json and hidden ones.

    Args:
        folder: A model folder.
        only: Whether to take a file, by its path.

    Raises:
        OSError: A file cannot be read. Its name is in `filename`.
    """
    paths = sorted(filter(only, _paths(folder)), key=str.encode)
    with ThreadPoolExecutor(_THREADS) as threads:
        return tuple(threads.map(lambda path: _file(folder, path), paths))


def fingerprint(files: Sequence[ModelFile]) -> str:
    """SHA-256 over the sorted paths and the contents of the files of a model folder.

    Everybody can check it in the folder, if no file in it is hidden:
    `find * -type f ! -path model.json | LC_ALL=C sort | xargs sha256sum | sha256sum`.
    """
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _paths(folder: Path) -> list[str]:
    relative = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [
        path.as_posix()
        for path in relative
        # Hidden folders, such as the `.cache` of a download, do not belong to the model.
        if path.as_posix() != MODEL_FILE and not any(part.startswith(".") for part in path.parts)
    ]


def _file(folder: Path, path: str) -> ModelFile:
    with (folder / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return ModelFile(path=path, size_bytes=file.tell(), sha256=sha256)
