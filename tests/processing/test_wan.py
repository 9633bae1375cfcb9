"""Wan2.2-TI2V-5B, small: its frames are those of stock diffusers, and of yesterday.

`REELDROP_WRITE_GOLDEN=1 pytest tests/processing/test_wan.py` writes new values.
"""

import json
import shutil
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from contract.catalogue import MODELS, Mode, Preset
from contract.errors import Code, TaskFailed
from contract.manifest import ManifestTask, Parameters
from contract.memory import MemoryMode
from contract.outcome import VIDEO_FILE, MemoryUse, Profile
from processing import loading, pipelines, weights, worker
from processing.families import family_of
from processing.gpu import profiles
from tests import random_wan
from tests.processing.conftest import Jobs
from tests.processing.test_golden import agrees_with_yesterday

MODEL = MODELS["wan2.2-5b"]
TEXT, IMAGE = Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO
# Of 255. The same functions in the same order give the same frames.
TOLERANCE = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Wan. Tests must not write into it."""
    target = tmp_path_factory.mktemp("models") / MODEL.weights[TEXT].folder
    random_wan.write(target)
    return target


def parameters_of(mode: Mode, **changes: Any) -> Parameters:
    values: dict[str, Any] = {
        "mode": mode,
        "prompt": "a bee on a flower",
        "negative_prompt": "dark",
        "height": 64,
        "width": 96,
        "num_frames": 9,
        "fps": 24,
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "seed": 1,
    }
    return Parameters(**(values | changes))


def picture() -> Image.Image:
    return Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")


def loaded(folder: Path, parameters: Parameters, **options: Any) -> pipelines.Pipeline:
    return loading.load(
        model=MODEL,
        modes=[parameters.mode],
        folder=folder,
        texts=pipelines.texts_of(parameters),
        **options,
    )


def ours(pipeline: pipelines.Pipeline, parameters: Parameters) -> np.ndarray:
    reference = picture() if parameters.mode == IMAGE else None
    latents = pipeline.denoise(parameters, reference, lambda *_: None)
    return pipeline.decode(latents, parameters)


def stock(folder: Path, parameters: Parameters, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Make the video with the pipeline of diffusers, as in its documentation."""
    import diffusers
    from diffusers.pipelines.wan import pipeline_wan_i2v

    # Without this package, the pipeline for images fails. It repairs characters, and this prompt
    # has none to repair.
    as_it_is = SimpleNamespace(fix_text=lambda text: text)
    monkeypatch.setattr(pipeline_wan_i2v, "ftfy", as_it_is, raising=False)
    name = family_of(MODEL).parts.pipelines[parameters.mode]
    pipe = getattr(diffusers, name).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        **({"image": picture()} if parameters.mode == IMAGE else {}),
        prompt=parameters.prompt,
        negative_prompt=parameters.negative_prompt,
        height=parameters.height,
        width=parameters.width,
        num_frames=parameters.num_frames,
        num_inference_steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        generator=torch.Generator().manual_seed(parameters.seed),
    ).frames[0]
    pixels: np.ndarray = (frames * 255).round().astype(np.uint8)
    return pixels


@pytest.mark.parametrize("mode", [TEXT, IMAGE])
def test_frames_are_those_of_stock_diffusers_and_of_yesterday(
    folder: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = parameters_of(mode)
    steps: list[tuple[int, int]] = []

    pipeline = loaded(folder, parameters)
    reference = picture() if mode == IMAGE else None
    latents = pipeline.denoise(parameters, reference, lambda step, of: steps.append((step, of)))
    frames = pipeline.decode(latents, parameters)

    assert np.abs(frames.astype(int) - stock(folder, parameters, monkeypatch)).max() <= TOLERANCE
    assert frames.std() > 10
    assert steps == [(number, 4) for number in range(1, 5)]
    assert pipeline.guidance.scales == (5.0,) * 4
    assert not pipeline.guidance.use_dynamic_cfg
    assert agrees_with_yesterday(f"wan2.2-5b {mode}", frames, pipeline.guidance)


def test_the_image_is_the_first_frame(folder: Path) -> None:
    parameters = parameters_of(IMAGE)
    pipeline = loaded(folder, parameters)
    latents = pipeline.denoise(parameters, picture(), lambda *_: None)
    other = pipeline.denoise(parameters_of(IMAGE, seed=2), picture(), lambda *_: None)

    assert torch.equal(latents[:, :, 0], other[:, :, 0])
    assert not torch.equal(latents[:, :, 1], other[:, :, 1])


def test_an_image_is_not_encoded_in_tiles_where_frames_are_decoded_in_tiles(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = parameters_of(IMAGE, height=320, width=96)
    pipeline = loaded(folder, parameters)
    pipeline._share(MemoryUse(mode=MemoryMode.TILES, stepped_down=False, gpu_gib=None))
    calls: list[str] = []
    vae = pipeline._pipe.vae
    for name in ("tiled_encode", "tiled_decode"):
        whole = getattr(vae, name)

        def recorded(*given: Any, name: str = name, whole: Any = whole, **options: Any) -> Any:
            calls.append(name)
            return whole(*given, **options)

        monkeypatch.setattr(vae, name, recorded)

    latents = pipeline.denoise(parameters, picture().resize((96, 320)), lambda *_: None)
    frames = pipeline.decode(latents, parameters)

    assert calls == ["tiled_decode"]
    assert frames.shape == (9, 320, 96, 3)


def test_compiled_blocks_make_the_same_frames_and_nothing_is_rounded_or_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = parameters_of(TEXT)
    plain = ours(loaded(folder, parameters), parameters)
    # Tracing is what may fail or change something. This backend does it and generates no code.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    monkeypatch.setattr(profiles, "abilities", lambda *_: profiles.Abilities(own_attention=True))
    try:
        pipeline = loaded(folder, parameters, preset=Preset.STANDARD)
        frames = ours(pipeline, parameters)
    finally:
        torch._dynamo.reset()

    # In another order, numbers differ in their last digits.
    assert np.abs(frames.astype(int) - plain).max() <= 1
    assert pipeline.profile == Profile(
        compiled=True,
        own_attention_blocks=0,
        fp8=False,
        computed_steps=4,
        lacking=(
            "fp8: it was not tried with Wan yet",
            "leaving steps out: it was not tried with Wan yet",
        ),
    )


def test_on_a_gpu_the_vae_stays_in_float32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    dtypes: dict[type, object] = {}

    class Enough(Exception):
        pass

    for part in (WanTransformer3DModel, AutoencoderKLWan):

        def recorded(*_: Any, part: type = part, **options: Any) -> Any:
            dtypes[part] = options["torch_dtype"]
            raise Enough

        monkeypatch.setattr(part, "from_pretrained", recorded)
    loader = loading._Loader(
        model=MODEL,
        family=family_of(MODEL),
        folder=folder,
        diffusers=__import__("diffusers"),
        transformers=None,
        lora=None,
        device=torch.device("cuda"),
        device_name="a GPU",
        dtype=torch.bfloat16,
    )
    for load in (loader.transformer, loader.vae):
        with pytest.raises(Enough):
            load()

    assert dtypes == {WanTransformer3DModel: torch.bfloat16, AutoencoderKLWan: torch.float32}


@pytest.mark.parametrize("kept", ["shared.weight", "encoder.embed_tokens.weight"])
def test_the_words_of_the_text_encoder_are_read_whatever_they_are_called(
    folder: Path, tmp_path: Path, kept: str
) -> None:
    """Repositories store them under one of two names, and say that the two are not the same."""
    copied = shutil.copytree(folder, tmp_path / "wan")
    file = copied / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    (stored,) = {"shared.weight", "encoder.embed_tokens.weight"} & set(tensors)
    words = tensors.pop(stored)
    save_file(tensors | {kept: words}, file, metadata={"format": "pt"})
    parameters = parameters_of(TEXT)

    before, after = (loaded(place, parameters)._encoded for place in (folder, copied))

    for text in before:
        assert torch.equal(before[text].embeds, after[text].embeds)
        assert before[text].embeds.std() > 0.01


@pytest.fixture
def jobs(tmp_path: Path, folder: Path) -> Jobs:
    return Jobs(tmp_path, folder.parent, MODEL.name)


def test_a_task_makes_the_same_video_alone_and_after_others(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    first = jobs.task("first", seed=1, fps=24, num_inference_steps=3)
    second = jobs.task("second", seed=2, fps=24, num_inference_steps=4)
    alone = jobs.rendered(second)
    capsys.readouterr()

    together = jobs.rendered(first, second)

    videos = [
        (layout.task_output("second") / VIDEO_FILE).read_bytes() for layout in (alone, together)
    ]
    assert videos[0] == videos[1]
    result = jobs.success(together, "second")
    assert result.model == "wan2.2-5b"
    assert result.scheduler == "UniPCMultistepScheduler"
    assert result.video.fps == 24
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [e["step"] for e in events if e["event"] == "progress" and e["task_id"] == "second"]
    assert steps[-1] == 4


def test_both_modes_share_what_is_loaded_and_make_the_videos_of_single_runs(jobs: Jobs) -> None:
    tasks = [
        jobs.task("picture", seed=1, image="bee.png", num_inference_steps=3),
        jobs.task("text", seed=1, num_inference_steps=4),
    ]

    def rendered(*some: ManifestTask) -> list[bytes]:
        layout = jobs.root(*some)
        picture().save(layout.references / "bee.png")
        worker.render_manifest(layout)
        return [(layout.task_output(task.task_id) / VIDEO_FILE).read_bytes() for task in some]

    assert rendered(*tasks) == [*rendered(tasks[0]), *rendered(tasks[1])]


def test_a_neighbour_that_ran_out_of_memory_changes_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four tiles each, if frames are decoded in tiles.
    first = jobs.task("first", seed=1, height=320, width=320, num_frames=5)
    second = jobs.task("second", seed=2, height=320, width=320, num_frames=5)
    alone = jobs.rendered(second)
    decode = pipelines.Pipeline.decode

    def fails_whole(self: pipelines.Pipeline, latents: torch.Tensor, parameters: Any) -> Any:
        if parameters.seed == 1 and not self.memory.mode.tiles:
            raise torch.OutOfMemoryError
        return decode(self, latents, parameters)

    monkeypatch.setattr(pipelines.Pipeline, "decode", fails_whole)
    together = jobs.rendered(first, second)

    memory = jobs.success(together, "first").memory
    assert memory is not None and memory.stepped_down
    videos = [
        (layout.task_output("second") / VIDEO_FILE).read_bytes() for layout in (alone, together)
    ]
    assert videos[0] == videos[1]


def test_a_folder_is_for_one_family_only(folder: Path, models: Path) -> None:
    for mode in MODEL.weights:
        weights.check(folder, MODEL, mode)

    with pytest.raises(TaskFailed, match="CogVideoXPipeline, but text-to-video needs WanPipeline"):
        weights.check(models / "demo", MODEL, TEXT)
    with pytest.raises(TaskFailed, match=r"WanPipeline, but .* needs CogVideoXPipeline"):
        weights.check(folder, MODELS["cogvideox-5b"], TEXT)


def test_frames_of_another_number_are_refused(folder: Path) -> None:
    """diffusers would make 9 frames of 11, and say so in a log at most."""
    parameters = parameters_of(TEXT, num_frames=11)

    with pytest.raises(TaskFailed) as failure:
        ours(loaded(folder, parameters), parameters)

    assert failure.value.problems[0].code == Code.RENDER_FAILED
    assert "9 frames of 64x96 pixels instead of 11" in failure.value.problems[0].message
