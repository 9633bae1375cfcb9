"""A reduced training: all three losses fall, and the worker accepts the model."""

import json
from pathlib import Path

import pytest
import torch

from contract.catalogue import MODELS, Mode
from demo_model import install, models, train, train_transformer
from processing import weights

# Upper bounds for the losses after the reduced training. They start at about 2, 8 and 1.9.
BELOW = {"vae": 1.0, "text": 5.0, "transformer": 1.75}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("training")
    assert train.main(["--out", str(out), "--reduced"]) == 0
    return out


def logged(folder: Path, stage: str) -> list[dict[str, float]]:
    lines = (folder / f"{stage}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses(folder: Path, stage: str) -> list[float]:
    return [line["loss"] for line in logged(folder, stage) if "loss" in line]


@pytest.mark.parametrize("stage", train.STAGES)
def test_the_loss_falls(trained: Path, stage: str) -> None:
    found = losses(trained, stage)
    assert found[-1] < BELOW[stage]
    assert found[-1] < found[0]


def test_it_leaves_curves_strips_and_checkpoints(trained: Path) -> None:
    for name in (
        "vae.png",
        "text.png",
        "transformer.png",
        "vae.strip.png",
        "transformer.strip.png",
    ):
        assert (trained / name).stat().st_size > 0
    for stage in train.STAGES:
        assert (trained / f"{stage}.pt").is_file()


def test_the_worker_accepts_both_models(trained: Path, tmp_path: Path) -> None:
    install.write(tmp_path, shipped=trained / "demo-i2v")
    weights.check(tmp_path / "demo", MODELS["demo"], Mode.TEXT_TO_VIDEO)
    weights.check(tmp_path / "demo-i2v", MODELS["demo"], Mode.IMAGE_TO_VIDEO)


def test_some_frames_are_at_the_places_that_they_have_in_the_whole_clip() -> None:
    transformer = models.transformer(image=False).eval()
    text = torch.randn(1, models.PROMPT_TOKENS, models.TEXT_WIDTH)
    shape = (1, models.LATENT_FRAMES, models.LATENT_CHANNELS)
    video = torch.randn(*shape, models.LATENT_HEIGHT, models.LATENT_WIDTH)
    frames = [0, 3, 4, 9, 16]
    places = train_transformer.Places()

    def embedded(some: list[int]) -> torch.Tensor:
        cosine, sine = places.choose(transformer, some)
        assert cosine.shape == sine.shape == (len(some) * models.PATCHES_A_FRAME, 64)
        tokens = transformer.patch_embed(text, video[:, some])
        return torch.unflatten(tokens[0, models.PROMPT_TOKENS :], 0, (len(some), -1))

    whole = embedded(list(range(models.LATENT_FRAMES)))
    assert torch.equal(embedded(frames), whole[frames])
    cosine, _ = places.choose(transformer, frames)
    all_cosine, _ = places.choose(transformer, list(range(models.LATENT_FRAMES)))
    by_frame = torch.unflatten(all_cosine, 0, (models.LATENT_FRAMES, -1))
    assert torch.equal(cosine, by_frame[frames].flatten(0, 1))


def test_training_resumes_where_it_stopped(trained: Path) -> None:
    before = len(logged(trained, "text"))
    assert train.main(["--out", str(trained), "--stage", "text", "--steps", "300", "--resume"]) == 0
    # A loss is logged every 100 steps. On a slow machine there may be other lines between them.
    added = logged(trained, "text")[before:]
    assert [line["step"] for line in added if "loss" in line] == [300]
    assert all(line["step"] > 200 for line in added)
