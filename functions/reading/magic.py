"""Recognises the kind of a file by its first bytes, and names it in words for people."""

import re

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a TIFF image"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS", "a PostScript (EPS) file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript (EPS) file"),
    (b"%PDF", "a PDF file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (b"OggS", "an Ogg file"),
    (b"FLV\x01", "a Flash video"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "an MP3 file"),
    (b"\x7fELF", "a program"),
    (b"ffconcat", "a list of files for ffmpeg"),
    (b"#EXTM3U", "a playlist (M3U8)"),
)
_STILLS = {
    b"heic": "a HEIC image", b"heix": "a HEIC image", b"hevc": "a HEIC image",
    b"mif1": "a HEIC image", b"msf1": "a HEIC image", b"avif": "an AVIF image",
    b"avis": "an AVIF image", b"crx ": "a raw photo (CR3)",
}  # fmt: skip
_AUDIO = {b"M4A ", b"M4B ", b"M4P "}


def kind_of(body: bytes) -> str:
    """The kind of a file, as words that can follow "it is".

    Returns:
        For example "a PNG image", "an MP4 video", "text", "empty" or "a file of an unknown kind".
    """
    if not body:
        return "empty"
    if body[:4] == b"RIFF":
        return {b"WEBP": "a WebP image", b"AVI ": "an AVI video"}.get(body[8:12], "a RIFF file")
    if body[4:8] == b"ftyp":
        brand = body[8:12]
        if brand in _AUDIO:
            return "an audio file"
        return _STILLS.get(brand, "an MP4 video")
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    return _text_kind(body[:4096])


def _text_kind(head: bytes) -> str:
    if re.search(rb"<svg[\s>]", head, re.IGNORECASE):
        return "an SVG drawing"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The last character may be incomplete, because only the head of the file is looked at.
        if error.start < len(head) - 3 or len(head) < 4096:
            return "a file of an unknown kind"
        return "text"
    printable = all(c.isprintable() or c in "\r\n\t\ufeff" for c in text)
    return "text" if printable else "a file of an unknown kind"
