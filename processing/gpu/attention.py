"""CogVideoX's attention layer with the kernel of `kernel.py` in it, and when which form is right.

The bounded form subtracts `m = |q| max|k| / 8` from each score, and scores lie between -m and m.
So the exponents of two lie between `-2 m log2(e)` and 0. The running maximum is right for any
values, so it is taken wherever the bounded form is not sure to be.

bfloat16 and float32 represent powers of two down to 2^-126: there the bounded form begins to lose
digits when m passes 43.6. Sums of exponentials times small values need room too, so we stop at
2^-100. float16 ends at 2^-14, which leaves room for nothing else than the exponentials.
"""

import importlib.util
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SMALLEST_POWER = {torch.bfloat16: 100, torch.float32: 100, torch.float16: 14}
# q and k are rounded after their norm and again after the rotation, each by half a unit in the
# last of bfloat16's 8 binary digits.
_ROUNDING = (1 + 2.0**-8) ** 2
# In bfloat16, against float32. The error was 0.0023 on an H200.
_LARGEST_ERROR = 0.005


def largest_bound(dtype: torch.dtype) -> float:
    """The largest score for which no exponential of the bounded form gets too small."""
    return SMALLEST_POWER[dtype] / (2 * math.log2(math.e))


def score_bound(attn: Any) -> float:
    """No score of this layer is larger, whatever its inputs: a bound from its weights alone.

    LayerNorm's result before its weights is at most `sqrt(channels)` long. The rotation changes
    no length.
    """
    channels = attn.norm_q.normalized_shape[0]

    def longest(norm: nn.LayerNorm) -> float:
        weight, bias = norm.weight.detach().float(), norm.bias.detach().float()
        return (math.sqrt(channels) * float(weight.abs().max()) + float(bias.norm())) * _ROUNDING

    return longest(attn.norm_q) * longest(attn.norm_k) / math.sqrt(channels)


def available() -> bool:
    """Whether this machine has what the kernel was made for: Hopper's tensor memory."""
    return (
        torch.cuda.is_available()
        and torch.cuda.get_device_capability()[0] == 9
        and importlib.util.find_spec("triton") is not None
    )


def broken() -> str:
    """What is wrong with the kernel on this machine, where it is available. Empty: nothing."""
    q, k, v = torch.randn(3, 1, 300, 2, 64, device="cuda", dtype=torch.bfloat16)
    wanted = stock(q.float(), k.float(), v.float())
    for bounded in (True, False):
        try:
            found = attend(q, k, v, longest_key(k), bounded).float()
        except Exception as error:
            # Whatever is wrong with it, PyTorch's attention makes the same video.
            return f"it failed with {type(error).__name__}: {error}"
        if float((found - wanted).norm() / wanted.norm()) > _LARGEST_ERROR:
            return "its result was wrong"
    return ""


def stock(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """PyTorch's attention of (batch, length, heads, 64) tensors."""
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    )
    return out.transpose(1, 2)


@torch.library.custom_op("reeldrop::attend", mutates_args=())
def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, longest_key: torch.Tensor, bounded: bool
) -> torch.Tensor:
    """Attention of (batch, length, heads, 64) tensors, seen by the compiler as one operation."""
    from processing.gpu import kernel  # noqa: PLC0415 - Triton is only there with CUDA

    return kernel.attend(q, k, v, longest_key, bounded=bounded)


@attend.register_fake
def _(q: torch.Tensor, *_others: object) -> torch.Tensor:
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)


@attend.register_kernel("cpu")
def _(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_others: object) -> torch.Tensor:
    """PyTorch's own, so that everything around the kernel can be tested without a GPU."""
    return stock(q, k, v).contiguous()


def longest_key(k: torch.Tensor) -> torch.Tensor:
    """The length of each head's longest key: (batch x heads), float32."""
    return k.float().square().sum(-1).amax(1).sqrt().reshape(-1)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Neighbouring channels are a point's two coordinates; (batch, length, heads, 64)."""
    wide = x.float()
    real, imaginary = wide.unflatten(-1, (-1, 2)).unbind(-1)  # type: ignore[no-untyped-call]
    turned = torch.stack([-imaginary, real], -1).flatten(-2)
    return (wide * cosine[:, None] + turned * sine[:, None]).to(x.dtype)


class JointAttention:
    """Text and video tokens in one sequence; needs fused projections."""

    def __init__(self, bounded: bool) -> None:
        self.bounded = bounded

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if attention_mask is not None:
            raise ValueError("the kernel has no mask")
        text = encoder_hidden_states.size(1)
        tokens = torch.cat([encoder_hidden_states, hidden_states], 1)
        parts = attn.to_qkv(tokens).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (attn.heads, -1)) for part in parts)
        q, k = attn.norm_q(q), attn.norm_k(k)
        if image_rotary_emb is not None:
            q = torch.cat([q[:, :text], rotate(q[:, text:], *image_rotary_emb)], 1)
            k = torch.cat([k[:, :text], rotate(k[:, text:], *image_rotary_emb)], 1)
        out = torch.ops.reeldrop.attend(q, k, v, longest_key(k), self.bounded).flatten(2)
        out = attn.to_out[1](attn.to_out[0](out))
        return out[:, text:], out[:, :text]


def use(transformer: Any, *, running_maximum: bool = False) -> int:
    """Put the kernel into every block. Returns in how many its bounded form is sure to be right."""
    bounded_layers = 0
    for block in transformer.transformer_blocks:
        attn = block.attn1
        bounded = score_bound(attn) <= largest_bound(attn.norm_q.weight.dtype)
        bounded = bounded and not running_maximum
        attn.set_processor(JointAttention(bounded))
        bounded_layers += bounded
    return bounded_layers
