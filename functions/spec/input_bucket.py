"""The input bucket, as the stages read it."""

from functions.ports import FileFacts, WithFiles


class InputBucket:
    """The files of the input bucket, as `DropFiles`.

    The facts of a file are fetched once and then remembered, so that its size and its content are
    always of the same version.
    """

    def __init__(self, ports: WithFiles, bucket: str) -> None:
        self._files = ports.files
        self.bucket = bucket
        self._facts: dict[str, FileFacts] = {}

    def facts(self, key: str) -> FileFacts:
        """Size and version of a file. Raises Missing."""
        if key not in self._facts:
            self._facts[key] = self._files.facts(self.bucket, key)
        return self._facts[key]

    def use(self, key: str, version: str) -> FileFacts:
        """Read this version of a file from now on, instead of the latest. Raises Missing."""
        self._facts[key] = self._files.facts(self.bucket, key, version)
        return self._facts[key]

    def size_bytes(self, key: str) -> int:
        """See `DropFiles.size_bytes`."""
        return self.facts(key).size_bytes

    def read(self, key: str) -> bytes:
        """See `DropFiles.read`."""
        facts = self.facts(key)
        return self._files.read(self.bucket, key, facts.version if facts.versioned else None)
