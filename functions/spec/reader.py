"""The port that reads untrusted bytes: specs, pictures and clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from functions.spec.parsed import Parsed


@dataclass(frozen=True)
class Picture:
    """An image as it was read: upright, RGB, without its metadata, encoded anew as PNG."""

    height: int
    width: int
    png: bytes
    preview: bytes
    """JPEG of at most 768 pixels a side, for a language model to look at."""


@dataclass(frozen=True)
class Clip:
    """What a video is."""

    height: int
    width: int
    num_frames: int
    fps: float


class Reader(Protocol):
    """Reads bytes that came from outside, where a crash or a bomb hurts nothing else.

    Whatever is wrong with them is the sender's to mend, so every method raises JobRejected; what is
    read too slowly or needs too much memory counts as wrong.
    """

    def spec(self, body: bytes, key: str) -> Parsed:
        """A spec or folder defaults, as values with places. The key's suffix says what it is."""

    def image(self, body: bytes, name: str) -> Picture:
        """An image; `name` is what messages call it."""

    def video(self, body: bytes, name: str) -> Clip:
        """The facts of a video, found by decoding it."""

    def contact_sheet(self, posters: Sequence[tuple[str, bytes]]) -> bytes:
        """A JPEG with all posters (label, JPEG), each with its label, in a grid."""
