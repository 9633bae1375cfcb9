"""GIF: it shows the same frames for the same time, repeats for ever, and is small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.GifImagePlugin import GifImageFile

from processing.gif import Gif


def moving(count: int, *, height: int = 64, width: int = 96) -> np.ndarray:
    """A bright square that moves over a gradient."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], axis=-1)
    frames = np.stack([ground] * count).astype(np.uint8)
    for index, frame in enumerate(frames):
        frame[20:40, index : index + 20] = (250, 240, 30)
    return frames


def read(path: Path) -> tuple[np.ndarray, list[int], int | None]:
    """The frames, the duration of each in milliseconds, and how often the GIF repeats."""
    frames, durations = [], []
    with Image.open(path, formats=["GIF"]) as image:
        assert isinstance(image, GifImageFile)
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        return np.stack(frames), durations, image.info.get("loop")


def write(path: Path, frames: np.ndarray, fps: int) -> Path:
    gif = Gif(num_frames=len(frames), fps=fps)
    for frame in frames:
        gif.add(frame)
    gif.write(path / ".video.gif.part")
    return path / ".video.gif.part"


def blurred(frames: np.ndarray) -> np.ndarray:
    """The frames without the dots of dithering, as from a distance."""
    blur = ImageFilter.BoxBlur(2)
    return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames]).astype(
        float
    )


def test_it_shows_the_same_frames_in_nearly_the_same_colours(tmp_path: Path) -> None:
    frames = moving(17)

    shown, _, loop = read(write(tmp_path, frames, 8))

    assert shown.shape == frames.shape
    assert np.abs(blurred(shown) - blurred(frames)).mean() < 3
    # Each frame is shown in its place.
    for index, frame in enumerate(shown.astype(int)):
        distances = np.abs(frames - frame).mean(axis=(1, 2, 3))
        assert int(np.argmin(distances)) == index
    assert loop == 0  # for ever


@pytest.mark.parametrize("fps", [1, 3, 7, 8, 12, 16, 24, 30, 50])
def test_it_lasts_as_long_as_the_video(tmp_path: Path, fps: int) -> None:
    shown, durations, _ = read(write(tmp_path, moving(17), fps))

    assert len(shown) == 17
    assert sum(durations) == pytest.approx(17_000 / fps, abs=5)
    assert max(durations) - min(durations) <= 10
    assert min(durations) >= 20


@pytest.mark.parametrize(("fps", "count", "kept"), [(51, 17, 9), (60, 16, 8), (60, 49, 25)])
def test_a_rate_that_browsers_would_slow_down_is_halved(
    tmp_path: Path, fps: int, count: int, kept: int
) -> None:
    shown, durations, _ = read(write(tmp_path, moving(count), fps))

    assert len(shown) == kept
    assert sum(durations) == pytest.approx(1000 * count / fps, abs=5)
    assert min(durations) >= 20


def test_frames_that_do_not_change_are_there(tmp_path: Path) -> None:
    shown, durations, _ = read(write(tmp_path, np.stack([moving(1)[0]] * 9), 8))

    assert len(shown) == 9
    assert sum(durations) == pytest.approx(1125, abs=5)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(480, 720, (320, 480)), (768, 1360, (271, 480)), (1360, 768, (480, 271)), (64, 64, (64, 64))],
)
def test_it_is_small_enough_for_a_page(
    tmp_path: Path, height: int, width: int, size: tuple[int, int]
) -> None:
    shown, _, _ = read(write(tmp_path, moving(3, height=height, width=width), 8))

    assert shown.shape == (3, *size, 3)


def test_one_frame_will_do(tmp_path: Path) -> None:
    shown, _, _ = read(write(tmp_path, moving(1), 8))

    assert len(shown) == 1


def test_the_same_frames_are_the_same_file(tmp_path: Path) -> None:
    files = {write(tmp_path, moving(9), 8).read_bytes() for _ in range(5)}

    assert len(files) == 1
