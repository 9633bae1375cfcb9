"""Broken videos get a warning and good ones do not: measured on videos of the demo model.

`python -m tests.demo_model.test_quality` prints the figures that decided the limits.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.catalogue import MODELS, Mode
from contract.manifest import Parameters
from demo_model import install, world
from processing import loading, quality

Video = NDArray[np.uint8]
Damage = Callable[[Video, np.random.Generator], NDArray[np.generic]]

PROMPTS = (
    "a red circle moves to the right on a blue background",
    "a white disc is resting in the middle on a grey background",
    "a purple triangle moves up on a black background",
    "a tiny azure circle, not moving, on a white background",
)


def good_videos(models: Path, prompts: tuple[str, ...] = PROMPTS, steps: int = 8) -> list[Video]:
    """Videos of the demo model."""
    install.write(models)
    pipeline = loading.load(
        model=MODELS["demo"],
        modes=[Mode.TEXT_TO_VIDEO],
        folder=models / "demo",
        texts={*prompts, ""},
    )
    videos = []
    for prompt in prompts:
        parameters = Parameters(
            mode=Mode.TEXT_TO_VIDEO,
            prompt=prompt,
            height=world.HEIGHT,
            width=world.WIDTH,
            num_frames=world.FRAMES,
            fps=8,
            num_inference_steps=steps,
            guidance_scale=4.0,
            seed=1,
        )
        latents = pipeline.denoise(parameters, None, lambda _done, _steps: None)
        videos.append(pipeline.decode(latents, parameters))
    return videos


def black(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    return rng.integers(0, 4, video.shape)


def grey(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    return rng.integers(127, 131, video.shape)


def red(video: Video, _: np.random.Generator) -> NDArray[np.generic]:
    return np.full(video.shape, (250, 20, 20))


def frozen(video: Video, _: np.random.Generator) -> NDArray[np.generic]:
    return np.repeat(video[:1], len(video), axis=0)


def every_second_darker(video: Video, _: np.random.Generator) -> NDArray[np.generic]:
    gains = np.where(np.arange(len(video)) % 2, 0.8, 1.0)
    return video * gains[:, None, None, None]


def every_third_black(video: Video, _: np.random.Generator) -> NDArray[np.generic]:
    return video * (np.arange(len(video)) % 3 > 0)[:, None, None, None]


def rows_displaced(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    torn = video.copy()
    for frame in torn:
        for top in range(0, frame.shape[0], 8):
            frame[top : top + 8] = np.roll(frame[top : top + 8], rng.integers(8, 88), axis=1)
    return torn


def tiles_displaced(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    frames, height, width, _ = video.shape
    tiles = video.reshape(frames, height // 8, 8, width // 8, 8, 3).swapaxes(2, 3)
    tiles = tiles.reshape(frames, -1, 8, 8, 3)
    mixed = np.stack([rng.permutation(frame) for frame in tiles])
    return (
        mixed.reshape(frames, height // 8, width // 8, 8, 8, 3).swapaxes(2, 3).reshape(video.shape)
    )


def noise(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    return rng.integers(0, 256, video.shape)


def noise_that_stands_still(video: Video, rng: np.random.Generator) -> NDArray[np.generic]:
    still = np.repeat(rng.integers(0, 200, video[:1].shape), len(video), axis=0)
    return still + rng.integers(0, 10, video.shape)


DAMAGES: dict[str, tuple[Damage, ...]] = {
    "video-black": (black,),
    "video-flat": (grey, red),
    "video-frozen": (frozen,),
    "video-flickering": (every_second_darker, every_third_black),
    "video-torn": (rows_displaced, tiles_displaced, noise, noise_that_stands_still),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    return good_videos(tmp_path_factory.mktemp("models"))


def test_good_videos_get_no_warning(good: list[Video]) -> None:
    for video in good:
        figures = quality.measured(video)
        assert quality.notices(figures) == (), figures


@pytest.mark.parametrize(
    ("code", "damage"), [(code, damage) for code, all_of in DAMAGES.items() for damage in all_of]
)
def test_a_broken_video_gets_the_warning_that_fits(
    good: list[Video], code: str, damage: Damage
) -> None:
    rng = np.random.default_rng(1)
    for video in good:
        figures = quality.measured(damage(video, rng).astype(np.uint8))
        assert code in [notice.code for notice in quality.notices(figures)], figures


def _lines(good: list[Video]) -> Iterator[str]:
    rng = np.random.default_rng(1)
    groups = {"good": good} | {
        damage.__name__: [damage(video, rng).astype(np.uint8) for video in good]
        for all_of in DAMAGES.values()
        for damage in all_of
    }
    for name, videos in groups.items():
        rows = [quality.measured(video).model_dump() for video in videos]
        for row in rows:
            row["motion / contrast"] = row["motion"] / max(row["contrast"], 0.001)
            row["sharpness / contrast"] = row["sharpness"] / max(row["contrast"], 0.001)
        yield f"{name:24}" + "  ".join(
            f"{key} {min(r[key] for r in rows):.2f} to {max(r[key] for r in rows):.2f}"
            for key in rows[0]
        )


if __name__ == "__main__":
    import random
    import tempfile

    chance = random.Random(5)
    scenes = [world.draw_scene(chance, held_out=True) for _ in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        texts = tuple(world.caption(chance, scene, held_out=True) for scene in scenes)
        print(*_lines(good_videos(Path(folder), texts, steps=12)), sep="\n")
