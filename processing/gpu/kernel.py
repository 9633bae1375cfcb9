"""Attention for heads of 64 channels on Hopper, in Triton: no mask, long sequences.

Why a kernel of our own: with heads of 64 channels the exponentials of the softmax take about as
long as the matrix products, so a kernel is as fast as it lets the two overlap. A running maximum
stands in the way: each block of keys waits for the maximum over the one before it. `BOUNDED` takes
an upper bound of each row's scores instead: `|q|` times the length of the longest key. Softmax is
the same for any offset, as long as the exponentials do not get too small to be represented;
`attention.py` says when that is sure.

The method is FlashAttention's (Dao et al., arXiv 2205.14135). Only machines with CUDA and Triton
import this module.
"""
# ruff: noqa: N803, PLR0917 - as Triton has it
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

HEAD = 64


@dataclass(frozen=True)
class Tiles:
    """How the work is cut: queries a program, keys a turn, and what Triton makes of it."""

    queries: int = 128
    keys: int = 64
    warps: int = 4
    stages: int = 3


# The best of bench/results/gpu_h200.json, "attention settings".
BEST = {True: Tiles(), False: Tiles(warps=8)}


@triton.jit
def _weigh(scores, v, acc, total, offset, scale, BOUNDED: tl.constexpr):
    """One block of keys taken into the running sums."""
    if BOUNDED:
        p = tl.math.exp2(scores * scale - offset[:, None])
        total += tl.sum(p, 1)
    else:
        new = tl.maximum(offset, tl.max(scores, 1) * scale)
        p = tl.math.exp2(scores * scale - new[:, None])
        shrink = tl.math.exp2(offset - new)
        total = total * shrink + tl.sum(p, 1)
        acc = acc * shrink[:, None]
        offset = new
    acc = tl.dot(p.to(v.dtype), v, acc)
    return acc, total, offset


@triton.jit
def _attend(  # noqa: PLR0913 - a kernel's arguments cannot be bundled
    q_tiles, k_tiles, v_tiles, out, longest_key, length, heads, scale,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BOUNDED: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """BLOCK_M queries of one head against all keys, BLOCK_N at a time."""
    rows = tl.program_id(0) * BLOCK_M
    batch = tl.program_id(1) // heads
    head = tl.program_id(1) % heads
    q = q_tiles.load([batch, rows, head, 0]).reshape(BLOCK_M, 64)
    acc = tl.zeros([BLOCK_M, 64], tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    if BOUNDED:
        wide = q.to(tl.float32)
        offset = tl.sqrt(tl.sum(wide * wide, 1)) * tl.load(longest_key + tl.program_id(1)) * scale
    else:
        offset = tl.full([BLOCK_M], float("-inf"), tl.float32)
    whole = length // BLOCK_N * BLOCK_N
    for start in tl.range(0, whole, BLOCK_N, num_stages=STAGES):
        k = k_tiles.load([batch, start, head, 0]).reshape(BLOCK_N, 64)
        scores = tl.dot(q, k.T)
        v = v_tiles.load([batch, start, head, 0]).reshape(BLOCK_N, 64)
        acc, total, offset = _weigh(scores, v, acc, total, offset, scale, BOUNDED)
    if whole < length:
        # The last keys: what lies past the end is read as zeros and must not count.
        k = k_tiles.load([batch, whole, head, 0]).reshape(BLOCK_N, 64)
        v = v_tiles.load([batch, whole, head, 0]).reshape(BLOCK_N, 64)
        inside = whole + tl.arange(0, BLOCK_N) < length
        scores = tl.where(inside[None, :], tl.dot(q, k.T), float("-inf"))
        acc, total, offset = _weigh(scores, v, acc, total, offset, scale, BOUNDED)
    acc = acc / total[:, None]
    at_row = rows + tl.arange(0, BLOCK_M)
    at = out + ((batch * length + at_row[:, None]).to(tl.int64) * heads + head) * 64
    tl.store(
        at + tl.arange(0, 64)[None, :],
        acc.to(out.dtype.element_ty),
        mask=at_row[:, None] < length,
    )


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    longest_key: torch.Tensor,
    *,
    bounded: bool,
    tiles: Tiles | None = None,
) -> torch.Tensor:
    """Attention of (batch, length, heads, 64) tensors, which may be views; the result is dense."""
    batch, length, heads, _ = q.shape
    tiles = tiles or BEST[bounded]
    out = torch.empty(batch, length, heads, HEAD, device=q.device, dtype=q.dtype)

    def tiled(tensor: torch.Tensor, rows: int) -> TensorDescriptor:
        return TensorDescriptor(
            tensor, list(tensor.shape), list(tensor.stride()), [1, rows, 1, HEAD]
        )

    _attend[(triton.cdiv(length, tiles.queries), batch * heads)](
        tiled(q, tiles.queries), tiled(k, tiles.keys), tiled(v, tiles.keys),
        out, longest_key, length, heads, HEAD**-0.5 * math.log2(math.e),
        BLOCK_M=tiles.queries, BLOCK_N=tiles.keys, BOUNDED=bounded, STAGES=tiles.stages,
        num_warps=tiles.warps)  # fmt: skip
    return out
