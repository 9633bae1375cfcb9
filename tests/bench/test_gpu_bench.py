"""What the GPU figures rest on, as far as a machine without a GPU can tell."""

import gc
import json
import weakref
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.gpu import cogvideox, models, report
from bench.gpu.measure import Rows, Setup
from processing.gpu import profiles


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_operations_are_those_that_were_counted_by_hand() -> None:
    assert models.COGVIDEOX_5B.flops_per_forward() == pytest.approx(332e12, rel=0.01)
    assert models.COGVIDEOX_2B.flops_per_forward() == pytest.approx(120e12, rel=0.01)


def test_a_row_that_fails_says_so_and_the_next_is_measured(tmp_path: Any) -> None:
    rows = Rows(tmp_path / "out.json", until_seconds=60)

    def fails() -> dict[str, Any]:
        raise ImportError("no torchao")

    rows.row("first", fails)
    rows.row("second", lambda: {"seconds": 1.0})
    first, second = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert first["failed"] == "ImportError: no torchao" and second["seconds"] == 1.0


def test_a_model_of_an_earlier_row_does_not_count_as_memory_of_the_next(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "out.json", until_seconds=60)
    model = nn.Linear(1, 1)
    object.__setattr__(model, "itself", model)  # compiled models are in such cycles
    kept = weakref.ref(model)
    gc.disable()
    try:
        del model
        rows.row("next", lambda: {"kept": kept() is not None})
    finally:
        gc.enable()
    [row] = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert row["kept"] is False


def test_a_video_after_its_steps_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether something is compiled again does not depend on the backend, and this one is quick.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    setup = Setup(Rows(tmp_path / "out.json", until_seconds=60), tiny=True)
    shape = models.CogVideoX(2, 2, 1, 4, 4, text_width=32)

    def compiled_model() -> Any:
        model = models.transformer(shape, setup.device, setup.dtype)
        profiles.exact(model)
        return cogvideox.pipeline(model, models.vae(setup.device, setup.dtype, tiny=True))

    without_steps = cogvideox.video(setup, compiled_model(), shape, 2)
    assert 0 < without_steps["compile_seconds"] < without_steps["denoise_seconds"]
    pipe = compiled_model()
    models.step(shape, setup.device, setup.dtype, 2)(pipe.transformer)
    assert "compile_seconds" not in cogvideox.video(setup, pipe, shape, 2)


def test_the_document_has_the_tables_of_the_results() -> None:
    results = json.loads(report.RESULTS.read_text())
    assert report.tables(results) in report.DOCUMENT.read_text(), "run python -m bench.gpu.report"


def test_the_goals_are_reached_as_the_document_says() -> None:
    figures = report.figures(json.loads(report.RESULTS.read_text()))
    found = {figure.way.name: figure for figure in figures}
    assert found["exact"].seconds == pytest.approx(63.75)
    assert found["standard"].seconds == pytest.approx(35.49)
    assert found["exact"].times_stock == pytest.approx(94.47 / 63.75)  # both measured whole
    stock, tuned = 50 * 1.8074 + 3.373, 50 * 1.2036 + 2.272  # of run 2, with decodes of run 1
    assert found["exact, tuned kernels"].times_stock == pytest.approx(stock / tuned)
