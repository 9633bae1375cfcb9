"""A folder on this machine that stands for jobs/: specs, folder defaults and references in it."""

import os
from pathlib import Path

from functions import s3_keys
from functions.ports import Missing


class JobsFolder:
    """The files below `root`, under the keys that they would have in the bucket."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def around(cls, spec: Path) -> "JobsFolder":
        """The inbox that a spec lies in: the folder called jobs above it, else its own folder."""
        parents = spec.resolve().parents
        return cls(next((folder for folder in parents if folder.name == "jobs"), parents[0]))

    def key(self, file: Path) -> str:
        """The key that a file would have."""
        return s3_keys.JOBS_PREFIX + file.resolve().relative_to(self.root).as_posix()

    def file(self, key: str) -> Path:
        """The file behind a key.

        Raises:
            Missing: there is none, or it lies outside of the folder.
        """
        path = Path(os.path.normpath(self.root / key.removeprefix(s3_keys.JOBS_PREFIX)))
        if not path.is_relative_to(self.root) or not path.is_file():
            raise Missing(key)
        return path

    def size_bytes(self, key: str) -> int:
        """See `functions.spec.drop_files.DropFiles`."""
        return self.file(key).stat().st_size

    def read(self, key: str) -> bytes:
        """See `functions.spec.drop_files.DropFiles`."""
        return self.file(key).read_bytes()
