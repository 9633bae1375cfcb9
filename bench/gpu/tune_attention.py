"""Time the attention kernel at CogVideoX-5b's shape, one row a setting.

`python -m bench.gpu.tune_attention OUT.json`; needs a GPU from Hopper on.
"""

import argparse
import itertools
from dataclasses import asdict
from pathlib import Path

import torch

from bench.gpu import models
from bench.gpu.measure import Facts, Rows, seconds, tera
from processing.gpu import attention

# Queries, keys, warps, stages.
SETTINGS = (
    (128, 64, 4, 3),
    (128, 64, 8, 3),
    (128, 128, 4, 2),
    (128, 128, 8, 3),
    (256, 64, 8, 3),
)
# In which parts of the result its error is looked at: sample, head.
LOOKED_AT = ((0, 0), (1, 47))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.tune_attention", description=__doc__)
    parser.add_argument("out", type=Path, help="where the rows are written, as JSON")
    rows = Rows(parser.parse_args().out, until_seconds=300)
    with torch.inference_mode():
        measure(rows)


def measure(rows: Rows) -> None:
    from processing.gpu import kernel  # noqa: PLC0415 - Triton is only there with CUDA

    shape = models.COGVIDEOX_5B
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(2, shape.tokens(), shape.heads, 64, device="cuda", dtype=torch.bfloat16)
        for _ in range(3)
    )
    longest = attention.longest_key(k)
    wanted = [
        torch.softmax(q[b, :, h].float() @ k[b, :, h].float().T / 8, -1) @ v[b, :, h].float()
        for b, h in LOOKED_AT
    ]
    exact = torch.stack(wanted)

    def facts(result: torch.Tensor, taken_seconds: float) -> Facts:
        got = torch.stack([result[b, :, h].float() for b, h in LOOKED_AT])
        error = float((got - exact).norm() / exact.norm())
        return {"error": round(error, 6), "tflops": tera(shape.attention_flops(2), taken_seconds)}

    def stock() -> torch.Tensor:
        return attention.stock(q, k, v)

    rows.row("PyTorch's choice", lambda: facts(stock(), seconds(stock, 10, 3)))
    for setting, bounded in itertools.product(SETTINGS, (True, False)):
        tiles = kernel.Tiles(*setting)

        def one(tiles: kernel.Tiles = tiles, bounded: bool = bounded) -> Facts:
            def own() -> torch.Tensor:
                return kernel.attend(q, k, v, longest, bounded=bounded, tiles=tiles)

            return {"bounded": bounded, **asdict(tiles), **facts(own(), seconds(own, 7, 2))}

        rows.row(f"own, {setting}, {'bounded' if bounded else 'running maximum'}", one)


if __name__ == "__main__":
    main()
