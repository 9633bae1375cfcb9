"""Measuring clips: on true clips of the world, the result is correct."""

import random

import numpy as np
import pytest

from demo_model import evaluate, world
from demo_model.measure import measure


@pytest.mark.parametrize("noise", [0, 12])
def test_true_clips_are_read_rightly(noise: int) -> None:
    rng, noises = random.Random(11), np.random.default_rng(11)
    count, wrong = 150, 0
    for index in range(count):
        scene = world.draw_scene(rng, held_out=index % 2 == 0)
        clip = world.render(scene).astype(np.float32)
        clip += noise * noises.standard_normal(clip.shape)
        seen = measure(clip.clip(0, 255).astype(np.uint8))
        wrong += any(getattr(seen, name) != getattr(scene, name) for name in evaluate.ASPECTS)
    assert wrong <= count // 100


def test_a_flat_clip_has_a_background_and_no_object() -> None:
    clip = np.full((world.FRAMES, world.HEIGHT, world.WIDTH, 3), world.PALETTE["green"], np.uint8)
    seen = measure(clip)
    assert (seen.background, seen.shape, seen.motion) == ("green", None, None)


def test_noise_shows_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (17, 64, 96, 3), dtype=np.uint8)
    scene = world.draw_scene(random.Random(1), held_out=True)
    seen = measure(noise)
    assert any(getattr(seen, name) != getattr(scene, name) for name in evaluate.ASPECTS)
