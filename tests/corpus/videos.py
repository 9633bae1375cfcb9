"""Files that are no videos (lists of files, playlists and others), and damaged or huge videos."""

import io
import struct
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np

from contract.errors import Code
from tests.corpus import images
from tests.corpus.specimen import Bad, Harmless

MIB = 1024 * 1024


@cache
def mp4(
    *,
    width: int = 96,
    height: int = 64,
    num_frames: int = 17,
    fps: int = 8,
    kind: str = "mp4",
    codec: str = "libx264",
    faststart: bool = False,
) -> bytes:
    """A video of noise, because noise cannot be compressed much."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        # Written to a file, because `faststart` reads back what it wrote.
        path = Path(folder) / f"video.{kind}"
        options = {"movflags": "faststart"} if faststart else {}
        with av.open(path, "w", format=kind, options=options) as container:
            stream = container.add_stream(codec, rate=fps)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(num_frames):
                pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path.read_bytes()


def of_colours(colours: Sequence[tuple[int, int, int]]) -> bytes:
    """A video with a frame of each colour and one key frame, 8 frames a second."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8, options={"g": "1000", "sc_threshold": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for colour in colours:
            pixels = np.full((64, 96, 3), colour, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@cache
def sound_only() -> bytes:
    """An MP4 with a second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44_100)
        silence = np.zeros((1, 44_100), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 44_100
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return file.getvalue()


def box(kind: bytes, data: bytes) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I", 8 + len(data)) + kind + data


def _elsewhere() -> bytes:
    """A video whose header says that the frames are in /etc/passwd."""
    body = mp4()
    old = box(b"url ", b"\0\0\0\1")
    at = body.index(old)
    path = b"/etc/passwd"
    record = bytearray(150)
    record[10] = 1  # a volume called "/"
    record[11:12] = b"/"
    record[50:62] = bytes([11]) + b"etc/passwd\0"
    more = struct.pack(">hH", 18, len(path)) + path + b"\0" + struct.pack(">hH", -1, 0)
    new = box(b"alis", b"\0\0\0\0" + bytes(record) + more)
    # The boxes around it become longer. The frames come before them and keep their offsets.
    around = bytearray(body[:at])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = around.rindex(kind) - 4
        (size,) = struct.unpack(">I", around[start : start + 4])
        around[start : start + 4] = struct.pack(">I", size + len(new) - len(old))
    return bytes(around) + new + body[at + len(old) :]


def _places(body: bytes) -> list[int]:
    """The offset of each frame in bytes."""
    with av.open(io.BytesIO(body), "r") as container:
        return [packet.pos for packet in container.demux() if packet.pos is not None]


def _cut_between_frames() -> bytes:
    body = mp4(faststart=True)
    return body[: _places(body)[9]]


def _scratched() -> bytes:
    """A video whose first frame is damaged, so that decoders can only guess it."""
    body = bytearray(mp4())
    first, second, *_ = _places(bytes(body))
    for at in range((first + second) // 2, second - 500):
        body[at] ^= 0x5A
    return bytes(body)


def _overwritten() -> bytes:
    body = bytearray(mp4())
    start = body.index(b"mdat") + 4
    body[start : start + 4_000] = bytes(range(250)) * 16
    return bytes(body)


_FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
_KIND, _PIXELS, _BAD = Code.REFERENCE_KIND, Code.REFERENCE_PIXELS, Code.REFERENCE_UNREADABLE

_FILES: tuple[tuple[str, Code, Callable[[], bytes], tuple[str, ...]], ...] = (
    ("ffconcat", _KIND, lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", ("list of files",)),
    ("concat", _KIND, lambda: b"file '/etc/passwd'\nfile 'http://example.org/'\n", ("text",)),
    ("m3u8", _KIND, lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", ("playlist",)),
    ("dash", _KIND, lambda: b'<?xml version="1.0"?><MPD><BaseURL>file:///</BaseURL></MPD>',
     ("text",)),
    ("sdp", _KIND, lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 0 RTP/AVP 96\n", ("text",)),
    ("text", _KIND, lambda: b"a film", ("text",)),
    ("bytes", _KIND, lambda: bytes(range(256)), ("unknown kind",)),
    ("png", _KIND, lambda: images.PLAIN, ("PNG",)),
    ("gif", _KIND, lambda: images.saved(images.coloured("P"), "GIF"), ("GIF",)),
    ("heic", _KIND, lambda: box(b"ftyp", b"heic\0\0\0\0mif1heic"), ("HEIC",)),
    ("sound-file", _KIND, lambda: box(b"ftyp", b"M4A \0\0\0\0"), ("audio",)),
    ("webm", _KIND, lambda: mp4(kind="webm", codec="libvpx-vp9", num_frames=2), ("WebM",)),
    ("avi", _KIND, lambda: mp4(kind="avi", codec="mpeg4"), ("AVI",)),
    ("stream", _KIND, lambda: mp4(kind="mpegts"), ("unknown kind",)),
    ("sound", _BAD, sound_only, ("no picture",)),
    ("header-only", _BAD, lambda: _FTYP, ("cut short",)),
    ("no-frames", _BAD, lambda: _FTYP + box(b"moov", b""), ("video",)),
    ("cut", _BAD, lambda: mp4()[: len(mp4()) // 2], ("cut short",)),
    ("cut-behind-the-index", _BAD, lambda: mp4(faststart=True)[: len(mp4()) // 2], ("cut short",)),
    ("cut-at-the-end", _BAD, lambda: mp4(faststart=True)[:-500], ("cut short",)),
    ("cut-between-frames", _BAD, _cut_between_frames, ("9 of 17 frames",)),
    ("scratched", _BAD, _scratched, ("first frame",)),
    ("overwritten", _BAD, _overwritten, ("damaged",)),
    ("boxes-in-boxes", _BAD, lambda: _FTYP + box(b"moov", _nested(2_000)), ("video",)),
    ("box-of-4-GB", _BAD, lambda: _FTYP + b"\xff\xff\xff\xffmoov" + bytes(100), ("video",)),
    ("small", _PIXELS, lambda: mp4(width=8, height=8, num_frames=2), ("8 x 8", "16 to 4,096")),
    ("wide", _PIXELS, lambda: mp4(width=4_128, height=32, num_frames=1), ("4,128 x 32",)),
    ("long", Code.REFERENCE_TOO_LARGE, lambda: mp4(width=32, height=32, num_frames=601, fps=1),
     ("10 minutes",)),
    ("50-mib", Code.REFERENCE_TOO_LARGE, lambda: mp4() + bytes(50 * MIB), ("52,428,800",)),
)  # fmt: skip


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"trak", inner)
    return inner


def _dropped(body: bytes) -> dict[str, bytes]:
    return {"jobs/bad/bee.mp4": body}


def bad() -> list[Bad]:
    """Videos that must be refused."""
    return [
        Bad(
            f"video-{name}",
            code,
            b"prompt: a bee\nvideo: bee.mp4\n",
            others=_dropped(make()),
            line=2,
            column=1,
            field="video",
            words=words,
        )
        for name, code, make, words in _FILES
    ]


def harmless() -> list[Harmless]:
    """Videos that must be accepted."""
    files = {
        "plain": mp4(),
        "faststart": mp4(faststart=True),
        "mov": mp4(kind="mov"),
        "mpeg4": mp4(codec="mpeg4"),
        "hd": mp4(width=1280, height=720, num_frames=9),
        # FFmpeg must not follow the name in it, and could not open the file if it did.
        "elsewhere": _elsewhere(),
        "bytes-behind": mp4() + b"PK\x03\x04" + bytes(100),
    }
    return [
        Harmless(f"video-{name}", b"prompt: a bee\nvideo: bee.mp4\n", others=_dropped(body))
        for name, body in files.items()
    ]
