"""Encodes frames as an animated GIF, with one palette that is made from all of them."""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

# GIFs are for web pages and mails. At full size they would have tens of megabytes.
MAX_SIDE = 480
# The delays in a GIF are multiples of this, in seconds.
_TICK = Fraction(1, 100)
# Browsers show a frame with a delay of one tick for ten ticks.
_MIN_TICKS = 2
# The palette is chosen from small copies of the frames; this is their longest side in pixels.
# Scaling down removes noise, which would add many colours: with it, choosing took 25 s, not 1.
_SAMPLE_SIDE = 120
# Error diffusion. Ordered dithering (bayer) makes files a fifth to a third smaller, but shows steps
# in slow colour gradients.
_DITHER = "dither=sierra2_4a"
_RGB = VideoFormat("rgb24")


def encode(frames: NDArray[np.uint8], *, fps: int, path: Path) -> None:
    """Write `frames` as a GIF that repeats for ever.

    Frames are scaled down if a side is longer than 480 pixels. The GIF lasts as long as the video,
    to within 5 ms. If `fps` does not divide 100, some frames are shown 10 ms longer than others.
    Above 50 frames per second, only every second frame is kept.

    Args:
        frames: RGB, shape (num_frames, height, width, 3).
        fps: Frames per second.
        path: The file to write. Its name may have any ending.

    Raises:
        OSError: The file cannot be written.
        av.FFmpegError: The frames cannot be encoded.
    """
    kept = frames[:: math.ceil(fps * _MIN_TICKS * _TICK)]
    small = [_shrunk(frame, MAX_SIDE) for frame in kept]
    length = Fraction(len(frames), fps)
    begins = [round(length * index / len(kept) / _TICK) for index in range(len(kept) + 1)]
    height, width, _ = small[0].shape
    options = {"loop": "0", "final_delay": str(begins[-1] - begins[-2])}
    # The name may end in .part, so ffmpeg cannot guess the format from it.
    with av.open(str(path), "w", format="gif", options=options) as container:
        stream = container.add_stream("gif", rate=1 / _TICK)
        stream.height = height
        stream.width = width
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = _TICK
        for frame in _with_palette(small, begins):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _shrunk(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """`frame`, shape (height, width, 3), scaled down if a side is longer than `side` pixels."""
    image = Image.fromarray(frame)
    # Keeps the aspect ratio, and does not enlarge small frames.
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _palette(frames: list[NDArray[np.uint8]]) -> VideoFrame:
    """The best 255 colours for `frames`, and one for transparency, as a frame of 16 x 16 pixels."""
    sheet = np.concatenate([_shrunk(frame, _SAMPLE_SIDE) for frame in frames])
    height, width, _ = sheet.shape
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=_RGB, time_base=_TICK),
        graph.add("palettegen"),
        graph.add("buffersink"),
    ).configure()
    graph.push(VideoFrame.from_ndarray(sheet, format="rgb24"))
    graph.push(None)
    return graph.vpull()


def _with_palette(frames: list[NDArray[np.uint8]], begins: list[int]) -> Iterator[VideoFrame]:
    """Reduce `frames` to 256 colours. Frame k is shown from the tick `begins[k]` on."""
    height, width, _ = frames[0].shape
    palette = _palette(frames)
    palette.pts, palette.time_base = 0, _TICK
    graph = Graph()
    pictures = graph.add_buffer(width=width, height=height, format=_RGB, time_base=_TICK)
    colours = graph.add_buffer(
        width=palette.width, height=palette.height, format=palette.format, time_base=_TICK
    )
    use = graph.add("paletteuse", _DITHER)
    pictures.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    colours.push(palette)
    colours.push(None)
    for frame, begin in zip(frames, begins, strict=False):
        picture = VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts, picture.time_base = begin, _TICK
        pictures.push(picture)
        yield from _finished(graph)
    pictures.push(None)
    yield from _finished(graph)


def _finished(graph: Graph) -> Iterator[VideoFrame]:
    """All frames that `graph` has finished so far."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
