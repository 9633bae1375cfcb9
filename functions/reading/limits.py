"""What is read at most: of a spec, an image, a video, and by the process that reads them."""

from typing import NamedTuple

_MIB = 1024 * 1024

# A spec.
MAX_SPEC_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_VALUES = 2_000

# An image.
MIN_SIDE = 16
MAX_SIDE = 2_048
"""Larger images are scaled down to this: no model makes larger videos."""
PREVIEW_SIDE = 768
MAX_PIXELS = 40_000_000
MAX_PIXELS_WEBP = 8_000_000
"""Pillow holds four copies of a WebP at once."""
MAX_COEFFICIENT_BYTES = 150_000_000
"""A progressive JPEG is decoded at the end of its last scan; until then all of it is in memory."""

# A video.
MAX_VIDEO_SIDE = 4_096
MAX_VIDEO_SECONDS = 600
MAX_VIDEO_PACKETS = 60 * MAX_VIDEO_SECONDS

MAX_SHEET_SIDE = 4_096
MAX_ANSWER_BYTES = 32 * _MIB


class Allowance(NamedTuple):
    """What a reading process may use.

    Data is what it allocates; libraries are mapped from files and come on top, so the address
    space is what bounds both. PyAV alone maps 120 MB of which it touches 30.
    """

    data_bytes: int
    address_bytes: int
    cpu_seconds: int
    wall_seconds: float
    """Lambda gives 512 MB of memory a third of a processor."""


ALLOWANCES = {
    "spec": Allowance(96 * _MIB, 160 * _MIB, 2, 10.0),
    "image": Allowance(240 * _MIB, 256 * _MIB, 8, 25.0),
    "video": Allowance(208 * _MIB, 384 * _MIB, 8, 25.0),
    "contact_sheet": Allowance(240 * _MIB, 256 * _MIB, 15, 45.0),
}
