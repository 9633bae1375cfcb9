"""Opens a reference video, which came from outside, and takes from it the frames that are needed.

What is decoded is bounded before and while it is decoded, and only the frames that are taken are
kept: a long video in 4K needs no more memory than a short one.
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
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Fit
from processing.image import fitted

MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 4096 * 4096
# A model takes at most 49 frames, at one a second or more: of video with 240 a second, 11,760.
MAX_FRAMES = 15_000
MAX_SECONDS = 120.0

# ffmpeg's reader of MP4 and MOV. Left to guess, ffmpeg would read playlists as well, and through
# them any file of this machine, whatever the name of the file says.
_FORMAT = "mov"
_UNSPECIFIED_MATRIX = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720
# Times in files are rounded, often to thousandths of a second: a frame due at 2/3 comes at 0.667.
_IN_TIME = Fraction(1, 1000)
# Any other way than this makes all colours darker, by one or two of 255 levels.
_CONVERSION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
# Beyond it, the header is damaged or hostile; anamorphic film has 2.
_MAX_PIXEL_ASPECT = 4

_CUT = "Cut it to the seconds that are needed, in 1080p or less, and upload that."
_CONVERT = (
    "If it plays, upload what this makes of it: "
    "ffmpeg -i in.mp4 -an -c:v libx264 -pix_fmt yuv420p out.mp4"
)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a video to video task starts from."""

    frames: NDArray[np.uint8]
    """RGB, shape (num_frames, height, width, 3)."""
    notices: tuple[Notice, ...]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A decoded frame, and when it is on the screen, in seconds after the first one."""

    frame: VideoFrame
    begins: Fraction
    ends: Fraction


def load_clip(path: Path, *, height: int, width: int, num_frames: int, fps: int, fit: Fit) -> Clip:
    """The beginning of the video at `path` as `num_frames` frames, `fps` of them a second, upright.

    Frame k is what a player shows k / fps seconds after the first picture. A video that ends before
    the last one is held on its last picture, with the notice `reference-short`. `image.fitted` says
    what `fit` does. Sound is not read.

    Raises:
        TaskFailed: `reference-unreadable`; the file is absent, is no MP4 or MOV, has no picture
            that can be decoded, or has too many bytes, pixels or frames.
    """
    times = [Fraction(index, fps) for index in range(num_frames)]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    last: _Shown | None = None
    turns: tuple[Image.Transpose, ...] = ()
    with _opened(path) as (container, stream):
        for index, shown in enumerate(_at(times, _decoded(container, stream, path))):
            if shown is last:
                frames[index] = frames[index - 1]
                continue
            if last is None:
                turns = _turns(shown.frame)
            picture = _picture(shown.frame, stream.sample_aspect_ratio, turns)
            frames[index] = np.asarray(fitted(picture, height=height, width=width, fit=fit))
            last = shown
        if last is None:
            raise _unreadable(path, "has no picture that can be decoded", _CONVERT)
    return Clip(frames=frames, notices=_notices(path, last.ends, times))


def _notices(path: Path, ends: Fraction, times: Sequence[Fraction]) -> tuple[Notice, ...]:
    needed = times[-1]
    # One frame may be missing: the video of six seconds at 8 frames a second has 49 of them.
    if needed <= ends:
        return ()
    return (
        Notice(
            code="reference-short",
            message=(
                f"The video {path.name} ends after {float(ends):.2f} seconds, and "
                f"{float(needed):.2f} are needed: its last picture stands still for the rest."
            ),
        ),
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The video stream of `path`, to be decoded; what goes wrong becomes a `TaskFailed`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _unreadable(path, f"is larger than {MAX_BYTES >> 20} MiB", _CUT)
        # We open the file: ffmpeg would look for a protocol in its name.
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
        # Most are av.FFmpegError; damaged headers find their way to others (ValueError,
        # OverflowError, ...). Whatever it was: this file cannot be used.
        raise _unreadable(path, "could not be decoded as MP4", _CONVERT) from error


def _options() -> dict[str, str]:
    return {
        # An MP4 can say that its frames lie in another file.
        "enable_drefs": "0",
        # Half a frame at the end of a file that was cut short is no frame.
        "fflags": "+discardcorrupt",
        **_decoder_options(),
    }


def _decoder_options() -> dict[str, str]:
    # The size stands in the header, and in the video once more, perhaps in each of its pictures.
    return {"max_pixels": str(MAX_PIXELS)}


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    # A cover is a video stream of one picture.
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise _unreadable(path, "has no moving picture in it", "Upload another file.")
    stream = moving[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise _unreadable(
            path, f"has {stream.width} x {stream.height} pixels, more than 4096 x 4096", _CUT
        )
    # What the file was opened with was for finding the streams.
    stream.codec_context.options = _decoder_options()
    return stream


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[_Shown]:
    """The frames of `stream` as they come, until the first that is damaged.

    Raises:
        TaskFailed: `reference-unreadable`; there are too many, or they take too long.
        av.FFmpegError: the first one is damaged.
    """
    began = time.monotonic()
    tick = stream.time_base or Fraction(0)
    first: int | None = None
    try:
        for count, frame in enumerate(container.decode(stream)):
            if count >= MAX_FRAMES:
                raise _unreadable(path, f"has more than {MAX_FRAMES:,} frames to look at", _CUT)
            if time.monotonic() - began > MAX_SECONDS:
                raise _unreadable(path, f"takes more than {MAX_SECONDS:.0f} s to decode", _CUT)
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
        # What came before it can be used; how far it went, the notice says.


def _at(times: Sequence[Fraction], decoded: Iterator[_Shown]) -> Iterator[_Shown]:
    """What is on the screen at each of `times`, which ascend; at the end, the last picture stays.

    Nothing when `decoded` is empty. Takes no more of it than is needed.
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


def _picture(
    frame: VideoFrame, pixel_aspect: Fraction | None, turns: Sequence[Image.Transpose]
) -> Image.Image:
    """`frame` as RGB, with square pixels, upright."""
    untagged_hd = frame.colorspace == _UNSPECIFIED_MATRIX and frame.height >= _HD_HEIGHT
    pixels: Any = frame.to_ndarray(
        format="rgb24",
        # Without a tag, small is BT.601 and large BT.709; ffmpeg takes all for BT.601.
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
        interpolation=_CONVERSION,
    )  # (height, width, 3)
    picture = Image.fromarray(pixels)
    if pixel_aspect and 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT:
        width = max(1, round(picture.width * pixel_aspect))
        if width != picture.width:
            picture = picture.resize((width, picture.height), Image.Resampling.LANCZOS)
    for turn in turns:
        picture = picture.transpose(turn)
    return picture


def _turns(frame: VideoFrame) -> tuple[Image.Transpose, ...]:
    """How the pictures of a video come upright, by the display matrix of its first `frame`.

    The matrix is the file's, so one frame is enough; and a frame that was asked for it lives on
    until the garbage collector comes, because PyAV then lets it refer to itself.
    """
    side_data: Any = frame.side_data
    try:
        matrix = np.frombuffer(side_data[SideData.DISPLAYMATRIX], np.int32)
    except KeyError:
        return ()
    # A row vector (x, y, 1) times the matrix, in three rows, is where a pixel belongs.
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
