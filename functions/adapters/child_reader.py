"""The reader. It starts a process for each file, sends it the bytes and reads its answer.

The process gets no credentials, no environment, no open file, and little memory and time. If it
crashes, takes too long or sends an answer that cannot be parsed, the file is refused.
"""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from pydantic import JsonValue, ValidationError

from contract.document import Document
from contract.errors import Code, JobRejected, Notice, Problem, Transient
from functions.reading.child import LATE_IMPORT, READY
from functions.reading.limits import LIMITS, MAX_ANSWER_BYTES
from functions.spec.clip import Clip
from functions.spec.parsed import Parsed
from functions.spec.reader import Picture, Row, Rows, Sound

# -c instead of -m: the process must use our sys.path, which Lambda and the tests set differently.
_PROGRAM = (
    "import sys; call, *sys.path = sys.argv[1:]; "
    "from functions.reading.child import main; main(call)"
)
# The process gets no environment and no site-packages, and writes no .pyc files.
_ARGUMENTS = ("-I", "-S", "-B", "-c", _PROGRAM)
_CHUNK = 1024 * 1024
_IS_POSIX = os.name == "posix"


class Usage(NamedTuple):
    """What a process used. On Linux the memory includes what our process had when it started it."""

    wall_seconds: float
    cpu_seconds: float
    max_rss_bytes: int
    exit_status: int


class Request(NamedTuple):
    """What a process is asked to do: a call, the bytes to read, and their name."""

    call: str
    name: str
    blobs: Sequence[bytes]
    labels: Sequence[str] = ()

    def header(self) -> bytes:
        """The line that is sent before the blobs."""
        sizes = [len(blob) for blob in self.blobs]
        line = json.dumps({"name": self.name, "labels": self.labels, "sizes": sizes})
        return line.encode() + b"\n"


class _Refused(Document):
    fault: Problem


class _Spec(Document):
    values: dict[str, JsonValue]
    places: list[tuple[list[str | int], int, int]]
    warnings: list[tuple[str, str]]


class _Row(Document):
    number: int
    values: dict[str, JsonValue]
    fault: Problem | None


class _Rows(Document):
    columns: tuple[str, ...]
    rows: tuple[_Row, ...]
    warnings: list[tuple[str, str]]


class _Image(Document):
    height: int
    width: int
    png_bytes: int
    """Where the PNG ends and the preview begins."""


class _Previews(Document):
    sizes: list[int]
    """Of the previews, which come one after the other."""


class _Audio(Document):
    duration_seconds: float


class _Sheet(Document):
    pass


A = TypeVar("A", bound=Document)


class _Broken(Exception):
    """The process sent no answer that can be parsed."""


def _undecodable(thing: str, name: str, hint: str) -> Problem:
    """The problem of a reference that takes too much time or memory, or ends the process."""
    return Problem(
        code=Code.REFERENCE_UNREADABLE,
        message=f"The {thing} {name} could not be decoded in the time and memory that {thing}s "
        "need.",
        hint=hint,
    )


class ChildReader:
    """See `Reader`."""

    usage: Usage | None = None
    """What the last process used."""

    def spec(self, body: bytes, key: str) -> Parsed:
        """See `Reader.spec`."""
        unreadable = Problem(
            code=Code.SPEC_UNREADABLE,
            message="The spec could not be read in the time and memory that any spec needs.",
            hint="Write it again as a few plain lines, each  field: value.",
        )
        found, _ = self._ask(_Spec, Request("spec", key, [body]), unreadable)
        return Parsed(
            found.values,
            {tuple(path): (line, column) for path, line, column in found.places},
            tuple(Notice(code=code, message=message) for code, message in found.warnings),
        )

    def rows(self, body: bytes, key: str, texts: Sequence[str]) -> Rows:
        """See `Reader.rows`."""
        unreadable = Problem(
            code=Code.SPEC_UNREADABLE,
            message="The list could not be read in the time and memory that any list needs.",
            hint="Divide it into several lists.",
        )
        found, _ = self._ask(_Rows, Request("rows", key, [body], texts), unreadable)
        return Rows(
            found.columns,
            tuple(Row(row.number, row.values, row.fault) for row in found.rows),
            tuple(Notice(code=code, message=message) for code, message in found.warnings),
        )

    def image(self, body: bytes, name: str) -> Picture:
        """See `Reader.image`."""
        unreadable = _undecodable(
            "image", name, "Open it in a viewer, save it as a new PNG and upload that."
        )
        found, blob = self._ask(_Image, Request("image", name, [body]), unreadable)
        return Picture(
            height=found.height,
            width=found.width,
            png=blob[: found.png_bytes],
            preview=blob[found.png_bytes :],
        )

    def video(self, body: bytes, name: str) -> Clip:
        """See `Reader.video`."""
        unreadable = _undecodable(
            "video", name, "Export it again as MP4 (H.264), smaller or shorter."
        )
        found, _ = self._ask(Clip, Request("video", name, [body]), unreadable)
        return found

    def previews(self, body: bytes, name: str) -> tuple[bytes, ...]:
        """See `Reader.previews`."""
        unreadable = Problem(
            code=Code.REFERENCE_UNREADABLE,
            message=f"No pictures could be taken from the video {name} in the time and memory "
            "that videos need, so it cannot be judged.",
            hint="Export it again as MP4 (H.264), smaller or shorter.",
        )
        found, blob = self._ask(_Previews, Request("previews", name, [body]), unreadable)
        ends = itertools.accumulate(found.sizes)
        return tuple(blob[end - size : end] for size, end in zip(found.sizes, ends, strict=True))

    def audio(self, body: bytes, name: str) -> Sound:
        """See `Reader.audio`."""
        unreadable = _undecodable("sound", name, "Export it again as MP3, M4A or WAV.")
        found, _ = self._ask(_Audio, Request("audio", name, [body]), unreadable)
        return Sound(duration_seconds=found.duration_seconds)

    def contact_sheet(self, posters: Sequence[tuple[str, bytes]]) -> bytes:
        """See `Reader.contact_sheet`. A poster that cannot be decoded leaves its place empty."""
        unreadable = Problem(
            code=Code.RESULT_INVALID,
            message="The contact sheet could not be made.",
            hint="Look at the videos themselves.",
        )
        request = Request(
            "contact_sheet", "", [body for _, body in posters], [label for label, _ in posters]
        )
        _, jpeg = self._ask(_Sheet, request, unreadable)
        return jpeg

    def _ask(self, kind: type[A], request: Request, unreadable: Problem) -> tuple[A, bytes]:
        found: A | _Refused
        try:
            line, blob = self._answer(request)
            refused = line.startswith(b'{"fault"')
            found = (_Refused if refused else kind).model_validate_json(line)
        except (_Broken, ValidationError):
            raise JobRejected(unreadable) from None
        if isinstance(found, _Refused):
            raise JobRejected(found.fault)
        return found, blob

    def _answer(self, request: Request) -> tuple[bytes, bytes]:
        """Run a process and read its answer.

        Returns:
            The first line of the answer, and the bytes after it.

        Raises:
            Transient: the process failed before it read anything, so the file is not the cause.
            _Broken: the process failed after that.
        """
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                [sys.executable, *_ARGUMENTS, request.call, *_path()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                bufsize=0,
            )
        except OSError as error:
            raise Transient(f"the reading process did not start: {error}") from error
        deadline = started + LIMITS[request.call].wall_seconds
        parts = [request.header(), *request.blobs]
        with child:
            if _IS_POSIX:
                answer = _exchange(child, parts, deadline)
                finished = len(answer) <= MAX_ANSWER_BYTES
                self.usage = _end(child, started, deadline if finished else started)
            else:
                answer, self.usage = _communicate(child, parts, started, deadline)
        if not answer.startswith(READY) or child.returncode == LATE_IMPORT:
            # It ended before it read anything, or an import failed. The file is not the cause.
            raise Transient(f"the reading process ended with {self.usage}")
        line, newline, blob = answer.removeprefix(READY).partition(b"\n")
        if child.returncode != 0 or not newline:
            raise _Broken
        return line, blob


def _exchange(child: subprocess.Popen[bytes], request: Sequence[bytes], deadline: float) -> bytes:
    """Write the request and read the answer at the same time, until the answer ends.

    Reading stops at the deadline, or when the answer is too long.
    """
    assert child.stdin is not None and child.stdout is not None
    into, out_of = child.stdin.fileno(), child.stdout.fileno()
    os.set_blocking(into, False)
    left = [memoryview(part) for part in request if part]
    answer = bytearray()
    while len(answer) <= MAX_ANSWER_BYTES and (seconds := deadline - time.monotonic()) > 0:
        readable, writable, _ = select.select([out_of], [into] if left else [], [], seconds)
        if readable:
            if not (chunk := os.read(out_of, _CHUNK)):
                break
            answer += chunk
        if writable:
            try:
                left[0] = left[0][os.write(into, left[0]) :]
            except BrokenPipeError:
                left.clear()  # it reads no more, or it ended; its answer shows which
            if left and not left[0]:
                left.pop(0)
            if not left:
                child.stdin.close()
    return bytes(answer)


def _end(child: subprocess.Popen[bytes], started: float, deadline: float) -> Usage:
    """Wait until the process ends, or kill it at the deadline. Returns what it used."""
    pid, status, used = os.wait4(child.pid, os.WNOHANG)
    while not pid and time.monotonic() < deadline:
        time.sleep(0.0005)
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
    if not pid:
        os.kill(child.pid, signal.SIGKILL)
        pid, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(
        wall_seconds=time.monotonic() - started,
        cpu_seconds=used.ru_utime + used.ru_stime,
        max_rss_bytes=used.ru_maxrss * unit,
        exit_status=child.returncode,
    )


def _communicate(
    child: subprocess.Popen[bytes], request: Sequence[bytes], started: float, deadline: float
) -> tuple[bytes, Usage]:
    """Exchange and wait where pipes cannot be polled (Windows, for `reeldrop validate`).

    There is no limit on memory there, and what the process used is not known.
    """
    try:
        answer, _ = child.communicate(b"".join(request), timeout=deadline - time.monotonic())
    except subprocess.TimeoutExpired:
        child.kill()
        answer, _ = child.communicate()
    return answer, Usage(time.monotonic() - started, 0.0, 0, child.returncode)


def _path() -> list[str]:
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100


def _environment() -> dict[str, str]:
    """The only variables that the process gets: where Lambda and Windows have libraries."""
    names = ("LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in names if name in os.environ}
