"""The advice of a failure of the worker is followed, and then the video is made."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from contract.errors import Code
from contract.manifest import Layout, Manifest
from contract.outcome import MACHINE_VARIABLE, RESULT_FILE
from processing import loading, pipelines, video
from processing.__main__ import main
from processing.pipelines import Pipeline
from tests.corpus.specimen import OF_THE_WORKER
from tests.processing.conftest import Jobs


def _own_model(layout: Layout) -> Path:
    """A copy of the model that can be damaged."""
    original = layout.model.resolve()
    layout.model.unlink()
    shutil.copytree(original, layout.model)
    return layout.model


def _unusable_gpu(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    def no_driver(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("The NVIDIA driver on your system is too old.")

    patch.setenv(MACHINE_VARIABLE, "ml.g6e.xlarge")
    patch.setattr(torch, "ones", no_driver)


def _other_manifest(layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    manifest = json.loads(layout.manifest.read_text())
    layout.manifest.write_text(json.dumps(manifest | {"model": "sora"}))


def _missing_file(layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    (_own_model(layout) / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def _weights_of_another_mode(layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    model = layout.model.resolve()
    layout.model.unlink()
    layout.model.symlink_to(model.parent / "demo-i2v")


def _cut_file(layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    file = _own_model(layout) / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _too_many_frames(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    denoise = pipelines.Pipeline.denoise

    def fits_few(self: Pipeline, parameters: Any, *others: Any) -> torch.Tensor:
        if parameters.num_frames > 9:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return denoise(self, parameters, *others)

    patch.setattr(pipelines.Pipeline, "denoise", fits_few)


def _little_memory(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    patch.setattr("diffusers.CogVideoXTransformer3DModel.from_pretrained", fails)


def _full_disk(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(video, "encode", fails)


def _unexpected(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("of all things")

    patch.setattr(pipelines.Pipeline, "denoise", fails)


def _nothing(_layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    """The model cannot make this number of frames."""


def _not_finite(_layout: Layout, patch: pytest.MonkeyPatch) -> None:
    load = loading.load

    def overflows(**options: Any) -> Pipeline:
        pipeline = load(**options)
        with torch.no_grad():
            list(pipeline._pipe.transformer.parameters())[-1].fill_(torch.inf)
        return pipeline

    patch.setattr(loading, "load", overflows)


def _damaged_lora(layout: Layout, _patch: pytest.MonkeyPatch) -> None:
    layout.lora.write_bytes(b"no safetensors")
    manifest = Manifest.from_json(layout.manifest.read_bytes())
    (task,) = manifest.tasks
    with_lora = task.parameters.model_copy(update={"lora": "style", "lora_scale": 1.0})
    tasks = (task.model_copy(update={"parameters": with_lora}),)
    changed = manifest.model_copy(update={"tasks": tasks})
    layout.manifest.write_text(changed.to_json(), encoding="utf-8")


@dataclass(frozen=True)
class Broken:
    """How something breaks, and what the answer advises."""

    code: Code
    breaks: Callable[[Layout, pytest.MonkeyPatch], None]
    advice: str
    num_frames: int = 9
    """Of the video that fails. The one after the advice was followed has 9."""
    repaired: bool = True
    """Whether an administrator repairs something first."""


BROKEN = [
    Broken(Code.GPU_UNUSABLE, _unusable_gpu, "another image_uri or other instance_types"),
    Broken(Code.MANIFEST_INVALID, _other_manifest, "functions and worker from the same version"),
    Broken(Code.WEIGHTS_MISSING, _missing_file, "upload the whole model folder again"),
    Broken(Code.WEIGHTS_MISSING, _weights_of_another_mode, "the model folder for this mode"),
    Broken(Code.WEIGHTS_DAMAGED, _cut_file, "upload the whole model folder again"),
    Broken(Code.LORA_UNUSABLE, _damaged_lora, "Use another LoRA, or the model that it"),
    Broken(Code.OUT_OF_MEMORY, _too_many_frames, "Use fewer frames", 17, repaired=False),
    Broken(Code.OUT_OF_MEMORY, _little_memory, "ask your administrator for more memory"),
    Broken(Code.DISK_FULL, _full_disk, "ask your administrator to give the"),
    Broken(Code.RENDER_FAILED, _unexpected, "Drop the spec again."),
    Broken(Code.RENDER_FAILED, _nothing, "a number of frames that the guide lists", 5),
    Broken(Code.RENDER_FAILED, _not_finite, "If it fails again, ask your administrator"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.breaks.__name__)
def test_the_video_is_made_after_what_the_failure_advises(
    jobs: Jobs, tmp_path: Path, broken: Broken
) -> None:
    message = tmp_path / "output" / "message"
    with pytest.MonkeyPatch.context() as patch:
        first = jobs.root(jobs.task(num_frames=broken.num_frames))
        broken.breaks(first, patch)
        main(["--root", str(first.root), "--message", str(message)])
        if (first.task_output("bee") / RESULT_FILE).exists():
            problem = jobs.failure(first).problem
            assert problem.code == broken.code and broken.advice in problem.hint
        else:
            said = message.read_text(encoding="utf-8")
            assert said.startswith(broken.code)
        if broken.repaired:
            patch.undo()
        again = jobs.rendered(jobs.task())
    jobs.success(again)


def test_every_code_of_the_worker_is_here() -> None:
    assert {broken.code for broken in BROKEN} == OF_THE_WORKER
