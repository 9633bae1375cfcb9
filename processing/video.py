"""Encodes frames as MP4, reads an MP4 back to check it, and makes the poster."""

import hashlib
import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray
from PIL import Image

from contract.errors import Code, Problem, TaskFailed
from contract.outcome import VideoFacts

CODEC: Final = "libx264"
PIXEL_FORMAT = "yuv420p"
# Visually lossless for generated video, at a fraction of the size of crf 10.
CRF = 17
PRESET = "medium"
# Without mbtree, the same frames always make the same file. With it, small frames (64x64, 64x96)
# sometimes made another file, also with a single thread, but never without x264's assembler code.
# Seen with PyAV 18.1. Without mbtree, files of these sizes are 3 to 11 percent larger.
_X264_OPTIONS: Final = {"crf": str(CRF), "preset": PRESET, "mbtree": "0"}
POSTER_QUALITY = 90

# Without tags, players choose the colour matrix by size: BT.601 for small videos, BT.709 for large
# ones. So we use BT.709 for all sizes and say so in the file.
_MATRIX = Colorspace.ITU709
_PRIMARIES = ColorPrimaries.BT709
_TRANSFER = ColorTrc.BT709
_RANGE = ColorRange.MPEG
# The default rounds down, which gives grey a slight tint.
_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


def encode(frames: NDArray[np.uint8], *, fps: float, path: Path, tags: Mapping[str, str]) -> None:
    """Write `frames` as an H.264 MP4, yuv420p in BT.709.

    The index (`moov`) comes before the pictures (`mdat`), so that a browser can start playing while
    it still loads the file.

    Args:
        frames: RGB, shape (num_frames, height, width, 3), height and width even.
        fps: Frames per second.
        path: The file to write. Its name may have any ending.
        tags: Metadata under the names that players know, such as title and comment.

    Raises:
        OSError: The file cannot be written.
        av.FFmpegError: The frames cannot be encoded.
    """
    _, height, width, _ = frames.shape
    # The name may end in .part, so ffmpeg cannot guess the format from it.
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream(
            CODEC,
            rate=Fraction(fps).limit_denominator(1001),
            options=_X264_OPTIONS,
        )
        stream.height = height
        stream.width = width
        stream.pix_fmt = PIXEL_FORMAT
        stream.codec_context.colorspace = _MATRIX
        stream.codec_context.color_primaries = _PRIMARIES
        stream.codec_context.color_trc = _TRANSFER
        stream.codec_context.color_range = _RANGE
        for frame in frames:
            rgb = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(
                stream.encode(
                    rgb.reformat(
                        format=PIXEL_FORMAT,
                        interpolation=_CONVERSION,
                        src_color_range=ColorRange.JPEG,
                        dst_colorspace=_MATRIX,
                        dst_color_range=_RANGE,
                        dst_color_primaries=_PRIMARIES,
                        dst_color_trc=_TRANSFER,
                    )
                )
            )
        container.mux(stream.encode(None))


def probe(path: Path) -> VideoFacts:
    """Decode all frames of the MP4 at `path`, and return its properties.

    Raises:
        TaskFailed: `video-damaged`; the file is absent, cut short or not a video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            # By default, ffmpeg conceals a broken frame, and a damaged file looks like a good one.
            stream.codec_context.options = {"err_detect": "explode"}
            num_frames = sum(1 for _ in container.decode(stream))
            rate = stream.average_rate
            if rate is None or stream.duration is None or stream.time_base is None:
                raise ValueError("no frame rate or duration")
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return VideoFacts(
                codec=stream.codec_context.name,
                pixel_format=stream.codec_context.pix_fmt or "",
                height=stream.codec_context.height,
                width=stream.codec_context.width,
                num_frames=num_frames,
                fps=float(rate),
                duration_seconds=float(stream.duration * stream.time_base),
                size_bytes=path.stat().st_size,
                sha256=sha256,
            )
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise TaskFailed(
            Problem(
                code=Code.VIDEO_DAMAGED,
                message=f"The video that was written cannot be read back: {error}.",
                hint="Drop the spec again.",
            )
        ) from error


def poster(frames: NDArray[np.uint8]) -> bytes:
    """The middle frame of `frames`, shape (num_frames, height, width, 3), as JPEG."""
    jpeg = io.BytesIO()
    Image.fromarray(frames[len(frames) // 2]).save(jpeg, "JPEG", quality=POSTER_QUALITY)
    return jpeg.getvalue()
