"""Recognises the kind of a file, and names it in words for people."""

import posixpath
import re

EXPORT_SOUND = "Export it as MP3, M4A or WAV."
WITHOUT_DRM = "Use a file without protection (DRM), such as a recording of your own."
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
    (b"fLaC", "a FLAC file"),
    (b"FLV\x01", "a Flash video"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "an MP3 file"),
    *((bytes([0xFF, second]), "an MP3 file") for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3)),
    *((bytes([0xFF, second]), "an AAC file") for second in (0xF1, 0xF9)),
    (b"\x7fELF", "a program"),
    (b"ffconcat", "a list of files for ffmpeg"),
    (b"#EXTM3U", "a playlist (M3U8)"),
)
_STILLS = {
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
        "a HEIC image",
    ),
    b"avif": "an AVIF image", b"avis": "an AVIF image", b"crx ": "a raw photo (CR3)",
}  # fmt: skip
_RIFF = {b"WEBP": "a WebP image", b"AVI ": "an AVI video", b"WAVE": "a WAV file"}
_AUDIO = {b"M4A ", b"M4B ", b"M4P "}
_QUICKTIME = {b"wide", b"mdat", b"moov", b"free", b"skip", b"pnot"}
"""What a QuickTime file begins with if it has no box `ftyp`, as from older cameras and editors."""
_LARGEST_FIRST_BYTE = 3
"""The first byte of a box is the highest of four that give its size. A box of more than 64 MB is
larger than any file that is read, so four letters, as in "The free bird", are no size."""


_PROTECTED = "a protected sound"
_OTHER_NAMES: dict[str, str] = {
    **dict.fromkeys((".heic", ".heif", ".heics", ".heifs", ".hif"), "a HEIC image"),
    **dict.fromkeys((".avif", ".avifs"), "an AVIF image"),
    **dict.fromkeys((".tif", ".tiff"), "a TIFF image"),
    **dict.fromkeys(
        (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "a raw photo"
    ),
    ".gif": "a GIF image", ".bmp": "a BMP image", ".jxl": "a JPEG XL image",
    ".jp2": "a JPEG 2000 image", ".psd": "a Photoshop file", ".svg": "an SVG drawing",
    ".avi": "an AVI video", ".mkv": "a Matroska video", ".webm": "a WebM video",
    ".wmv": "a Windows Media video", ".mts": "an AVCHD video", ".m2ts": "an AVCHD video",
    ".wma": "a Windows Media sound", ".aif": "an AIFF sound", ".aiff": "an AIFF sound",
    ".amr": "an AMR sound", ".caf": "a CAF sound",
    ".m4p": _PROTECTED, ".mid": "a MIDI file without any sound",
}  # fmt: skip
"""Images, videos and sounds that cannot be read, by how their names end."""
_VIDEO = re.compile("video|GIF")
_SOUND = re.compile("sound|audio|MP3|WAV|AAC|FLAC|Ogg")


def other_kind(name: str) -> str | None:
    """The kind of an image, a video or a sound that cannot be read, by its name; None for other
    names."""
    return _OTHER_NAMES.get(posixpath.splitext(name.lower())[1])


def how_to_export(kind: str) -> str:
    """What to do with an image, a video or a sound that cannot be read.

    Args:
        kind: what `kind_of` or `other_kind` said.
    """
    if kind == "a HEIC image":
        return (
            "Export it as JPEG. On an iPhone: hold it in the app Files, then Quick Actions, "
            "Convert Image. On a Mac: open it in Preview, then File, Export. On Windows: open it "
            "in Photos, then Save as, and choose .jpg."
        )
    if kind == _PROTECTED:
        return WITHOUT_DRM
    if _VIDEO.search(kind):
        return "Export it as MP4 (H.264), or one frame of it as PNG."
    return EXPORT_SOUND if is_sound(kind) else "Save it as PNG or JPEG."


def is_sound(kind: str) -> bool:
    """Whether `kind_of` or `other_kind` means a sound by these words."""
    return _SOUND.search(kind) is not None


def kind_of(body: bytes) -> str:
    """The kind of a file, as words that can follow "it is".

    Returns:
        For example "a PNG image", "an MP4 video", "text", "empty" or "a file of an unknown kind".
    """
    if not body:
        return "empty"
    if body[:4] == b"RIFF":
        return _RIFF.get(body[8:12], "a RIFF file")
    if body[4:8] == b"ftyp":
        return _branded(body)
    if body[4:8] in _QUICKTIME and body[0] <= _LARGEST_FIRST_BYTE:
        return "a QuickTime video"
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    return _text_kind(body[:4096])


def _branded(body: bytes) -> str:
    """The kind of a file that begins with the box `ftyp`, which names its brands."""
    brand = body[8:12]
    if brand in _AUDIO:
        return "an audio file"
    if brand == b"mif1" and b"avif" in body[16 : int.from_bytes(body[:4])]:
        brand = b"avif"
    return _STILLS.get(brand, "an MP4 video")


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
