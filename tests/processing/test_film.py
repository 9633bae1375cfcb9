"""How scenes are joined into one video, without a model."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.catalogue import Mode
from contract.errors import Notice
from contract.manifest import Parameters, SceneParameters
from contract.memory import MemoryMode
from contract.outcome import Guidance, MemoryUse, Profile
from contract.scenes import num_frames_of
from contract.timeline import timeline_of
from processing import quality, scenes
from processing.made import KeptScenes, Made, Making
from processing.motion.shown import shown
from tests.processing.conftest import scene
from tests.processing.scenes import pan


def film(*made: SceneParameters, **changes: Any) -> Parameters:
    values: dict[str, Any] = {
        "mode": Mode.TEXT_TO_VIDEO, "prompt": "", "height": 64, "width": 96, "fps": 8,
        "num_frames": num_frames_of(made, changes.get("generated_fps") or changes.get("fps", 8)),
        "num_inference_steps": 2, "guidance_scale": 4.0, "seed": 1, "scenes": made,
    }  # fmt: skip
    return Parameters(**{**values, **changes})


def level(value: float, num_frames: int = 9) -> NDArray[np.uint8]:
    """A scene of frames that count up: value, value + 1, ..."""
    frames = [np.full((16, 16, 3), value + index, np.uint8) for index in range(num_frames)]
    return np.stack(frames)


THREE = film(scene(transition="cut"), scene(), scene(transition="fade"))


def levels(frames: Any) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


def test_the_doubled_frame_is_left_out_and_a_fade_blends() -> None:
    joined = scenes.Film([level(10), level(50), level(100)], THREE)

    expected = [
        *range(10, 19), *range(51, 55),
        *(55 + n + 9 * (n + 1) for n in range(4)), *range(104, 109),
    ]  # fmt: skip
    assert len(joined) == len(expected) == THREE.num_frames
    assert levels(joined) == expected
    assert levels(reversed(joined)) == expected[::-1]


def test_only_a_cut_is_a_cut() -> None:
    assert scenes.cuts(THREE) == frozenset()
    assert scenes.cuts(film(scene(transition="cut"), scene(), scene(transition="cut"))) == {17}
    assert scenes.cuts(scenes.each_alone(THREE)[0]) == frozenset()


@pytest.mark.parametrize("more", [{"slow_motion": 4}, {"slow_motion": 4, "loop": "ping-pong"}])
def test_nothing_is_interpolated_across_a_cut_that_cannot_be_seen(more: dict[str, Any]) -> None:
    one, other = np.stack(pan(9, speed=2)), np.stack(pan(9, speed=2, begin=20))
    parameters = film(scene(transition="cut"), scene(transition="cut"), **more)
    joined = scenes.Film([one, other], parameters)
    timeline = timeline_of(parameters)

    frames = list(shown(joined, timeline, cuts=scenes.cuts(parameters)))

    assert len(frames) == timeline.num_frames
    # There, and on the way back.
    cuts = [8, 34 - 9] if "loop" in more else [8]
    between = [n for n in range(len(frames)) for cut in cuts if cut < n * timeline.step < cut + 1]
    assert len(between) == 3 * len(cuts)
    for number in between:
        assert any(np.array_equal(frames[number], end) for end in (one[-1], other[0]))
    without = list(shown(joined, timeline))
    assert not any(np.array_equal(without[between[1]], end) for end in (one[-1], other[0])), (
        "the pictures are so alike that the cut is not found"
    )


@pytest.mark.parametrize(
    ("more", "begins"),
    [
        ({}, [0, 9, 13]),
        ({"fps": 24, "generated_fps": 8}, [0, 26, 38]),
        ({"slow_motion": 2}, [0, 18, 26]),
        ({"fps": 4, "generated_fps": 8}, [0, 5, 7]),
        ({"loop": "cross-fade"}, [0, 5, 9]),
        ({"loop": "ping-pong"}, [0, 9, 13]),
    ],
)
def test_each_scene_has_a_chapter_that_begins_where_it_is_first_shown(
    more: dict[str, Any], begins: list[int]
) -> None:
    parameters = film(
        scene("a", "cut"),
        scene("", "continue"),
        scene("c", "fade"),
        **more,
    )
    timeline = timeline_of(parameters)

    found = scenes.chapters(parameters, with_prompts=True)

    assert [chapter.title for chapter in found] == ["a", "Scene 2", "c"]
    assert [chapter.first_frame for chapter in found] == begins
    ends = [chapter.first_frame + chapter.num_frames for chapter in found]
    assert ends == [*begins[1:], timeline.num_frames]
    if timeline.fade_frames or timeline.wraps:
        return
    joined = scenes.Film([level(10), level(100), level(200)], parameters)
    frames = list(shown(joined, timeline, cuts=range(1, 99)))
    # Each frame counts up from the first one of its scene.
    for begin, first in zip(begins[:2], (10, 100), strict=True):
        assert first <= int(frames[begin][0, 0, 0]) < first + 9
        assert begin == 0 or int(frames[begin - 1][0, 0, 0]) < first


def test_a_long_title_is_cut() -> None:
    parameters = film(scene("b" * 200, "cut"), scene("c"))
    first, _ = scenes.chapters(parameters, with_prompts=True)
    assert len(first.title) == 80 and first.title.endswith("…")


def test_a_cut_is_neither_motion_nor_flicker() -> None:
    dark, bright = np.stack(pan(9, speed=1)) // 4, np.stack(pan(9, seed=2, speed=1))
    both = [*dark, *bright]
    alone = [quality.measured(dark), quality.measured(bright)]

    with_cut = quality.measured(both, {9})

    for name in ("motion", "flicker", "brightness", "contrast", "sharpness"):
        mean = sum(getattr(figures, name) for figures in alone) / 2
        assert getattr(with_cut, name) == pytest.approx(mean, abs=0.002), name
    assert quality.measured(both).flicker > 2 > with_cut.flicker


def making() -> Making:
    return Making(
        guidance=Guidance(use_dynamic_cfg=False, scales=(1.0,)),
        profile=Profile(compiled=False, own_attention_blocks=0, fp8=False, computed_steps=1),
        memory=MemoryUse(mode=MemoryMode.WHOLE, stepped_down=False, gpu_gib=None),
        text_encoding_seconds=0.0,
        denoising_seconds=1.0,
        decoding_seconds=1.0,
        notices=(),
    )


def test_a_kept_scene_counts_only_for_its_attempt_and_its_parameters(tmp_path: Path) -> None:
    alone = scenes.each_alone(THREE)[0]
    made = Made(frames=level(3), making=making())
    kept = KeptScenes(tmp_path, "attempt-1")

    assert np.array_equal(kept.keep(2, alone, made).frames, made.frames)

    found = kept.find(2, alone)
    assert found is not None and np.array_equal(found.frames, made.frames)
    assert found.making == made.making
    assert isinstance(found.frames, np.memmap)
    assert kept.find(1, alone) is None
    assert kept.find(2, alone.model_copy(update={"seed": 2})) is None
    assert KeptScenes(tmp_path, "attempt-2").find(2, alone) is None
    (tmp_path / "scene-02.npy").write_bytes(b"\x93NUMPY")
    assert kept.find(2, alone) is None


@pytest.mark.parametrize(
    "more", [{}, {"loop": "ping-pong"}, {"loop": "cross-fade"}, {"fps": 4, "generated_fps": 8}]
)
def test_the_frames_of_a_long_film_are_not_held(tmp_path: Path, more: dict[str, Any]) -> None:
    count = 12
    parameters = film(
        scene(transition="cut", num_frames=49),
        *(scene(transition="fade", num_frames=49) for _ in range(count - 1)),
        **more,
    )
    kept = KeptScenes(tmp_path, "attempt-1")
    frames = np.random.default_rng(1).integers(0, 255, (49, 64, 96, 3), np.uint8)
    alone = scenes.each_alone(parameters)
    made = [
        kept.keep(n, p, Made(frames=frames, making=making())).frames for n, p in enumerate(alone, 1)
    ]
    timeline = timeline_of(parameters)
    tracemalloc.start()
    try:
        joined = scenes.Film(made, parameters)
        quality.measured(joined)
        number = sum(1 for _ in shown(joined, timeline, cuts=scenes.cuts(parameters)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == timeline.num_frames > 200
    # One frame is also measured in numbers of eight bytes.
    assert peak < (40 + timeline.fade_frames) * frames[0].nbytes, peak / frames[0].nbytes


def test_a_clip_has_all_frames_of_its_scene_but_the_doubled_one() -> None:
    made = [level(10), level(50), level(100)]
    for number, expected in ((1, range(10, 19)), (2, range(51, 59)), (3, range(100, 109))):
        assert levels(scenes.clip(made[number - 1], THREE, number)) == list(expected)
        alone = scenes.clip_parameters(THREE.model_copy(update={"loop": "ping-pong"}), number)
        assert (alone.num_frames, alone.loop, alone.scenes) == (len(expected), None, ())


def test_what_all_scenes_are_warned_about_is_said_once() -> None:
    long = Notice(code="prompt-cut", message="The negative prompt has 99 tokens.")
    own = Notice(code="prompt-cut", message="The prompt has 77 tokens.")
    one, two = (making().model_copy(update={"notices": n}) for n in ((long,), (own, long)))
    assert [notice.message for notice in scenes.notices([one, two])] == [
        "The negative prompt has 99 tokens.",
        "Scene 2: The prompt has 77 tokens.",
    ]
