"""What each preset does with the model on a GPU. The worker and bench/gpu both use these functions.

    best        `exact`: every step is computed in the model's own precision. Only the order of
                floating-point operations differs from stock diffusers.
    standard    `exact` and `fp8`, and half of the steps after the first ones are left out
    draft       the same, and two of three such steps are left out

`fp8` rounds weights and activations of the large linear layers to eight bits. A step that is left
out computes the first block, and adds what the other blocks added when they were last computed.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from contract.catalogue import Preset
from contract.outcome import Profile
from processing.families.family import Family
from processing.gpu import attention

# The layers around each block's norms are small (512 wide) and sensitive, so they stay as they are.
FP8_MIN_WIDTH = 1024
FP8_CAPABILITY = (8, 9)
# Inductor's code in bfloat16 needs Ampere.
COMPILE_CAPABILITY = (8, 0)
PERIODS = {Preset.BEST: 1, Preset.STANDARD: 2, Preset.DRAFT: 3}
"""Of the steps that may be left out, one in so many is computed."""
_FIRST_STEPS, _LAST_STEPS = 8, 2
# Each number of frames, size and batch compiles the blocks again. PyTorch gives up after eight.
_RECOMPILE_LIMIT = 256
# torchao has its own folder in the worker's zip. If diffusers found it, it would import it at every
# start, and each start would print warnings.
_FP8_PACKAGES = Path(__file__).parents[2] / "fp8"


def mask(steps: int, period: int) -> tuple[int, ...]:
    """Which steps are computed (1): the first 8, one in `period` of the rest, and the last two.

    The first steps decide what the picture shows.
    """
    return tuple(
        int(number < _FIRST_STEPS or number >= steps - _LAST_STEPS or number % period == 0)
        for number in range(steps)
    )


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a device can do. The reasons are empty if it can do it."""

    gpu: bool = True
    """Whether it is a GPU. Without one, all is as in stock diffusers."""
    why_not_compiled: str = ""
    own_attention: bool = False
    why_no_own_attention: str = ""
    """Empty also where PyTorch's attention is the best one that we have."""
    why_no_fp8: str = ""
    why_no_cache: str = ""
    """Why no steps can be left out."""


def abilities(device: torch.device, dtype: torch.dtype) -> Abilities:
    """What `device` can do with a model of this data type."""
    if device.type != "cuda":
        return Abilities(gpu=False)
    name = torch.cuda.get_device_name(device)
    capability = torch.cuda.get_device_capability(device)
    has = f"the {name} has the compute capability {capability[0]}.{capability[1]}"
    not_compiled = ""
    if capability < COMPILE_CAPABILITY:
        not_compiled = f"{has}, and 8.0 is needed"
    elif importlib.util.find_spec("triton") is None:
        not_compiled = "Triton is not installed"
    no_fp8 = not_compiled
    if capability < FP8_CAPABILITY:
        no_fp8 = f"{has}, and 8.9 is needed"
    elif dtype != torch.bfloat16:
        no_fp8 = "it needs a model in bfloat16"
    own_attention = not not_compiled and attention.available()
    broken = attention.broken() if own_attention else ""
    return Abilities(
        why_not_compiled=not_compiled,
        own_attention=own_attention and not broken,
        why_no_own_attention=broken,
        why_no_fp8=no_fp8,
        why_no_cache=(
            "" if importlib.util.find_spec("cache_dit") else "cache-dit is not installed"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was done with a transformer for a preset."""

    load_stock: Callable[[], Any]
    """Loads the transformer again, as it is in stock diffusers."""
    compiled: bool = False
    own_attention_blocks: int = 0
    fp8: bool = False
    period: int = 1
    lacking: tuple[str, ...] = ()

    def profile(self, steps: int) -> Profile:
        """How a video of so many steps is computed."""
        return Profile(
            compiled=self.compiled,
            own_attention_blocks=self.own_attention_blocks,
            fp8=self.fp8,
            computed_steps=sum(mask(steps, self.period)),
            lacking=self.lacking,
        )


def prepare(
    load: Callable[[], Any], family: Family, preset: Preset, device: Abilities
) -> tuple[Any, Prepared]:
    """A transformer that computes as `preset` says, as far as family and device are able to.

    Args:
        load: loads it, as it is in stock diffusers.
        family: the family of the model.
        preset: the preset.
        device: what the device can do.
    """
    transformer = load()
    if not device.gpu:
        return transformer, Prepared(load_stock=load)
    able = family.able(device)
    _make_exact(transformer, family, able)
    why_no_fp8 = why_no_cache = ""
    if preset != Preset.BEST:
        why_no_fp8 = able.why_no_fp8 or _tried_fp8(family.blocks(transformer))
        if why_no_fp8 and not able.why_no_fp8:
            # Some layers may have been rounded already.
            transformer = load()
            _make_exact(transformer, family, able)
        why_no_cache = able.why_no_cache
    reasons = {
        "compiling": able.why_not_compiled,
        "own attention": able.why_no_own_attention,
        "fp8": why_no_fp8,
        "leaving steps out": why_no_cache,
    }
    return transformer, Prepared(
        load_stock=load,
        compiled=not able.why_not_compiled,
        own_attention_blocks=len(family.blocks(transformer)) if able.own_attention else 0,
        fp8=preset != Preset.BEST and not why_no_fp8,
        period=1 if why_no_cache else PERIODS[preset],
        lacking=tuple(f"{what}: {why}" for what, why in reasons.items() if why),
    )


def compiled(blocks: nn.ModuleList, *, tuned: bool = False) -> None:
    """Each block by itself.

    Blocks share compiled functions. There are two in CogVideoX, because the first block gets its
    inputs as parts of one tensor.

    Args:
        tuned: At its first launch each fused kernel tries other block sizes and numbers of warps,
            one at a time, and stays with the fastest. PyTorch keeps the choice on disk.
    """
    torch._dynamo.reset()
    torch._inductor.config.coordinate_descent_tuning = tuned
    torch._dynamo.config.automatic_dynamic_shapes = False
    torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = _RECOMPILE_LIMIT
    for block in blocks:
        block.compile(fullgraph=True, dynamic=False)


def is_compiler_error(error: BaseException) -> bool:
    """Whether PyTorch or Triton could not compile something."""
    return any(
        kind.__module__.startswith(("torch._dynamo.", "torch._inductor.", "triton."))
        for kind in type(error).__mro__
    )


def exact(
    transformer: Any, *, own: bool = True, running_maximum: bool = False, tuned: bool = False
) -> None:
    """For CogVideoX: one product for q, k and v, our attention where it runs, and compiled blocks.

    Args:
        own: whether to use our attention.
        running_maximum: whether to use its form that is right for any weights in every block.
        tuned: see `compiled`.
    """
    if not transformer.transformer_blocks[0].attn1.fused_projections:
        transformer.fuse_qkv_projections()
        for block in transformer.transformer_blocks:
            # Their weights were copied. Nothing uses them any more, and they take gigabytes.
            block.attn1.to_q = block.attn1.to_k = block.attn1.to_v = None
    if own:
        attention.use(transformer, running_maximum=running_maximum)
    compiled(transformer.transformer_blocks, tuned=tuned)


def _make_exact(transformer: Any, family: Family, able: Abilities) -> None:
    if not able.why_not_compiled:
        family.make_exact(transformer, able)


def _tried_fp8(blocks: nn.ModuleList) -> str:
    """Use fp8. Returns why that is not possible; empty if it is."""
    try:
        fp8(blocks)
    except Exception as error:
        # torchao fits some versions of PyTorch, and which one the container has is not known here.
        return f"torchao failed with {type(error).__name__}: {error}"
    return ""


def fp8(blocks: nn.ModuleList, *, tuned: bool = False) -> None:
    """Round weights and activations of the large linear layers to eight bits, and compile again."""
    if _FP8_PACKAGES.is_dir() and str(_FP8_PACKAGES) not in sys.path:
        sys.path.append(str(_FP8_PACKAGES))
    from torchao.quantization import (  # noqa: PLC0415 - not installed everywhere
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
    compiled(blocks, tuned=tuned)


@contextlib.contextmanager
def leaving_out(pipe: Any, steps_mask: tuple[int, ...]) -> Iterator[None]:
    """Leave out the steps with a 0 in every video that is made inside of the block."""
    if all(steps_mask):
        yield
        return
    # It reads this when it is imported. Otherwise it writes ten lines for each video.
    os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "warning")
    import cache_dit  # noqa: PLC0415 - only where it is needed

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
    try:
        yield
    finally:
        cache_dit.disable_cache(pipe)
