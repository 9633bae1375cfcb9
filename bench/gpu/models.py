"""The published configurations, with random values, and the inputs of one denoising step.

Sizes are those that each model was trained for. Sources: the `config.json` files of
CogVideoX-5b, CogVideoX-2b and Wan2.2-TI2V-5B-Diffusers. FLOPs are counted by hand
from the same configurations: 2 x rows x columns x inner length for each product.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDPMScheduler,
    CogVideoXTransformer3DModel,
    WanTransformer3DModel,
)
from diffusers.models.embeddings import get_3d_rotary_pos_embed

TEXT_TOKENS = 226


@dataclass(frozen=True)
class CogVideoX:
    """What of a CogVideoX model decides its cost.

    Sizes are in latents: an eighth of the video's height and width, a quarter of its frames.
    """

    heads: int
    layers: int
    latent_frames: int = 13  # of 49
    latent_height: int = 60  # of 480
    latent_width: int = 90  # of 720
    rotary: bool = True
    text_width: int = 4096

    def tokens(self) -> int:
        return self.latent_frames * self.latent_height * self.latent_width // 4 + TEXT_TOKENS

    def flops_per_forward(self) -> float:
        """Of one forward pass for one prompt: the linear layers and attention of every block."""
        width, tokens = 64 * self.heads, self.tokens()
        linear = 2 * tokens * width * width * (4 + 8)  # q, k, v, out; 4 x width and back
        return self.layers * (linear + self.attention_flops(1))

    def attention_flops(self, prompts: int) -> float:
        """Of one block: scores, and the weighted sum of values."""
        return 4.0 * prompts * self.tokens() ** 2 * 64 * self.heads


COGVIDEOX_5B = CogVideoX(heads=48, layers=42)
COGVIDEOX_2B = CogVideoX(heads=30, layers=30, rotary=False)
TINY = CogVideoX(2, 3, latent_frames=3, latent_height=8, latent_width=12, text_width=32)


@dataclass(frozen=True)
class Wan:
    """What of Wan2.2-TI2V-5B decides its cost; latents are 1/16 of the sides, 1/4 of the frames."""

    heads: int = 24
    layers: int = 30
    feed_forward: int = 14336
    latent_frames: int = 31  # of 121
    latent_height: int = 30  # of 480
    latent_width: int = 52  # of 832
    head_width: int = 128
    text_tokens: int = 512

    def tokens(self) -> int:
        return self.latent_frames * self.latent_height * self.latent_width // 4

    def flops_per_forward(self) -> float:
        width, tokens, text = self.heads * self.head_width, self.tokens(), self.text_tokens
        linear = 2 * tokens * width * (4 * width + 2 * width + 2 * self.feed_forward)
        linear += 2 * text * width * 2 * width  # keys and values of the text
        attention = 4 * tokens * (tokens + text) * width
        return self.layers * float(linear + attention)


WAN_5B = Wan()
WAN_TINY = Wan(heads=2, layers=2, feed_forward=64, latent_frames=2, latent_height=4,
               latent_width=4, head_width=12, text_tokens=8)  # fmt: skip


@contextmanager
def made_on(device: torch.device | str, dtype: torch.dtype) -> Iterator[None]:
    """Weights are drawn in place: billions of them on a CPU would take minutes."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def transformer(shape: CogVideoX, device: str, dtype: torch.dtype) -> Any:
    with made_on(device, dtype):
        return CogVideoXTransformer3DModel(
            num_attention_heads=shape.heads,
            num_layers=shape.layers,
            text_embed_dim=shape.text_width,
            sample_width=shape.latent_width,
            sample_height=shape.latent_height,
            sample_frames=4 * shape.latent_frames - 3,
            use_rotary_positional_embeddings=shape.rotary,
            time_embed_dim=512,
        ).eval()


def step(shape: CogVideoX, device: str, dtype: torch.dtype, batch: int) -> Callable[[Any], Any]:
    """One forward pass; a batch of 2 is both halves of guidance, as diffusers runs them.

    Gradients are off, but inference mode is not on, as in the pipelines of diffusers. PyTorch
    compiles separately for each of the two, so with inference mode here, a whole video would
    compile a second time.
    """
    latents = torch.randn(
        batch, shape.latent_frames, 16, shape.latent_height, shape.latent_width,
        device=device, dtype=dtype)  # fmt: skip
    text = torch.randn(batch, TEXT_TOKENS, shape.text_width, device=device, dtype=dtype)
    timestep = torch.full((batch,), 500, device=device)
    grid = (shape.latent_height // 2, shape.latent_width // 2)
    rotary = None
    if shape.rotary:
        cosine, sine = get_3d_rotary_pos_embed(64, ((0, 0), grid), grid, shape.latent_frames)
        rotary = (cosine.to(device), sine.to(device))

    @torch.no_grad()
    def forward(model: Any) -> Any:
        return model(
            hidden_states=latents,
            encoder_hidden_states=text,
            timestep=timestep,
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]

    return forward


def vae(device: str, dtype: torch.dtype, *, tiny: bool) -> Any:
    config = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1} if tiny else {}
    with made_on(device, dtype):
        return AutoencoderKLCogVideoX(**config).eval()


def scheduler() -> Any:
    """CogVideoX-5b's, from its repository's scheduler_config.json."""
    return CogVideoXDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        set_alpha_to_one=True,
        snr_shift_scale=1.0,
        timestep_spacing="trailing",
    )


def wan_transformer(shape: Wan, device: str, dtype: torch.dtype) -> Any:
    with made_on(device, dtype):
        return WanTransformer3DModel(
            num_attention_heads=shape.heads,
            attention_head_dim=shape.head_width,
            in_channels=48,
            out_channels=48,
            ffn_dim=shape.feed_forward,
            num_layers=shape.layers,
        ).eval()


def wan_step(shape: Wan, device: str, dtype: torch.dtype) -> Callable[[Any], Any]:
    """One forward pass for one prompt: WanPipeline runs the halves of guidance one by one."""
    latents = torch.randn(
        1, 48, shape.latent_frames, shape.latent_height, shape.latent_width,
        device=device, dtype=dtype)  # fmt: skip
    text = torch.randn(1, shape.text_tokens, 4096, device=device, dtype=dtype)
    timestep = torch.full((1,), 500, device=device)

    @torch.no_grad()
    def forward(model: Any) -> Any:
        return model(
            hidden_states=latents, timestep=timestep, encoder_hidden_states=text, return_dict=False
        )[0]

    return forward


def wan_vae(device: str, *, tiny: bool) -> Any:
    """In float32, as its repository asks."""
    size = {"base_dim": 8, "decoder_base_dim": 8} if tiny else {"base_dim": 160,
                                                               "decoder_base_dim": 256}  # fmt: skip
    with made_on(device, torch.float32):
        return AutoencoderKLWan(
            **size,
            z_dim=48,
            dim_mult=[1, 2, 4, 4],
            temperal_downsample=[False, True, True],
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
            latents_mean=[0.0] * 48,
            latents_std=[1.0] * 48,
        ).eval()
