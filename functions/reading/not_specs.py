"""Recognises files of other programs that were saved or named as a spec.

A word processor saves formatted text under `.txt`, and a browser saves a page. Nothing in them is
used. The answer names the kind of the file, and how its program saves plain text.
"""

import re
from collections.abc import Mapping

from functions.reading.magic import is_sound, kind_of
from functions.reading.mistakes import EXAMPLE
from functions.reading.values import Unusable, Value

_EDITOR = "a plain text editor (Notepad; on a Mac TextEdit, after Format, Make Plain Text)"
_COPY = f"Copy the text into {_EDITOR}, and save it there."
_WORD = "In Word, choose Save As and the type Plain Text (.txt), with the encoding UTF-8."
_LIBRE_OFFICE = "In LibreOffice, choose Save As and the type Text (.txt)."
_PAGES = "In Pages, choose File, Export To, Plain Text."
_GOOGLE_DOCS = "In Google Docs, choose File, Download, Plain text (.txt)."
_RTF = (
    "In TextEdit, choose Format, Make Plain Text, and save the file again. In Word or WordPad, "
    "choose Save As and the type Plain Text (.txt)."
)
_SHEET = (
    "Save it as CSV and drop that: in a spreadsheet, choose Save As and the type CSV UTF-8 (.csv). "
    "The first row has the names of fields, such as prompt and seed, and each further row becomes "
    "a video."
)
_NAME_IT = "Name it with the ending .csv. Then each of its rows becomes a video."
_IMAGE = (
    "Name the image with its own ending, such as bee.png. To make a video from it, drop a spec "
    "beside it with the line   image: bee.png"
)
_VIDEO = (
    "Name the video with its own ending, such as bee.mp4. To make a new video from it, drop a spec "
    "beside it with the line   video: bee.mp4"
)
_SOUND = (
    "Name the sound with its own ending, such as song.mp3. To hear it with a video, add the line   "
    "audio: song.mp3   to the spec of the video."
)
_UNPACK = "Unpack it, and drop the files that are in it."
_WRITE = f"Write a spec into {_EDITOR}, for example   {EXAMPLE}"

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_Kind = tuple[str, str]
"""What the file is, and how to get a spec from it."""
_WORD_DOCUMENT: _Kind = ("a Word document", _WORD)
_TABLE: _Kind = ("a table (CSV)", _NAME_IT)
_EXCEL_SHEET: _Kind = ("an Excel sheet", _SHEET)
_SLIDES: _Kind = ("a PowerPoint file", _COPY)

# What the file begins with, or for the second table, what is in it.
_BINARY: tuple[tuple[bytes, _Kind], ...] = (
    (b"SQLite format 3\0", ("a SQLite database", _WRITE)),
    (b"bplist00", ("a property list or web archive of Apple", _COPY)),
    (b"BZh91AY&SY", ("a bzip2 archive", _UNPACK)),
    (b"\xfd7zXZ\0", ("an xz archive", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", ("a Zstandard archive", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", ("a 7-Zip archive", _UNPACK)),
    (b"Rar!\x1a\x07", ("a RAR archive", _UNPACK)),
    (b"MSCF\0", ("a cabinet archive", _UNPACK)),
    (b"MZ", ("a program", _WRITE)),
    (b"\xcf\xfa\xed\xfe", ("a program", _WRITE)),
    (b"\xca\xfe\xba\xbe", ("a program", _WRITE)),
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_OLD_OFFICE: tuple[tuple[bytes, _Kind], ...] = (
    ("WordDocument".encode("utf-16-le"), _WORD_DOCUMENT),
    ("Workbook".encode("utf-16-le"), _EXCEL_SHEET),
    ("PowerPoint".encode("utf-16-le"), _SLIDES),
)
_IN_ZIP: tuple[tuple[bytes, _Kind], ...] = (
    (b"word/", _WORD_DOCUMENT),
    (b"xl/", _EXCEL_SHEET),
    (b"ppt/", _SLIDES),
    (b"opendocument.text", ("an OpenDocument text", _LIBRE_OFFICE)),
    (b"opendocument.spreadsheet", ("an OpenDocument sheet", _SHEET)),
    (b"opendocument.", ("an OpenDocument file", _COPY)),
    (b"epub+zip", ("an e-book (EPUB)", _COPY)),
    (b".iwa", ("a Pages, Numbers or Keynote document", _PAGES)),
)
_HTML = r"<(?:!doctype html|(?:html|head|body|title|p|div|span|br|h[1-6]|table|ul|pre|font)[\s>/])"
_CODE = (
    r"(?:#[^\n]*\n\s*)*(?:import [\w.]+(?: as \w+)?|from [\w.]+ import [\w*(][^\n]*"
    r"|def \w+\([^\n]*|class \w+(?:\([^\n]*\))?:|(?:const|let|var) \w+ ?=[^\n]*|@echo off"
    r"|set -e\w*)[ \t\r]*\n\s*\S|#include [<\"]"
)
_HEADER = r"(?:received|return-path|delivered-to|mime-version|message-id|from|to|subject|date):"
_TEXT: tuple[tuple[re.Pattern[str], _Kind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind)
    for pattern, kind in (
        (r"\{\\rtf", ("formatted text (RTF)", _RTF)),
        (r"%PDF-", ("a PDF file", _COPY)),
        (r"%!PS", ("a PostScript file", _COPY)),
        (rf"(?:<!--.*?-->\s*)?{_HTML}", ("a web page (HTML)", _COPY)),
        (r"<\?xml\b.{0,400}?<svg\b|<svg\b", ("a drawing (SVG)", _IMAGE)),
        (r"<\?xml\b|<!doctype\b|<\w+(?::\w+)? xmlns", ("an XML file", _COPY)),
        (r"#! ?/", ("a script", _WRITE)),
        (_CODE, ("the code of a program", _WRITE)),
        (r"version https://git-lfs\.github\.com/spec/", (
            "a pointer of Git LFS, without the real content",
            "Run   git lfs pull   and drop the file again.",
        )),
        (rf"{_HEADER}.*\nmime-version:", ("an email", _COPY)),
        (r"\[InternetShortcut\]", ("a link to a web page", _WRITE)),
        (r"#EXTM3U", ("a playlist (M3U8)", _WRITE)),
        (r"(?=[^\n]*\bprompt\b)\"?\w+\"?(?:[,;\t]\"?\w+\"?)+\s*?\n", _TABLE),
    )
)  # fmt: skip
_JSON: tuple[tuple[frozenset[str], _Kind], ...] = (
    (frozenset({"cells", "nbformat"}), ("a Jupyter notebook", _WRITE)),
    (frozenset({"nodes", "links"}), ("a workflow of ComfyUI", _WRITE)),
    (frozenset({"$schema", "properties"}), ("a JSON schema", _WRITE)),
    (frozenset({"job_id", "state", "path"}), (
        "a status file of reeldrop", "Drop the spec itself, or a sidecar from videos/.",
    )),
    (frozenset({"doc_id"}), ("a link to a Google document", _GOOGLE_DOCS)),
)  # fmt: skip
_SUFFIXES: Mapping[str, _Kind] = {
    ".doc": _WORD_DOCUMENT,
    ".docx": _WORD_DOCUMENT,
    ".gdoc": ("a link to a Google document", _GOOGLE_DOCS),
    ".odt": ("an OpenDocument text", _LIBRE_OFFICE),
    ".pages": ("a Pages document", _PAGES),
    ".rtf": ("formatted text (RTF)", _RTF),
    ".pdf": ("a PDF file", _COPY),
    ".htm": ("a web page (HTML)", _COPY),
    ".html": ("a web page (HTML)", _COPY),
    ".xls": _EXCEL_SHEET,
    ".xlsx": _EXCEL_SHEET,
    ".numbers": ("a Numbers sheet", _SHEET),
    ".zip": ("a ZIP archive", _UNPACK),
}


def named_as(suffix: str) -> _Kind | None:
    """What a file with this ending is, and how to get a spec from it; None if it is not known."""
    return _SUFFIXES.get(suffix.lower())


def check(body: bytes, *, is_list: bool = False) -> None:
    """Refuse the file of another program.

    Args:
        is_list: whether the file is to be a list, which may be a table.

    Raises:
        Unusable: the bytes are of a known kind that is not plain text, or is the text of a program.
    """
    kind = _binary(body) if _is_binary(body) else _text(body)
    if kind is not None and not (is_list and kind == _TABLE):
        raise _refused(kind)


def check_fields(values: Mapping[str, Value]) -> None:
    """Refuse the JSON of another program.

    Raises:
        Unusable: the fields are those of a file that is known.
    """
    inside = [value for value in values.values() if isinstance(value, dict)]
    if inside and len(inside) == len(values) and all("class_type" in value for value in inside):
        raise _refused(("a workflow of ComfyUI", _WRITE))
    for names, kind in _JSON:
        if names <= values.keys():
            raise _refused(kind)


def _refused(kind: _Kind) -> Unusable:
    return Unusable("not-a-spec", f"The file is {kind[0]}, not a spec.", kind[1], 1, 1)


def _is_binary(body: bytes) -> bool:
    if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return False  # UTF-16
    try:
        body.decode()
    except UnicodeDecodeError:
        # A text in another encoding may begin with the letters of these formats.
        return 0 in body or not body.startswith((b"BM", b"MZ", b"ID3"))
    return _CONTROL.search(body) is not None


def _binary(body: bytes) -> _Kind | None:
    if body.startswith(_OLD_OFFICE):
        return _first(_IN_OLD_OFFICE, body) or ("an old Office file", _WORD)
    if body.startswith(b"PK\x03\x04"):
        return _first(_IN_ZIP, body) or ("a ZIP archive", _UNPACK)
    for magic, kind in _BINARY:
        if body.startswith(magic):
            return kind
    if body[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    what = kind_of(body)
    for word, advice in (
        ("image", _IMAGE), ("photo", _IMAGE), ("icon", _IMAGE), ("video", _VIDEO),
        ("archive", _UNPACK), ("PDF", _COPY), ("RIFF", _WRITE), ("program", _WRITE),
        ("Photoshop", _IMAGE), ("EPS", _COPY),
    ):  # fmt: skip
        if word in what:
            return what, advice
    return (what, _SOUND) if is_sound(what) else _text(body)


def _first(contents: tuple[tuple[bytes, _Kind], ...], body: bytes) -> _Kind | None:
    return next((kind for part, kind in contents if part in body), None)


def _text(body: bytes) -> _Kind | None:
    encoding = "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    text = body.decode(encoding, "replace").lstrip("\ufeff\u200b \t\r\n")
    return next((kind for pattern, kind in _TEXT if pattern.match(text)), None)
