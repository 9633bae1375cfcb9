"""The frames that are shown: another frame rate at the same duration, slow motion, and loops."""

import itertools
import math
import threading
import weakref
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contract.timeline import timeline_of
from processing.motion import interpolation
from processing.motion.cuts import intervals
from processing.motion.shown import shown
from tests.processing.scenes import moved, pan, psnr, texture
from tests.processing.test_timeline import parameters

Frames = list[NDArray[np.uint8]]


def made(frames: Frames, fps: int, **more: Any) -> Frames:
    """All shown frames."""
    return list(shown(iter(frames), timeline_of(parameters(len(frames), fps, **more))))


@pytest.mark.parametrize(
    ("fps", "more"),
    [
        (24, {"generated_fps": 8}),
        (24, {"generated_fps": 16}),
        (30, {"generated_fps": 8}),
        (25, {"generated_fps": 16}),
        (8, {"slow_motion": 2}),
        (24, {"generated_fps": 16, "slow_motion": 4}),
    ],
)
def test_the_motion_is_smooth_and_source_frames_stay_as_they_are(
    fps: int, more: dict[str, Any]
) -> None:
    source = pan(6)
    timeline = timeline_of(parameters(6, fps, **more))

    frames = made(source, fps, **more)

    assert len(frames) == timeline.num_frames
    pattern = texture(1)
    for index, frame in enumerate(frames):
        position = index * timeline.step
        if position >= len(source) - 1:
            assert frame is source[-1]
        elif position.denominator == 1:
            assert frame is source[int(position)]
        else:
            truth = inner(moved(pattern, float(position * 6)))
            before, after = source[int(position)], source[int(position) + 1]
            share = float(position % 1)
            blended = np.rint((1 - share) * before + share * after).astype(np.uint8)
            found = psnr(inner(frame), truth)
            assert found > psnr(inner(blended), truth) + 3, position


def inner(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame without its sides, which only one of its two neighbours shows."""
    return frame[:, 6:-6]


def test_each_offset_is_exact() -> None:
    before, after = pan(2)
    for offsets in ([Fraction(1, 2)], [Fraction(1, 3)], [Fraction(k, 24) for k in (1, 7, 13, 19)]):
        frames = interpolation.between(before, after, offsets)
        for offset, frame in zip(offsets, frames, strict=True):
            shifts = np.arange(0, 6.1, 0.25)
            alike = [psnr(inner(frame), inner(moved(texture(1), x))) for x in shifts]
            assert abs(shifts[np.argmax(alike)] - offset * 6) <= 0.5, offset


def test_frames_are_left_out_below_the_own_rate() -> None:
    source = pan(16)
    assert [id(frame) for frame in made(source, 8, generated_fps=16)] == [
        id(frame) for frame in source[::2]
    ]
    frames = made(source, 10, generated_fps=16)
    assert len(frames) == 10
    assert all(any(frame is other for other in source) for frame in frames)


@pytest.mark.parametrize("first_shot", [1, 2, 5, 7])
@pytest.mark.parametrize("speed", [0, 3, 12])
def test_nothing_is_interpolated_across_a_cut(first_shot: int, speed: int) -> None:
    one, other = pan(first_shot, speed=speed), pan(8 - first_shot, seed=2, speed=speed)

    frames = made([*one, *other], 24, generated_fps=8)

    assert len(frames) == 24
    for index, frame in enumerate(frames):
        position = Fraction(index, 3)
        if first_shot - 1 < position < first_shot:
            assert frame is (one[-1] if position < first_shot - Fraction(1, 2) else other[0])
        elif speed == 0:
            scene = one[0] if position < first_shot else other[0]
            assert psnr(frame, scene) > 40


def cuts(frames: Frames) -> list[int]:
    """The numbers of the frames after which there is a cut."""
    return [number for number, interval in enumerate(intervals(frames)) if interval.is_cut]


def test_cuts_are_found_in_fast_motion_in_the_dark_and_close_together() -> None:
    shots = [pan(n, seed=n, speed=10) for n in (6, 2, 3, 7)]
    frames = list(itertools.chain(*shots))
    assert cuts(frames) == [5, 7, 10]
    assert cuts([frame // 10 for frame in frames]) == [5, 7, 10]
    black = [np.zeros_like(frames[0])] * 3
    assert cuts(shots[0] + black) == [5]


def faded(one: Frames, other: Frames) -> Frames:
    count = len(one) + 1
    return [
        np.rint(a + k / count * (b.astype(np.float32) - a)).astype(np.uint8)
        for k, (a, b) in enumerate(zip(one, other, strict=True), 1)
    ]


def test_what_is_not_a_cut() -> None:
    still, other = pan(9, speed=0), pan(9, seed=2, speed=0)
    rng = np.random.default_rng(1)
    flash = [*still[:4], np.clip(still[4].astype(int) + 120, 0, 255).astype(np.uint8), *still[5:]]
    white = [*still[:4], np.full_like(still[4], 255), *still[5:]]
    not_cuts = {
        "a still picture": still,
        "a pan": pan(9, speed=3),
        "a fast pan": pan(9, speed=24),
        "a pan that begins and ends": [
            *pan(4, speed=0),
            *pan(5, speed=12),
            *[pan(5, speed=12)[4]] * 4,
        ],
        "frames shown twice": [frame for frame in pan(6, speed=4) for _ in range(2)],
        "a flash": flash,
        "a white frame": white,
        "a fade over two frames": [*still[:4], *faded(still[:2], other[:2]), *other[:4]],
        "a fade over six frames": [*still[:4], *faded(still[:6], other[:6]), *other[:4]],
        "a fade to black": [*still[:4], *faded(still[:4], [np.zeros_like(still[0])] * 4)],
        "noise": [
            np.clip(frame + rng.normal(0, 20, frame.shape), 0, 255).astype(np.uint8)
            for frame in still
        ],
        "black with noise": [rng.integers(0, 4, still[0].shape, np.uint8) for _ in range(9)],
        "one frame": still[:1],
    }
    assert {name: cuts(frames) for name, frames in not_cuts.items()} == {
        name: [] for name in not_cuts
    }


def motion(frames: Frames) -> list[float]:
    """How alike each two neighbours are, in dB, and last the last frame and the first one."""
    return [psnr(one, other) for one, other in itertools.pairwise([*frames, frames[0]])]


@pytest.mark.parametrize("more", [{}, {"slow_motion": 2}, {"generated_fps": 6}])
@pytest.mark.parametrize("loop", ["cross-fade", "ping-pong"])
def test_a_loop_has_no_jump_at_its_end(loop: str, more: dict[str, Any]) -> None:
    source = pan(24, speed=4)
    without = motion(made(source, 8, **more))
    assert without[-1] < min(without[:-1]) - 3, "it jumps without a loop"

    frames = made(source, 8, loop=loop, **more)

    *inside, end = motion(frames)
    assert end > min(inside) - 3
    assert end > without[-1] + 6


def test_a_ping_pong_shows_neither_end_twice() -> None:
    source = pan(5)
    frames = made(source, 8, loop="ping-pong")
    numbers = [next(n for n, other in enumerate(source) if other is frame) for frame in frames]
    assert numbers == [0, 1, 2, 3, 4, 3, 2, 1]


def test_a_cross_fade_shows_the_beginning_only_at_the_end() -> None:
    source = [np.full((16, 16, 3), 10 * index, np.uint8) for index in range(16)]
    frames = made(source, 8, loop="cross-fade")
    assert [int(frame[0, 0, 0]) for frame in frames] == [
        40, 50, 60, 70, 80, 90, 100, 110,
        round(120 + (0 - 120) / 5), round(130 + (10 - 130) * 2 / 5),
        round(140 + (20 - 140) * 3 / 5), round(150 + (30 - 150) * 4 / 5),
    ]  # fmt: skip


def test_the_same_frames_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    source = [*pan(5, speed=5), *pan(5, seed=2, speed=3)]
    first = made(source, 24, generated_fps=8)
    for threads in ("1", "8"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        again = made(source, 24, generated_fps=8)
        assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(
    "more", [{"slow_motion": 2}, {"generated_fps": 48}, {"loop": "cross-fade"}, {"slow_motion": 8}]
)
def test_few_frames_are_held(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = 0, 0
    pattern = texture(1)
    lock = threading.Lock()

    def ended() -> None:
        nonlocal alive
        alive -= 1

    def watched(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        weakref.finalize(frame, ended)
        return frame

    def held(
        before: NDArray[np.uint8], after: NDArray[np.uint8], offsets: list[Fraction]
    ) -> Frames:
        return [watched(before.copy()) for _ in offsets]

    monkeypatch.setattr(interpolation, "between", held)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    source = (watched(moved(pattern, index).copy()) for index in range(200))
    timeline = timeline_of(parameters(200, 24, **more))

    assert sum(1 for _ in shown(source, timeline)) == timeline.num_frames

    # Two threads, the stretch that is taken, and one more to see whether there is a cut.
    stretch = math.ceil(1 / timeline.step)
    assert most <= 4 * stretch + 4 + timeline.fade_frames


def test_torch_keeps_its_cores_elsewhere() -> None:
    torch.rand(10).sum()
    before = torch.get_num_threads()
    made(pan(3), 16, generated_fps=8)
    assert torch.get_num_threads() == before
