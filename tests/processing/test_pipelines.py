"""The pipelines, which we run in parts, make the same frames as in one piece."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.catalogue import MODELS, Mode
from contract.manifest import Parameters
from processing import loading, pipelines
from processing.families import family_of
from processing.pipelines import Reference
from tests.processing.conftest import Jobs


def plain_diffusers(
    folder: Path, mode: Mode, parameters: Parameters, inputs: dict[str, Any]
) -> np.ndarray:
    """Make the video in one piece, as in the documentation of diffusers."""
    import diffusers
    import torch

    pipe = getattr(diffusers, family_of(MODELS["demo"]).parts.pipelines[mode]).from_pretrained(
        folder
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = getattr(diffusers, MODELS["demo"].scheduler).from_config(
        pipe.scheduler.config, timestep_spacing="trailing"
    )
    frames = pipe(
        **inputs,
        prompt=parameters.prompt,
        negative_prompt=parameters.negative_prompt,
        height=parameters.height,
        width=parameters.width,
        num_inference_steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        generator=torch.Generator().manual_seed(parameters.seed),
        max_sequence_length=64,
        output_type="np",
    ).frames[0]
    pixels: np.ndarray = (frames * 255).round().astype(np.uint8)
    return pixels


@pytest.fixture
def picture() -> Image.Image:
    return Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")


@pytest.mark.parametrize("patch_size_t", [None, 2], ids=["1.0", "1.5"])
@pytest.mark.parametrize("mode", [Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO])
def test_frames_are_those_of_plain_diffusers(
    jobs: Jobs,
    models: Path,
    tmp_path: Path,
    picture: Image.Image,
    mode: Mode,
    patch_size_t: int | None,
) -> None:
    folder = models / MODELS["demo"].weights[mode].folder
    if patch_size_t is not None:
        # CogVideoX 1.5 has patches in time as well: 17 frames are 5 latent frames, padded to 6.
        folder = with_temporal_patches(folder, tmp_path / "patched")
    image = picture if mode == Mode.IMAGE_TO_VIDEO else None
    parameters = jobs.task(
        image=None if image is None else "bee.png",
        height=64,
        width=96,
        num_frames=17,
        negative_prompt="dark",
    ).parameters

    frames, steps = in_parts(folder, mode, parameters, image)

    inputs = {"num_frames": 17} | ({} if image is None else {"image": image})
    assert np.array_equal(frames, plain_diffusers(folder, mode, parameters, inputs))
    assert steps == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("num_frames", "strength", "steps"), [(9, 1.0, 4), (17, 0.5, 2), (49, 0.3, 1)]
)
def test_frames_of_video_to_video_are_those_of_plain_diffusers(
    jobs: Jobs, models: Path, picture: Image.Image, num_frames: int, strength: float, steps: int
) -> None:
    clip = [picture.rotate(5 * index) for index in range(num_frames)]
    parameters = jobs.task(
        video="bee.mp4",
        height=64,
        width=96,
        num_frames=num_frames,
        num_inference_steps=4,
        strength=strength,
    ).parameters
    reference = np.stack([np.asarray(frame) for frame in clip])

    frames, reported = in_parts(models / "demo", Mode.VIDEO_TO_VIDEO, parameters, reference)

    inputs = {"video": clip, "strength": strength}
    plain = plain_diffusers(models / "demo", Mode.VIDEO_TO_VIDEO, parameters, inputs)
    assert np.array_equal(frames, plain)
    # Steps that are left out at the start do not count.
    assert reported == [(step + 1, steps) for step in range(steps)]


def in_parts(
    folder: Path, mode: Mode, parameters: Parameters, reference: Reference | None
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Make the video as the worker does. Also returns the steps that were reported."""
    steps: list[tuple[int, int]] = []
    pipeline = loading.load(
        model=MODELS["demo"], modes=[mode], folder=folder, texts=pipelines.texts_of(parameters)
    )
    latents = pipeline.denoise(parameters, reference, lambda step, of: steps.append((step, of)))
    frames = pipeline.decode(latents, parameters)
    assert frames.dtype == np.uint8
    return frames, steps


def with_temporal_patches(original: Path, folder: Path) -> Path:
    import torch
    from diffusers import CogVideoXTransformer3DModel

    shutil.copytree(original, folder)
    config = json.loads((folder / "transformer" / "config.json").read_text())
    torch.manual_seed(1)
    CogVideoXTransformer3DModel.from_config(config, patch_size_t=2).save_pretrained(
        folder / "transformer"
    )
    return folder


def test_the_steps_of_all_presets_divide_the_steps_of_training() -> None:
    for model in MODELS.values():
        for steps in model.num_inference_steps.values():
            assert 1000 % steps == 0, model.name


def test_every_model_of_the_catalogue_names_classes_that_exist() -> None:
    import diffusers
    import torch

    for model in MODELS.values():
        assert hasattr(diffusers, model.scheduler), model.name
        assert isinstance(getattr(torch, model.dtype), torch.dtype), model.name


def test_a_scheduler_of_another_class_reads_the_same_folder(jobs: Jobs, models: Path) -> None:
    # The folders of the 5b models have a DDIM configuration, but we use the DPM scheduler.
    model = MODELS["demo"].model_copy(
        update={"scheduler": "CogVideoXDPMScheduler", "use_dynamic_cfg": True}
    )
    parameters = jobs.task(num_inference_steps=3).parameters

    pipeline = loading.load(
        model=model,
        modes=[Mode.TEXT_TO_VIDEO],
        folder=models / "demo",
        texts=pipelines.texts_of(parameters),
    )
    frames = pipeline.decode(pipeline.denoise(parameters, None, lambda *_: None), parameters)

    assert frames.shape == (9, 64, 64, 3)
    assert frames.std() > 10
