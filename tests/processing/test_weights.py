"""The fingerprint of a model folder, and the check that it is complete."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from contract import model_folder
from contract.catalogue import MODELS, Mode
from contract.errors import Code, TaskFailed
from processing import weights


@pytest.fixture
def folder(tmp_path: Path, models: Path) -> Path:
    return shutil.copytree(models / "demo", tmp_path / "demo")


def test_a_fingerprint_changes_with_bytes_and_names_and_with_nothing_else(folder: Path) -> None:
    before = weights.compare(folder).sha256
    assert len(before) == 64
    assert weights.compare(folder).sha256 == before

    (folder / ".cache").mkdir()
    (folder / ".cache" / "download.lock").write_text("")
    (folder / "vae" / "config.json").touch()
    assert weights.compare(folder).sha256 == before

    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    changed = weights.compare(folder).sha256
    assert changed != before

    (folder / "README.md").rename(folder / "READMe.md")
    assert weights.compare(folder).sha256 not in (before, changed)


def test_a_fingerprint_can_be_checked_by_hand(folder: Path) -> None:
    command = "find * -type f ! -path model.json | LC_ALL=C sort | xargs sha256sum | sha256sum"
    model_folder.write(folder, repository=None, revision=None)
    by_hand = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )

    assert by_hand.stdout.split()[0] == weights.compare(folder).sha256


def test_a_complete_folder_passes_in_its_own_mode_only(folder: Path, models: Path) -> None:
    weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)
    weights.check(models / "demo-i2v", MODELS["demo"], Mode.IMAGE_TO_VIDEO)

    with pytest.raises(TaskFailed, match="CogVideoXPipeline"):
        weights.check(folder, MODELS["demo"], Mode.IMAGE_TO_VIDEO)


def test_video_to_video_has_the_weights_of_text_to_video(folder: Path, models: Path) -> None:
    weights.check(folder, MODELS["demo"], Mode.VIDEO_TO_VIDEO)

    with pytest.raises(TaskFailed, match="needs CogVideoXPipeline"):
        weights.check(models / "demo-i2v", MODELS["demo"], Mode.VIDEO_TO_VIDEO)


def test_weights_in_several_files_must_all_be_there(folder: Path) -> None:
    part = folder / "transformer"
    whole = part / "diffusion_pytorch_model.safetensors"
    shards = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    shutil.copy(whole, part / shards[0])
    whole.rename(part / shards[1])
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)

    (part / shards[0]).unlink()
    with pytest.raises(TaskFailed, match=f"transformer/{shards[0]}") as failure:
        weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)
    assert failure.value.problems[0].code == Code.WEIGHTS_MISSING


def test_an_absent_folder_lacks_everything(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="model_index") as failure:
        weights.check(tmp_path / "nothing", MODELS["demo"], Mode.TEXT_TO_VIDEO)
    assert failure.value.problems[0].code == Code.WEIGHTS_MISSING


def test_files_of_model_json_must_be_there(folder: Path) -> None:
    (folder / "tokenizer" / "added.json").write_text("{}")
    model_folder.write(folder, repository=None, revision=None)
    weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)

    (folder / "tokenizer" / "added.json").unlink()

    with pytest.raises(TaskFailed, match=r"added\.json") as failure:
        weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)
    assert failure.value.problems[0].code == Code.WEIGHTS_MISSING


def test_a_file_that_model_json_does_not_list_is_named(folder: Path) -> None:
    model_folder.write(folder, repository=None, revision=None)
    (folder / "vae" / "other.safetensors").write_text("")

    with pytest.raises(TaskFailed, match=r"vae/other\.safetensors"):
        weights.compare(folder)


def test_an_unreadable_model_json_is_named(folder: Path) -> None:
    (folder / "model.json").write_text('{"files": ')

    with pytest.raises(TaskFailed, match=r"model\.json") as failure:
        weights.check(folder, MODELS["demo"], Mode.TEXT_TO_VIDEO)
    assert failure.value.problems[0].code == Code.WEIGHTS_DAMAGED
