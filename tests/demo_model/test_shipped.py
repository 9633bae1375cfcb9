"""The weights in the repository: they work, are small, and are those of the evaluation."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.catalogue import MODELS, Mode
from contract.errors import TaskFailed
from contract.manifest import Parameters
from demo_model import evaluate, install, world
from demo_model.measure import measure
from processing import loading, weights

ROOM = install.SHIPPED.parent
CARD = (ROOM / "MODEL_CARD.md").read_text(encoding="utf-8")
FIGURES = json.loads((ROOM / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    install.write(folder)
    return folder


def test_the_card_names_every_weight_file_with_its_hash() -> None:
    files = sorted(install.SHIPPED.rglob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert f"| `{file.relative_to(ROOM).as_posix()}` | `{digest}` |" in CARD


def test_the_evaluation_scored_exactly_these_weights(models: Path) -> None:
    for folder, fingerprint in FIGURES["fingerprints"].items():
        assert weights.compare(models / folder).sha256 == fingerprint
        assert fingerprint in CARD


def test_the_card_shows_the_figures_of_the_evaluation() -> None:
    for table in evaluate.tables(FIGURES).strip().split("\n\n"):
        assert table in CARD


def test_the_evaluation_runs(models: Path, tmp_path: Path) -> None:
    """Runs the whole program, with too few videos to judge the model."""
    options = ["--models", str(models), "--out", str(tmp_path), "--count", "1", "--steps", "2"]
    assert evaluate.main(options) == 0
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["fingerprints"] == FIGURES["fingerprints"]
    assert figures["image"]["videos"] == figures["wording: typos"]["videos"] == 1
    assert all((tmp_path / name).is_file() for name in ("contact.png", "confusion.txt"))


def test_all_weights_together_have_at_most_20_megabytes() -> None:
    assert sum(file.stat().st_size for file in ROOM.rglob("*") if file.is_file()) <= 20_000_000


def test_both_folders_are_whole_and_written_once(models: Path) -> None:
    before = (models / "demo" / "model_index.json").stat().st_mtime_ns
    install.write(models)
    assert (models / "demo" / "model_index.json").stat().st_mtime_ns == before
    weights.check(models / "demo", MODELS["demo"], Mode.TEXT_TO_VIDEO)
    weights.check(models / "demo-i2v", MODELS["demo"], Mode.IMAGE_TO_VIDEO)


def test_both_folders_say_what_they_contain(models: Path) -> None:
    for folder in (install.SHIPPED, models / "demo", models / "demo-i2v"):
        assert weights.compare(folder).expected is not None


def test_damaged_weights_are_not_installed(tmp_path: Path) -> None:
    shipped = shutil.copytree(install.SHIPPED, tmp_path / "shipped")
    file = shipped / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")

    with pytest.raises(TaskFailed, match="vae/diffusion_pytorch_model"):
        install.write(tmp_path / "models", shipped)


def test_two_commands_may_write_the_folders_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo_model.install", str(tmp_path)]
    both = [subprocess.Popen(command, cwd=ROOM.parents[1]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    weights.check(tmp_path / "demo", MODELS["demo"], Mode.TEXT_TO_VIDEO)
    assert not list(tmp_path.glob(".*part*"))


def test_a_few_prompts_come_true(models: Path) -> None:
    scenes = [
        world.Scene(shape=shape, colour=colour, background=ground, size="medium", motion=motion)
        for shape, colour, ground, motion in (
            ("circle", "red", "blue", "right"),
            ("square", "green", "white", "left"),
            ("star", "yellow", "black", "up"),
        )
    ]
    prompts = [
        world.fill(random.Random(0), scene, world.PATTERNS[0], plain=True) for scene in scenes
    ]
    pipeline = loading.load(
        model=MODELS["demo"],
        modes=[Mode.TEXT_TO_VIDEO],
        folder=models / "demo",
        texts={*prompts, ""},
    )
    right = 0
    for scene, prompt in zip(scenes, prompts, strict=True):
        parameters = Parameters(
            mode=Mode.TEXT_TO_VIDEO,
            prompt=prompt,
            height=world.HEIGHT,
            width=world.WIDTH,
            num_frames=world.FRAMES,
            fps=8,
            num_inference_steps=10,
            guidance_scale=4.0,
            seed=1,
        )
        latents = pipeline.denoise(parameters, None, lambda _done, _steps: None)
        seen = measure(pipeline.decode(latents, parameters))
        right += (seen.background == scene.background) + (seen.colour == scene.colour)
        right += seen.motion == scene.motion
    assert right >= 7  # of 9
