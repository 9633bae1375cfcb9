"""A LoRA changes the video as in stock diffusers, and one that does not fit is named.

The tests start processes, because diffusers decides when it is imported whether it can load LoRAs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from contract.errors import TaskFailed
from contract.manifest import Layout
from processing import worker
from processing.__main__ import main
from tests.processing.conftest import Jobs
from tests.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]
PREPARE = """
    import sys, torch, diffusers
    from pathlib import Path
    from peft import LoraConfig, get_peft_model_state_dict
    from safetensors.torch import save_file

    def lora(transformer, path, rank=4):
        '''Write a random LoRA for a transformer, and take it off again.'''
        transformer.add_adapter(LoraConfig(
            r=rank, lora_alpha=2 * rank, init_lora_weights=False,
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        ))
        state = get_peft_model_state_dict(transformer)
        diffusers.CogVideoXPipeline.save_lora_weights(
            path.parent, transformer_lora_layers=state, weight_name=path.name,
            transformer_lora_adapter_metadata=None,
        )
        transformer.delete_adapters("default")
        return state

    models, out = map(Path, sys.argv[1:3])
    read = diffusers.CogVideoXTransformer3DModel.from_pretrained
    torch.manual_seed(5)
"""


def run(program: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PREPARE) + textwrap.dedent(program),
         *map(str, arguments)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lora(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA for the small random model."""
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    run("lora(read(models / 'demo' / 'transformer'), out)", models, path)
    return path


def render(layout: Layout, message: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "processing", "--root", layout.root, "--message", message],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode


def test_frames_are_those_of_stock_diffusers_with_the_lora(models: Path, lora: Path) -> None:
    """Stock diffusers computes the LoRA beside each layer. Here it is in the weights."""
    program = """
        import numpy as np
        from contract.catalogue import MODELS, Mode
        from processing import loading
        from processing.lora import Lora

        def frames(pipe):
            torch.manual_seed(3)
            return pipe(
                "a bee", height=64, width=64, num_frames=9, num_inference_steps=2, guidance_scale=4,
                generator=torch.Generator().manual_seed(1), output_type="pt",
            ).frames[0].numpy()

        pipe = diffusers.CogVideoXPipeline.from_pretrained(models / "demo")
        pipe.set_progress_bar_config(disable=True)
        without = frames(pipe)
        pipe.load_lora_weights(str(out), adapter_name="style")
        pipe.set_adapters("style", 0.5)
        stock = frames(pipe)
        loaded = loading.load(
            model=MODELS["demo"], modes=[Mode.TEXT_TO_VIDEO], folder=models / "demo",
            texts=["a bee"], lora=Lora(out, "style", 0.5),
        )
        pipe.unload_lora_weights()
        pipe.transformer = loaded._pipe.transformer
        ours = frames(pipe)
        print(float(np.abs(ours - stock).max()), float(np.abs(ours - without).max()))
    """
    apart, changed = map(float, run(program, models, lora).split())
    assert apart < 1e-3 and changed > 0.05


def test_a_video_with_a_lora_says_which_one(jobs: Jobs, lora: Path, tmp_path: Path) -> None:
    plain = jobs.rendered(jobs.task())
    layout = jobs.root(jobs.task(lora="style", lora_scale=1.0))
    shutil.copy(lora, layout.lora)

    assert render(layout, tmp_path / "message") == 0

    made, without = jobs.success(layout), jobs.success(plain)
    assert made.lora_sha256 == hashlib.sha256(lora.read_bytes()).hexdigest()
    assert without.lora_sha256 is None
    assert made.video.sha256 != without.video.sha256


def test_a_lora_that_is_missing_fails_every_task(jobs: Jobs, tmp_path: Path) -> None:
    tasks = [jobs.task(name, lora="style", lora_scale=1.0) for name in ("one", "two")]
    layout, message = jobs.root(*tasks), tmp_path / "message"

    assert main(["--root", str(layout.root), "--message", str(message)]) == 1

    assert message.read_text().startswith("lora-unusable: The LoRA style cannot be")
    for name in ("one", "two"):
        assert jobs.failure(layout, name).problem.code == "lora-unusable"


def test_a_lora_that_is_damaged_or_for_another_model_is_refused(models: Path, lora: Path) -> None:
    program = """
        from contract.errors import TaskFailed
        from processing.lora import Lora

        good = out.read_bytes()
        folder = out.parent
        (folder / "garbage").write_bytes(b"no safetensors")
        (folder / "cut").write_bytes(good[:-1000])
        config = {**read(models / "demo" / "transformer").config, "num_attention_heads": 8}
        other = diffusers.CogVideoXTransformer3DModel.from_config(config)
        lora(other, folder / "other-width.safetensors")
        (folder / "other-width.safetensors").rename(folder / "other-width")
        state = {f"unet.{number}.lora_A.weight": torch.zeros(2, 2) for number in range(3)}
        save_file(state, folder / "other-names")
        from safetensors.torch import load_file
        state = load_file(out)
        first = next(iter(state))
        save_file({**state, first: state[first] * float("nan")}, folder / "nan")
        more = {first.replace("blocks.0.", "blocks.99."): state[first].clone()}
        save_file({**state, **more}, folder / "more")
        for name in ("garbage", "cut", "other-width", "other-names", "nan", "more"):
            try:
                Lora(folder / name, name, 1.0).add_to(
                    read(models / "demo" / "transformer"), diffusers.CogVideoXPipeline)
            except TaskFailed as failure:
                print(failure.problems[0].code, failure.problems[0].message)
            else:
                print("no error for", name)
    """
    said = run(program, models, lora).splitlines()
    assert len(said) == 6
    assert all(line.startswith("lora-unusable The LoRA ") for line in said), said


def test_a_lora_for_which_there_is_no_memory_is_not_blamed(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file

    def fails(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("diffusers.CogVideoXPipeline.lora_state_dict", fails)
    layout = jobs.root(jobs.task(lora="style", lora_scale=1.0))
    save_file({"a": torch.zeros(1)}, layout.lora)

    assert main(["--root", str(layout.root), "--message", str(tmp_path / "message")]) == 1

    assert jobs.failure(layout).problem.code == "out-of-memory"


def test_a_manifest_has_one_lora(jobs: Jobs) -> None:
    layout = jobs.root(jobs.task("one"), jobs.task("two", lora="style", lora_scale=1.0))
    with pytest.raises(TaskFailed, match="several LoRAs"):
        worker.render_manifest(layout)
