"""The figures of a video. tests/demo_model/test_quality.py tests the warnings about them."""

import numpy as np
import pytest

from processing import quality


def test_the_figures_are_what_they_say() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (7, 16, 24, 3), dtype=np.uint8)
    exact = frames.astype(float)

    figures = quality.measured(frames)

    assert figures.brightness == pytest.approx(exact.mean(), abs=0.01)
    assert figures.contrast == pytest.approx(exact.std(axis=(1, 2)).mean(), abs=0.01)
    assert figures.motion == pytest.approx(np.abs(np.diff(exact, axis=0)).mean(), abs=0.01)
    assert figures.flicker == pytest.approx(
        np.abs(np.diff(exact.mean(axis=(1, 2, 3)), n=2)).mean() / 2, abs=0.01
    )
    neighbours = [np.abs(np.diff(exact, axis=axis)).mean() for axis in (1, 2)]
    assert figures.sharpness == pytest.approx(np.mean(neighbours), abs=0.01)


def test_a_single_frame_has_no_motion_and_no_flicker() -> None:
    figures = quality.measured(np.zeros((1, 16, 16, 3), np.uint8))

    assert (figures.motion, figures.flicker) == (0, 0)


def test_a_scene_that_becomes_darker_steadily_does_not_flicker() -> None:
    frames = np.stack([np.full((8, 8, 3), 200 - 10 * index, np.uint8) for index in range(9)])

    assert quality.measured(frames).flicker == 0
