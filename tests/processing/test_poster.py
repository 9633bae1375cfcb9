"""The poster is the frame that shows best what a video is about."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from processing.poster import Poster

HEIGHT, WIDTH = 96, 128


def picture(seed: int = 1) -> np.ndarray:
    """Coloured tiles."""
    tiles = np.random.default_rng(seed).integers(40, 215, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return tiles.repeat(8, 0).repeat(8, 1)


def blurred(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(2)))


def faded(frame: np.ndarray, share: float, level: int) -> np.ndarray:
    """`frame` on its way to one grey level."""
    return (frame * (1 - share) + level * share).astype(np.uint8)


def chosen(frames: list[np.ndarray]) -> int:
    """The number of the frame that became the poster."""
    poster = Poster()
    for frame in frames:
        poster.add(frame)
    shown = np.asarray(Image.open(io.BytesIO(poster.jpeg()))).astype(int)
    return int(np.argmin([np.abs(shown - frame).mean() for frame in frames]))


def test_it_is_the_sharpest_frame() -> None:
    tiles = picture()
    frames = [blurred(np.roll(tiles, shift, 1)) for shift in range(6)]
    frames[4] = np.roll(tiles, 4, 1)

    assert chosen(frames) == 4


@pytest.mark.parametrize("level", [0, 255])
def test_it_is_no_frame_of_a_fade(level: int) -> None:
    tiles = picture()
    # Even a faded frame is sharper than the blurred ones after the fade.
    fade = [faded(tiles, share, level) for share in np.linspace(1, 0.1, 10)]
    after = [blurred(np.roll(tiles, shift, 1)) for shift in range(4)]

    assert chosen([*fade, *after]) >= 10
    assert chosen([*after, *reversed(fade)]) < 4


@pytest.mark.parametrize("level", [0, 255])
def test_a_text_on_black_or_white_is_taken_only_if_there_is_nothing_else(level: int) -> None:
    title = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    title[40:44, 20:60:2] = 255 - level
    dull = faded(picture(), 0.9, 128)

    assert chosen([title, title, dull, dull]) == 2
    assert chosen([title * 0 + np.uint8(level), title]) == 1


def test_noise_does_not_count_as_sharp() -> None:
    big = np.kron(picture()[:32, :32], np.ones((15, 15, 1), np.uint8))  # 480 x 480
    noise = np.random.default_rng(1).integers(-8, 9, big.shape)
    soft = np.asarray(Image.fromarray(big).filter(ImageFilter.GaussianBlur(12)))
    noisy = np.clip(soft.astype(int) + noise, 0, 255).astype(np.uint8)

    assert chosen([noisy, big, noisy]) == 1


def test_without_frames_there_is_no_poster() -> None:
    with pytest.raises(ValueError, match="frame"):
        Poster().jpeg()
