"""Frames of a video that a guardrail looks at."""

import io

import numpy as np
import pytest
from PIL import Image

from contract.outcome import SAMPLES
from processing.samples import MAX_SIDE, Samples


def brightness(jpegs: list[bytes]) -> list[int]:
    return [int(np.asarray(Image.open(io.BytesIO(jpeg))).mean().round()) for jpeg in jpegs]


def samples_of(num_frames: int) -> list[bytes]:
    samples = Samples(num_frames)
    for number in range(num_frames):
        samples.add(np.full((16, 16, 3), number, np.uint8))
    return samples.jpegs


def test_samples_lie_at_equal_distances() -> None:
    assert brightness(samples_of(81)) == pytest.approx([5, 15, 25, 35, 45, 55, 65, 75], abs=1)


@pytest.mark.parametrize("num_frames", [1, 2, 5, SAMPLES, SAMPLES + 1, 49, 161])
def test_each_video_has_samples(num_frames: int) -> None:
    assert len(samples_of(num_frames)) == min(num_frames, SAMPLES)


def test_a_sample_is_small_enough_for_bedrock() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (768, 1360, 3), np.uint8)
    samples = Samples(1)
    samples.add(noise)
    (jpeg,) = samples.jpegs
    assert max(Image.open(io.BytesIO(jpeg)).size) == MAX_SIDE
    assert len(jpeg) < 2_000_000, "the limit of Bedrock is 4 MB"
