"""The process that reads untrusted bytes. One is started for each file.

The process limits its own resources before it sees any untrusted byte, imports what the call
needs, and writes `ready`. From then on it cannot open any file.

Input: one line of JSON (`name`, `labels`, `sizes`), then the bytes of each file; `sizes` has the
number of bytes of each. Output: one line of JSON, then the bytes of the result, if there are any.
"""

import codecs
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence

from functions.reading.limits import LIMITS, ReadingLimits
from functions.reading.values import Fault, Unusable

READY = b"ready\n"
LATE_IMPORT = 75
"""Exit status when a library imported a part of itself after files could no longer be opened. That
is a bug of `_load`, not a fault of the file."""

Answer = tuple[object, bytes]
"""A value that JSON can represent, and further bytes."""


def _spec(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import text  # noqa: PLC0415

    read = text.parse(blobs[0], name)
    places = [(path, *spot) for path, spot in read.places.items()]
    return {"values": read.values, "places": places, "warnings": read.warnings}, b""


def _rows(name: str, labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import lists  # noqa: PLC0415

    read = lists.parse(blobs[0], name, labels)
    rows = [
        {
            "number": row.number,
            "values": row.values,
            "fault": _fault(row.fault) if row.fault else None,
        }
        for row in read.rows
    ]
    return {"columns": read.columns, "rows": rows, "warnings": read.warnings}, b""


def _image(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import pictures  # noqa: PLC0415

    read = pictures.image(blobs[0], name)
    found = {"height": read.height, "width": read.width, "png_bytes": len(read.png)}
    return found, read.png + read.preview


def _video(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import clips  # noqa: PLC0415

    return clips.video(blobs[0], name)._asdict(), b""


def _previews(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import clips, pictures  # noqa: PLC0415

    made = [pictures.preview(frame) for frame in clips.samples(blobs[0], name)]
    return {"sizes": [len(one) for one in made]}, b"".join(made)


def _audio(name: str, _labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import sounds  # noqa: PLC0415

    return sounds.audio(blobs[0], name)._asdict(), b""


def _contact_sheet(_name: str, labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    from functions.reading import pictures  # noqa: PLC0415

    return {}, pictures.contact_sheet(labels, blobs)


_CALLS: dict[str, Callable[[str, Sequence[str], Sequence[bytes]], Answer]] = {
    "spec": _spec,
    "rows": _rows,
    "image": _image,
    "video": _video,
    "previews": _previews,
    "audio": _audio,
    "contact_sheet": _contact_sheet,
}


def answer(call: str, name: str, labels: Sequence[str], blobs: Sequence[bytes]) -> Answer:
    """Run one call.

    Args:
        call: `spec`, `rows`, `image`, `video`, `previews`, `audio` or `contact_sheet`.
        name: key of the spec or the list, or what messages call the image, video or sound.
        labels: one label for each poster of a contact sheet, or the columns of a list that have
            texts; otherwise empty.
        blobs: the bytes of each file to read.

    Returns:
        The result. If the bytes cannot be used, a dictionary with the key `fault` says why.
    """
    try:
        return _CALLS[call](name, labels, blobs)
    except Unusable as unusable:
        return {"fault": _fault(unusable.fault)}, b""


def _fault(fault: Fault) -> object:
    """A fault, as a `Problem` of the contract."""
    code, message, hint, *place = fault
    where = dict(zip(("line", "column", "field"), place, strict=True))
    return {"code": code, "message": message, "hint": hint, "place": where}


def main(call: str) -> None:
    """Answer the single request on stdin, then exit."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing a library prints gets into the answer
    _apply(LIMITS[call])
    _load(call)
    out.write(READY)
    out.flush()
    _forbid_opening_files()

    request = json.loads(sys.stdin.buffer.readline())
    blobs = [sys.stdin.buffer.read(size) for size in request["sizes"]]
    try:
        found, blob = answer(call, request["name"], request["labels"], blobs)
    except OSError as error:
        os._exit(LATE_IMPORT if error.errno == errno.EMFILE else 1)
    out.write(json.dumps(found).encode() + b"\n")
    out.write(blob)
    out.flush()
    os._exit(0)  # skips the interpreter's slow shutdown


def _apply(limits: ReadingLimits) -> None:
    if os.name != "posix":
        return  # only for `reeldrop validate`, where people read their own files
    import resource  # noqa: PLC0415 (not needed when tests read in their own process)

    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CPU, limits.cpu_seconds)
    if sys.platform == "linux":
        # macOS accepts these two limits but does not enforce them.
        limit(resource.RLIMIT_DATA, limits.data_bytes)
        limit(resource.RLIMIT_AS, limits.address_bytes)


def _load(call: str) -> None:
    """Import everything that the call may need while files can still be opened."""
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "ascii"):
        codecs.lookup(encoding)
    if call == "spec":
        from functions.reading import text  # noqa: F401, PLC0415
    if call == "rows":
        from functions.reading import lists  # noqa: F401, PLC0415
    if call in {"video", "previews"}:
        from functions.reading import clips  # noqa: F401, PLC0415
    if call == "audio":
        from functions.reading import sounds  # noqa: F401, PLC0415
    if call in {"image", "previews", "contact_sheet"}:
        from functions.reading import pictures  # noqa: F401, PLC0415


def _forbid_opening_files() -> None:
    if os.name != "posix":
        return
    import resource  # noqa: PLC0415

    # Descriptors that are open stay open. No file, directory or socket can be opened any more.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
