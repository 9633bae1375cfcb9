"""Frames to an animated GIF: one palette for all of them, made from the frames themselves."""

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

# GIFs are for pages and mails. At a video's full size they would have tens of megabytes.
MAX_SIDE = 480
# The unit of a GIF's delays.
_TICK = Fraction(1, 100)
# Browsers show a frame of one tick for ten.
_MIN_TICKS = 2
# The palette is chosen from small copies. They have the colours without the noise, each shade of
# which would count as one more colour: with noise, choosing took 25 s instead of 1.
_SAMPLE_SIDE = 120
# Error diffusion. Ordered dithering (bayer) makes files that are a fifth to a third smaller, with
# visible steps wherever colours change slowly.
_DITHER = "dither=sierra2_4a"
_RGB = VideoFormat("rgb24")


def encode(frames: NDArray[np.uint8], *, fps: int, path: Path) -> None:
    """Write `frames`, shape (num_frames, height, width, 3), RGB, as a GIF that loops to `path`.

    Neither side gets longer than 480 pixels. It lasts as long as the video, to half a hundredth of
    a second; the frames' own delays differ by a hundredth where fps does not divide 100. Of more
    than 50 frames a second, only every second one is kept.

    Raises:
        OSError: the file cannot be written.
        av.FFmpegError: the frames cannot be encoded.
    """
    kept = frames[:: math.ceil(fps * _MIN_TICKS * _TICK)]
    small = [_shrunk(frame, MAX_SIDE) for frame in kept]
    length = Fraction(len(frames), fps)
    begins = [round(length * index / len(kept) / _TICK) for index in range(len(kept) + 1)]
    height, width, _ = small[0].shape
    options = {"loop": "0", "final_delay": str(begins[-1] - begins[-2])}
    # The name may end in .part, so the format is said and not guessed.
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
    """`frame`, shape (height, width, 3), with no side longer than `side`."""
    image = Image.fromarray(frame)
    # Keeps the shape, and leaves alone what is small enough.
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _palette(frames: list[NDArray[np.uint8]]) -> VideoFrame:
    """The 255 colours, and one for transparency, that suit `frames` best; 16 x 16 pixels."""
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
    """`frames` in 256 colours, beginning at the ticks `begins`."""
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
    """What `graph` has ready by now."""
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
