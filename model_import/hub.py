"""Downloads model folders from Hugging Face, and checks each file.

The hub lists every file with its size and a hash: SHA-256 for large files, and git's own hash for
the others. So a file that was cut or altered on the way is found here.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from contract import model_folder
from contract.model_folder import ModelFile, ModelFolder
from model_import import ImportFailed

_TRIES = 3
_GB = 10**9


@dataclass(frozen=True)
class HubFile:
    """A file of a repository."""

    path: str
    size_bytes: int
    sha256: str | None
    """Only large files have it."""
    git_sha1: str
    """The hash of the file as a blob of git. For large files, that of a pointer."""


@dataclass(frozen=True)
class Listing:
    """The files of a repository that belong to its model folder."""

    repository: str
    revision: str
    """The commit."""
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


def listing(repository: str, revision: str = "main") -> Listing:
    """What a repository holds at a commit, a branch or a tag.

    Raises:
        ImportFailed: the hub does not answer, or has no such repository or revision.
    """
    api = HfApi()
    try:
        found = api.model_info(repository, revision=revision, files_metadata=True)
    except GatedRepoError as error:
        raise ImportFailed(
            f"{repository} is given only to people who accepted its terms on {api.endpoint}. "
            "Accept them there, download it, and import the folder with --from."
        ) from error
    except RevisionNotFoundError as error:
        raise ImportFailed(f"{repository} has no revision {revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise ImportFailed(f"{api.endpoint} has no repository {repository}.") from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise ImportFailed(_unreachable(api.endpoint, error)) from error
    files = tuple(
        HubFile(
            path=entry.rfilename,
            size_bytes=entry.size or 0,
            sha256=entry.lfs.sha256 if entry.lfs else None,
            git_sha1=entry.blob_id or "",
        )
        for entry in found.siblings or ()
        if model_folder.belongs(entry.rfilename)
    )
    if not files or not found.sha:
        raise ImportFailed(f"{repository} holds no weights in safetensors files.")
    return Listing(repository=repository, revision=found.sha, files=files)


def download(wanted: Listing, folder: Path, tell: Callable[[str], None]) -> ModelFolder:
    """Download the files of a repository, check them, and write model.json last.

    Files that are there already are checked, and not downloaded again.

    Args:
        wanted: the files.
        folder: where they go.
        tell: takes a line about the progress.

    Raises:
        ImportFailed: a file cannot be downloaded or is damaged each time, or the disk is too small.
    """
    _check_space(wanted, folder)
    for left in reversed(range(_TRIES)):
        _fetch(wanted, folder, tell)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's own notes
        tell("checking the files")
        content = model_folder.write(folder, repository=wanted.repository, revision=wanted.revision)
        damaged = _damaged(wanted.files, content.files, folder)
        if not damaged:
            return content
        (folder / model_folder.MODEL_FILE).unlink()
        tell(f"damaged: {', '.join(damaged)}")
        if not left:
            raise ImportFailed(
                f"{damaged[0]} is not the file that {wanted.repository} lists, each time that it "
                "was downloaded. Try again later."
            )
        for path in damaged:
            (folder / path).unlink(missing_ok=True)
    raise AssertionError  # the last try returns or raises


def _check_space(wanted: Listing, folder: Path) -> None:
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if wanted.size_bytes - there > free:
        raise ImportFailed(
            f"The files have {wanted.size_bytes / _GB:.1f} GB and the disk has room for "
            f"{free / _GB:.1f} GB. Give the import a larger disk (--volume-gb)."
        )


def _fetch(wanted: Listing, folder: Path, tell: Callable[[str], None]) -> None:
    done = 0
    for file in sorted(wanted.files, key=lambda file: file.size_bytes):
        if not (folder / file.path).is_file():
            _fetch_one(wanted, file.path, folder)
        done += file.size_bytes
        tell(f"{done / _GB:.2f} of {wanted.size_bytes / _GB:.2f} GB: {file.path}")


def _fetch_one(wanted: Listing, path: str, folder: Path) -> None:
    """Download one file. A connection that breaks is continued where it broke."""
    for left in reversed(range(_TRIES)):
        try:
            hf_hub_download(wanted.repository, path, revision=wanted.revision, local_dir=folder)
        except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            if not left:
                raise ImportFailed(_unreachable(HfApi().endpoint, error)) from error
        except OSError as error:
            raise ImportFailed(f"{path} cannot be written: {error}.") from error
        else:
            return


def _damaged(wanted: Sequence[HubFile], found: Sequence[ModelFile], folder: Path) -> list[str]:
    by_path = {file.path: file for file in found}
    return [file.path for file in wanted if not _is_same(file, by_path.get(file.path), folder)]


def _is_same(wanted: HubFile, found: ModelFile | None, folder: Path) -> bool:
    if found is None or found.size_bytes != wanted.size_bytes:
        return False
    if wanted.sha256 is not None:
        return found.sha256 == wanted.sha256
    content = (folder / wanted.path).read_bytes()
    blob = b"blob %d\0%s" % (len(content), content)
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == wanted.git_sha1


def _unreachable(endpoint: str, error: Exception) -> str:
    first_line = (str(error) or type(error).__name__).splitlines()[0][:300]
    return f"{endpoint} does not give its files: {first_line}. Try again later."
