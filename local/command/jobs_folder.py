"""A folder on this machine, read as if it were `jobs/` in the input bucket."""

import os
from pathlib import Path

from functions import s3_keys
from functions.ports import Missing


class JobsFolder:
    """The specs, folder defaults and references below `root`, by the keys of the bucket."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def around(cls, spec: Path) -> "JobsFolder":
        """Return the nearest folder called `jobs` above a spec, otherwise the spec's own folder."""
        parents = spec.resolve().parents
        return cls(next((folder for folder in parents if folder.name == "jobs"), parents[0]))

    def key(self, file: Path) -> str:
        """Return the key that a file would have in the bucket."""
        return s3_keys.JOBS_PREFIX + file.resolve().relative_to(self.root).as_posix()

    def file(self, key: str) -> Path:
        """Return the file for a key.

        Raises:
            Missing: the file does not exist or lies outside this folder.
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
