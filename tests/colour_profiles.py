"""Makes colour profiles: Display P3, as phones use it, and one for four inks."""

import io
import itertools
import struct

from PIL import ImageCms

_P3 = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
_GRID = 3
"""Points of the table for each ink."""


def display_p3() -> bytes:
    """Display P3: the curve of sRGB with other primaries."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name, xyz in _P3.items():
        entry = profile.index(name, 128)
        (at,) = struct.unpack(">I", profile[entry + 4 : entry + 8])
        profile[at + 8 : at + 20] = b"".join(struct.pack(">i", round(65_536 * v)) for v in xyz)
    return bytes(profile)


def cmyk() -> bytes:
    """Four inks on yellowish paper. Pillow's own conversion, which knows no inks, differs a lot."""
    table = b"".join(
        bytes(_lab(*(ink / (_GRID - 1) for ink in inks)))
        for inks in itertools.product(range(_GRID), repeat=4)
    )
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(65_536 if place % 4 == 0 else 0 for place in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, _GRID, 0]) + matrix + identity * 4 + table + identity * 3
    lut += bytes(-len(lut) % 4)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags = {b"A2B0": lut, b"wtpt": white}
    places, at = [], 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        places.append(name + struct.pack(">II", at, len(data)))
        at += len(data)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s",
        at, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ", bytes(12), b"acsp", bytes(4),
    )  # fmt: skip
    header += bytes(24) + struct.pack(">3i", 63_190, 65_536, 54_061)
    profile = header.ljust(128, b"\0") + struct.pack(">I", len(tags))
    profile += b"".join(places) + b"".join(tags.values())
    ImageCms.ImageCmsProfile(io.BytesIO(profile))  # LittleCMS refuses what is no profile
    return profile


def _lab(cyan: float, magenta: float, yellow: float, black: float) -> tuple[int, int, int]:
    """Lightness, a and b of inks from 0 to 1, as bytes."""
    light = (1 - 0.38 * cyan - 0.42 * magenta - 0.08 * yellow) * (1 - 0.85 * black)
    a = (1 - black) * (-38 * cyan + 74 * magenta - 6 * yellow)
    b = (1 - black) * (4 - 48 * cyan - 4 * magenta + 88 * yellow)
    return (
        max(0, min(255, round(242 * light))),
        max(0, min(255, round(128 + a))),
        max(0, min(255, round(128 + b))),
    )
