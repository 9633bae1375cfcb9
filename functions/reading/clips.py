"""Checks untrusted videos. Runs in the reading process.

The video itself is not changed. What has to be converted, such as the colours of HDR, is converted
by the worker: it decodes the frames that it needs anyway, and has the memory and the time for it.

FFmpeg would guess the format of a file, and some formats make it open other files. Therefore the
demuxer is fixed to MP4, reads from memory, and must not follow any reference in the file.
"""

import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
import av.error
import av.logging
import av.subtitles.stream  # PyAV would import it too late, at the first stream
from av.container import InputContainer

from functions.reading.limits import (
    MAX_DECODED_FRAMES,
    MAX_VIDEO_PACKETS,
    MAX_VIDEO_SECONDS,
    MAX_VIDEO_SIDE,
    MIN_SIDE,
    PREVIEW_SIDE,
    SAMPLED_SECONDS,
    SAMPLES,
)
from functions.reading.magic import kind_of
from functions.reading.values import Unusable

if TYPE_CHECKING:
    from PIL import Image

_OPTIONS = {"enable_drefs": "0", "use_absolute_path": "0", "protocol_whitelist": "none"}
_EXPORT = "Export it again as MP4 (H.264)."


_HDR = {16: "PQ", 18: "HLG"}
"""FFmpeg's numbers for the transfer curves of HDR."""


class Facts(NamedTuple):
    """What a player shows of a video: size in pixels, length, and frames per second."""

    height: int
    width: int
    num_frames: int
    fps: float
    """That of most frames. Phones lose some."""
    duration_seconds: float
    has_sound: bool
    hdr: str | None
    """`HLG` or `PQ`. None for a video with the usual range of brightness."""


def video(body: bytes, name: str) -> Facts:
    """Check a video: decode its first frame and count the others.

    Args:
        body: the content of the file.
        name: the file name, for messages.

    Raises:
        Unusable: the file is not an MP4, is too large or too long, has no frames, or is damaged.
    """
    kind = kind_of(body)
    if kind not in {"an MP4 video", "a QuickTime video"}:
        raise Unusable(
            "reference-kind",
            f"Despite its name, {name} is not an MP4 video; it is {kind}.",
            _EXPORT,
        )
    av.logging.set_level(None)
    try:
        with _opened(body) as container:
            if not container.streams.video:
                raise _unreadable(name, "has no picture track, only sound or data")
            facts = _facts(container, container.streams.video[0], name)
            promised = container.streams.video[0].frames
        if facts.num_frames < promised:
            _check_complete(body, promised, name)
        return facts
    except MemoryError:
        raise  # PyAV's MemoryError is also an FFmpegError
    except av.error.FFmpegError as error:
        raise _unreadable(name, "is damaged or cut short: it could not be decoded") from error


def samples(body: bytes, name: str) -> "list[Image.Image]":
    """Decode some frames from the beginning of a video that `video` has checked.

    They lie at equal distances. Between two key frames that are far apart a sample comes earlier,
    because decoding takes time. If the frames are so large that not enough of them fit into the
    memory, as in 4K with 10 bits, the samples are key frames. Frames stand as players show them;
    HDR is not converted.

    Args:
        body: the content of the file.
        name: the file name, for messages.

    Raises:
        Unusable: the frames cannot be decoded.
    """
    with suppress(MemoryError):
        return list(_samples(body, name, only_key_frames=False))
    # Not inside of a handler: the traceback of the error keeps the frames alive.
    return list(_samples(body, name, only_key_frames=True))


def _samples(body: bytes, name: str, *, only_key_frames: bool) -> "Iterator[Image.Image]":
    av.logging.set_level(None)
    try:
        with _opened(body) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stream.thread_type = "NONE"
            if only_key_frames:
                stream.codec_context.skip_frame = "NONKEY"
            unit = stream.time_base or Fraction(1, 1000)
            length = Fraction(stream.duration or 0) * unit
            began = stream.start_time or 0
            for number in range(SAMPLES):
                seconds = min(length, Fraction(SAMPLED_SECONDS)) * number / SAMPLES
                wanted = began + int(seconds / unit)
                container.seek(wanted, stream=stream)
                frame = _frame_at(container, began if only_key_frames else wanted)
                if frame is None:
                    raise _unreadable(name, "could not be decoded")
                yield _small(frame)
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise _unreadable(name, "is damaged or cut short: it could not be decoded") from error


def _small(frame: av.VideoFrame) -> "Image.Image":
    """A frame, upright, with at most `PREVIEW_SIDE` pixels a side.

    FFmpeg scales it down, because a large frame in RGB would not fit into the memory.
    """
    scale = min(1.0, PREVIEW_SIDE / max(frame.width, frame.height))
    small = frame.reformat(
        width=max(1, round(frame.width * scale)),
        height=max(1, round(frame.height * scale)),
        format="rgb24",
    )
    picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
    return picture.rotate(frame.rotation, expand=True)


def _frame_at(container: InputContainer, pts: int) -> av.VideoFrame | None:
    """The first frame that is shown at `pts` or later, or an earlier one if that is far away."""
    frame = None
    for count, frame in enumerate(container.decode(video=0), 1):
        if (frame.pts or 0) >= pts or count == MAX_DECODED_FRAMES:
            break
    return frame


def _opened(body: bytes, **more: str) -> InputContainer:
    return av.open(io.BytesIO(body), mode="r", format="mov", options={**_OPTIONS, **more})


def _facts(container: InputContainer, stream: av.VideoStream, name: str) -> Facts:
    stream.thread_count = 1
    stream.thread_type = "NONE"
    _check_size(name, stream.width, stream.height)
    first: av.VideoFrame | None = None
    packets = 0
    times: list[int] = []
    end = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise _unreadable(name, "is damaged or cut short")
        if packet.size and not packet.is_discard:  # decoders need those, but nobody sees them
            packets += 1
            if packet.pts is not None:
                times.append(packet.pts)
                end = max(end, packet.pts + (packet.duration or 0))
        if packets > MAX_VIDEO_PACKETS:
            raise _too_long(name)
        if first is None:
            first = next(iter(packet.decode()), None)
    if first is not None and first.is_corrupt:
        raise _unreadable(name, "is damaged: its first frame could not be decoded")
    if first is None or not packets:
        raise _unreadable(name, "has no frames")
    _check_size(name, first.width, first.height)
    fps = stream.average_rate or stream.guessed_rate
    if not fps or packets / fps > MAX_VIDEO_SECONDS:
        raise _too_long(name)
    seconds, usual = _length(times, end, stream.time_base)
    height, width = _upright(first, stream.sample_aspect_ratio)
    return Facts(
        height,
        width,
        packets,
        fps=float(usual or fps),
        duration_seconds=float(seconds or packets / Fraction(fps)),
        has_sound=bool(container.streams.audio),
        hdr=_HDR.get(first.color_trc),
    )


def _length(times: list[int], end: int, tick: Fraction | None) -> tuple[Fraction, Fraction]:
    """How many seconds frames are shown, and the rate of most of them. 0: not known.

    Args:
        times: when each of them begins.
        end: when the last one ends.
        tick: the unit of both, in seconds.
    """
    apart = sorted(after - before for before, after in itertools.pairwise(sorted(times)))
    usual = apart[len(apart) // 2] if apart else 0
    if not times or not tick:
        return Fraction(0), Fraction(0)
    return (end - min(times)) * tick, 1 / (usual * tick) if usual > 0 else Fraction(0)


def _check_complete(body: bytes, promised: int, name: str) -> None:
    """Check that a video of which fewer frames are shown than are in its index is complete.

    If a video was trimmed in QuickTime or Photos, an edit list says which part is shown. The other
    frames are still in the file.

    Raises:
        Unusable: frames are missing.
    """
    with _opened(body, ignore_editlist="1") as container:
        stored = 0
        for packet in container.demux(container.streams.video[0]):
            stored += bool(packet.size and not packet.is_corrupt)
    if stored < promised:
        raise _unreadable(name, f"is cut short: it contains {stored} of {promised} frames")


def _upright(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """Height and width of a frame with square pixels, turned as its header says."""
    width = max(1, round(frame.width * (pixel_aspect or 1)))
    return (width, frame.height) if frame.rotation % 180 else (frame.height, width)


def _check_size(name: str, width: int, height: int) -> None:
    if max(width, height) > MAX_VIDEO_SIDE or 0 < min(width, height) < MIN_SIDE:
        raise Unusable(
            "reference-pixels",
            f"The video {name} has {width:,} x {height:,} pixels; each side must have "
            f"{MIN_SIDE} to {MAX_VIDEO_SIDE:,}.",
            "Export it again with both sides in this range.",
        )


def _too_long(name: str) -> Unusable:
    return Unusable(
        "reference-too-large",
        f"The video {name} is longer than {MAX_VIDEO_SECONDS // 60} minutes.",
        "Cut it down to the part that you need.",
    )


def _unreadable(name: str, what: str) -> Unusable:
    return Unusable("reference-unreadable", f"The video {name} {what}.", _EXPORT)
