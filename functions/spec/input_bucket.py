"""The input bucket as those see it who read what was dropped."""

from functions.ports import FileFacts
from functions.stages.ports import Ports


class InputBucket:
    """The input bucket as it is now, each file looked at once, and the drop in its own version."""

    def __init__(self, ports: Ports, bucket: str) -> None:
        self._files = ports.files
        self.bucket = bucket
        self._facts: dict[str, FileFacts] = {}

    def facts(self, key: str) -> FileFacts:
        """Size and version. Raises Missing."""
        if key not in self._facts:
            self._facts[key] = self._files.facts(self.bucket, key)
        return self._facts[key]

    def use(self, key: str, version: str) -> FileFacts:
        """Look at an older version from now on. Raises Missing."""
        self._facts[key] = self._files.facts(self.bucket, key, version)
        return self._facts[key]

    def size_bytes(self, key: str) -> int:
        """See `Inbox.size_bytes`."""
        return self.facts(key).size_bytes

    def read(self, key: str) -> bytes:
        """See `Inbox.read`."""
        facts = self.facts(key)
        return self._files.read(self.bucket, key, facts.version if facts.versioned else None)
