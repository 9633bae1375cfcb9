"""The random model for tests: small, the same each time, and written only once."""

from pathlib import Path

import pytest

from contract import model_folder
from contract.catalogue import Mode
from tests import random_model


def test_it_is_small_and_says_what_it_is(models: Path) -> None:
    for name in ("demo", "demo-i2v"):
        files = [path for path in (models / name).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 2_000_000
        assert "Random weights" in (models / name / "README.md").read_text()


def test_it_is_the_same_each_time(models: Path, tmp_path: Path) -> None:
    random_model.write(tmp_path)

    for name in ("demo", "demo-i2v"):
        assert model_folder.files_of(tmp_path / name) == model_folder.files_of(models / name)


def test_what_is_current_stays_and_the_rest_is_made_again(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Mode] = []
    random_model.write(models)
    monkeypatch.setattr(random_model, "_write_model", lambda _, mode: made.append(mode))

    random_model.write(models)
    assert made == []

    random_model.write(tmp_path)
    assert made == [Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO]

    made.clear()
    monkeypatch.setattr(random_model, "VERSION", random_model.VERSION + 1)
    random_model.write(models)
    assert len(made) == 2


def test_a_usual_prompt_fits(models: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models / "demo" / "tokenizer", local_files_only=True)
    prompt = (
        "A honey bee lands slowly on a yellow sunflower in the golden hour, macro shot, "
        "shallow depth of field, soft warm light, cinematic, high quality"
    )

    ids = tokenizer(prompt).input_ids

    assert len(ids) <= 64
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == prompt
