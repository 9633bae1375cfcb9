"""`python -m tests.random_model OUT_DIR`: make small models with random weights, offline.

They are for tests of the worker: they can make videos of any size, and both making and running them
takes seconds on a CPU. The folders have diffusers' layout and the real classes of CogVideoX, so
everything around the model (loading, prompts, steps, decoding, files, failures) is real. Only their
videos are noise.

    OUT_DIR/demo        text to video, and video to video
    OUT_DIR/demo-i2v    image to video
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.catalogue import MODELS, Mode
from contract.errors import Failure
from processing import weights
from processing.families import family_of

# Increase this when a change below changes the written files.
VERSION = 2
SEED = 20240814

_CARD_FILE = "README.md"
_LATENT_CHANNELS = 4
_TEXT_WIDTH = 64
# Random weights decode to almost plain grey. This factor makes the noise visible.
_CONTRAST = 3.0

# Words of typical prompts for videos, so that a typical prompt has less than 64 tokens. All other
# words are spelled in letters.
_WORD_LIST = """
a an the and or of in on at to into from with without over under near through across along around
behind between above below is are its it his her their one two three many some all no not as by for
while then very slowly quickly gently softly slow fast still moving motion moves turns spins runs
walks flies swims falls rises opens closes looks sits stands dances waves drifts floats glows blows
camera shot close wide angle view zoom pan tilt tracking handheld drone aerial macro focus shallow
depth field lens frame cinematic film video realistic detailed high quality style scene background
foreground light lighting lights shadow sun sunset sunrise sunlight golden hour night day morning
evening dark bright warm cold soft color red green blue yellow orange purple pink white black brown
grey gold silver small large big little old young new tall long round square circle triangle
man woman child girl boy person people dog cat bird bee fish horse bear panda elephant butterfly
flower flowers tree trees forest leaf leaves grass meadow garden mountain mountains river lake sea
ocean water wave beach sand sky cloud clouds rain snow fog mist wind storm fire smoke stone rock
moon star stars space city street road bridge house window door room table car train boat ship
robot paper glass metal wood cup coffee tea music left right up down
"""
_ENDINGS = ("s", "es", "ed", "ing", "er", "ly", "y", "en", "al", "tion", "est", "un", "re")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both folders. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.random_model", description=__doc__)
    parser.add_argument("folder", metavar="OUT_DIR", type=Path)
    write(parser.parse_args(arguments).folder)
    return 0


def write(folder: Path) -> None:
    """Write the two model folders below `folder`. Folders that are current stay as they are.

    The same version of this file and of the libraries always writes the same bytes.
    """
    for mode in (Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO):
        target = folder / MODELS["demo"].weights[mode].folder
        if not _is_current(target, mode):
            _write_model(target, mode)


def _is_current(folder: Path, mode: Mode) -> bool:
    try:
        weights.check(folder, MODELS["demo"], mode)
        return (folder / _CARD_FILE).read_text(encoding="utf-8") == _card(mode)
    except (Failure, OSError):
        return False


def _write_model(folder: Path, mode: Mode) -> None:
    # Imported only here, because it takes seconds and is not needed if the folders are current.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import diffusers
    import torch
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        vocabulary = tokenizer()
        pipe = getattr(diffusers, family_of(MODELS["demo"]).parts.pipelines[mode])(
            tokenizer=vocabulary,
            text_encoder=_text_encoder(len(vocabulary)),
            transformer=_transformer(mode),
            vae=_vae(),
            scheduler=_scheduler(),
        )
    # Written under another name and renamed, so that an interrupted run leaves no partial model.
    part = folder.parent / f".{folder.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    pipe.save_pretrained(part)
    for file in part.rglob("*.safetensors"):
        # Only their owner may read them so far, but a container may run as another user.
        file.chmod(0o644)
    (part / _CARD_FILE).write_text(_card(mode), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def tokenizer() -> Any:
    """A tokenizer for the words above, with the special tokens of T5."""
    from transformers import T5Tokenizer

    # Unigram chooses the segmentation with the largest sum of scores, so a whole word wins against
    # its letters. "▁" is the space before a word. The first three tokens are in the order of T5.
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [(f"▁{word}", -6.0) for word in dict.fromkeys(_WORD_LIST.split()) if len(word) > 1]
    endings = [(ending, -6.0) for ending in _ENDINGS if len(ending) > 1]
    letters = [("▁", -5.0), ("▁a", -5.0)] + [(chr(code), -5.0) for code in range(0x21, 0x7F)]
    return T5Tokenizer(vocab=[*special, *words, *endings, *letters], extra_ids=0)


def _text_encoder(vocab_size: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=_TEXT_WIDTH,
            d_kv=16,
            d_ff=128,
            num_heads=4,
            num_layers=2,
            feed_forward_proj="gated-gelu",  # as in T5 v1.1, which CogVideoX uses
        )
    ).eval()


def _transformer(mode: Mode) -> Any:
    from diffusers import CogVideoXTransformer3DModel

    # The latents of the image are further channels beside those of the video.
    inputs = 2 if mode == Mode.IMAGE_TO_VIDEO else 1
    return CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=32,
        in_channels=inputs * _LATENT_CHANNELS,
        out_channels=_LATENT_CHANNELS,
        time_embed_dim=64,
        text_embed_dim=_TEXT_WIDTH,
        num_layers=2,
        sample_height=8,
        sample_width=12,
        sample_frames=17,
        max_text_seq_length=MODELS["demo"].prompt_tokens,
        # Rotary positions work for all sizes, learned ones only for one.
        use_rotary_positional_embeddings=True,
        use_learned_positional_embeddings=False,
    ).eval()


def _vae() -> Any:
    import torch
    from diffusers import AutoencoderKLCogVideoX

    vae = AutoencoderKLCogVideoX(
        # Four blocks give a spatial compression of 8, which the pipelines expect.
        block_out_channels=(8, 8, 8, 16),
        latent_channels=_LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=4,
        temporal_compression_ratio=4,
        # Only tiling uses these: a tile is half as high and wide. diffusers' tiles overlap by a
        # sixth and a fifth, so they only fit together if 6 and 5 divide their size in latents.
        sample_height=96,
        sample_width=80,
    ).eval()
    with torch.no_grad():
        vae.decoder.conv_out.conv.weight.mul_(_CONTRAST)
    return vae


def _scheduler() -> Any:
    from diffusers import CogVideoXDDIMScheduler

    # As for CogVideoX-2b: v-prediction with zero terminal SNR.
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


def _card(mode: Mode) -> str:
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: {mode}
---

# reeldrop test model, {mode}

Random weights (seed {SEED}, version {VERSION}), written by `python -m tests.random_model`.
This model was not trained, and its videos are noise. It has the classes and the layout of
CogVideoX, so that tests can render videos of any size within seconds on a CPU.
"""


if __name__ == "__main__":
    sys.exit(main())
