"""Images with false headers, damaged images, decompression bombs, and files that are no images.

All are small, and each is made when a test needs it.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterable

from PIL import Image, ImageCms

from contract.errors import Code
from tests.corpus.specimen import Bad, Harmless

_PNG = b"\x89PNG\r\n\x1a\n"
MIB = 1024 * 1024


# --- makers --------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def coloured(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture with a gradient in different colours."""
    gradient = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (gradient, gradient.rotate(180), gradient)).convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    rows: bytes = b"",
    more: Iterable[bytes] = (),
    depth: int = 8,
    kind: int = 2,
) -> bytes:
    """A PNG from parts that need not fit together.

    Args:
        width: in pixels, as the header says.
        height: in pixels, as the header says.
        rows: the pixels, uncompressed, each row with its filter byte.
        more: further chunks between header and pixels.
        depth: bits per channel.
        kind: 0 is grey, 2 is RGB, 6 is RGBA.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"".join(
        [
            _PNG,
            chunk(b"IHDR", header),
            *more,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def _rows(width: int, height: int) -> bytes:
    return (b"\0" + bytes(3 * width)) * height


def _jpeg_of(body: bytes, width: int, height: int) -> bytes:
    """The JPEG with a false size in its header."""
    at = next(i for i in range(len(body)) if body[i] == 0xFF and body[i + 1] in {0xC0, 0xC2})
    return body[: at + 5] + struct.pack(">HH", height, width) + body[at + 9 :]


def _webp_canvas(width: int, height: int, flags: int = 0) -> bytes:
    body = saved(coloured(), "WEBP")[12:]
    head = (
        bytes([flags, 0, 0, 0])
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )
    content = b"WEBPVP8X" + struct.pack("<I", 10) + head + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _frames(kind: str) -> bytes:
    frames = [Image.new("RGB", (96, 64), colour) for colour in ("red", "green", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a secret camera"
    return exif


def _zip_behind(body: bytes) -> bytes:
    return body + b"PK\x03\x04" + b"evil" * 100 + b"PK\x05\x06" + bytes(18)


PLAIN = saved(coloured(), "PNG")
JPEG = saved(coloured(), "JPEG")
PROGRESSIVE = saved(coloured(), "JPEG", progressive=True)
WEBP = saved(coloured(), "WEBP")
BOMB = zlib.compress(bytes(70 * MIB), 9)
"""70 MiB, compressed to 70 KB."""


# --- specimens -----------------------------------------------------------------------------

_KIND, _PIXELS, _BAD = Code.REFERENCE_KIND, Code.REFERENCE_PIXELS, Code.REFERENCE_UNREADABLE
_HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100)
_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n(/etc/passwd) (r) file\n"

# name, code, content of the file, and words that the answer must contain
_FILES: tuple[tuple[str, Code, Callable[[], bytes], tuple[str, ...]], ...] = (
    ("text", _KIND, lambda: b"this is not a picture\n", ("text",)),
    ("html", _KIND, lambda: b"<!DOCTYPE html><title>404</title>", ("web page",)),
    ("bytes", _KIND, lambda: bytes(range(256)), ("unknown kind",)),
    ("svg", _KIND, lambda: _SVG, ("SVG",)),
    ("eps", _KIND, lambda: _EPS, ("EPS",)),
    ("pdf", _KIND, lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", ("PDF",)),
    *((f"heic-{brand}", _KIND, lambda brand=brand: _HEIC.replace(b"heic", brand.encode(), 1),
       ("HEIC", "iPhone", "Preview", "Windows"))
      for brand in ("heic", "heix", "heim", "hevc", "mif1", "msf1")),
    ("avif-mif1", _KIND,
     lambda: _HEIC.replace(b"ftypheic", b"ftypmif1").replace(b"mif1heic", b"mif1avif"), ("AVIF",)),
    ("quicktime", _KIND, lambda: b"\0\0\0\x08wide" + bytes(100), ("QuickTime", "one frame")),
    ("avif", _KIND, lambda: _HEIC.replace(b"ftypheic", b"ftypavif"), ("AVIF",)),
    ("tiff", _KIND, lambda: saved(coloured(), "TIFF"), ("TIFF",)),
    ("gif", _KIND, lambda: saved(coloured("P"), "GIF"), ("GIF",)),
    ("bmp", _KIND, lambda: saved(coloured(), "BMP"), ("BMP",)),
    ("ico", _KIND, lambda: saved(coloured(size=(64, 64)), "ICO"), ("icon",)),
    ("psd", _KIND, lambda: b"8BPS\0\1" + bytes(100), ("Photoshop",)),
    ("zip", _KIND, lambda: b"PK\x03\x04" + bytes(100), ("ZIP",)),
    ("mp4", _KIND, lambda: b"\0\0\0\x20ftypisom" + bytes(100), ("MP4",)),
    ("yaml", _KIND, lambda: b"prompt: a bee\n", ("text",)),
    ("animated-png", _KIND, lambda: _frames("PNG"), ("animated", "one frame")),
    ("animated-webp", _KIND, lambda: _frames("WEBP"), ("animated", "one frame")),
    ("81-megapixels", _PIXELS, lambda: png(9_000, 9_000), ("9,000 x 9,000", "40 million")),
    ("196-megapixels", _PIXELS, lambda: saved(Image.new("1", (14_000, 14_000)), "PNG"),
     ("14,000 x 14,000", "40 million")),
    ("4-gigapixels", _PIXELS, lambda: png(2**31 - 1, 2**31 - 1), ("40 million",)),
    ("wide", _PIXELS, lambda: png(2**31 - 1, 1), ("40 million",)),
    ("jpeg-65535", _PIXELS, lambda: _jpeg_of(JPEG, 65_535, 65_535), ("65,535 x 65,535",)),
    ("jpeg-progressive", _PIXELS,
     lambda: _jpeg_of(saved(coloured(), "JPEG", progressive=True, subsampling=0), 6_000, 6_000),
     ("progressive", "25 million")),
    ("webp-16383", _PIXELS, lambda: _webp_canvas(16_383, 16_383),
     ("16,383 x 16,383", "13 million")),
    ("webp-16-million", _PIXELS, lambda: _webp_canvas(2**24, 2**24), ("13 million",)),
    ("8-pixels", _PIXELS, lambda: saved(coloured(size=(8, 8)), "PNG"), ("8 x 8", "at least 16")),
    ("one-pixel", _PIXELS, lambda: saved(coloured(size=(1, 1)), "JPEG"), ("1 x 1",)),
    ("no-pixel", _PIXELS, lambda: png(0, 0), ("0 x 0",)),
    ("narrow", _PIXELS, lambda: saved(Image.new("L", (20, 8_000)), "PNG"), ("less narrow",)),
    ("png-cut", _BAD, lambda: PLAIN[: len(PLAIN) // 2], ("cut short",)),
    ("png-header-only", _BAD, lambda: PLAIN[:33], ("cut short",)),
    ("png-magic-only", _BAD, lambda: _PNG, ("damaged",)),
    ("png-bad-sum", _BAD, lambda: PLAIN[:60] + bytes([PLAIN[60] ^ 1]) + PLAIN[61:], ("damaged",)),
    ("png-no-header", _BAD, lambda: _PNG + PLAIN[33:], ("damaged",)),
    ("png-depth", _BAD, lambda: png(96, 64, _rows(96, 64), depth=7), ("damaged",)),
    ("png-ztxt-bomb", _BAD,
     lambda: png(96, 64, _rows(96, 64), [chunk(b"zTXt", b"Comment\0\0" + BOMB)]), ("damaged",)),
    ("png-iccp-bomb", _BAD,
     lambda: png(96, 64, _rows(96, 64), [chunk(b"iCCP", b"x\0\0" + BOMB)]), ("damaged",)),
    ("png-itxt-bomb", _BAD,
     lambda: png(96, 64, _rows(96, 64), [chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB)]),
               ("damaged",)),
    ("png-length", _BAD, lambda: _PNG + struct.pack(">I", 2**31 - 1) + PLAIN[12:], ("damaged",)),
    ("jpeg-cut", _BAD, lambda: JPEG[: len(JPEG) // 2], ("cut short",)),
    ("jpeg-cut-near-its-end", _BAD, lambda: JPEG[:-200], ("cut short",)),
    ("jpeg-cut-and-ended", _BAD, lambda: JPEG[: len(JPEG) // 2] + bytes(3_000), ("cut short",)),
    ("jpeg-scan-missing", _BAD, lambda: PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
     ("cut short",)),
    ("jpeg-magic-only", _BAD, lambda: b"\xff\xd8\xff", ("damaged",)),
    ("jpeg-noise", _BAD, lambda: JPEG[:20] + bytes(range(256)) * 8, ("damaged",)),
    ("webp-cut", _BAD, lambda: WEBP[: len(WEBP) // 2], ("cut short",)),
    ("webp-magic-only", _BAD, lambda: WEBP[:12], ("damaged",)),
    ("webp-canvas-lies", _BAD, lambda: _webp_canvas(2_000, 2_000), ("damaged",)),
    ("32-mib", Code.REFERENCE_TOO_LARGE, lambda: JPEG + bytes(32 * MIB), ("33,554,432",)),
)  # fmt: skip


def _dropped(name: str, body: bytes) -> dict[str, bytes]:
    # Always named .png, because the check must look at the content and not at the name.
    return {"jobs/bad/bee.png": body}


def bad() -> list[Bad]:
    """Images that must be refused."""
    return [
        Bad(
            f"image-{name}",
            code,
            b"prompt: a bee\nimage: bee.png\n",
            others=_dropped(name, make()),
            line=2,
            column=1,
            field="image",
            words=words,
        )
        for name, code, make, words in _FILES
    ]


def _wide_gamut() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return profile.tobytes()


def harmless() -> list[Harmless]:
    """Unusual images that must be accepted."""
    files: dict[str, bytes] = {
        "jpeg-zip-behind": _zip_behind(JPEG),
        "png-zip-behind": _zip_behind(PLAIN),
        "jpeg-upside-down": saved(coloured(), "JPEG", exif=_exif(6)),
        "rgba": saved(coloured("RGBA"), "PNG"),
        "grey-alpha": saved(coloured("LA"), "PNG"),
        "cmyk": saved(coloured("CMYK"), "JPEG"),
        "16-bit": saved(Image.new("I;16", (96, 64), 40_000), "PNG"),
        "16-bit-rgb": png(96, 64, (b"\0" + bytes(96 * 6)) * 64, depth=16),
        "palette": saved(coloured("P"), "PNG"),
        "palette-transparent": saved(coloured("P"), "PNG", transparency=0),
        "one-bit": saved(coloured("1"), "PNG"),
        "progressive": PROGRESSIVE,
        "jpeg-without-end": JPEG[:-2],
        "jpeg-with-half-an-end": JPEG[:-1],
        "progressive-without-end": PROGRESSIVE[:-2],
        "webp-lossless": saved(coloured("RGBA"), "WEBP", lossless=True),
        "wrong-profile": saved(coloured(), "PNG", icc_profile=_wide_gamut()),
        "broken-profile": saved(coloured(), "JPEG", icc_profile=b"not a profile"),
        "few-rows": png(96, 64, _rows(96, 10)),
        "xmp": saved(coloured(), "PNG", exif=_exif(1)),
        "two-pictures": saved(coloured(), "MPO", save_all=True, append_images=[coloured()]),
        "jpeg-named-png": JPEG,
        "webp-named-png": WEBP,
    }
    return [
        Harmless(
            f"image-{name}",
            b"prompt: a bee\nimage: bee.png\n",
            others=_dropped(name, body),
            # Upright, it is a portrait, and the model makes landscapes.
            warnings=("reference-cut",) if name == "jpeg-upside-down" else (),
        )
        for name, body in files.items()
    ]
