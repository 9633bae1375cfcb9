"""The input bucket, as the stages read it."""

from functions.ports import FileFacts, Missing, Page, WithFiles
from functions.spec import alike


class InputBucket:
    """The files of the input bucket, as `DropFiles`.

    The facts of a file are fetched once and then remembered, so that its size and its content are
    always of the same version. It is also remembered that there is no such file.
    """

    def __init__(self, ports: WithFiles, bucket: str) -> None:
        self._files = ports.files
        self.bucket = bucket
        self._facts: dict[str, FileFacts | None] = {}

    def facts(self, key: str) -> FileFacts:
        """Size and version of a file. Raises Missing."""
        if key not in self._facts:
            try:
                self._facts[key] = self._files.facts(self.bucket, key)
            except Missing:
                self._facts[key] = None
        facts = self._facts[key]
        if facts is None:
            raise Missing(f"{self.bucket}/{key}")
        return facts

    def version_of(self, key: str) -> str | None:
        """The version of a file; None if there is no such file."""
        try:
            return self.facts(key).version
        except Missing:
            return None

    def use(self, key: str, version: str) -> FileFacts:
        """Read this version of a file from now on, instead of the latest. Raises Missing."""
        facts = self._files.facts(self.bucket, key, version)
        self._facts[key] = facts
        return facts

    def size_bytes(self, key: str) -> int:
        """See `DropFiles.size_bytes`."""
        return self.facts(key).size_bytes

    def read(self, key: str) -> bytes:
        """See `DropFiles.read`."""
        facts = self.facts(key)
        return self._files.read(self.bucket, key, facts.version if facts.versioned else None)

    def alike(self, key: str, folder: str) -> list[str]:
        """See `DropFiles.alike`."""

        def list_after(after: str) -> Page:
            return self._files.page(self.bucket, folder, after)

        return alike.alike(list_after, key, folder)
