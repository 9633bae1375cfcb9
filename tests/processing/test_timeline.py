"""Which of the model's frames are shown when."""

from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from contract.catalogue import Mode
from contract.manifest import Parameters
from contract.timeline import timeline_of


def parameters(num_frames: int, fps: int, **more: Any) -> Parameters:
    return Parameters(
        mode=Mode.TEXT_TO_VIDEO,
        prompt="a bee",
        height=480,
        width=720,
        num_frames=num_frames,
        fps=fps,
        num_inference_steps=50,
        guidance_scale=6.0,
        seed=1,
        **more,
    )


@pytest.mark.parametrize("num_frames", [9, 49, 81, 161])
@pytest.mark.parametrize("rate", [8, 16, 24, 30])
@pytest.mark.parametrize("fps", [1, 8, 12, 24, 25, 30, 60])
@pytest.mark.parametrize("slow_motion", [1, 2, 8])
def test_another_rate_keeps_the_duration_to_a_frame(
    num_frames: int, rate: int, fps: int, slow_motion: int
) -> None:
    made = parameters(num_frames, fps, generated_fps=rate, slow_motion=slow_motion)
    timeline = timeline_of(made)
    wanted = Fraction(num_frames * slow_motion, rate)
    frame = Fraction(1, fps)
    shown = timeline.num_frames * frame
    assert abs(shown - wanted) <= frame / 2 or shown == frame > wanted, "at least one is shown"
    assert (timeline.num_frames - 1) * timeline.step < num_frames, "no position after the end"


@pytest.mark.parametrize(
    ("more", "shown", "interpolated"),
    [
        ({}, 49, 0),
        ({"generated_fps": 8}, 49, 0),
        ({"generated_fps": 24}, 16, 0),
        ({"generated_fps": 4}, 98, 48),
        ({"slow_motion": 4}, 196, 144),
        ({"loop": "ping-pong"}, 96, 0),
        ({"loop": "ping-pong", "slow_motion": 2}, 192, 96),
        ({"loop": "cross-fade"}, 49 - 4, 0),
        ({"loop": "cross-fade", "slow_motion": 2}, 97 - 4, 48),
    ],
)
def test_how_many_frames_are_shown_and_made(
    more: dict[str, Any], shown: int, interpolated: int
) -> None:
    timeline = timeline_of(parameters(49, 8, **more))
    assert (timeline.num_frames, timeline.interpolated_frames) == (shown, interpolated)


def test_a_loop_of_a_very_short_video_still_has_frames() -> None:
    for num_frames, fps, loop in product(range(1, 9), (1, 8, 24), ("cross-fade", "ping-pong")):
        made = parameters(num_frames, fps, generated_fps=8, loop=loop)
        assert timeline_of(made).num_frames >= 1
