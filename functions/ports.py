"""The ports without a room of their own: files, the clock, chance, and the wake-up of dispatch.

A port is what a stage needs from outside, as a protocol. The adapters answer with AWS, tests with
fakes. Each port has a small protocol `With...`, and every module says in its `Needs` which of
them it uses, so a signature shows what a function may touch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contract.errors import Transient


@dataclass(frozen=True)
class FileFacts:
    """An object's current (or named) version."""

    version: str
    versioned: bool
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Listed:
    """A version of an object, found by listing."""

    key: str
    modified_at: datetime
    version: str
    versioned: bool


class Throttled(Transient):
    """AWS asks to slow down. The call had no effect."""


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

    def write(
        self, bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
    ) -> None:
        """Create or replace an object.

        Args:
            mark: ASCII text that is kept with the object. An object that has this mark already is
                left as it is, so two callers at the same time write it once.
        """

    def copy(
        self,
        source: tuple[str, str, str | None],
        target: tuple[str, str],
        content_type: str,
        *,
        mark: str = "",
    ) -> None:
        """Copy (bucket, key, version) to (bucket, key) inside S3. Raises Missing.

        Args:
            mark: see `write`.
        """

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object; fine when there is none."""

    def sha256(self, bucket: str, key: str) -> str:
        """Hex digest of the content. Raises Missing."""

    def listed(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """All objects below a prefix. Never on the way of a job; for the sweeper."""

    def versions(self, bucket: str, key: str) -> list[Listed]:
        """The versions of an object since it was last deleted, the newest first (at most 100).

        Empty if there is no such object.
        """

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """An HTTPS link to download the object with."""


class WithFiles(Protocol):
    """Can read and write objects in S3."""

    @property
    def files(self) -> Files:
        """The buckets."""


class WithClock(Protocol):
    """Knows the time."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The time: aware, UTC."""


class WithChance(Protocol):
    """Can draw a random name."""

    @property
    def new_suffix(self) -> Callable[[], str]:
        """Eight random lower-case hex digits."""


class WithWake(Protocol):
    """Can ask for a dispatch."""

    @property
    def wake(self) -> Callable[[], None]:
        """Ask that the dispatch function runs soon."""
