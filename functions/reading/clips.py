"""Videos from outside. Runs in the reading process.

ffmpeg would guess what a file is, and some of what it guesses opens other files. So the demuxer is
named, it reads from memory, and it is told to follow nothing.
"""

import io
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import av.logging
import av.subtitles.stream  # PyAV imports it at the first stream, when no file can be opened
from av.container import InputContainer

from functions.reading.limits import (
    MAX_VIDEO_PACKETS,
    MAX_VIDEO_SECONDS,
    MAX_VIDEO_SIDE,
    MIN_SIDE,
)
from functions.reading.magic import kind_of
from functions.reading.values import Unusable

_OPTIONS = {"enable_drefs": "0", "use_absolute_path": "0", "protocol_whitelist": "none"}
_EXPORT = "Export it anew as MP4 (H.264)."


class Facts(NamedTuple):
    """What a video is."""

    height: int
    width: int
    num_frames: int
    fps: float


def video(body: bytes, name: str) -> Facts:
    """Decode the first frame, and count the others.

    Raises:
        Unusable: it is no MP4, too large, too long, without frames or damaged.
    """
    kind = kind_of(body)
    if kind != "an MP4 video":
        raise Unusable(
            "reference-kind",
            f"{name} is {kind}, not an MP4 video, whatever its name says.",
            "Upload the video again." if kind == "empty" else _EXPORT,
        )
    av.logging.set_level(None)
    try:
        with av.open(io.BytesIO(body), mode="r", format="mov", options=_OPTIONS) as container:
            if not container.streams.video:
                raise _unreadable(name, "has no picture, only sound or data")
            return _facts(container, container.streams.video[0], name)
    except MemoryError:
        raise  # one of FFmpeg's errors, too
    except av.error.FFmpegError as error:
        raise _unreadable(name, "is damaged or cut short: it could not be decoded") from error


def _facts(container: InputContainer, stream: av.VideoStream, name: str) -> Facts:
    stream.thread_count = 1
    stream.thread_type = "NONE"
    _check_size(name, stream.width, stream.height)
    first: av.VideoFrame | None = None
    packets = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise _unreadable(name, "is damaged or cut short")
        if packet.size:
            packets += 1
        if packets > MAX_VIDEO_PACKETS:
            raise _too_long(name)
        if first is None:
            first = next(iter(packet.decode()), None)
    if first is not None and first.is_corrupt:
        raise _unreadable(name, "is damaged: its first frame could not be decoded")
    if first is None or not packets:
        raise _unreadable(name, "has no frames")
    if packets < stream.frames:
        raise _unreadable(name, f"is cut short: {packets} of {stream.frames} frames are there")
    _check_size(name, first.width, first.height)
    fps = stream.average_rate or stream.guessed_rate
    if not fps or packets / fps > MAX_VIDEO_SECONDS:
        raise _too_long(name)
    return Facts(first.height, first.width, packets, float(Fraction(fps)))


def _check_size(name: str, width: int, height: int) -> None:
    if max(width, height) > MAX_VIDEO_SIDE or 0 < min(width, height) < MIN_SIDE:
        raise Unusable(
            "reference-pixels",
            f"The video {name} has {width:,} x {height:,} pixels; each side needs {MIN_SIDE} to "
            f"{MAX_VIDEO_SIDE:,}.",
            "Export it anew in the size that you want.",
        )


def _too_long(name: str) -> Unusable:
    return Unusable(
        "reference-too-large",
        f"The video {name} is longer than {MAX_VIDEO_SECONDS // 60} minutes.",
        "Cut out the seconds that are meant.",
    )


def _unreadable(name: str, what: str) -> Unusable:
    return Unusable("reference-unreadable", f"The video {name} {what}.", _EXPORT)
