"""A small Wan2.2-TI2V with random weights: the classes and the layout of the real one.

Like `random_model`, its videos are noise, and all around it is real. It has the switches of the
real model's configurations; only numbers of layers and channels are smaller.
"""

import json
import os
from pathlib import Path
from typing import Any

from tests import random_model

SEED = 20260114
LATENT_CHANNELS = 48
# Random weights decode to almost plain grey. This factor makes the noise visible.
_CONTRAST = 2.0


def write(folder: Path) -> None:
    """Write a model folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import diffusers
    import torch
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        tokenizer = random_model.tokenizer()
        diffusers.WanPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(len(tokenizer)),
            transformer=_transformer(),
            vae=_vae(),
            scheduler=_scheduler(),
            expand_timesteps=True,
        ).save_pretrained(folder)
    # As the configuration of the repository says, although the two embeddings are one.
    config = folder / "text_encoder" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"tie_word_embeddings": False}))


def _text_encoder(vocab_size: int) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocab_size,
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_heads=4,
            num_layers=2,
            feed_forward_proj="gated-gelu",
        )
    ).eval()


def _transformer() -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=64,
        freq_dim=64,
        ffn_dim=96,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
    ).eval()


def _vae() -> Any:
    import torch
    from diffusers import AutoencoderKLWan

    numbers = torch.linspace(0.5, 1.5, LATENT_CHANNELS).tolist()
    vae = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[number - 1 for number in numbers],
        latents_std=numbers,
    ).eval()
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(_CONTRAST)
    return vae


def _scheduler() -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=5.0,
        solver_order=2,
        final_sigmas_type="zero",
    )
