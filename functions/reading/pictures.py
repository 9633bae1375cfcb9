"""Converts untrusted images, and makes contact sheets of posters. Runs in the reading process.

Everything that the header tells is checked before a pixel is decoded. An image is decoded once and
scaled down strip by strip, so that 40 million pixels fit into the memory of the process.
"""

import errno
import io
import math
import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageCms, ImageDraw, ImageFile, ImageFont, ImageOps, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from functions.reading.limits import (
    MAX_COEFFICIENT_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_JPEG,
    MAX_PIXELS_WEBP,
    MAX_SHEET_SIDE,
    MAX_SIDE,
    MIN_SIDE,
    PREVIEW_SIDE,
)
from functions.reading.magic import how_to_export, kind_of
from functions.reading.values import Unusable

# Pillow would import these at the first EXIF data and the first `save`. That is too late, because
# the process cannot open files by then.
assert TiffImagePlugin
Image.preinit()

_STRIP_PIXELS = 500_000
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Encoded(NamedTuple):
    """An image as PNG, with its size in pixels, and a small JPEG preview of it."""

    height: int
    width: int
    png: bytes
    preview: bytes


def image(body: bytes, name: str) -> Encoded:
    """Convert an image to RGB, upright, without metadata, with at most 2,048 pixels a side.

    Transparent areas become white.

    Args:
        body: the content of the file.
        name: the file name, for messages.

    Raises:
        Unusable: the file is not a PNG, JPEG or WebP image, is animated, has too many or too few
            pixels, or is damaged.
    """
    try:
        picture = _decoded(body, name)
        height, width = picture.height, picture.width
        png = _encoded(picture, "PNG", compress_level=3)
        small = preview(picture)
    except (Unusable, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EMFILE:
            raise  # a library imported something too late; see `child.LATE_IMPORT`
        # Pillow's decoders raise many kinds of errors on damaged bytes (OSError, SyntaxError,
        # ValueError, struct.error, ...). They all mean that the file cannot be used.
        raise Unusable(
            "reference-unreadable",
            f"The image {name} is damaged or cut short: it could not be decoded.",
            "Open it in an image viewer, save it as PNG and upload the PNG.",
        ) from error
    return Encoded(height, width, png, small)


def preview(picture: Image.Image) -> bytes:
    """Scale an RGB image down to at most 768 pixels a side. Returns it as JPEG."""
    picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _encoded(picture, "JPEG", quality=85)


def _decoded(body: bytes, name: str) -> Image.Image:
    try:
        return _upright(_open(body, name))
    except OSError as error:
        if error.errno is not None or not _lacks_only_its_end(body):
            raise
    return _upright(_open(body + _END_OF_JPEG, name))


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


# --- the header ----------------------------------------------------------------------------


def _open(body: bytes, name: str) -> ImageFile.ImageFile:
    kind = kind_of(body)
    if kind == "a PNG image":
        _check_pixels(name, *_png_size(body), MAX_PIXELS, "")
        png = PngImageFile(io.BytesIO(body))
        if png.is_animated:
            raise _animated(name)
        return png
    if kind == "a WebP image":
        # Checked before Pillow opens the file, because opening it allocates the whole canvas.
        width, height, animated = _webp_header(body)
        _check_pixels(name, width, height, MAX_PIXELS_WEBP, " for WebP")
        if animated:
            raise _animated(name)
        return WebPImageFile(io.BytesIO(body))
    if kind == "a JPEG image":
        jpeg = JpegImageFile(io.BytesIO(body))
        if jpeg.info.get("progressive"):
            most = min(MAX_PIXELS_JPEG, int(MAX_COEFFICIENT_BYTES / _bytes_per_pixel(jpeg)))
            _check_pixels(name, *jpeg.size, most, " for a progressive JPEG of this kind")
        else:
            _check_pixels(name, *jpeg.size, MAX_PIXELS_JPEG, " for JPEG")
        return jpeg
    raise Unusable(
        "reference-kind",
        f"Despite its name, {name} is not a PNG, JPEG or WebP image; it is {kind}.",
        how_to_export(kind),
    )


_END_OF_JPEG = b"\xff\xd9"
_NOISE = b"".join(
    bytes(17 + number * 73 % 199 for number in range(start, start + 64))
    + bytes([0xFF, 0xD0 + start % 8])  # the markers of restarts
    for start in range(40)
)


def _lacks_only_its_end(body: bytes) -> bool:
    """Whether a file is a JPEG with all of its pixels, and only the marker of the end is missing.

    Some cameras and editors forget the marker. If pixels are missing, too, what follows in the file
    changes them; so the image is decoded twice, with different bytes behind it.
    """
    if kind_of(body) != "a JPEG image" or body.endswith(bytes(16)):
        return False  # zeros are what a broken transfer leaves
    body = body.rstrip(b"\xff")  # the first half of the marker
    if not _is_final(body):
        return False
    endings = []
    for behind in (b"", _NOISE):
        jpeg = JpegImageFile(io.BytesIO(body + behind + _END_OF_JPEG))
        jpeg.draft(None, (jpeg.width // 4, jpeg.height // 4))
        endings.append(jpeg.convert("RGB").tobytes())
    return endings[0] == endings[1]


def _is_final(jpeg: bytes) -> bool:
    """Whether no further scan is missing. A progressive JPEG has several.

    Each scan adds bits to a range of coefficients of some components. `left` has the bits that
    each one still lacks.
    """
    left: dict[int, list[int]] = {}
    at = 2
    while at + 4 <= len(jpeg):
        marker, size = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4])
        segment = jpeg[at + 4 : at + 2 + size]
        at += 2 + size
        if marker in {0xC0, 0xC1, 0xC2}:
            left = {segment[6 + 3 * number]: [1] * 64 for number in range(segment[5])}
        if marker == 0xDA:
            count = segment[0]
            first, last, bits = segment[1 + 2 * count :][:3]
            for component in segment[1 : 1 + 2 * count : 2]:
                left[component][first : last + 1] = [bits & 0x0F] * (last + 1 - first)
            following = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(jpeg, at)
            at = following.start() if following else len(jpeg)
    return bool(left) and not any(any(bits) for bits in left.values())


def _png_size(body: bytes) -> tuple[int, int]:
    if body[12:16] != b"IHDR":
        raise SyntaxError("the header chunk is not the first")
    width, height = struct.unpack(">II", body[16:24])
    return width, height


def _bytes_per_pixel(jpeg: JpegImageFile) -> float:
    """Bytes of decoded coefficients for each pixel.

    A coefficient takes two bytes. A component with subsampling has fewer coefficients.
    """
    samples = [across * down for _, across, down, _ in jpeg.layer]
    return 2 * sum(samples) / max(samples)


def _webp_header(body: bytes) -> tuple[int, int, bool]:
    """Width and height in pixels, and whether the image is animated."""
    chunk, data = body[12:16], body[20:30]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[4:7], "little")
        height = 1 + int.from_bytes(data[7:10], "little")
        return width, height, bool(data[0] & 0x02)
    if chunk == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), False
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF, False
    raise SyntaxError("no known chunk comes first")


def _check_pixels(name: str, width: int, height: int, most: int, kind: str) -> None:
    if width * height > most:
        raise Unusable(
            "reference-pixels",
            f"The image {name} has {width:,} x {height:,} pixels; the limit{kind} is "
            f"{most // 1_000_000} million.",
            f"Scale it down: more than {MAX_SIDE:,} pixels on a side are never used.",
        )
    narrowest = MIN_SIDE * max(1.0, max(width, height) / MAX_SIDE)
    if min(width, height) < narrowest:
        raise Unusable(
            "reference-pixels",
            f"The image {name} has {width:,} x {height:,} pixels; each side must have at least "
            f"{math.ceil(narrowest)}.",
            "Use a larger image, or one that is less narrow.",
        )


def _animated(name: str) -> Unusable:
    return Unusable(
        "reference-kind", f"The image {name} is animated.", "Export one frame of it as PNG."
    )


# --- the pixels ----------------------------------------------------------------------------


def _upright(source: ImageFile.ImageFile) -> Image.Image:
    profile, orientation = source.info.get("icc_profile"), source.getexif().get(_ORIENTATION, 1)
    picture = _rgb(_smaller(source), profile)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}  # Pillow would write it into the new file
    return picture


def _smaller(source: ImageFile.ImageFile) -> Image.Image:
    """The image in mode L, RGB or CMYK, with at most 2,048 pixels on its long side."""
    scale = min(1.0, MAX_SIDE / max(source.size))
    size = (max(1, round(source.width * scale)), max(1, round(source.height * scale)))
    if isinstance(source, JpegImageFile):
        source.draft(None, size)  # decodes at 1/2, 1/4 or 1/8 of the size
    loaded = _loaded(source)
    factor = max(1, max(source.size) // MAX_SIDE)
    rows = max(1, _STRIP_PIXELS // (source.width * factor)) * factor
    target: Image.Image | None = None
    for top in range(0, source.height, rows):
        strip = loaded.crop((0, top, source.width, min(top + rows, source.height)))
        part = _opaque(strip).reduce(factor)
        if target is None:
            whole = (math.ceil(source.width / factor), math.ceil(source.height / factor))
            target = Image.new(part.mode, whole)
        target.paste(part, (0, top // factor))
    assert target is not None
    return target if target.size == size else target.resize(size, Image.Resampling.LANCZOS)


def _loaded(source: ImageFile.ImageFile) -> Image.Image:
    """The decoded pixels."""
    if not isinstance(source, WebPImageFile):
        source.load()
        return source
    # Pillow's `load` would hold the image four times: twice in the decoder, as bytes, and as an
    # image. Here the decoder is dropped first, and the image uses the bytes without a copy.
    pixels, _, _ = source._get_next()
    mode = source.rawmode  # RGBX or RGBA
    del source._decoder
    return Image.frombuffer(mode, source.size, pixels, "raw", mode, 0, 1)


def _opaque(strip: Image.Image) -> Image.Image:
    if strip.mode.startswith("I"):
        # 16-bit gray. Pillow's own conversion would turn every value above 255 into white.
        return strip.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if strip.mode == "LA":  # stays grey, because its profile only applies to grey
        opaque = Image.new("L", strip.size, "white")
        opaque.paste(strip.getchannel("L"), mask=strip.getchannel("A"))
        return opaque
    if strip.has_transparency_data:
        with_alpha = strip.convert("RGBA")
        white = Image.new("RGB", strip.size, "white")
        white.paste(with_alpha, mask=with_alpha)
        return white
    return strip if strip.mode in {"L", "RGB", "CMYK"} else strip.convert("RGB")


def _rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB. A color profile that cannot be applied is ignored, as browsers do."""
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return picture.convert("RGB")


# --- sheets --------------------------------------------------------------------------------

_GAP = 8
_LABEL = 40
_LEAST_WIDTH = 280


def contact_sheet(labels: Sequence[str], posters: Sequence[bytes]) -> bytes:
    """Make a JPEG that shows all posters in a grid that is as square as possible.

    Args:
        labels: the text below each poster.
        posters: a JPEG for each label. One that cannot be decoded is shown as a gray box.
    """
    pictures = [_poster(body) for body in posters]
    known = [picture for picture in pictures if picture is not None]
    width = max((picture.width for picture in known), default=320)
    height = max((picture.height for picture in known), default=240)
    # Narrower posters are enlarged, because their labels would not fit.
    larger = math.ceil(_LEAST_WIDTH / width)
    width, height = width * larger, height * larger
    columns = min(
        range(1, len(pictures) + 1),
        key=lambda n: max(n * width, math.ceil(len(pictures) / n) * (height + _LABEL)),
        default=1,
    )
    rows = max(1, math.ceil(len(pictures) / columns))
    # Posters are scaled down if the sheet would exceed MAX_SHEET_SIDE.
    scale = min(
        1.0,
        ((MAX_SHEET_SIDE - _GAP) / columns - _GAP) / width,
        ((MAX_SHEET_SIDE - _GAP) / rows - _GAP - _LABEL) / height,
    )
    cell = (max(1, int(width * scale)), max(1, int(height * scale)))
    across, down = cell[0] + _GAP, cell[1] + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        if picture is None:
            draw.rectangle((left, top, left + cell[0] - 1, top + cell[1] - 1), "lightgrey")
        else:
            fitted = ImageOps.contain(picture, cell, Image.Resampling.LANCZOS)
            offset = ((cell[0] - fitted.width) // 2, (cell[1] - fitted.height) // 2)
            sheet.paste(fitted, (left + offset[0], top + offset[1]))
        text = "\n".join(_lines(label, cell[0], font))
        draw.multiline_text((left, top + cell[1] + 4), text, fill="black", font=font, spacing=2)
    return _encoded(sheet, "JPEG", quality=88)


def _poster(body: bytes) -> Image.Image | None:
    """Decode a poster; None if that fails, so that the sheet can still show the others."""
    try:
        jpeg = JpegImageFile(io.BytesIO(body))
        _check_pixels("", *jpeg.size, MAX_SHEET_SIDE**2, "")
        jpeg.draft("RGB", (640, 640))
        return jpeg.convert("RGB")
    except MemoryError:
        raise
    except Exception:  # Pillow raises many kinds of errors, as in `image`
        return None


def _lines(label: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Break a label after commas, into at most two lines."""
    lines = [""]
    for part in label[:200].split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and font.getlength(longer) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return [_fitting(line, width, font) for line in lines[:2]]


def _fitting(label: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Cut a label to `width` pixels. Letters outside Latin become "?": the font lacks them."""
    text = "".join(c if c.isprintable() and ord(c) < 0x180 else "?" for c in label[:200])
    while text and font.getlength(text) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
