"""Encodes frames as H.264, H.265 and VP9, and reads a file back to check it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from contract.catalogue import Preset
from contract.errors import Code, Problem, TaskFailed
from contract.outcome import VideoFacts
from processing.sound import RATE

PIXEL_FORMAT = "yuv420p"
KEYFRAME_SECONDS = 4

# Without tags, players choose the colour matrix by size: BT.601 for small videos, BT.709 for large
# ones. So we use BT.709 for all sizes and say so in the file.
_MATRIX = Colorspace.ITU709
_PRIMARIES = ColorPrimaries.BT709
_TRANSFER = ColorTrc.BT709
_RANGE = ColorRange.MPEG
# The default rounds down, which gives grey a slight tint.
_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a video that players show under a name, and jump to."""

    first_frame: int
    num_frames: int
    title: str


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a file says beside its pictures and its sound."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Under the names that players know, such as title and comment."""
    chapters: Sequence[Chapter] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """How a kind of video file is written. Their instances are constants of this module."""

    container: str
    container_options: Mapping[str, str]
    codec: Literal["libx264", "libx265", "libvpx-vp9"]
    codec_tag: str | None = None
    options: Mapping[str, str]
    """Options of the codec."""
    crf: Mapping[Preset, int]
    """The quality of each preset; less is better. The scale depends on the codec."""
    sound_codec: Literal["aac", "libopus"]
    sound_bits_per_second: int


# The index (`moov`) comes before the pictures (`mdat`), so that a browser can start playing while
# it still loads the file.
_MP4_OPTIONS: Final = {"movflags": "+faststart"}

# H.264, which plays everywhere. With "standard", a difference is hard to see in generated video.
MP4: Final = Format(
    container="mp4",
    container_options=_MP4_OPTIONS,
    codec="libx264",
    options={
        "preset": "medium",
        "profile": "high",
        # Without mbtree, the same frames always make the same file. With it, small frames (64x64,
        # 64x96) sometimes made another file, also with a single thread, but never without x264's
        # assembler code. Seen with PyAV 18.1. Without mbtree, files of these sizes are 3 to 11
        # percent larger.
        "mbtree": "0",
        # By default, the number follows that of the cores, and each number makes another file.
        "threads": "4",
    },
    crf={Preset.DRAFT: 21, Preset.STANDARD: 17, Preset.BEST: 14},
    sound_codec="aac",
    sound_bits_per_second=192_000,
)

# Safari and QuickTime play H.265 only under the tag hvc1, and with closed groups of pictures.
# A number of threads by cores, and the note that x265 writes about the CPU into the file, would
# make other files on other machines.
H265: Final = Format(
    container="mp4",
    container_options=_MP4_OPTIONS,
    codec="libx265",
    codec_tag="hvc1",
    options={
        "preset": "medium",
        "profile": "main",
        "x265-params": "log-level=none:info=0:pools=4:frame-threads=2:open-gop=0",
    },
    crf={Preset.DRAFT: 22, Preset.STANDARD: 18, Preset.BEST: 15},
    sound_codec="aac",
    sound_bits_per_second=192_000,
)

# VP9, for pages that want no patented format. Without `bitexact`, the container has random numbers.
WEBM: Final = Format(
    container="webm",
    container_options={"fflags": "+bitexact", "cues_to_front": "1"},
    codec="libvpx-vp9",
    # b=0 makes crf decide alone.
    options={"b": "0", "cpu-used": "4", "row-mt": "1", "threads": "4"},
    crf={Preset.DRAFT: 28, Preset.STANDARD: 20, Preset.BEST: 14},
    sound_codec="libopus",
    sound_bits_per_second=160_000,
)


_NO_METADATA: Final = Metadata()


def encode(
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float,
    path: Path,
    metadata: Metadata = _NO_METADATA,
    preset: Preset = Preset.STANDARD,
    also: Mapping[Format, Path] = MappingProxyType({}),
    sound: NDArray[np.float32] | None = None,
) -> None:
    """Write `frames` as an H.264 MP4, and in other formats in the same pass.

    Frames are taken one by one, and none is kept. All files are yuv420p in BT.709, with a keyframe
    every four seconds, so that players can jump.

    Args:
        frames: RGB, each of the shape (height, width, 3), height and width even.
        fps: Frames per second.
        path: The MP4 to write. Its name may have any ending.
        metadata: Tags and chapters, for all files.
        preset: Decides the quality.
        also: Further files to write.
        sound: Samples as `sound.load_sound` returns them, as long as the frames.

    Raises:
        ValueError: There are no frames.
        OSError: A file cannot be written.
        av.FFmpegError: The frames cannot be encoded.
    """
    rate = Fraction(fps).limit_denominator(1001)
    colours = VideoReformatter()
    writers: list[_Writer] = []
    with ExitStack() as opened:
        for index, frame in enumerate(frames):
            if not writers:
                for format_, to in ((MP4, path), *also.items()):
                    container = opened.enter_context(_opened(format_, to))
                    _describe(container, metadata, rate)
                    writers.append(_Writer(container, format_, rate, frame.shape, preset, sound))
            picture = _converted(frame, colours)
            picture.pts, picture.time_base = index, 1 / rate
            for writer in writers:
                writer.add(picture)
        if not writers:
            raise ValueError("there are no frames")
        for writer in writers:
            writer.end()


def _opened(format_: Format, path: Path) -> OutputContainer:
    options = dict(format_.container_options)
    # The name may end in .part, so ffmpeg cannot guess the format from it.
    return av.open(str(path), "w", format=format_.container, options=options)


def _describe(container: OutputContainer, metadata: Metadata, rate: Fraction) -> None:
    container.metadata.update(metadata.tags)
    chapters: list[Any] = [
        {
            "id": number,
            "start": chapter.first_frame,
            "end": chapter.first_frame + chapter.num_frames,
            "time_base": 1 / rate,
            "metadata": {"title": chapter.title},
        }
        for number, chapter in enumerate(metadata.chapters, 1)
    ]
    if chapters:
        container.set_chapters(chapters)


class _Writer:
    """Encodes pictures, and perhaps a sound, into one container."""

    def __init__(
        self,
        container: OutputContainer,
        format_: Format,
        rate: Fraction,
        shape: tuple[int, ...],
        preset: Preset,
        sound: NDArray[np.float32] | None,
    ) -> None:
        options = {
            **format_.options,
            "crf": str(format_.crf[preset]),
            "g": str(max(1, round(rate * KEYFRAME_SECONDS))),
        }
        self._container = container
        self._stream = container.add_stream(format_.codec, rate=rate, options=options)
        self._stream.height, self._stream.width, _ = shape
        self._stream.pix_fmt = PIXEL_FORMAT
        context = self._stream.codec_context
        context.colorspace = _MATRIX
        context.color_primaries = _PRIMARIES
        context.color_trc = _TRANSFER
        context.color_range = _RANGE
        if format_.codec_tag is not None:
            context.codec_tag = format_.codec_tag
        self._seconds_per_frame = 1 / rate
        self._pictures = 0
        self._sound = None if sound is None else _Sound(container, format_, sound)

    def add(self, picture: VideoFrame) -> None:
        self._container.mux(self._stream.encode(picture))
        self._pictures += 1
        if self._sound is not None:
            # Picture and sound go on side by side, so that neither waits in memory for the other.
            self._sound.write_until(self._pictures * self._seconds_per_frame)

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.end()


class _Sound:
    """Encodes a sound into one container."""

    def __init__(
        self, container: OutputContainer, format_: Format, samples: NDArray[np.float32]
    ) -> None:
        self._container = container
        self._samples = samples
        self._written = 0
        self._stream = container.add_stream(format_.sound_codec, rate=RATE, layout="stereo")
        self._stream.bit_rate = format_.sound_bits_per_second

    def write_until(self, seconds: Fraction) -> None:
        """Encode what is heard before `seconds`."""
        end = min(len(self._samples), round(seconds * RATE))
        if end > self._written:
            part = np.ascontiguousarray(self._samples[self._written : end].T)
            frame = AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            frame.pts, frame.time_base = self._written, Fraction(1, RATE)
            self._container.mux(self._stream.encode(frame))
            self._written = end

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))


def _converted(frame: NDArray[np.uint8], colours: VideoReformatter) -> VideoFrame:
    """An RGB frame in the colours of the files.

    Args:
        frame: shape (height, width, 3).
        colours: keeps the tables of the conversion from one frame to the next.
    """
    return colours.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
        format=PIXEL_FORMAT,
        interpolation=_CONVERSION,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=_MATRIX,
        dst_color_range=_RANGE,
        dst_color_primaries=_PRIMARIES,
        dst_color_trc=_TRANSFER,
    )


def probe(path: Path) -> VideoFacts:
    """Decode all frames of the video file at `path`, and return its properties.

    Raises:
        TaskFailed: `video-damaged`; the file is absent, cut short or not a video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            sounds = container.streams.audio[:1]
            # By default, ffmpeg conceals a broken frame, and a damaged file looks like a good one.
            for each in (stream, *sounds):
                each.codec_context.options = {"err_detect": "explode"}
            num_frames = samples = 0
            for frame in container.decode(stream, *sounds):
                if isinstance(frame, VideoFrame):
                    num_frames += 1
                elif isinstance(frame, AudioFrame):
                    samples += frame.samples
            rate = stream.average_rate
            if rate is None:
                raise ValueError("no frame rate")
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return VideoFacts(
                codec=stream.codec_context.name,
                pixel_format=stream.codec_context.pix_fmt or "",
                height=stream.codec_context.height,
                width=stream.codec_context.width,
                num_frames=num_frames,
                fps=float(rate),
                duration_seconds=_seconds(stream, container),
                size_bytes=path.stat().st_size,
                sha256=sha256,
                audio_codec=sounds[0].codec_context.name if sounds else None,
                audio_duration_seconds=samples / RATE if sounds else None,
            )
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise TaskFailed(
            Problem(
                code=Code.VIDEO_DAMAGED,
                message=f"The video that was written cannot be read back: {error}.",
                hint="Drop the spec again.",
            )
        ) from error


def _seconds(stream: VideoStream, container: InputContainer) -> float:
    """How long a video is."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # WebM has a duration for the whole file only.
    if container.duration is None:
        raise ValueError("no duration")
    return container.duration / av.time_base
