"""Opens a reference video, which may be damaged or hostile, and takes frames from it.

The amount of decoding is limited, and only the frames that are needed are kept. So a long video in
4K takes no more memory than a short one. `load_clip` takes the few frames that a model starts from,
and `ClipFrames` streams all of them, for a video that is only finished.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Fit
from processing.image import fitted

MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 4096 * 4096
# A video with 240 frames per second has so many in 62 seconds. A model takes at most 161 frames,
# which are 10 seconds at its own frame rate.
MAX_FRAMES = 15_000
MAX_SECONDS = 120.0
# A clip that is finished may be as long as the functions accept.
_MAX_STREAMED_FRAMES = 40_000
_MAX_STREAMED_SECONDS = 3600.0

# ffmpeg's reader for MP4 and MOV. Without a fixed format, ffmpeg would also read playlists, under
# any file name, and through them any file on this machine.
_FORMAT = "mov"
_UNSPECIFIED_MATRIX = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720
# Times in files are often rounded to milliseconds: the frame for 2/3 s has the time 0.667 s.
_IN_TIME = Fraction(1, 1000)
# All other conversions make the colours one or two of 255 levels darker.
_CONVERSION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_HDR = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}
_WIDE_GAMUT = {ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432}
# A notice names seconds with two digits, so less than this could not be told from nothing.
_LEAST_MISSING = Fraction(1, 100)
# Frames of a constant rate have times that are rounded, or are a tenth of a percent off.
_ON_TIME = Fraction(1, 10)
# A frame that is shown for longer than so many others is meant to stand still, and does not move on
# to the next one.
_STANDS_STILL = 3
# Anamorphic film has 2. With more than 4, the header is damaged or hostile.
_MAX_PIXEL_ASPECT = 4

_CUT = "Cut it to the seconds that you need, in 1080p or less, and upload it again."
_CONVERT = (
    "If it plays on your computer, convert it and upload the result: "
    "ffmpeg -i in.mp4 -an -c:v libx264 -pix_fmt yuv420p out.mp4"
)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The frames that a video to video task starts from."""

    frames: NDArray[np.uint8]
    """RGB, shape (num_frames, height, width, 3)."""
    notices: tuple[Notice, ...]
    """Warnings about the video."""


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A decoded frame, and when a player shows it, in seconds after the first frame."""

    frame: VideoFrame
    begins: Fraction
    ends: Fraction


def load_clip(path: Path, *, height: int, width: int, num_frames: int, fps: int, fit: Fit) -> Clip:
    """Take the first `num_frames` frames of a video at another frame rate, upright.

    Frame k is the one that a player shows k / fps seconds after the first frame. If the video is
    too short, its last frame is repeated, with the notice `reference-short`. Sound is ignored.

    Args:
        path: An MP4 or MOV file.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        num_frames: How many frames to take.
        fps: How many of them per second of the video.
        fit: How to fit each frame into height and width. See `image.fitted`.

    Raises:
        TaskFailed: `reference-unreadable`; the file is absent, not an MP4 or MOV, has no frame that
            can be decoded, or has too many bytes, pixels or frames.
    """
    times = [Fraction(index, fps) for index in range(num_frames)]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    last: _Shown | None = None
    turns: tuple[Image.Transpose, ...] = ()
    colours = VideoReformatter()
    with _opened(path) as (container, stream):
        decoded = _decoded(
            container, stream, path, most_frames=MAX_FRAMES, most_seconds=MAX_SECONDS
        )
        for index, shown in enumerate(_at(times, decoded)):
            if shown is last:
                frames[index] = frames[index - 1]
                continue
            if last is None:
                turns = _turns(shown.frame)
            picture = _picture(_rgb(shown.frame, colours), stream.sample_aspect_ratio, turns)
            frames[index] = np.asarray(fitted(picture, height=height, width=width, fit=fit))
            last = shown
        if last is None:
            raise _unreadable(path, "has no picture that can be decoded", _CONVERT)
    return Clip(frames=frames, notices=_notices(path, last.ends, times[-1], fps))


class ClipFrames:
    """All frames of a video, upright and with the time of each. They are decoded one by one.

    Times are positions: the frame at 2.5 is shown 2.5 / `fps` seconds after the first one. Clips of
    phones have a variable rate, so positions need not be whole numbers. They ascend.

    Args:
        path: An MP4 or MOV file.
        height: Height of the frames in pixels. The video is scaled to it.
        width: The same.
        fps: The rate that positions are counted in.
    """

    def __init__(self, path: Path, *, height: int, width: int, fps: int) -> None:
        self._path, self._height, self._width, self._fps = path, height, width, fps
        self._ends = Fraction(0)

    def __iter__(self) -> Iterator[tuple[Fraction, NDArray[np.uint8]]]:
        """Decode the frames from the first one on.

        Raises:
            TaskFailed: `reference-unreadable`, as `load_clip` does.
        """
        colours = VideoReformatter()
        before: tuple[Fraction, NDArray[np.uint8]] | None = None
        with _opened(self._path) as (container, stream):
            turns: tuple[Image.Transpose, ...] = ()
            for shown in _decoded(
                container,
                stream,
                self._path,
                most_frames=_MAX_STREAMED_FRAMES,
                most_seconds=_MAX_STREAMED_SECONDS,
            ):
                position = self._position(shown)
                self._ends = shown.ends
                if before is None:
                    turns = _turns(shown.frame)
                elif position <= before[0]:
                    continue
                elif position - before[0] > _STANDS_STILL:
                    yield position - 1, before[1]
                picture = _picture(_rgb(shown.frame, colours), stream.sample_aspect_ratio, turns)
                before = position, self._fitted(picture)
                yield before
            if before is None:
                raise _unreadable(self._path, "has no picture that can be decoded", _CONVERT)

    def notices(self, num_frames: int) -> tuple[Notice, ...]:
        """Warnings about the video, after its frames were taken.

        Args:
            num_frames: how many were expected, at the rate `fps`.
        """
        return _notices(self._path, self._ends, Fraction(num_frames - 1, self._fps), self._fps)

    def _position(self, shown: _Shown) -> Fraction:
        position = (shown.begins + _IN_TIME) * self._fps
        whole = Fraction(round(position))
        return whole if abs(position - whole) <= _ON_TIME else position

    def _fitted(self, picture: Image.Image) -> NDArray[np.uint8]:
        if picture.width - self._width in {0, 1} and picture.height - self._height in {0, 1}:
            # Encoders need even sides. Scaling by one pixel would blur the picture.
            return np.asarray(picture.crop((0, 0, self._width, self._height)))
        return np.asarray(fitted(picture, height=self._height, width=self._width, fit="crop"))


def _notices(path: Path, ends: Fraction, needed: Fraction, fps: int) -> tuple[Notice, ...]:
    # One frame may be missing: 49 frames at 8 frames per second are called a video of six seconds,
    # although six seconds have only 48. Less than half a frame cannot be seen.
    if needed - ends <= max(_LEAST_MISSING, Fraction(1, 2 * fps)):
        return ()
    return (
        Notice(
            code="reference-short",
            message=(
                f"The video {path.name} ends after {float(ends):.2f} seconds, but "
                f"{float(needed):.2f} are needed. Its last frame is repeated for the rest."
            ),
        ),
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the video stream of `path`. Every error while it is open becomes a `TaskFailed`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _unreadable(path, f"is larger than {MAX_BYTES >> 20} MiB", _CUT)
        # Python opens the file, because ffmpeg would look for a protocol in its name.
        with (
            path.open("rb") as file,
            av.open(
                file, "r", format=_FORMAT, options=_options(), metadata_errors="replace"
            ) as container,
        ):
            yield container, _video_stream(container, path)
    except TaskFailed:
        raise
    except FileNotFoundError as error:
        raise _unreadable(
            path, "did not reach the worker", "Drop the spec and its video again."
        ) from error
    except Exception as error:
        # Most errors are av.FFmpegError, but damaged headers also cause others (ValueError,
        # OverflowError, ...). All of them mean that the file cannot be used.
        raise _unreadable(path, "could not be decoded as MP4", _CONVERT) from error


def _options() -> dict[str, str]:
    return {
        # An MP4 can refer to frames in other files. Do not follow that.
        "enable_drefs": "0",
        # Drop the incomplete frame at the end of a file that was cut short.
        "fflags": "+discardcorrupt",
        **_decoder_options(),
    }


def _decoder_options() -> dict[str, str]:
    # The limit must hold for each picture, because the size in the header may be another one.
    return {"max_pixels": str(MAX_PIXELS)}


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    # Cover art is a video stream with a single picture.
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise _unreadable(path, "contains no moving picture", "Upload another file.")
    stream = moving[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise _unreadable(
            path, f"has {stream.width} x {stream.height} pixels, more than 4096 x 4096", _CUT
        )
    # The options of `av.open` were only used to find the streams.
    stream.codec_context.options = _decoder_options()
    return stream


def _decoded(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    *,
    most_frames: int,
    most_seconds: float,
) -> Iterator[_Shown]:
    """Decode the frames of `stream` in order, up to the first damaged one.

    Args:
        most_frames: how many are decoded at most.
        most_seconds: how long that may take. What is done with the frames meanwhile counts, too.

    Raises:
        TaskFailed: `reference-unreadable`; there are too many frames, or they take too long.
        av.FFmpegError: The first frame is damaged.
    """
    began = time.monotonic()
    tick = stream.time_base or Fraction(0)
    first: int | None = None
    try:
        for count, frame in enumerate(container.decode(stream)):
            if count >= most_frames:
                raise _unreadable(
                    path, f"has more than {most_frames:,} frames in the part that is needed", _CUT
                )
            if time.monotonic() - began > most_seconds:
                raise _unreadable(path, f"takes more than {most_seconds:.0f} s to decode", _CUT)
            if frame.pts is None:
                continue
            if first is None:
                first = frame.pts
            at = frame.pts - first
            yield _Shown(
                frame=frame,
                begins=at * tick - _IN_TIME,
                ends=(at + frame.duration) * tick,
            )
    except av.FFmpegError:
        if first is None:
            raise
        # The frames before the damage can be used. A notice says where the video ends.


def _at(times: Sequence[Fraction], decoded: Iterator[_Shown]) -> Iterator[_Shown]:
    """The frame that is shown at each of `times`, which must ascend.

    Times after the end get the last frame. Yields nothing if `decoded` is empty, and takes no more
    frames from it than it needs.
    """
    shown = next(decoded, None)
    if shown is None:
        return
    taken = 0
    for coming in decoded:
        while times[taken] < coming.begins:
            yield shown
            taken += 1
            if taken == len(times):
                return
        shown = coming
    for _ in times[taken:]:
        yield shown


def _rgb(frame: VideoFrame, colours: VideoReformatter) -> Image.Image:
    """`frame` as RGB with the colours of BT.709, which is what the models were trained on.

    Phones record HDR (HLG, PQ) and wide gamuts (BT.2020, Display P3). Read as BT.709, their frames
    are grey and pale. FFmpeg converts them so that white of the usual brightness stays white, and
    what is brighter is cut off. It is done here, and not where the drop is checked, because the
    frames are decoded here anyway, and because the tables for it take FFmpeg some seconds.

    Args:
        frame: a decoded frame.
        colours: keeps these tables from one frame of a video to the next.
    """
    matrix, trc, primaries = None, None, None
    if frame.color_trc in _HDR or frame.color_primaries in _WIDE_GAMUT:
        trc, primaries = ColorTrc.BT709, ColorPrimaries.BT709
        if frame.color_primaries == ColorPrimaries.UNSPECIFIED:
            frame.color_primaries = ColorPrimaries.BT2020
        if (
            frame.colorspace == _UNSPECIFIED_MATRIX
            and frame.color_primaries == ColorPrimaries.BT2020
        ):
            matrix = Colorspace.BT2020
    elif frame.colorspace == _UNSPECIFIED_MATRIX and frame.height >= _HD_HEIGHT:
        # Videos without a tag are BT.601 if they are small and BT.709 if they are large. ffmpeg
        # would read all of them as BT.601.
        matrix = Colorspace.ITU709
    converted = colours.reformat(
        frame,
        format="rgb24",
        src_colorspace=matrix,
        dst_color_trc=trc,
        dst_color_primaries=primaries,
        interpolation=_CONVERSION,
    )
    pixels: Any = converted.to_ndarray()  # (height, width, 3)
    return Image.fromarray(pixels)


def _picture(
    picture: Image.Image, pixel_aspect: Fraction | None, turns: Sequence[Image.Transpose]
) -> Image.Image:
    """A frame with square pixels, upright."""
    if pixel_aspect and 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT:
        width = max(1, round(picture.width * pixel_aspect))
        if width != picture.width:
            picture = picture.resize((width, picture.height), Image.Resampling.LANCZOS)
    for turn in turns:
        picture = picture.transpose(turn)
    return picture


def _turns(frame: VideoFrame) -> tuple[Image.Transpose, ...]:
    """What turns the pictures of a video upright, from the display matrix of its first `frame`.

    All frames have the same matrix. Only one frame is asked for it, because PyAV then creates a
    reference cycle that keeps the frame in memory until the garbage collector runs.
    """
    side_data: Any = frame.side_data
    try:
        matrix = np.frombuffer(side_data[SideData.DISPLAYMATRIX], np.int32)
    except KeyError:
        return ()
    # A pixel at (x, y) belongs at the row vector (x, y, 1) times this 3 x 3 matrix.
    x_to_x, x_to_y, _, y_to_x, y_to_y = (int(value) for value in matrix[:5])
    swapped = abs(x_to_x) + abs(y_to_y) < abs(x_to_y) + abs(y_to_x)
    mirrored, upside_down = (y_to_x < 0, x_to_y < 0) if swapped else (x_to_x < 0, y_to_y < 0)
    turns = (
        (Image.Transpose.TRANSPOSE, swapped),
        (Image.Transpose.FLIP_LEFT_RIGHT, mirrored),
        (Image.Transpose.FLIP_TOP_BOTTOM, upside_down),
    )
    return tuple(turn for turn, needed in turns if needed)


def _unreadable(path: Path, what: str, hint: str) -> TaskFailed:
    return TaskFailed(
        Problem(code=Code.REFERENCE_UNREADABLE, message=f"The video {path.name} {what}.", hint=hint)
    )
