"""Makes small videos as phones and editors write them: with HDR, wide gamuts, and edit lists."""

import io
import struct
from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

BT2020_MATRIX = 9
LIMITED_RANGE = 1
PATCH = 32
"""The side of a patch of a chart, in pixels."""

CHART = (
    (940, 512, 512), (64, 512, 512), (502, 512, 512), (300, 512, 512), (721, 512, 512),
    (400, 400, 700), (500, 380, 460), (350, 700, 480), (620, 480, 560), (300, 600, 640),
)  # fmt: skip
"""Y, Cb and Cr with 10 bits: white, black, greys, and colours."""


def chart(trc: int, primaries: int, *, matrix: int = BT2020_MATRIX) -> av.VideoFrame:
    """A frame with the patches of `CHART` side by side, and tags for its colours."""
    frame = av.VideoFrame(PATCH * len(CHART), PATCH * 2, "yuv420p10le")
    for number, plane in enumerate(frame.planes):
        side = PATCH if number == 0 else PATCH // 2
        row = np.repeat(np.array([patch[number] for patch in CHART], "<u2"), side)
        pixels = np.zeros((plane.height, plane.line_size // 2), "<u2")
        pixels[:, : len(row)] = row
        plane.update(pixels.tobytes())
    frame.color_trc, frame.color_primaries = ColorTrc(trc), ColorPrimaries(primaries)
    frame.colorspace, frame.color_range = matrix, LIMITED_RANGE
    return frame


def patches(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """The colour in the middle of each patch of a chart."""
    middles = range(PATCH // 2, PATCH * len(CHART), PATCH)
    return [tuple(int(value) for value in pixels[PATCH, x]) for x in middles]


def video_of(
    frame: av.VideoFrame,
    *,
    num_frames: int = 3,
    turn: Sequence[int] | None = None,
) -> bytes:
    """A MOV that shows one frame again and again, with the tags of that frame.

    Args:
        frame: what it shows.
        num_frames: how often.
        turn: a display matrix, which tells players how to turn the frames.
    """
    file = io.BytesIO()
    options = {"crf": "8", "x265-params": "log-level=none"}
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("libx265", rate=8, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, frame.format.name
        if turn is not None:
            stream.set_display_matrix(turn)
        context = stream.codec_context
        context.color_trc, context.color_primaries = frame.color_trc, frame.color_primaries
        context.colorspace, context.color_range = frame.colorspace, frame.color_range
        for index in range(num_frames):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def numbered(num_frames: int = 24, *, b_frames: bool = True) -> bytes:
    """A MOV of grey frames at 8 per second, with a keyframe every 8. The grey is 8 x the number."""
    file = io.BytesIO()
    options = {"crf": "5", "g": "8", "sc_threshold": "0", "bf": "2" if b_frames else "0"}
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("libx264", rate=8, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for index in range(num_frames):
            grey = np.full((64, 96, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def edited(body: bytes, parts: Sequence[tuple[float, float | None]]) -> bytes:
    """The video with another edit list, as after a trim in QuickTime or Photos.

    Args:
        body: a MOV of `numbered`, which has its index at the end, and one track.
        parts: seconds to show, and the second of the video at which they begin. None shows nothing.
    """
    at = body.rindex(b"elst") - 4
    (size,) = struct.unpack(">I", body[at : at + 4])
    (delay,) = struct.unpack(">i", body[at + 20 : at + 24])  # of the first frame, for B frames
    second, movie = (_timescale(body, box) for box in (b"mdhd", b"mvhd"))
    entries = [
        struct.pack(
            ">Iii", round(shown * movie), -1 if start is None else delay + round(start * second),
            1 << 16,
        )
        for shown, start in parts
    ]  # fmt: skip
    new = struct.pack(">II", 0, len(entries)) + b"".join(entries)
    new = struct.pack(">I", len(new) + 8) + b"elst" + new
    # The boxes around it become longer. The frames come before them and keep their offsets.
    around = bytearray(body[:at])
    for kind in (b"moov", b"trak", b"edts"):
        start = around.rindex(kind) - 4
        (was,) = struct.unpack(">I", around[start : start + 4])
        around[start : start + 4] = struct.pack(">I", was + len(new) - size)
    return bytes(around) + new + body[at + size :]


def boxes(body: bytes) -> list[tuple[bytes, bytes]]:
    """The top-level boxes of an MP4: the type and the content of each."""
    found, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4])
        assert 8 <= size <= len(body) - at
        found.append((body[at + 4 : at + 8], body[at + 8 : at + size]))
        at += size
    return found


def without_ftyp(body: bytes, first: bytes = b"wide") -> bytes:
    """The video with another box in place of `ftyp`, as in QuickTime files from before 2001."""
    assert body[4:8] == b"ftyp"
    return body[:4] + first + body[8:]


def _timescale(body: bytes, box: bytes) -> int:
    at = body.rindex(box) + 4  # after it: a version, two times, and the timescale
    (found,) = struct.unpack(">I", body[at + 12 : at + 16])
    return int(found)
