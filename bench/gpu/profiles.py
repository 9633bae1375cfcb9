"""What makes a model faster, one function each, applied in place.

`exact` computes every step in the model's own precision; only the order of floating-point
operations differs from stock diffusers. `fp8` rounds weights and activations of the large linear
layers to eight bits. `cached` leaves out steps by a fixed mask.
"""

from typing import Any

import torch
from torch import nn

from bench.gpu import attention

# The layers around each block's norms are small (512 wide) and sensitive, so they stay as they are.
FP8_MIN_WIDTH = 1024


def mask(steps: int, period: int) -> tuple[int, ...]:
    """Which steps are computed (1): the first 8, one in `period` of the rest, and the last two.

    The first steps decide what the picture shows.
    """
    return tuple(
        int(number < 8 or number >= steps - 2 or number % period == 0) for number in range(steps)
    )


STANDARD_MASK = mask(50, 2)  # 30 of 50
DRAFT_MASK = mask(30, 3)  # 17 of 30


def compiled(blocks: nn.ModuleList) -> None:
    """Each block by itself, with tuned kernels.

    Blocks share compiled functions. There are two in CogVideoX, because the first block gets its
    inputs as parts of one tensor. At its first launch each fused kernel tries other block sizes and
    numbers of warps, one at a time, and stays with the fastest. PyTorch keeps the choice on disk.
    """
    torch._dynamo.reset()
    torch._inductor.config.coordinate_descent_tuning = True
    torch._dynamo.config.automatic_dynamic_shapes = False
    for block in blocks:
        block.compile(fullgraph=True, dynamic=False)


def exact(transformer: Any, *, own: bool = True, running_maximum: bool = False) -> None:
    """One product for q, k and v, our attention where it runs, and compiled blocks."""
    if not transformer.transformer_blocks[0].attn1.fused_projections:
        transformer.fuse_qkv_projections()
    if own and attention.available():
        attention.use(transformer, running_maximum=running_maximum)
    compiled(transformer.transformer_blocks)


def fp8(blocks: nn.ModuleList) -> None:
    from torchao.quantization import (  # noqa: PLC0415 - only where it is measured
        Float8DynamicActivationFloat8WeightConfig,
        PerRow,
        quantize_,
    )

    def large(module: nn.Module, _name: str) -> bool:
        return (
            isinstance(module, nn.Linear)
            and min(module.in_features, module.out_features) >= FP8_MIN_WIDTH
        )

    # Its own settings for the compiler try all combinations of neighbouring sizes, which takes
    # minutes and gains little here.
    config = Float8DynamicActivationFloat8WeightConfig(
        granularity=PerRow(), set_inductor_config=False
    )
    quantize_(blocks, config, filter_fn=large)
    compiled(blocks)


def layout(vae: Any, memory_format: torch.memory_format) -> None:
    """How the weights of 3D convolutions lie in memory. channels_last_3d turned out slower."""
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=memory_format)


def cached(pipe: Any, steps_mask: tuple[int, ...]) -> None:
    """Steps with a 0 run the first block and add what the others added when last computed."""
    import cache_dit  # noqa: PLC0415 - only where it is measured

    cache_dit.enable_cache(
        pipe,
        cache_config=cache_dit.DBCacheConfig(
            Fn_compute_blocks=1,
            Bn_compute_blocks=0,
            max_warmup_steps=1,
            num_inference_steps=len(steps_mask),
            steps_computation_mask=list(steps_mask),
            steps_computation_policy="static",
        ),
    )


def uncached(pipe: Any) -> None:
    import cache_dit  # noqa: PLC0415

    cache_dit.disable_cache(pipe)
