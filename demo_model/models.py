"""The parts of the demo model: the unmodified classes of CogVideoX, small enough for a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo_model import world

PROMPT_TOKENS = 64
TEXT_WIDTH = 128
LATENT_CHANNELS = 4
SPATIAL_COMPRESSION = 4
TEMPORAL_COMPRESSION = 1
LATENT_FRAMES = world.FRAMES
LATENT_HEIGHT = world.HEIGHT // SPATIAL_COMPRESSION
LATENT_WIDTH = world.WIDTH // SPATIAL_COMPRESSION
PATCH_SIZE = 4
PATCHES_A_FRAME = (LATENT_HEIGHT // PATCH_SIZE) * (LATENT_WIDTH // PATCH_SIZE)
HEAD_WIDTH = 64

# Words of prompts that are not in captions. Here, so that they are not spelled in letters.
_OTHER_WORDS = """
an and are as at be by camera can film for frame has have image into its me near of one please show
shows picture shot that then this through very view we will with your make create imagine
animation animated screen object shape figure colored coloured color colour dark bright light pale
side corner edge middle centre center fast slow cinematic realistic detailed style quality
"""
_PIECE_LETTERS = range(3, 7)


@dataclass(frozen=True, kw_only=True)
class FrozenParts:
    """The parts that are already trained when the training of the transformer begins."""

    vae: Any
    tokenizer: Any
    text_encoder: Any


def vae() -> Any:
    """An untrained AutoencoderKLCogVideoX: pixels (3, 17, 64, 96) to latents (4, 17, 16, 24)."""
    from diffusers import AutoencoderKLCogVideoX  # noqa: PLC0415

    # Three blocks give a spatial compression of 4. The pipelines compute the factor from them.
    channels = (16, 32, 64)
    return AutoencoderKLCogVideoX(
        block_out_channels=channels,
        down_block_types=("CogVideoXDownBlock3D",) * len(channels),
        up_block_types=("CogVideoXUpBlock3D",) * len(channels),
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=4,
        temporal_compression_ratio=TEMPORAL_COMPRESSION,
        # Only tiling uses these: a tile is half as high and wide. diffusers' tiles overlap by a
        # sixth and a fifth, so they only fit together if 6 and 5 divide their size in latents.
        sample_height=96,
        sample_width=80,
        scaling_factor=1.0,
    )


def tokenizer() -> Any:
    """A unigram T5Tokenizer with the words of the world. Other words are spelled in letters."""
    from transformers import T5Tokenizer  # noqa: PLC0415

    # Unigram chooses the segmentation with the largest sum of scores. Whole words win against their
    # pieces, and pieces win against letters. With pieces, a mistyped word stays similar to the
    # right one. "▁" is the space before a word. The first three tokens are in the order of T5.
    words = sorted({*world.vocabulary(), *_OTHER_WORDS.split()})
    spellings = dict.fromkeys(form for word in words for form in (word, word.capitalize()))
    scores: dict[str, float] = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -5.0}
    scores |= {chr(code): -5.0 for code in range(0x21, 0x7F)}
    for word in words:
        for length in _PIECE_LETTERS:
            if length < len(word):
                scores |= {f"▁{word[:length]}": -7.0, word[-length:]: -7.0}
    scores |= {f"▁{form}": -6.0 for form in spellings}
    return T5Tokenizer(vocab=list(scores.items()), extra_ids=0)


def text_encoder(vocab_size: int) -> Any:
    """An untrained T5EncoderModel: token ids (batch, tokens) to (batch, tokens, 128)."""
    from transformers import T5Config, T5EncoderModel  # noqa: PLC0415

    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=256,
            num_heads=4,
            num_layers=3,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",  # as in T5 v1.1, which CogVideoX uses
        )
    )


def transformer(*, image: bool) -> Any:
    """An untrained CogVideoXTransformer3DModel.

    With `image`, its input also has channels for the latents of an image.
    """
    from diffusers import CogVideoXTransformer3DModel  # noqa: PLC0415

    return CogVideoXTransformer3DModel(
        num_attention_heads=3,
        attention_head_dim=HEAD_WIDTH,
        # The latents of the image are further channels beside those of the video.
        in_channels=(2 if image else 1) * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        time_embed_dim=128,
        text_embed_dim=TEXT_WIDTH,
        num_layers=5,
        patch_size=PATCH_SIZE,
        sample_height=LATENT_HEIGHT,
        sample_width=LATENT_WIDTH,
        sample_frames=world.FRAMES,
        temporal_compression_ratio=TEMPORAL_COMPRESSION,
        max_text_seq_length=PROMPT_TOKENS,
        use_rotary_positional_embeddings=True,
        # A learned position for each patch, in addition to the rotary ones, because objects of the
        # world move on fixed paths. As in CogVideoX-5b-I2V, the model then has only one size.
        use_learned_positional_embeddings=True,
    )


def scheduler() -> Any:
    """The scheduler for training and sampling: v-prediction with zero terminal SNR."""
    from diffusers import CogVideoXDDIMScheduler  # noqa: PLC0415

    return CogVideoXDDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
