"""Model folders are downloaded from a hub of our own, which breaks off and sends wrong bytes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from contract.catalogue import MODELS
from contract.model_folder import MODEL_FILE, ModelFolder, files_of
from demo_model.install import SHIPPED
from local import ROOT
from processing import weights
from tests.hub import COMMIT, Hub, serving
from tests.waiting import PATIENCE_SECONDS

Import = Callable[..., subprocess.CompletedProcess[str]]
LARGEST = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A repository for image to video, with files that are not used."""
    folder = tmp_path / "repository"
    shutil.copytree(SHIPPED, folder)
    (folder / MODEL_FILE).unlink()
    (folder / "README.md").write_text("# about it")
    (folder / ".gitattributes").write_text("*.safetensors lfs")
    (folder / "transformer" / "pytorch_model.bin").write_bytes(b"could contain a program")
    with serving(Hub("zai-org/CogVideoX-5b-I2V", folder)) as found:
        yield found


@pytest.fixture
def imported(hub: Hub, tmp_path: Path) -> Import:
    """Runs the command of the container."""
    return command(hub, "cogvideox-5b-i2v", tmp_path)


def command(hub: Hub, folder: str, tmp_path: Path) -> Import:
    """A function that runs the command of the container for one model folder."""

    def run(revision: str = COMMIT, program: str = "") -> subprocess.CompletedProcess[str]:
        command = ["-c", program] if program else ["-m", "model_import"]
        return subprocess.run(
            [
                *(sys.executable, *command, "--folder", folder, "--revision", revision),
                *("--root", str(tmp_path), "--message", str(tmp_path / "message")),
            ],
            cwd=ROOT,
            env={"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    return run


def check_complete(hub: Hub, output: Path) -> None:
    content = ModelFolder.from_json((output / MODEL_FILE).read_bytes())
    assert (content.repository, content.revision) == (hub.repository, COMMIT)
    assert content.files == files_of(SHIPPED) == files_of(output)
    assert not list(output.glob(".*")), "the hub's own notes are not uploaded"


def test_a_model_folder_is_downloaded(hub: Hub, imported: Import, tmp_path: Path) -> None:
    done = imported()
    assert done.returncode == 0, done.stderr
    check_complete(hub, tmp_path / "output")
    assert LARGEST in done.stdout and "GB" in done.stdout, "it tells how far it is"


def test_wan_is_downloaded_as_its_repository_has_it(tmp_path: Path) -> None:
    """Weights in several files with an index, one folder for both modes, and pictures beside it."""
    repository = tmp_path / "repository"
    parts = {
        "text_encoder": "model",
        "transformer": "diffusion_pytorch_model",
        "vae": "diffusion_pytorch_model",
    }
    files: dict[str, object] = {
        "model_index.json": {"_class_name": "WanPipeline"},
        "scheduler/scheduler_config.json": {},
        "tokenizer/tokenizer_config.json": {},
    }
    files |= {f"{part}/config.json": {} for part in parts}
    for part in ("text_encoder", "transformer"):
        shards = [f"{parts[part]}-0000{number}-of-00002.safetensors" for number in (1, 2)]
        files[f"{part}/{parts[part]}.safetensors.index.json"] = {
            "weight_map": {shard: shard for shard in shards}
        }
        for shard in shards:
            (repository / part).mkdir(parents=True, exist_ok=True)
            save_file({shard: np.zeros(4, np.float32)}, repository / part / shard)
    for path, content in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(json.dumps(content))
    save_file({"a": np.zeros(4, np.float32)}, repository / "vae" / f"{parts['vae']}.safetensors")
    (repository / "tokenizer" / "spiece.model").write_bytes(b"words")
    (repository / "examples").mkdir()
    (repository / "examples" / "i2v_input.JPG").write_bytes(b"a picture")

    with serving(Hub("Wan-AI/Wan2.2-TI2V-5B-Diffusers", repository)) as hub:
        done = command(hub, "wan2.2-5b", tmp_path)()

    assert done.returncode == 0, done.stderr
    output = tmp_path / "output"
    found = ModelFolder.from_json((output / MODEL_FILE).read_bytes())
    assert found.repository == "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    assert len(found.files) == len(files) + 6
    assert not (output / "examples").exists()
    for mode in MODELS["wan2.2-5b"].weights:
        weights.check(output, MODELS["wan2.2-5b"], mode)


def test_a_connection_that_breaks_is_continued(hub: Hub, imported: Import, tmp_path: Path) -> None:
    hub.breaks = [LARGEST]
    done = imported()
    assert done.returncode == 0, done.stderr
    check_complete(hub, tmp_path / "output")
    assert hub.sent.count(LARGEST) == 2 and len(set(hub.sent)) == len(hub.sent) - 1


def test_a_file_that_arrives_damaged_is_downloaded_again(
    hub: Hub, imported: Import, tmp_path: Path
) -> None:
    hub.altered_once = {LARGEST, "scheduler/scheduler_config.json"}
    done = imported()
    assert done.returncode == 0, done.stderr
    check_complete(hub, tmp_path / "output")


@pytest.mark.parametrize("path", [LARGEST, "scheduler/scheduler_config.json"])
def test_a_file_that_is_damaged_each_time_is_named(
    hub: Hub, imported: Import, tmp_path: Path, path: str
) -> None:
    hub.altered = {path}
    done = imported()
    assert done.returncode == 1
    message = (tmp_path / "message").read_text()
    assert path in message and "Try again" in message
    assert not (tmp_path / "output" / MODEL_FILE).exists()


def test_a_repository_without_a_file_is_named(hub: Hub, imported: Import, tmp_path: Path) -> None:
    (hub.folder / "vae" / "config.json").unlink()
    assert imported().returncode == 1
    assert "vae/config.json" in (tmp_path / "message").read_text()


def test_a_hub_that_does_not_answer_is_named(hub: Hub, imported: Import, tmp_path: Path) -> None:
    hub.refuses = True
    assert imported().returncode == 1
    assert hub.endpoint in (tmp_path / "message").read_text()


def test_a_switch_against_the_network_is_named(imported: Import, tmp_path: Path) -> None:
    offline = "os.environ['HF_HUB_OFFLINE'] = '1'"
    program = f"import os, sys\n{offline}\nfrom model_import.__main__ import main\nsys.exit(main())"
    assert imported(program=program).returncode == 1
    assert "HF_HUB_OFFLINE" in (tmp_path / "message").read_text()


def test_an_unknown_revision_is_named(imported: Import, tmp_path: Path) -> None:
    assert imported("f" * 40).returncode == 1
    assert "has no revision" in (tmp_path / "message").read_text()


def test_a_disk_that_is_too_small_is_named_before_the_download(
    imported: Import, tmp_path: Path
) -> None:
    free = "shutil.disk_usage = lambda _: type('_', (), {'free': 1000})"
    program = (
        f"import shutil, sys\n{free}\nfrom model_import.__main__ import main\nsys.exit(main())"
    )
    assert imported(program=program).returncode == 1
    assert "room for 0.0 GB" in (tmp_path / "message").read_text()
    assert not list((tmp_path / "output").rglob("*.safetensors"))


def test_a_disk_that_fills_up_is_named(imported: Import, tmp_path: Path) -> None:
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    quiet = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    program = (
        f"import resource, signal, sys\n{quiet}\n{full}\n"
        "from model_import.__main__ import main\nsys.exit(main())"
    )
    assert imported(program=program).returncode == 1
    assert "cannot be written" in (tmp_path / "message").read_text()
