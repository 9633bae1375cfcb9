"""The ports without a room of their own: files, the clock, chance, and the wake-up of dispatch.

A port is what a stage needs from outside, as a protocol. The adapters answer with AWS, tests with
fakes. Each port has a small protocol `With...`, and every module says in its `Needs` which of
them it uses, so a signature shows what a function may touch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from contract.errors import Transient


@dataclass(frozen=True)
class FileFacts:
    """An object's current (or named) version."""

    version: str
    versioned: bool
    size_bytes: int
    modified_at: datetime
    mark: str = ""
    """The mark that it was written with (see `Files.write`); empty without one, and in listings."""


@dataclass(frozen=True)
class Listed:
    """The current version of an object, found by listing."""

    key: str
    modified_at: datetime


@dataclass(frozen=True)
class Page:
    """Objects that one call has listed, in the order of their keys."""

    objects: tuple[Listed, ...]
    more: bool
    """Whether other objects follow."""


# S3 lists at most this many objects with one call.
PAGE_OBJECTS = 1000
# So many versions of an object are listed at most.
MOST_VERSIONS = 100


class Throttled(Transient):
    """AWS asks to slow down. The call had no effect."""


class Missing(Exception):
    """There is no such object, or no longer that version of it."""


class Locked(Exception):
    """An object is encrypted with a key that is not the deployment's, and that it may not use."""


class Files(Protocol):
    """S3. `version` None means the current one."""

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """Size, version and mark. Raises Missing."""

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        """The content, or its first bytes. Raises Missing and Locked."""

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

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Write the content of an object to a file on the disk. Raises Missing."""

    def upload(self, path: Path, bucket: str, key: str, content_type: str, *, mark: str) -> None:
        """Create or replace an object with the content of a file on the disk.

        Args:
            mark: see `write`.
        """

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object; fine when there is none."""

    def sha256(self, bucket: str, key: str) -> str:
        """Hex digest of the content. Raises Missing."""

    def page(self, bucket: str, prefix: str, after: str = "", at_most: int = PAGE_OBJECTS) -> Page:
        """The first objects below a prefix whose keys come after the key `after`."""

    def facts_after(self, bucket: str, prefix: str, after: str) -> dict[str, FileFacts]:
        """The facts of the first objects below a prefix whose keys come after the key `after`.

        These are as many as one call can list: fewer if the objects have many older versions.
        """

    def versions(self, bucket: str, key: str) -> list[FileFacts]:
        """The versions of an object since it was last deleted, the newest first (at most
        `MOST_VERSIONS`).

        Empty if there is no such object.
        """

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """An HTTPS link to download the object with."""


class WithFiles(Protocol):
    """Can read and write objects in S3."""

    @property
    def files(self) -> Files:
        """The buckets."""


def is_there(ports: WithFiles, bucket: str, key: str) -> bool:
    """Whether there is an object now."""
    try:
        ports.files.facts(bucket, key)
    except Missing:
        return False
    return True


def keys_below(ports: WithFiles, bucket: str, prefix: str) -> list[str]:
    """The keys of all objects below a prefix. Only for prefixes with few objects."""
    page = ports.files.page(bucket, prefix)
    found = [listed.key for listed in page.objects]
    while page.more:
        page = ports.files.page(bucket, prefix, found[-1])
        found += [listed.key for listed in page.objects]
    return found


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


class Announce(Protocol):
    """Sends the event about a drop again."""

    def __call__(self, key: str, version: str | None, *, delay_seconds: int = 0) -> None:
        """Send the event about a drop, with its version id, if it has one.

        The submit function then acts on the drop, or acts on it again, which does no harm.

        Args:
            delay_seconds: how long the event is held back, at most 900.
        """


class WithAnnounce(Protocol):
    """Can announce drops."""

    @property
    def announce(self) -> Announce:
        """Send the event about a drop again."""


class Wake(Protocol):
    """Asks for a dispatch."""

    def __call__(self, *, delay_seconds: int = 0) -> None:
        """Ask that the dispatch function runs soon.

        Args:
            delay_seconds: how long to wait before that, at most 900.
        """


class WithWake(Protocol):
    """Can ask for a dispatch."""

    @property
    def wake(self) -> Wake:
        """Ask that the dispatch function runs."""
