"""A folder on this machine, read as if it were `jobs/` in the input bucket."""

import os
from collections.abc import Mapping
from pathlib import Path

from functions import s3_keys
from functions.ports import Missing


class JobsFolder:
    """The specs, folder defaults and references below `root`, by the keys of the bucket."""

    def __init__(self, root: Path, bodies: Mapping[str, bytes] | None = None) -> None:
        """Read a folder.

        Args:
            root: the folder that stands for jobs/.
            bodies: contents that are not on the disk, by key.
        """
        self.root = root.resolve()
        self._bodies = bodies or {}

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

    def has(self, key: str) -> bool:
        """Return whether there is a file for a key."""
        try:
            return key in self._bodies or bool(self.file(key))
        except Missing:
            return False

    def size_bytes(self, key: str) -> int:
        """See `functions.spec.drop_files.DropFiles`."""
        return len(self.read(key))

    def read(self, key: str) -> bytes:
        """See `functions.spec.drop_files.DropFiles`."""
        return self._bodies[key] if key in self._bodies else self.file(key).read_bytes()

    def alike(self, key: str, folder: str) -> list[str]:
        """See `functions.spec.drop_files.DropFiles`."""
        *names, last = s3_keys.folded(key.removeprefix(folder)).split("/")
        folders = [self.root / folder.removeprefix(s3_keys.JOBS_PREFIX)]
        for name in names:
            folders = [one for found in folders for one in _called(found, name) if one.is_dir()]
        files = (one for found in folders for one in _called(found, last))
        return [self.key(file) for file in files if file.is_file()]


def _called(folder: Path, name: str) -> list[Path]:
    """What is in a folder under a name, in any letter case and the like."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if s3_keys.folded(one.name) == name)
