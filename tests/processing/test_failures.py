"""Failures of the worker: they only affect their own task if possible, and always have a code."""

import errno
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from contract import model_folder
from contract.errors import Code, Problem, TaskFailed
from contract.manifest import Layout, Parameters
from contract.outcome import GIF_FILE, MACHINE_VARIABLE, POSTER_FILE, RESULT_FILE, VIDEO_FILE
from processing import device, files, loading, pipelines, video, weights, worker
from processing.__main__ import main
from processing.gif import Gif
from processing.pipelines import Pipeline, Reference, StepReport
from tests.processing.conftest import Jobs

OwnModel = Callable[[Layout], Path]
"""Gives a root its own copy of the model, which a test can damage."""


def run(layout: Layout, message: Path) -> int:
    return main(["--root", str(layout.root), "--message", str(message)])


@pytest.fixture
def message(tmp_path: Path) -> Path:
    return tmp_path / "output" / "message"


@pytest.fixture
def own_model() -> OwnModel:
    """A function that gives a root its own copy of the model, which a test can damage."""

    def copy(layout: Layout) -> Path:
        original = layout.model.resolve()
        layout.model.unlink()
        shutil.copytree(original, layout.model)
        return layout.model

    return copy


def test_a_corrupt_image_fails_its_task_alone(jobs: Jobs, message: Path) -> None:
    layout = jobs.root(
        jobs.task("good", image="good.png"),
        jobs.task("poison", image="poison.png"),
        jobs.task("absent", image="absent.png"),
    )
    Image.new("RGB", (64, 64), "red").save(layout.references / "good.png")
    (layout.references / "poison.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")

    assert run(layout, message) == 0

    jobs.success(layout, "good")
    for name in ("poison", "absent"):
        failed = jobs.failure(layout, name)
        assert failed.problem.code == Code.REFERENCE_UNREADABLE
        assert f"{name}.png" in failed.problem.message
    assert not message.exists()


def test_when_no_reference_can_be_used_nothing_is_loaded(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load", lambda **_: pytest.fail("loaded for nothing"))
    layout = jobs.root(jobs.task("absent", image="absent.png"))

    assert run(layout, message) == 0

    assert jobs.failure(layout, "absent").problem.code == Code.REFERENCE_UNREADABLE


def test_an_unexpected_error_fails_its_task_alone_and_leaves_its_traceback(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = jobs.root(jobs.task("first", seed=1), jobs.task("second", seed=2))
    denoise = pipelines.Pipeline.denoise

    def breaks_for_the_first(
        self: Pipeline, parameters: Parameters, reference: Reference | None, on_step: StepReport
    ) -> torch.Tensor:
        if parameters.seed == 1:
            raise ZeroDivisionError("of all things")
        return denoise(self, parameters, reference, on_step)

    monkeypatch.setattr(pipelines.Pipeline, "denoise", breaks_for_the_first)

    assert run(layout, message) == 0

    failed = jobs.failure(layout, "first")
    assert failed.problem.code == Code.RENDER_FAILED
    assert "of all things" in failed.detail
    assert "breaks_for_the_first" in failed.detail
    jobs.success(layout, "second")


@pytest.mark.parametrize(
    ("part", "when"), [("transformer", "in step 1 of 2"), ("vae", "while decoding")]
)
def test_numbers_that_are_not_finite_fail_the_task_as_soon_as_they_appear(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch, part: str, when: str
) -> None:
    load = loading.load

    def overflows(**options: Any) -> Pipeline:
        pipeline = load(**options)
        with torch.no_grad():
            # As float16 does with a model that needs bfloat16.
            list(getattr(pipeline._pipe, part).parameters())[-1].fill_(torch.inf)
        return pipeline

    monkeypatch.setattr(loading, "load", overflows)
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 0

    problem = jobs.failure(layout).problem
    assert problem.code == Code.RENDER_FAILED
    assert when in problem.message
    assert "not finite" in problem.message


@pytest.mark.parametrize("part", ["denoise", "decode"])
def test_out_of_memory_once_is_tried_again_in_tiles(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    layout = jobs.root(jobs.task())
    work = getattr(pipelines.Pipeline, part)
    tiling: list[bool] = []

    def fails_without_tiles(self: Pipeline, *arguments: Any) -> Any:
        tiling.append(self._pipe.vae.use_tiling)
        if not self._pipe.vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(self, *arguments)

    monkeypatch.setattr(pipelines.Pipeline, part, fails_without_tiles)

    worker.render_manifest(layout)

    jobs.success(layout)
    assert tiling == [False, True]


def test_out_of_memory_in_decoding_does_not_repeat_the_denoising(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = jobs.root(jobs.task())
    decode = pipelines.Pipeline.decode

    def fails_without_tiles(self: Pipeline, *arguments: Any) -> Any:
        if not self._pipe.vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, *arguments)

    monkeypatch.setattr(pipelines.Pipeline, "decode", fails_without_tiles)

    worker.render_manifest(layout)

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last_steps = [e for e in events if e["event"] == "progress" and e["step"] == e["of"]]
    assert len(last_steps) == 1


def test_out_of_memory_twice_is_named(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> NoReturn:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr(pipelines.Pipeline, "denoise", fails)
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 0

    assert jobs.failure(layout).problem.code == Code.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory", 2),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        MemoryError(),
    ],
    ids=lambda error: str(error)[:40],
)
def test_every_message_about_too_little_memory_is_known(error: Exception) -> None:
    assert device.is_out_of_memory(error)
    assert not device.is_device_lost(error)


def test_on_a_gpu_instance_without_a_usable_gpu_no_task_runs_and_none_fails(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).\nX")

    monkeypatch.setenv(MACHINE_VARIABLE, "ml.g6e.xlarge")
    monkeypatch.setattr(torch, "ones", no_driver)
    monkeypatch.setattr(weights, "compare", lambda _: pytest.fail("read the weights for nothing"))
    driver = message.parent / "driver"
    driver.parent.mkdir()
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01\nGCC\n")
    monkeypatch.setattr(device, "_DRIVER_FILE", driver)
    layout = jobs.root(jobs.task("one"), jobs.task("two"))

    assert run(layout, message) == 1

    line = message.read_text(encoding="utf-8")
    assert line.startswith("gpu-unusable: PyTorch cannot use the GPU of ml.g6e.xlarge: The NVIDIA")
    assert "too old (found version 12020)" in line
    assert f"PyTorch {torch.__version__}" in line
    assert "535.183.01" in line
    assert not list(layout.output.rglob("*.json")), "no task is at fault"


def test_a_torch_without_cuda_is_not_accepted_on_a_gpu_instance(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv(MACHINE_VARIABLE, "ml.p5.4xlarge")
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 1

    assert message.read_text(encoding="utf-8").startswith("gpu-unusable: ")
    assert not list(layout.output.rglob("*.json"))


def test_a_lost_device_leaves_tasks_without_results_for_another_attempt(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_the_device(*_: object) -> NoReturn:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure", 719)

    monkeypatch.setattr(pipelines.Pipeline, "denoise", loses_the_device)
    layout = jobs.root(jobs.task("first"), jobs.task("second"))

    with pytest.raises(torch.AcceleratorError):
        run(layout, message)

    assert not list(layout.output.rglob(RESULT_FILE))
    assert "AcceleratorError" in message.read_text(encoding="utf-8")


def test_a_full_disk_is_named_and_leaves_no_video(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_the_disk(frames: Iterable[np.ndarray], *, path: Path, **options: Any) -> NoReturn:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(video, "encode", fills_the_disk)
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 0

    assert jobs.failure(layout).problem.code == Code.DISK_FULL
    names = {path.name for path in layout.task_output("bee").iterdir()}
    assert not {VIDEO_FILE, f".{VIDEO_FILE}.part", POSTER_FILE} & names


@pytest.mark.parametrize("broken", ["encode", "publish"])
def test_a_gif_that_fails_leaves_nothing_behind(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    publish = files.publish

    def breaks_in_encoding(_: Gif, path: Path) -> NoReturn:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def breaks_once_it_is_there(path: Path) -> None:
        publish(path)
        if path.name == GIF_FILE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    if broken == "encode":
        monkeypatch.setattr(Gif, "write", breaks_in_encoding)
    else:
        monkeypatch.setattr(files, "publish", breaks_once_it_is_there)
    layout = jobs.root(jobs.task(gif=True))

    assert run(layout, message) == 0

    jobs.failure(layout)
    left = [path.name for path in layout.task_output("bee").iterdir()]
    assert not [name for name in left if "video" in name or "poster" in name]


def test_a_video_that_is_not_what_was_asked_for_is_not_published(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = video.encode
    monkeypatch.setattr(
        video, "encode", lambda frames, **options: encode(list(frames)[:-1], **options)
    )
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 0

    assert jobs.failure(layout).problem.code == Code.VIDEO_DAMAGED
    assert not (layout.task_output("bee") / VIDEO_FILE).exists()


def test_a_model_that_makes_other_frames_fails(jobs: Jobs, message: Path) -> None:
    # 13 is not 8k + 1, which CogVideoX needs. Its decoder makes 16 frames.
    layout = jobs.root(jobs.task("drifts", num_frames=13), jobs.task("bee"))

    assert run(layout, message) == 0

    failed = jobs.failure(layout, "drifts")
    assert failed.problem.code == Code.RENDER_FAILED
    assert "16 frames" in failed.problem.message
    jobs.success(layout)


@pytest.mark.parametrize(
    "name",
    [
        "transformer/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "vae/config.json",
    ],
)
def test_a_cut_file_of_the_model_is_named(
    jobs: Jobs, message: Path, own_model: OwnModel, name: str
) -> None:
    layout = jobs.root(jobs.task("one"), jobs.task("two"))
    file = own_model(layout) / name
    file.write_bytes(file.read_bytes()[:-100])

    assert run(layout, message) == 1

    line = message.read_text(encoding="utf-8")
    assert line.startswith(f"weights-damaged: {name}")
    assert "\n" not in line
    for task_id in ("one", "two"):
        assert jobs.failure(layout, task_id).problem.code == Code.WEIGHTS_DAMAGED


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_flipped_bytes_are_found_before_anything_is_rendered(
    jobs: Jobs, message: Path, own_model: OwnModel, part: str
) -> None:
    layout = jobs.root(jobs.task())
    model = own_model(layout)
    model_folder.write(model, repository="zai-org/CogVideoX-2b", revision="1137dac")
    file = next((model / part).glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    for position in range(len(data) // 2, len(data) // 2 + 4000):
        data[position] ^= 0b101
    file.write_bytes(data)

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.WEIGHTS_DAMAGED
    assert problem.message.startswith(f"{part}/{file.name} of the model")
    assert "SHA-256" in problem.message


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found_without_a_model_json(
    jobs: Jobs, message: Path, own_model: OwnModel, part: str, value: float
) -> None:
    from safetensors.numpy import load_file, save_file

    layout = jobs.root(jobs.task())
    file = next((own_model(layout) / part).glob("*.safetensors"))
    tensors = load_file(file)
    name = sorted(tensors)[0]
    tensors[name].flat[-1] = value
    save_file(tensors, file, metadata={"format": "pt"})

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.WEIGHTS_DAMAGED
    assert f"the tensor {name}" in problem.message


def test_the_file_that_differs_is_named_and_not_the_error_that_it_causes(
    jobs: Jobs, message: Path, own_model: OwnModel
) -> None:
    layout = jobs.root(jobs.task())
    model = own_model(layout)
    model_folder.write(model, repository=None, revision=None)
    config = model / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 6'))

    assert run(layout, message) == 1

    assert jobs.failure(layout).problem.message.startswith("vae/config.json")


def test_a_tensor_that_is_not_there_is_not_replaced_by_chance(
    jobs: Jobs, message: Path, own_model: OwnModel
) -> None:
    from safetensors.numpy import load_file, save_file

    for part in ("transformer/diffusion_pytorch_model", "text_encoder/model"):
        layout = jobs.root(jobs.task())
        file = own_model(layout) / f"{part}.safetensors"
        tensors = load_file(file)
        name = next(name for name in sorted(tensors) if "norm" in name)
        del tensors[name]
        save_file(tensors, file, metadata={"format": "pt"})

        assert run(layout, message) == 1

        assert jobs.failure(layout).problem.code == Code.WEIGHTS_DAMAGED
        assert name in jobs.failure(layout).problem.message


def test_weights_of_other_sizes_than_their_configuration_are_named(
    jobs: Jobs, message: Path, own_model: OwnModel
) -> None:
    layout = jobs.root(jobs.task())
    config = own_model(layout) / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 6'))

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert (problem.code, problem.message[:3]) == (Code.WEIGHTS_DAMAGED, "vae")


def test_missing_weights_are_named(jobs: Jobs, message: Path, own_model: OwnModel) -> None:
    layout = jobs.root(jobs.task())
    model = own_model(layout)
    (model / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (model / "tokenizer" / "tokenizer.json").unlink()

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.WEIGHTS_MISSING
    assert "vae/diffusion_pytorch_model.safetensors" in problem.message
    assert "tokenizer/spiece.model" in problem.message


def test_weights_for_another_mode_are_refused(jobs: Jobs, message: Path, models: Path) -> None:
    layout = jobs.root(jobs.task())
    layout.model.unlink()
    layout.model.symlink_to(models / "demo-i2v")

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.WEIGHTS_MISSING
    assert "CogVideoXImageToVideoPipeline" in problem.message


def test_a_missing_package_for_the_tokenizer_is_not_blamed_on_the_weights(
    jobs: Jobs, message: Path, own_model: OwnModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = jobs.root(jobs.task())
    tokenizer = own_model(layout) / "tokenizer"
    (tokenizer / "tokenizer.json").rename(tokenizer / "spiece.model")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "sentencepiece" else find_spec(name, *rest),
    )

    with pytest.raises(ModuleNotFoundError, match="sentencepiece"):
        run(layout, message)

    assert "sentencepiece" in message.read_text(encoding="utf-8")


def test_results_that_are_there_survive_a_later_failure_of_all(
    jobs: Jobs, message: Path, own_model: OwnModel
) -> None:
    layout = jobs.rendered(jobs.task("done"), jobs.task("lost"))
    (layout.task_output("lost") / RESULT_FILE).unlink()
    (own_model(layout) / "vae" / "config.json").unlink()

    assert run(layout, message) == 1

    jobs.success(layout, "done")
    assert (layout.task_output("done") / VIDEO_FILE).exists()
    assert jobs.failure(layout, "lost").problem.code == Code.WEIGHTS_MISSING


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "text"),
        ("{", "text"),
        ('{"version": 1}', "attempt_id"),
        (
            '{"attempt_id": "a", "model": "demo", "mode": "text-to-video", "tasks": '
            '[{"task_id": "../up", "parameters": {}}]}',
            "tasks.0.task_id",
        ),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    jobs: Jobs, message: Path, text: str, place: str
) -> None:
    layout = jobs.root(jobs.task())
    layout.manifest.write_text(text)

    assert run(layout, message) == 1

    line = message.read_text(encoding="utf-8")
    assert line.startswith("manifest-invalid: ")
    assert place in line
    assert not list(layout.output.iterdir())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": "sora"}, "sora"),
        ({"model": "cogvideox-2b", "mode": "image-to-video"}, "cannot do"),
        ({"mode": "image-to-video"}, "has no image for bee"),
        ({"another": "image-to-video"}, "several model folders"),
        ({"image": "bee.png"}, "image"),
        ({"video": "bee.mp4"}, "video"),
        ({"strength": 0.5}, "strength"),
        ({"twice": True}, "same id"),
    ],
)
def test_a_manifest_that_contradicts_itself_fails_every_task(
    jobs: Jobs, message: Path, changes: dict[str, Any], what: str
) -> None:
    layout = jobs.root(jobs.task())
    manifest = json.loads(layout.manifest.read_text())
    if changes.pop("twice", False):
        manifest["tasks"] *= 2
    (task,) = manifest["tasks"][:1]
    if "another" in changes:
        parameters = task["parameters"] | {"mode": changes.pop("another")}
        manifest["tasks"].append(task | {"task_id": "other", "parameters": parameters})
    for name in ("mode", "strength"):
        if name in changes:
            task["parameters"][name] = changes.pop(name)
    for name in ("image", "video"):
        if name in changes:
            task[name] = changes.pop(name)
    layout.manifest.write_text(json.dumps(manifest | changes))

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.MANIFEST_INVALID
    assert what in problem.message


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"video": None}, "video"),
        ({"image": "bee.png"}, "image"),
        ({"strength": None}, "strength"),
        ({"strength": 1.5}, "between 0 and 1"),
        ({"strength": -0.5}, "between 0 and 1"),
    ],
)
def test_a_manifest_for_video_to_video_has_a_video_a_strength_and_no_image(
    jobs: Jobs, message: Path, changes: dict[str, Any], what: str
) -> None:
    layout = jobs.root(jobs.task(video="bee.mp4"))
    manifest = json.loads(layout.manifest.read_text())
    task = manifest["tasks"][0]
    for name, value in changes.items():
        (task["parameters"] if name == "strength" else task)[name] = value
    layout.manifest.write_text(json.dumps(manifest))

    assert run(layout, message) == 1

    problem = jobs.failure(layout).problem
    assert problem.code == Code.MANIFEST_INVALID
    assert what in problem.message


def test_an_absent_manifest_is_named(tmp_path: Path, message: Path) -> None:
    assert main(["--root", str(tmp_path / "nothing"), "--message", str(message)]) == 1

    assert message.read_text(encoding="utf-8").startswith("manifest-invalid: ")


def test_the_message_fits_its_place_and_is_not_needed(
    jobs: Jobs, message: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problem = Problem(code=Code.WEIGHTS_DAMAGED, message="ä" * 2000, hint="a\nb")

    def fails(_layout: Layout) -> NoReturn:
        raise TaskFailed(problem)

    monkeypatch.setattr(worker, "render_manifest", fails)
    layout = jobs.root(jobs.task())

    assert run(layout, message) == 1
    assert 1000 < len(message.read_bytes()) <= 1024
    assert "\n" not in message.read_text(encoding="utf-8")

    (tmp_path / "file").write_text("")
    assert run(layout, tmp_path / "file" / "message") == 1
