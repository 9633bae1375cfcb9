"""The port that reads untrusted bytes: specs, images, videos and sounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.errors import Notice, Problem
from functions.reading.values import Value
from functions.spec.clip import Clip
from functions.spec.parsed import Parsed


@dataclass(frozen=True)
class Picture:
    """An image after conversion: upright, RGB, without metadata, as PNG. Sides are in pixels."""

    height: int
    width: int
    png: bytes
    preview: bytes
    """JPEG with at most 768 pixels a side, for a language model to look at."""


@dataclass(frozen=True)
class Sound:
    """What a player shows of a sound."""

    duration_seconds: float
    """Of a very long one, only the beginning is looked at, so it may be longer than this."""


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    number: int
    """As a spreadsheet counts it, or the number of a line of JSON."""
    values: dict[str, Value]
    problem: Problem | None
    """Why it cannot be read."""


@dataclass(frozen=True)
class Rows:
    """A list of specs."""

    columns: tuple[str, ...]
    """The names in the first row of a table. Lines of JSON have none."""
    rows: tuple[Row, ...]
    warnings: tuple[Notice, ...]


Original = Picture | Clip | Sound
"""What a reference is."""


class Reader(Protocol):
    """Reads untrusted bytes, isolated so that a crash or a decompression bomb harms nothing else.

    Only the sender can fix what is wrong with the bytes, so every method raises JobRejected for it.
    Bytes that take too much time or memory to read count as wrong, too.
    """

    def spec(self, body: bytes, key: str) -> Parsed:
        """Read a spec or folder defaults; the suffix of `key` says in which format they are."""

    def rows(self, body: bytes, key: str, texts: Sequence[str]) -> Rows:
        """Read a list of specs; the suffix of `key` says in which format it is.

        Args:
            texts: the columns whose values are texts. In others, what looks like a number is one.
        """

    def image(self, body: bytes, name: str) -> Picture:
        """Convert an image; messages call it `name`."""

    def video(self, body: bytes, name: str) -> Clip:
        """Check a video by decoding it; messages call it `name`."""

    def previews(self, body: bytes, name: str) -> tuple[bytes, ...]:
        """Some frames from the beginning of a video, as JPEGs like `Picture.preview`."""

    def audio(self, body: bytes, name: str) -> Sound:
        """Check the sound of a file by decoding it; messages call it `name`."""

    def contact_sheet(self, posters: Sequence[tuple[str, bytes]]) -> bytes:
        """Make a JPEG that shows all posters in a grid. Each poster is a label and a JPEG."""


class WithReader(Protocol):
    """Can read untrusted bytes."""

    @property
    def reader(self) -> Reader:
        """The reader."""
