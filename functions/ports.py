"""What the use cases need from the world. `aws.py` answers with AWS, tests with fakes.

The table is a store of documents with revisions: every change names the revision that it was
made from, several changes are committed together or not at all, and `Conflict` means that
somebody else was faster. All exactly-once behaviour rests on this one rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class FileFacts:
    """An object's current (or named) version."""

    version: str
    versioned: bool
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Listed:
    """The current version of an object, found by listing."""

    key: str
    modified_at: datetime
    version: str
    versioned: bool


class Missing(Exception):
    """There is no such object, or no longer that version of it."""


class Files(Protocol):
    """S3. `version` None means the current one."""

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """Size and version. Raises Missing."""

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        """The content, or its first bytes. Raises Missing."""

    def write(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """Create or replace an object."""

    def copy(
        self,
        source: tuple[str, str, str | None],
        target: tuple[str, str],
        content_type: str,
    ) -> None:
        """Copy (bucket, key, version) to (bucket, key) inside S3. Raises Missing."""

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object; fine when there is none."""

    def sha256(self, bucket: str, key: str) -> str:
        """Hex digest of the content. Raises Missing."""

    def listed(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """All objects below a prefix. Never on the way of a job; for the sweeper."""

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """An HTTPS link to download the object with."""
