"""Makes colour profiles: Display P3, as phones use it, and others for grey and for four inks."""

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
    sizes = bytes([4, 3, _GRID, 0])
    lut = b"mft1\0\0\0\0" + sizes + matrix + identity * 4 + table + identity * 3
    return _profile(b"CMYK", b"Lab ", b"A2B0", lut)


def grey(gamma: float) -> bytes:
    """Grey with another curve than sRGB, as Photoshop writes it ("Gray Gamma 1.8", "Dot Gain")."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma))
    return _profile(b"GRAY", b"XYZ ", b"kTRC", curve)


def _profile(space: bytes, pcs: bytes, name: bytes, data: bytes) -> bytes:
    """A profile of version 2 with one tag and the white of D50."""
    d50 = struct.pack(">3i", 63_190, 65_536, 54_061)
    tags = {name: data + bytes(-len(data) % 4), b"wtpt": b"XYZ \0\0\0\0" + d50}
    places, at = [], 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        places.append(tag + struct.pack(">II", at, len(content)))
        at += len(content)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at, b"none", 0x02400000, b"prtr", space, pcs, bytes(12), b"acsp"
    )
    header = (header.ljust(68, b"\0") + d50).ljust(128, b"\0")
    profile = header + struct.pack(">I", len(tags)) + b"".join(places) + b"".join(tags.values())
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
