"""Reads the body of a request to /v1/videos: fields, and perhaps a file.

Programs send a form, as a browser does, or JSON. Nothing here decodes a picture.
"""

import base64
import binascii
import json
import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import NamedTuple

from functions import s3_keys
from functions.reading.magic import kind_of
from functions.spec.fields import JobSpec
from studio.api.refused import Refused

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Lambda accepts events of 6 MB, and in them, bytes are base64, which is longer by a third."""
FILE = "input_reference"
_LIST = "[]"
"""How the name of a field ends that is sent once for each value of a list."""
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
    return _with_file(fields, None)


def _multipart(content_type: str, body: bytes) -> Form:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii", "replace")
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart():
        raise Refused(400, "Send the fields as a form (multipart/form-data) or as JSON.")
    fields: dict[str, object] = {}
    file = None
    for part in message.iter_parts():
        assert isinstance(part, EmailMessage)
        name = str(part.get_param("name", "", "content-disposition"))
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            raise Refused(400, f"The field {name} holds several parts.")
        if name == FILE:
            file = _sent(part.get_filename() or "", content)
        else:
            _add(fields, name, content)
    return _with_file(fields, file)


def _add(fields: dict[str, object], name: str, content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Refused(400, f"The field {name} is no text.") from None
    if not name.endswith(_LIST):
        fields[name] = _value(name, text)
        return
    name = name.removesuffix(_LIST)
    before = fields.get(name)
    fields[name] = [*(before if isinstance(before, list) else []), _value(name, text)]


def _value(name: str, text: str) -> object:
    """What a text in a form means, where everything is a text: a number, true, false or a text."""
    field = JobSpec.model_fields.get(name)
    if field is not None and field.annotation is str:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


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
