"""Our attention is that of diffusers, and its bounded form is only used where it is sure to be."""

import math
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import get_3d_rotary_pos_embed

from bench.gpu import models
from processing.gpu import attention


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
