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
# For the same reason, and because all pictures are kept until the palette is chosen.
MAX_PICTURES = 240
# With fewer, motion would look broken.
_MIN_FPS = 10
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


class Gif:
    """Collects the frames of a video one after the other, and writes them as a GIF.

    The GIF repeats for ever. Frames are scaled down if a side is longer than 480 pixels. It lasts
    as long as the video, to within 5 ms. If `fps` does not divide 100, some frames are shown 10 ms
    longer than others.

    Above 50 frames per second, only every second frame is kept. A video of more than 240 frames
    keeps so few of them that 240 are enough, but at least 10 per second; what is then too much is
    cut off at the end. So a GIF takes at most 170 MB of memory while it is made.

    Args:
        num_frames: How many frames the video has.
        fps: Frames per second.
    """

    def __init__(self, *, num_frames: int, fps: int) -> None:
        fewest = math.ceil(fps * _MIN_TICKS * _TICK)
        most = max(fewest, fps // _MIN_FPS)
        self._step = min(max(fewest, math.ceil(num_frames / MAX_PICTURES)), most)
        self._shown = min(num_frames, MAX_PICTURES * self._step)
        self._length = Fraction(self._shown, fps)
        self._added = 0
        self._pictures: list[NDArray[np.uint8]] = []
        self.is_shortened = self._shown < num_frames
        """Whether the GIF ends before the video does."""

    @property
    def seconds(self) -> float:
        """How long the GIF is."""
        return float(self._length)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Collect the next `frame`, RGB, shape (height, width, 3)."""
        if self._added < self._shown and self._added % self._step == 0:
            self._pictures.append(_shrunk(frame, MAX_SIDE))
        self._added += 1

    def write(self, path: Path) -> None:
        """Write the GIF.

        Args:
            path: The file to write. Its name may have any ending.

        Raises:
            OSError: The file cannot be written.
            av.FFmpegError: The frames cannot be encoded.
        """
        count = len(self._pictures)
        begins = [round(self._length * index / count / _TICK) for index in range(count + 1)]
        height, width, _ = self._pictures[0].shape
        options = {"loop": "0", "final_delay": str(begins[-1] - begins[-2])}
        # The name may end in .part, so ffmpeg cannot guess the format from it.
        with av.open(str(path), "w", format="gif", options=options) as container:
            stream = container.add_stream("gif", rate=1 / _TICK)
            stream.height = height
            stream.width = width
            stream.pix_fmt = "pal8"
            stream.codec_context.time_base = _TICK
            for frame in _with_palette(self._pictures, begins):
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
