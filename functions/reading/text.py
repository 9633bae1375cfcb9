"""From the bytes of a spec to plain values, each with its place in the text."""

import posixpath
import re

from functions.reading import json_text, yaml_text
from functions.reading.limits import MAX_SPEC_BYTES
from functions.reading.mistakes import EXAMPLE
from functions.reading.values import Path, Spot, Text, Unusable, Value, too_large_spec

# Controls except tab and line ends, invisible direction marks, lone surrogates, noncharacters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069"
                        "\ud800-\udfff\ufffe\uffff]")  # fmt: skip


def parse(body: bytes, key: str) -> Text:
    """Read a spec by the suffix of its key: YAML, JSON, or a bare prompt (.txt).

    Raises:
        Unusable: it cannot be read; says where, and what to do.
    """
    if len(body) > MAX_SPEC_BYTES:
        raise too_large_spec(len(body))
    text = _decode(body)
    if not text.strip():
        raise Unusable("spec-empty", "The file is empty.", f"Write   {EXAMPLE}.")
    suffix = posixpath.splitext(key)[1].lower()
    if suffix == ".txt":
        return Text({"prompt": " ".join(text.split())}, {("prompt",): (1, 1)}, [])
    read = json_text.parse(text) if suffix == ".json" else yaml_text.parse(text)
    _check_strings(read, read.values, ())
    return read


def _check_strings(read: Text, value: Value, path: Path) -> None:
    """Escapes such as "\\u0000" bring in what the text itself may not have."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_strings(read, name, (*path, name))
            _check_strings(read, item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_strings(read, item, (*path, number))
    elif isinstance(value, str) and (match := _FORBIDDEN.search(value)):
        raise _forbidden(match, *read.places[path])


def _decode(body: bytes) -> str:
    if body[:4] in {b"\xff\xfe\0\0", b"\0\0\xfe\xff"} or (
        body[:2] not in {b"\xff\xfe", b"\xfe\xff"} and body.count(0) * 4 > len(body)
    ):
        raise Unusable(
            "text-encoding",
            "The file is UTF-16 without a byte order mark, or UTF-32.",
            "Save it as UTF-8: most editors have it under Save As, Encoding.",
            1,
            1,
        )
    encoding = "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start]
        raise Unusable(
            "text-encoding",
            f"The file is not {encoding[:6].upper().rstrip('-')} text (byte {error.start + 1}).",
            "Save it as UTF-8: most editors have it under Save As, Encoding.",
            before.count(b"\n") + 1,
        ) from None
    if match := _FORBIDDEN.search(text):
        raise _forbidden(match, *_spot(text, match.start()))
    return text


def _spot(text: str, at: int) -> Spot:
    before = text[:at]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _forbidden(match: re.Match[str], line: int, column: int) -> Unusable:
    return Unusable(
        "text-character",
        f"The file has the invisible character U+{ord(match[0]):04X}.",
        "Delete it, or type the line again.",
        line,
        column,
    )
