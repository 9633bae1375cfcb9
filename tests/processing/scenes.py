"""Drawn scenes with motion that is known exactly, for the tests of frame rates and loops."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

HEIGHT, WIDTH = 64, 96
FURTHEST = 400


def texture(seed: int) -> NDArray[np.uint8]:
    """A coloured pattern with large and small shapes, as high as a frame and much wider."""
    rng = np.random.default_rng(seed)
    pattern = np.full((HEIGHT, WIDTH + FURTHEST, 3), 128.0)
    for radius, contrast in ((3, 16), (8, 20), (24, 24)):
        noise = rng.integers(0, 256, pattern.shape, np.uint8)
        soft = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(radius)), float)
        pattern += contrast * (soft - soft.mean(axis=(0, 1))) / soft.std()
    return np.asarray(np.clip(pattern, 0, 255), np.uint8)


def moved(pattern: NDArray[np.uint8], pixels: float) -> NDArray[np.uint8]:
    """The frame of a camera that has moved this far to the right."""
    whole, part = divmod(pixels, 1)
    left = pattern[:, int(whole) : int(whole) + WIDTH]
    if part == 0:
        return left
    right = pattern[:, int(whole) + 1 : int(whole) + 1 + WIDTH]
    # The pattern is soft, so this is nearly exact.
    return np.rint((1 - part) * left + part * right).astype(np.uint8)


def pan(
    num_frames: int, *, seed: int = 1, speed: int = 6, begin: int = 0
) -> list[NDArray[np.uint8]]:
    """A camera that moves `speed` pixels a frame."""
    pattern = texture(seed)
    return [moved(pattern, begin + speed * index) for index in range(num_frames)]


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How alike two frames are, in dB."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-3)))
