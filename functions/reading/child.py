"""The process that reads what came from outside. It is started once for each piece.

It limits itself before it looks at any byte, loads what the call needs, says `ready`, and from
then on can open no file. In: a line of JSON (`name`, `labels`, `sizes`) and the bytes that it
tells of. Out: a line of JSON and perhaps bytes.
"""

import codecs
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence

from functions.reading.limits import ALLOWANCES, Allowance
from functions.reading.values import Unusable

READY = b"ready\n"
LATE_IMPORT = 75
"""Exit status: a library wanted to load a part of itself too late, which is our mistake."""

Answer = tuple[object, bytes]
"""What JSON can carry, and bytes."""


def _spec(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import text  # noqa: PLC0415

    read = text.parse(blobs[0], name)
    places = [(path, *spot) for path, spot in read.places.items()]
    return {"values": read.values, "places": places, "warnings": read.warnings}, b""


def _image(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import pictures  # noqa: PLC0415

    read = pictures.image(blobs[0], name)
    found = {"height": read.height, "width": read.width, "png_bytes": len(read.png)}
    return found, read.png + read.preview


def _video(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import clips  # noqa: PLC0415

    return clips.video(blobs[0], name)._asdict(), b""


def _contact_sheet(_name: str, labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import pictures  # noqa: PLC0415

    return {}, pictures.contact_sheet(labels, blobs)


_CALLS: dict[str, Callable[[str, Sequence[str], Sequence[bytes]], Answer]] = {
    "spec": _spec,
    "image": _image,
    "video": _video,
    "contact_sheet": _contact_sheet,
}


def answer(call: str, name: str, labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    """Do the work. What is wrong with the bytes is an answer, too."""
    try:
        return _CALLS[call](name, labels, blobs)
    except Unusable as unusable:
        code, message, hint, *place = unusable.fault
        where = dict(zip(("line", "column", "field"), place, strict=True))
        return {"fault": {"code": code, "message": message, "hint": hint, "place": where}}, b""


def main(call: str) -> None:
    """Answer the one request that stands in stdin."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    _limit(ALLOWANCES[call])
    _load(call)
    out.write(READY)
    out.flush()
    _open_nothing()

    request = json.loads(sys.stdin.buffer.readline())
    blobs = [sys.stdin.buffer.read(size) for size in request["sizes"]]
    try:
        found, blob = answer(call, request["name"], request["labels"], blobs)
    except OSError as error:
        os._exit(LATE_IMPORT if error.errno == errno.EMFILE else 1)
    out.write(json.dumps(found).encode() + b"\n")
    out.write(blob)
    out.flush()
    os._exit(0)  # taking everything down in order would only cost time


def _limit(allowance: Allowance) -> None:
    import resource  # noqa: PLC0415 (the tests' in-process reader needs none)

    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CPU, allowance.cpu_seconds)
    if sys.platform == "linux":
        # macOS takes these and does not keep to them.
        limit(resource.RLIMIT_DATA, allowance.data_bytes)
        limit(resource.RLIMIT_AS, allowance.address_bytes)


def _load(call: str) -> None:
    """Import all that the call may need, as long as files can be opened."""
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "ascii"):
        codecs.lookup(encoding)
    if call == "spec":
        from functions.reading import text  # noqa: F401, PLC0415
    elif call == "video":
        from functions.reading import clips  # noqa: F401, PLC0415
    else:
        from functions.reading import pictures  # noqa: F401, PLC0415


def _open_nothing() -> None:
    import resource  # noqa: PLC0415

    # The three that are open stay so; no file, directory or socket can be opened any more.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
