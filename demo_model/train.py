"""`python -m demo_model.train --out DIR`: train the demo model, seeded and resumable.

Three stages, each with its own checkpoint, log, loss curve and pictures in DIR: the autoencoder
(`vae`), the text encoder (`text`) and the transformer. `--resume` goes on where a stage stopped,
and with more `--minutes` where it ended. `--start MODEL` takes the first two stages from a finished
model and trains its transformer further, when its checkpoint is gone. The finished model lies in
DIR/demo-i2v, in diffusers' layout and half precision; `demo_model.install` makes the
text model of it.

    DIR/vae.png, DIR/vae.strip.png, DIR/vae.jsonl, DIR/vae.pt    and so for text, transformer
    DIR/vae/, DIR/tokenizer/, DIR/text_encoder/                  the trained parts
    DIR/demo-i2v/                                                the whole model

On a CPU with glibc, give freed memory back late, or faulting it in takes most of the time:

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:\
glibc.malloc.trim_threshold=20000000000:glibc.malloc.top_pad=200000000 OMP_WAIT_POLICY=passive
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo_model.training_log import Budget, Log

STAGES = ("vae", "text", "transformer")
# What made the shipped weights, in minutes on two CPU cores.
_MINUTES = {"vae": 6.5, "text": 4.6, "transformer": 133.6}
# Chosen to stay below 20 together; nobody has measured what they reach.
_ACCELERATOR_MINUTES = {"vae": 2.0, "text": 2.0, "transformer": 14.0}
# Enough to see each loss fall.
_REDUCED_STEPS = {"vae": 60, "text": 200, "transformer": 40}
_SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the stages asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo_model.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="for each stage, earlier runs included")
    budget.add_argument("--steps", type=int, help="for each stage, earlier runs included")
    budget.add_argument("--reduced", action="store_true", help="a few steps, to see losses fall")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in DIR")
    parser.add_argument(
        "--start", metavar="MODEL", type=Path, help="a finished model to train further"
    )
    options = parser.parse_args(arguments)
    if options.start is not None:
        options.stage = "transformer"
        for part in ("vae", "tokenizer", "text_encoder"):
            shutil.copytree(options.start / part, options.out / part, dirs_exist_ok=True)
    for stage in STAGES if options.stage == "all" else (options.stage,):
        if options.reduced:
            stage_budget = Budget(steps=_REDUCED_STEPS[stage])
        elif options.steps is not None:
            stage_budget = Budget(steps=options.steps)
        else:
            stage_budget = Budget(seconds=60 * (options.minutes or _minutes()[stage]))
        train_stage(options.out, stage, stage_budget, resume=options.resume, start=options.start)
    return 0


def _minutes() -> dict[str, float]:
    from demo_model.cores import device  # noqa: PLC0415 - heavy, as below

    return _ACCELERATOR_MINUTES if device().type == "cuda" else _MINUTES


def train_stage(
    out: Path, stage: str, budget: Budget, *, resume: bool = False, start: Path | None = None
) -> None:
    """Train one stage in `out`. The transformer needs the other two there.

    Without a checkpoint to resume, the transformer begins with the weights of the model in `start`.
    """
    # Heavy, and not needed to say what the arguments mean.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from demo_model import train_text, train_transformer, train_vae  # noqa: PLC0415

    log = Log(out, stage)
    if stage == "vae":
        train_vae.train(log, budget, seed=_SEED, resume=resume).save_pretrained(out / "vae")
    elif stage == "text":
        tokenizer, text_encoder = train_text.train(log, budget, seed=_SEED + 1, resume=resume)
        tokenizer.save_pretrained(out / "tokenizer")
        text_encoder.save_pretrained(out / "text_encoder")
    else:
        parts = load_parts(out)
        transformer = train_transformer.train(
            log, budget, seed=_SEED + 2, resume=resume, start=start, **parts
        )
        export(out / "demo-i2v", transformer=transformer, **parts)


def load_parts(out: Path) -> dict[str, Any]:
    """The trained `vae`, `tokenizer` and `text_encoder` in `out`."""
    from diffusers import AutoencoderKLCogVideoX  # noqa: PLC0415
    from torch import float32  # noqa: PLC0415
    from transformers import T5EncoderModel, T5Tokenizer  # noqa: PLC0415

    return {
        "vae": AutoencoderKLCogVideoX.from_pretrained(out / "vae", torch_dtype=float32).eval(),
        "tokenizer": T5Tokenizer.from_pretrained(out / "tokenizer"),
        "text_encoder": T5EncoderModel.from_pretrained(
            out / "text_encoder", torch_dtype=float32
        ).eval(),
    }


def export(folder: Path, *, transformer: Any, vae: Any, tokenizer: Any, text_encoder: Any) -> None:
    """Write the image to video model to `folder`: diffusers' layout, half precision."""
    import torch  # noqa: PLC0415
    from diffusers import CogVideoXImageToVideoPipeline  # noqa: PLC0415

    from demo_model import models  # noqa: PLC0415

    shutil.rmtree(folder, ignore_errors=True)
    CogVideoXImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.to("cpu", torch.float16),
        transformer=transformer.to("cpu", torch.float16),
        vae=vae.to("cpu", torch.float16),
        scheduler=models.scheduler(),
    ).save_pretrained(folder)
    for file in folder.rglob("*.safetensors"):
        # They come readable for their owner only, and a container may run as somebody else.
        file.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
