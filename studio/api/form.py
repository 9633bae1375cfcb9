"""Reads the body of a request to /v1/videos: fields, and perhaps a file.

Programs send a form, as a browser does, or JSON. Nothing here decodes a picture.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from contract.document import Document
from contract.errors import Code
from functions import s3_keys
from functions.reading.magic import kind_of
from functions.spec.fields import JobSpec, Matrix, Scene
from studio.api.refused import Refused

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Lambda accepts events of 6 MB, and in them, bytes are base64, which is longer by a third."""
FILE = "input_reference"
# A form is read in the function itself, so it must not take long, whatever somebody sends.
_MOST_PARTS = 200
_MOST_HEAD_BYTES = 2_048
_PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"([^"]*)"|([^\s;]*))')
_DISPOSITION = re.compile(r"^content-disposition:.*", re.IGNORECASE | re.MULTILINE)
_NESTED = re.compile(r"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
# JSON can escape one of the two halves that UTF-16 writes some characters with.
_HALF = re.compile("[\ud800-\udfff]")
# seed, tags[], matrix[seed] and matrix[seed][]. The last one is sent once for each value.
_FIELD = re.compile(r"(\w+)(?:\[(\w+)\])?(\[\])?")
# Of a list of objects, forms do not say which values belong to the same one.
_UNCLEAR = ("scenes[][", "matrix[include][][", "matrix[exclude][][")
_EXAMPLES = {"matrix": '{"seed": [1, 2]}', "scenes": '["a bee lands", {"prompt": "it flies away"}]',
             "outputs": '["mp4", "gif"]'}  # fmt: skip
# A program may send a file without a name. The bucket itself looks at the content, too.
_SUFFIXES = {
    "a JPEG image": ".jpg", "a WebP image": ".webp", "an MP4 video": ".mp4",
    "a QuickTime video": ".mov",
}  # fmt: skip


class Sent(NamedTuple):
    """A file that came with a request."""

    suffix: str
    body: bytes


class Form(NamedTuple):
    """What a request says."""

    fields: dict[str, object]
    file: Sent | None


def read(content_type: str, body: bytes, bucket: str) -> Form:
    """Read the body of a request.

    Args:
        content_type: what the request says that the body is.
        body: the body.
        bucket: where larger files can be uploaded.

    Raises:
        Refused: the body is too large, or is no form and no JSON.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Refused(
            413,
            f"The request has {len(body):,} bytes; the limit is {MAX_BODY_BYTES:,}. Upload the "
            f"file to the drop folder, for example to s3://{bucket}/jobs/pictures/bee.png, and "
            f"send the field  image  with the value  /pictures/bee.png  instead of {FILE}.",
        )
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return _json(body)
    return _multipart(content_type, body)


def _json(body: bytes) -> Form:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise Refused(400, "The body is no JSON object.")
    half = _HALF.search(json.dumps(fields, ensure_ascii=False))
    if half:
        message = f"The request has U+{ord(half[0]):04X}, which is half of a character. Delete it."
        raise Refused(400, message, Code.TEXT_CHARACTER)
    return _with_file(fields, None)


def _multipart(content_type: str, body: bytes) -> Form:
    fields: dict[str, Any] = {}
    file = None
    for part in _parts(content_type, body):
        if part.name.startswith(_UNCLEAR):
            raise _needs_json(part.name.partition("[")[0])
        if part.name == FILE:
            file = _sent(part.file_name, part.content)
            continue
        try:
            text = part.content.decode()
        except UnicodeDecodeError:
            raise Refused(400, f"The field {part.name} is no text.") from None
        _add(fields, part.name, text)
    return _with_file(fields, file)


class _Part(NamedTuple):
    """A part of a form."""

    name: str
    file_name: str
    content: bytes


def _parts(content_type: str, body: bytes) -> Iterator[_Part]:
    """Take a form apart.

    The parser for mail in the standard library takes some seconds for bodies that somebody has made
    for that, and raises errors of all kinds.
    """
    boundary = _parameters(content_type).get("boundary", "").encode()
    is_form = content_type.partition(";")[0].strip().lower() == "multipart/form-data"
    _, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_PARTS + 2)
    if not (is_form and boundary and pieces):
        raise Refused(400, "Send the fields as a form (multipart/form-data) or as JSON.")
    if len(pieces) > _MOST_PARTS + 1:  # the last one is the end
        raise Refused(400, f"The form has more than {_MOST_PARTS} parts. Send JSON instead.")
    for piece in pieces:
        if piece.startswith(b"--"):
            return
        head, _, content = piece.partition(b"\r\n\r\n")
        if len(head) > _MOST_HEAD_BYTES:
            raise Refused(400, "The head of a part of the form is too long.")
        said = head.decode(errors="replace")
        disposition = _DISPOSITION.search(said)
        about = _parameters(disposition[0]) if disposition else {}
        name = about.get("name", "")
        if _NESTED.search(said):
            raise Refused(400, f"The field {name} holds several parts.")
        yield _Part(name, about.get("filename") or about.get("filename*", ""), content)


def _parameters(header: str) -> dict[str, str]:
    return {name.lower(): quote or plain for name, quote, plain in _PARAMETER.findall(header)}


def _add(fields: dict[str, Any], name: str, text: str) -> None:
    """Add a field of a form to those before it."""
    match = _FIELD.fullmatch(name)
    field, key, is_listed = match.groups() if match else (name, None, None)
    kinds = _kinds_of(JobSpec, field)
    at = field
    if key is not None and Matrix in kinds:
        if not isinstance(fields.get(field), dict):
            fields[field] = {}
        fields, at, kinds = fields[field], key, _kinds_of(Matrix, key)
    elif key is not None:
        at, is_listed, kinds = name, None, []
    if is_listed is None:
        fields[at] = _value(field, kinds, text)
        return
    if not isinstance(fields.get(at), list):
        fields[at] = []
    fields[at].append(_value(field, [one for kind in kinds for one in _elements(kind)], text))


def _kinds_of(document: type[Document], field: str) -> list[Any]:
    """The types that the value of a field can have."""
    known = document.model_fields.get(field)
    return _kinds(known.annotation) if known else []


def _kinds(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) not in {Union, UnionType}:
        return [kind]
    return [one for each in get_args(kind) if each is not NoneType for one in _kinds(each)]


def _elements(kind: Any) -> list[Any]:
    """The types of what is in a list. A value that is no list is refused later, by its field."""
    return _kinds(get_args(kind)[0]) if get_origin(kind) is tuple else [kind]


def _value(field: str, kinds: list[Any], text: str) -> object:
    """What a text in a form means, where everything is a text.

    Args:
        field: the field of the spec that it is for.
        kinds: the types that the value can have.
        text: the text.

    Raises:
        Refused: it is not JSON, but the value holds others.
    """
    if kinds == [str]:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    holds_others = [one for one in kinds if get_origin(one) is tuple or _is_document(one)]
    if isinstance(value, dict | list if holds_others else bool | int | float):
        return value
    if holds_others and Scene not in kinds:  # a scene can be a text, which is its prompt
        raise _needs_json(field)
    return text


def _is_document(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Document)


def _needs_json(field: str) -> Refused:
    example = _EXAMPLES.get(field, '["first", "second"]')
    return Refused(400, f"{field} must be JSON in a form, such as  {example}", Code.FIELD_TYPE)


def _with_file(fields: dict[str, object], file: Sent | None) -> Form:
    """The form. A picture may also be a data URL, in JSON or as `input_reference[image_url]`."""
    inner = fields.pop(f"{FILE}[image_url]", None)
    given = fields.pop(FILE, None)
    if given is not None:
        inner = given.get("image_url", given) if isinstance(given, dict) else given
    if inner is None:
        return Form(fields, file)
    match = re.fullmatch(r"data:[^,]*;base64,(.*)", str(inner), re.DOTALL)
    try:
        content = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        content = b""
    if match is None:
        raise Refused(
            400,
            f"Send the file itself as {FILE}, or as a data URL in its image_url. Nothing is "
            "fetched from other addresses.",
        )
    return Form(fields, _sent("", content))


def _sent(name: str, content: bytes) -> Sent:
    if not content:
        raise Refused(400, f"The file in {FILE} is empty, or cannot be read.")
    known = [suffix for suffix in s3_keys.REFERENCE_SUFFIXES if name.lower().endswith(suffix)]
    return Sent(known[0] if known else _SUFFIXES.get(kind_of(content), ".png"), content)
