"""All kinds of CogVideoX, small: their frames are those of stock diffusers, and of yesterday.

Each kind has the switches of a real model's configuration. The second check finds changes that
diffusers makes, too: another rule for the guidance or for the time steps would change every video.
`REELDROP_WRITE_GOLDEN=1 pytest tests/processing/test_golden.py` writes new values.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.catalogue import MODELS, Mode, Model
from contract.manifest import Parameters
from contract.outcome import Guidance
from processing import loading, pipelines
from processing.families import family_of

GOLDEN = Path(__file__).with_name("golden.json")
STEPS = 4
# Of 255. Processors round differently.
TOLERANCE = 3


@dataclass(frozen=True)
class Kind:
    """The switches of one configuration."""

    model: str
    modes: tuple[Mode, ...]
    config: dict[str, object] = field(default_factory=dict)
    num_frames: int = 17


TEXT, IMAGE, VIDEO = Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO, Mode.VIDEO_TO_VIDEO
KINDS = {
    "2b": Kind("cogvideox-2b", (TEXT, VIDEO), {"use_rotary_positional_embeddings": False}),
    "5b": Kind("cogvideox-5b", (TEXT, VIDEO)),
    "5b-i2v": Kind("cogvideox-5b", (IMAGE,), {"use_learned_positional_embeddings": True}),
    "1.5-5b": Kind("cogvideox1.5-5b", (TEXT, VIDEO), {"patch_size_t": 2}),
    "1.5-5b-i2v": Kind("cogvideox1.5-5b", (IMAGE,), {"patch_size_t": 2, "ofs_embed_dim": 64}),
}
CASES = [(name, mode) for name, kind in KINDS.items() for mode in kind.modes]


def small(models: Path, folder: Path, kind: Kind, mode: Mode) -> tuple[Path, Model]:
    """A folder with a small model of this kind, and its entry in the catalogue."""
    import torch
    from diffusers import CogVideoXTransformer3DModel

    shutil.copytree(models / MODELS["demo"].weights[mode].folder, folder)
    config = json.loads((folder / "transformer" / "config.json").read_text())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        CogVideoXTransformer3DModel.from_config(config, **kind.config).save_pretrained(
            folder / "transformer"
        )
    real = MODELS[kind.model]
    return folder, real.model_copy(update={"prompt_tokens": MODELS["demo"].prompt_tokens})


def reference_of(mode: Mode, num_frames: int) -> list[Image.Image]:
    picture = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")
    return [] if mode == TEXT else [picture.rotate(5 * index) for index in range(num_frames)]


def stock(
    folder: Path, model: Model, parameters: Parameters, clip: list[Image.Image]
) -> np.ndarray:
    """Make the video with the pipeline of diffusers, as in its documentation."""
    import diffusers
    import torch

    mode = parameters.mode
    pipe = getattr(diffusers, family_of(model).parts.pipelines[mode]).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = getattr(diffusers, model.scheduler).from_config(
        pipe.scheduler.config, timestep_spacing="trailing"
    )
    inputs: dict[str, Any] = {"num_frames": parameters.num_frames}
    if mode == IMAGE:
        inputs["image"] = clip[0]
    if mode == VIDEO:
        inputs = {"video": clip, "strength": parameters.strength}
        if pipe.transformer.config.patch_size_t:
            # 17 frames are 5 latent frames, and temporal patches need an even number.
            inputs["video"] = [clip[0]] * 4 + clip
    latents = pipe(
        **inputs,
        prompt=parameters.prompt,
        height=parameters.height,
        width=parameters.width,
        num_inference_steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        use_dynamic_cfg=model.use_dynamic_cfg,
        generator=torch.Generator().manual_seed(parameters.seed),
        max_sequence_length=model.prompt_tokens,
        output_type="latent",
    ).frames
    wanted = (parameters.num_frames - 1) // 4 + 1
    with torch.no_grad():
        decoded = pipe.decode_latents(latents[:, -wanted:])
    frames = pipe.video_processor.postprocess_video(decoded, output_type="np")[0]
    pixels: np.ndarray = (frames * 255).round().astype(np.uint8)
    return pixels


def ours(
    folder: Path, model: Model, parameters: Parameters, clip: list[Image.Image]
) -> tuple[np.ndarray, Guidance]:
    """Make the video as the worker does."""
    pipeline = loading.load(
        model=model, modes=[parameters.mode], folder=folder, texts=pipelines.texts_of(parameters)
    )
    reference: pipelines.Reference | None = None
    if parameters.mode == IMAGE:
        reference = clip[0]
    if parameters.mode == VIDEO:
        reference = np.stack([np.asarray(frame) for frame in clip])
    latents = pipeline.denoise(parameters, reference, lambda *_: None)
    return pipeline.decode(latents, parameters), pipeline.guidance


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_frames_are_those_of_stock_diffusers_and_of_yesterday(
    models: Path, tmp_path: Path, name: str, mode: Mode
) -> None:
    kind = KINDS[name]
    folder, model = small(models, tmp_path / "model", kind, mode)
    parameters = Parameters(
        mode=mode,
        prompt="a bee on a flower",
        height=64,
        width=96,
        num_frames=kind.num_frames,
        fps=8,
        num_inference_steps=STEPS,
        guidance_scale=6.0,
        seed=1,
        strength=0.5 if mode == VIDEO else None,
    )
    clip = reference_of(mode, kind.num_frames)

    frames, guidance = ours(folder, model, parameters, clip)

    assert np.array_equal(frames, stock(folder, model, parameters, clip))
    assert agrees_with_yesterday(f"{name} {mode}", frames, guidance)
    assert guidance.use_dynamic_cfg == (name != "2b")


def agrees_with_yesterday(key: str, frames: np.ndarray, guidance: Guidance) -> bool:
    """Whether some pixels and the guidance are those of the file, which this can also write."""
    found = {
        "pixels": frames[::8, 5::25, 7::40].reshape(-1).tolist(),
        "guidance": list(guidance.scales),
    }
    if os.environ.get("REELDROP_WRITE_GOLDEN"):
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps(dict(sorted((known | {key: found}).items())), indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())[key]
    near = np.abs(np.array(found["pixels"]) - golden["pixels"]).max() <= TOLERANCE
    return bool(near and found["guidance"] == pytest.approx(golden["guidance"], abs=0.002))
