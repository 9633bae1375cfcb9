"""Reads the bytes of a spec into plain values, each with its line and column."""

import posixpath
import re

from functions.reading import json_text, not_specs, yaml_text
from functions.reading.characters import DIRECTION_MARKS, is_blank, named
from functions.reading.limits import MAX_SPEC_BYTES
from functions.reading.mistakes import FIELD_NAMES, WRITE_A_PROMPT, first_of, shortened
from functions.reading.values import Path, Spot, Text, Unusable, Value, too_large_spec

# Control characters except tab and line breaks, invisible direction marks, lone surrogates and
# noncharacters.
FORBIDDEN = re.compile(
    f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f{DIRECTION_MARKS}\ud800-\udfff\ufffe\uffff]"
)

LINE_END = re.compile(r"\r\n|\r|\n")
_FIELD = rf"(?:{'|'.join(FIELD_NAMES)})[ \t]*[:：=]"
_YAML_AS_TEXT = re.compile(rf"(?:\s|(?:---|```\w*)[ \t]*[\r\n])*{_FIELD}")
_FIELD_IN_PROMPT = re.compile(
    rf"(?P<field>^[ \t]*{_FIELD}[^\r\n]*)"
    r"|(?:^|(?<=\s))--(?:ar|aspect|seed|fps|steps|cfg|no|neg|frames|duration|size|n|v|q)[ =]\S+",
    re.MULTILINE | re.IGNORECASE,
)
_PARAGRAPH_END = re.compile(r"(?>\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)\s*")
_ITEM = re.compile(r"^[ \t]*(?:[-*•]|[0-9]{1,3}[.)])[ \t]+\S", re.MULTILINE)
_YAML_AS_JSON = re.compile(r"(?:\s|---[ \t]*[\r\n]|#[^\r\n]*[\r\n])*[A-Za-z_]\w*[ \t]*:(?!\S)")


def parse(body: bytes, key: str) -> Text:
    """Read a spec as YAML, JSON or a bare prompt (.txt).

    Args:
        body: the content of the file.
        key: the key of the file; its suffix decides how the file is read.

    Raises:
        Unusable: the spec cannot be read. The fault has the position and a hint.
    """
    if len(body) > MAX_SPEC_BYTES:
        raise too_large_spec(len(body))
    not_specs.check(body)
    text = _decode(body)
    if is_blank(text):
        raise Unusable("spec-empty", "The file is empty.", WRITE_A_PROMPT, 1, 1)
    stem, suffix = posixpath.splitext(posixpath.basename(key))
    suffix = suffix.lower()
    if suffix == ".txt":
        text = text.replace("\ufeff", "")
        _check_prompt(text, stem)
        warnings = first_of(_prompt_warnings(text, stem))
        return Text({"prompt": " ".join(text.split())}, {("prompt",): (1, 1)}, warnings)
    if suffix == ".json" and _YAML_AS_JSON.match(text):
        raise Unusable(
            "yaml-syntax",
            "The JSON cannot be read: the file contains YAML.",
            f"Name it {stem}.yaml.",
            1,
            1,
        )
    read = json_text.parse(text) if suffix == ".json" else yaml_text.parse(text)
    not_specs.check_fields(read.values)
    check_strings(read, read.values, ())
    return read._replace(warnings=first_of(read.warnings))


def _check_prompt(text: str, stem: str) -> None:
    """Refuse a .txt file that contains fields, because they would be rendered as a prompt."""
    kind = more = ""
    if _YAML_AS_TEXT.match(text):
        kind, more = "yaml", " If this is a prompt, begin it with another word."
    elif text.lstrip().startswith("{"):
        try:
            json_text.parse(text)
            kind = "json"
        except Unusable:
            pass  # a prompt that begins with a brace
    if kind:
        raise Unusable(
            "key-suffix",
            f"The file contains {kind.upper()} fields, but a .txt file is read as a bare prompt.",
            f"Name it {stem}.{kind}.{more}",
            1,
            1,
        )


def _prompt_warnings(text: str, stem: str) -> list[tuple[str, str]]:
    """Warnings, as (code, message), about a bare prompt that may be something else."""
    found = [
        (
            "field-in-text",
            f"Line {_spot(text, match.start())[0]}: {shortened(match[0].strip())} was read as part "
            f"of the prompt. A .txt file is only a prompt. For fields, name the file {stem}.yaml "
            "and begin the prompt with  prompt:",
        )
        for match in _FIELD_IN_PROMPT.finditer(text)
    ]
    paragraphs = sum(any(c.isalpha() for c in part) for part in _PARAGRAPH_END.split(text))
    items = len(_ITEM.findall(text))
    if (count := max(paragraphs, items)) > 1:
        what = "paragraphs" if paragraphs >= items else "items of a list"
        found.append(
            (
                "several-paragraphs",
                f"The file has {count:,} {what}, and all of them together are the prompt of one "
                "video. For several videos, drop one file for each.",
            )
        )
    return found


def check_strings(read: Text, value: Value, path: Path) -> None:
    """Check for forbidden characters that were written as escapes such as "\\u0000".

    Raises:
        Unusable: there is one.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            check_strings(read, name, (*path, name))
            check_strings(read, item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            check_strings(read, item, (*path, number))
    elif isinstance(value, str) and (match := FORBIDDEN.search(value)):
        raise forbidden(match, *read.places[path])


def _decode(body: bytes) -> str:
    text = decoded(body)
    if match := FORBIDDEN.search(text):
        raise forbidden(match, *_spot(text, match.start()))
    return text


def decoded(body: bytes) -> str:
    """The text of UTF-8, or of UTF-16 with a byte order mark.

    Raises:
        Unusable: the bytes are in another encoding.
    """
    if body[:4] in {b"\xff\xfe\0\0", b"\0\0\xfe\xff"} or (
        body[:2] not in {b"\xff\xfe", b"\xfe\xff"} and body.count(0) * 4 > len(body)
    ):
        raise Unusable(
            "text-encoding",
            "The file is UTF-16 without a byte order mark, or UTF-32.",
            "Save it as UTF-8; most editors offer this under Save As, Encoding.",
            1,
            1,
        )
    encoding = "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, "replace")
        raise Unusable(
            "text-encoding",
            f"The file is not {encoding[:6].upper().rstrip('-')} text (byte {error.start + 1}).",
            "Save it as UTF-8; most editors offer this under Save As, Encoding.",
            *_spot(before, len(before)),
        ) from None


def _spot(text: str, at: int) -> Spot:
    ends = [match.end() for match in LINE_END.finditer(text, 0, at)]
    return len(ends) + 1, at - (ends[-1] if ends else 0) + 1


def forbidden(match: re.Match[str], line: int, column: int) -> Unusable:
    """The error for a character that is not allowed anywhere."""
    return Unusable(
        "text-character",
        f"The file contains the invisible character {named(match[0])}.",
        "Delete it, or type the line again.",
        line,
        column,
    )
