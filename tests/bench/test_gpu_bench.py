"""What the GPU figures rest on, as far as a machine without a GPU can tell."""

import gc
import json
import math
import weakref
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from torch import nn

from bench.gpu import attention, cogvideox, models, profiles, report
from bench.gpu.measure import Rows, Setup


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def layer(dtype: torch.dtype, spread: float) -> Any:
    """CogVideoX's attention layer, its norms' weights drawn."""
    attn = Attention(
        query_dim=128, dim_head=64, heads=2, qk_norm="layer_norm", eps=1e-6, bias=True
    )  # as in CogVideoXBlock
    with torch.no_grad():
        for norm in (attn.norm_q, attn.norm_k):
            norm.weight.normal_(1, spread)
            norm.bias.normal_(0, spread / 8)
            strongest = int(norm.weight.abs().argmax())
            norm.bias[strongest] = 20 * spread * norm.weight[strongest].sign()
    return attn.to(dtype)


def test_operations_are_those_that_were_counted_by_hand() -> None:
    assert models.COGVIDEOX_5B.flops_per_forward() == pytest.approx(332e12, rel=0.01)
    assert models.COGVIDEOX_2B.flops_per_forward() == pytest.approx(120e12, rel=0.01)


def test_the_masks_compute_the_first_and_the_last_steps() -> None:
    assert sum(profiles.STANDARD_MASK) == 30 and len(profiles.STANDARD_MASK) == 50
    assert sum(profiles.DRAFT_MASK) == 17 and len(profiles.DRAFT_MASK) == 30
    for mask in (profiles.STANDARD_MASK, profiles.DRAFT_MASK):
        assert all(mask[:8]) and all(mask[-2:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
@torch.no_grad()
def test_no_score_is_over_the_bound(dtype: torch.dtype, spread: float) -> None:
    attn = layer(dtype, spread)
    bound = attention.score_bound(attn)
    # All in the channel where weight and bias are largest, of the queries and of the keys.
    spikes = torch.zeros(1, 2, 2, 64)
    for row, norm in enumerate((attn.norm_q, attn.norm_k)):
        spikes[:, row, :, int(norm.weight.abs().argmax())] = 1000
    inputs = torch.cat([torch.randn(1, 400, 2, 64) * 30, spikes], 1).to(dtype)
    cosine, sine = get_3d_rotary_pos_embed(64, ((0, 0), (1, 1)), (1, 1), inputs.size(1))
    q = attention.rotate(attn.norm_q(inputs), cosine, sine)
    k = attention.rotate(attn.norm_k(inputs), cosine, sine)
    longest_query = q.float().norm(dim=-1).max()
    offset = float(longest_query * attention.longest_key(k).max() / 8)
    scores = torch.einsum("bqhd,bkhd->bhqk", q.float(), k.float()) / 8
    assert float(scores.abs().max()) <= offset * (1 + 1e-6)
    assert offset <= bound <= 3 * offset  # and it is not just any large number


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_at_the_largest_bound_the_smallest_exponential_keeps_its_digits(dtype: torch.dtype) -> None:
    lowest = torch.tensor(-2 * attention.largest_bound(dtype) * math.log2(math.e))
    assert float(torch.exp2(lowest).to(dtype)) >= torch.finfo(dtype).tiny * (1 - 1e-5)


def test_a_layer_with_large_weights_takes_the_running_maximum() -> None:
    model = models.transformer(models.TINY, "cpu", torch.bfloat16)
    model.fuse_qkv_projections()
    assert attention.use(model) == 3
    with torch.no_grad():
        model.transformer_blocks[1].attn1.norm_q.weight[5] = 6
    assert attention.use(model) == 2
    assert [b.attn1.processor.bounded for b in model.transformer_blocks] == [True, False, True]
    assert attention.use(model, running_maximum=True) == 0
    assert attention.use(model.half()) == 0  # float16 has no room for the bounded form


@pytest.mark.parametrize("rotary", [True, False])
def test_our_attention_layer_is_that_of_diffusers(rotary: bool) -> None:
    shape = models.CogVideoX(2, 2, 3, 8, 12, rotary=rotary, text_width=32)
    model = models.transformer(shape, "cpu", torch.float32)
    work = models.step(shape, "cpu", torch.float32, 2)
    with torch.no_grad():
        for block in model.transformer_blocks:
            block.attn1.norm_q.weight.normal_(1, 0.5)
            block.attn1.norm_k.bias.normal_(0, 0.5)
            block.norm1.linear.weight.normal_(0, 0.2)
    stock = work(model)
    model.fuse_qkv_projections()
    attention.use(model)
    assert float((work(model) - stock).abs().max()) < 1e-5 * float(stock.abs().max())


@pytest.mark.gpu
@pytest.mark.skipif(not attention.available(), reason="needs a GPU from Hopper on, and Triton")
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("length", [128, 200, 1000])
def test_the_kernel_is_attention(bounded: bool, length: int) -> None:
    q, k, v = torch.randn(3, 2, length, 3, 64, device="cuda", dtype=torch.bfloat16)
    wanted = attention.stock(q.float(), k.float(), v.float())
    found = attention.attend(q, k, v, attention.longest_key(k), bounded).float()
    assert float((found - wanted).norm() / wanted.norm()) < 0.005


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
