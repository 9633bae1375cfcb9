"""Limits on untrusted specs, images, videos and sounds, and on the process that reads them."""

from typing import NamedTuple

_MIB = 1024 * 1024

# Specs.
MAX_SPEC_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_VALUES = 2_000

# Lists of specs.
MAX_LIST_BYTES = _MIB
MAX_ROWS = 500
MAX_COLUMNS = 50
"""More than there are fields, because each column is one of them."""

# Images. Sides are in pixels.
MIN_SIDE = 16
MAX_SIDE = 2_048
"""Larger images are scaled down to this, because no model makes larger videos."""
PREVIEW_SIDE = 768
MAX_PIXELS = 40_000_000
MAX_PIXELS_JPEG = 110_000_000
"""Higher than `MAX_PIXELS`, because a JPEG is decoded at 1/2, 1/4 or 1/8 of its size."""
MAX_PIXELS_WEBP = 13_000_000
"""Lower than `MAX_PIXELS`, because libwebp holds several copies of an image at once."""
MAX_COEFFICIENT_BYTES = 155_000_000
"""Applies to progressive JPEG: all coefficients stay in memory until the last scan is read."""

# Videos.
MAX_VIDEO_SIDE = 4_096
MAX_VIDEO_SECONDS = 600
MAX_VIDEO_PACKETS = 60 * MAX_VIDEO_SECONDS

SAMPLES = 5
"""How many frames of a video a guardrail looks at."""
SAMPLED_SECONDS = 10
"""They come from this part of it, because no model makes a longer video."""
MAX_DECODED_FRAMES = 30
"""At most so many frames are decoded for one sample."""

# Sounds.
MAX_SOUND_SECONDS = 600
"""How much of a sound is looked at. No video is longer."""
MAX_SOUND_PACKETS = 200 * MAX_SOUND_SECONDS
MAX_CHANNELS = 8
MAX_SAMPLE_RATE = 192_000

MAX_SHEET_SIDE = 4_096
MAX_ANSWER_BYTES = 32 * _MIB


class ReadingLimits(NamedTuple):
    """Limits on what one reading process may use.

    The data limit covers only what the process allocates. Libraries are mapped from files and are
    not part of it, so the address space limit covers both together. PyAV alone maps 120 MB, of
    which it touches 30 MB.
    """

    data_bytes: int
    address_bytes: int
    cpu_seconds: int
    wall_seconds: float
    """Much larger than `cpu_seconds`, because a Lambda function with 512 MB of memory gets only a
    third of a processor."""


LIMITS = {
    "spec": ReadingLimits(96 * _MIB, 160 * _MIB, 2, 10.0),
    "rows": ReadingLimits(160 * _MIB, 240 * _MIB, 8, 25.0),
    "image": ReadingLimits(240 * _MIB, 256 * _MIB, 8, 25.0),
    "video": ReadingLimits(208 * _MIB, 384 * _MIB, 8, 25.0),
    "previews": ReadingLimits(208 * _MIB, 384 * _MIB, 8, 25.0),
    "audio": ReadingLimits(208 * _MIB, 384 * _MIB, 8, 25.0),
    "contact_sheet": ReadingLimits(240 * _MIB, 256 * _MIB, 15, 45.0),
}
"""The limits of each call."""
