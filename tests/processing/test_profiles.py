"""What the presets do with a model, as far as a machine without a GPU can tell."""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from torch import nn

from contract.catalogue import Mode, Preset
from contract.manifest import Parameters
from contract.outcome import Profile
from processing import loading, pipelines
from processing.__main__ import main
from processing.gpu import attention, profiles
from tests.processing.conftest import Jobs
from tests.processing.test_golden import IMAGE, KINDS, STEPS, VIDEO, ours, reference_of, small

# Of 255. Compiled blocks, fused projections and our attention kernel add numbers in another order,
# which changes the last digits.
TOLERANCE = 1
GPU = profiles.Abilities(own_attention=True, why_no_fp8="this test has no GPU")

Able = Callable[[profiles.Abilities], None]


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> Iterator[Able]:
    """A function that says what the device can do, instead of the CPU of this machine."""
    # Tracing is what may fail or change something. This backend does it and generates no code.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))

    def can(abilities: profiles.Abilities) -> None:
        monkeypatch.setattr(profiles, "abilities", lambda *_: abilities)

    yield can
    torch._dynamo.reset()


def parameters_of(mode: Mode, num_frames: int) -> Parameters:
    return Parameters(
        mode=mode,
        prompt="a bee on a flower",
        height=64,
        width=96,
        num_frames=num_frames,
        fps=8,
        preset=Preset.BEST,
        num_inference_steps=STEPS,
        guidance_scale=6.0,
        seed=1,
        strength=0.5 if mode == VIDEO else None,
    )


def vary_norms(folder: Path) -> None:
    """Give the norms of queries and keys weights of their own. They are all 1 at first."""
    transformer = CogVideoXTransformer3DModel.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(2)
        for block in transformer.transformer_blocks:
            for norm in (block.attn1.norm_q, block.attn1.norm_k):
                norm.weight.normal_(1, 0.5)
                norm.bias.normal_(0, 0.5)
    transformer.save_pretrained(folder)


@pytest.mark.parametrize("name", list(KINDS))
def test_frames_of_the_exact_preset_are_those_of_stock_diffusers(
    models: Path, tmp_path: Path, able: Able, name: str
) -> None:
    kind = KINDS[name]
    mode = kind.modes[0]
    folder, model = small(models, tmp_path / "model", kind, mode)
    vary_norms(folder / "transformer")
    parameters = parameters_of(mode, kind.num_frames)
    clip = reference_of(mode, kind.num_frames)
    stock, _ = ours(folder, model, parameters, clip)

    able(GPU)
    exact = loading.load(
        model=model, modes=[mode], folder=folder, texts=pipelines.texts_of(parameters),
        preset=Preset.BEST,
    )  # fmt: skip
    reference = clip[0] if mode == IMAGE else None
    frames = exact.decode(exact.denoise(parameters, reference, lambda *_: None), parameters)

    assert exact.profile == Profile(
        compiled=True, own_attention_blocks=2, fp8=False, computed_steps=STEPS
    )
    assert np.abs(frames.astype(int) - stock).max() <= TOLERANCE
    assert exact._pipe.transformer.transformer_blocks[0].attn1.to_q is None


@pytest.mark.parametrize(
    ("preset", "steps", "computed"),
    [(Preset.BEST, 25, 25), (Preset.STANDARD, 50, 30), (Preset.DRAFT, 25, 15)],
)
def test_a_preset_computes_its_share_of_the_steps(
    jobs: Jobs, able: Able, monkeypatch: pytest.MonkeyPatch, preset: Preset, steps: int,
    computed: int,
) -> None:  # fmt: skip
    able(profiles.Abilities(why_not_compiled="it is slow here", why_no_fp8="neither"))
    calls: Counter[int] = Counter()
    load = loading.load

    def counted(**options: Any) -> pipelines.Pipeline:
        pipeline = load(**options)
        for number, block in enumerate(pipeline._pipe.transformer.transformer_blocks):
            block.register_forward_hook(lambda *_, number=number: calls.update([number]))
        return pipeline

    monkeypatch.setattr(loading, "load", counted)
    tasks = [
        jobs.task(name, preset=preset, num_inference_steps=steps, seed=1) for name in ("1", "2")
    ]

    layout = jobs.rendered(*tasks)

    # The first block of each step, and the other one of each step that is computed; two videos.
    assert (calls[0], calls[1]) == (2 * steps, 2 * computed)
    profile = jobs.success(layout, "1").profile
    assert profile is not None
    assert profile.computed_steps == computed
    lacking = ["compiling: it is slow here"]
    if preset != Preset.BEST:
        lacking.append("fp8: neither")
    assert list(profile.lacking) == lacking
    assert len({jobs.success(layout, name).video.sha256 for name in ("1", "2")}) == 1


def test_the_first_and_the_last_steps_are_computed() -> None:
    for steps in (50, 25, 100):
        for period in profiles.PERIODS.values():
            mask = profiles.mask(steps, period)
            assert len(mask) == steps
            assert all(mask[:8]) and all(mask[-2:])
    assert all(profiles.mask(9, 3))


def test_on_a_cpu_every_preset_is_stock_diffusers(jobs: Jobs) -> None:
    # The files differ, because a preset also decides how they are compressed. The frames do not.
    made = set()
    for preset in Preset:
        layout = jobs.rendered(jobs.task(preset=preset, num_inference_steps=12))
        result = jobs.success(layout)
        assert result.profile == Profile(
            compiled=False, own_attention_blocks=0, fp8=False, computed_steps=12
        )
        made.add((result.poster_sha256, result.quality.to_json()))
    assert len(made) == 1


def test_a_model_that_cannot_be_compiled_makes_the_same_video_as_stock(
    jobs: Jobs, able: Able, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = [jobs.task(str(seed), preset=Preset.BEST, seed=seed) for seed in (1, 2)]
    stock = jobs.rendered(*tasks)

    def no_compiler(*_: object) -> NoReturn:
        raise RuntimeError("no C compiler was found")

    able(GPU)
    monkeypatch.setattr(
        nn.Module, "compile", partialmethod(nn.Module.compile, backend=no_compiler)
    )  # fmt: skip
    layout = jobs.rendered(*tasks)

    for name in ("1", "2"):
        result = jobs.success(layout, name)
        assert result.profile is not None
        assert not result.profile.compiled
        assert result.profile.lacking == ("compiling: it failed with BackendCompilerFailed",)
        assert result.video.sha256 == jobs.success(stock, name).video.sha256
    assert "no C compiler was found" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("capability", "dtype", "triton", "compiles", "no_fp8"),
    [
        ((9, 0), torch.bfloat16, True, True, ""),
        ((8, 9), torch.bfloat16, True, True, ""),
        ((8, 6), torch.bfloat16, True, True, "8.6, and 8.9 is needed"),
        ((7, 5), torch.float16, True, False, "7.5, and 8.9 is needed"),
        ((9, 0), torch.float16, True, True, "bfloat16"),
        ((9, 0), torch.bfloat16, False, False, "Triton is not installed"),
    ],
)
def test_what_a_gpu_can_do_follows_from_its_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype, triton: bool,
    compiles: bool, no_fp8: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if triton else None)
    monkeypatch.setattr(attention, "available", lambda: capability == (9, 0) and triton)
    monkeypatch.setattr(attention, "broken", lambda: "")

    found = profiles.abilities(torch.device("cuda"), dtype)

    assert (found.why_not_compiled == "") == compiles
    assert no_fp8 in found.why_no_fp8
    assert bool(found.why_no_fp8) == bool(no_fp8)
    assert found.own_attention == (capability == (9, 0) and triton)


def test_a_kernel_that_is_wrong_here_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(attention, "available", lambda: True)
    monkeypatch.setattr(attention, "broken", lambda: "its result was wrong")

    found = profiles.abilities(torch.device("cuda"), torch.bfloat16)

    assert not found.own_attention
    assert found.why_no_own_attention == "its result was wrong"


def test_without_torchao_fp8_is_left_out_and_the_sidecar_says_so(
    jobs: Jobs, able: Able, monkeypatch: pytest.MonkeyPatch
) -> None:
    able(profiles.Abilities(why_not_compiled="no"))

    layout = jobs.rendered(jobs.task(preset=Preset.STANDARD))

    profile = jobs.success(layout).profile
    assert profile is not None and not profile.fp8
    assert profile.lacking[1].startswith("fp8: torchao failed with ModuleNotFoundError")


def test_tasks_of_several_presets_are_no_manifest(jobs: Jobs, tmp_path: Path) -> None:
    layout = jobs.root(jobs.task("1", preset=Preset.BEST), jobs.task("2", preset=Preset.DRAFT))
    message = tmp_path / "message"

    assert main(["--root", str(layout.root), "--message", str(message)]) == 1

    assert "several presets" in message.read_text()
