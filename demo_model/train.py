"""`python -m demo_model.train --out DIR`: train the demo model, with a seed, in three stages.

The stages are the autoencoder (`vae`), the text encoder (`text`) and the transformer. Each has its
own checkpoint, log, loss curve and pictures in DIR. `--resume` goes on from the checkpoint of a
stage that was stopped, or of one that ended if you give it more `--minutes`. `--start MODEL` takes
the first two stages from a finished model and trains its transformer further, for the case that
its checkpoint no longer exists.

The finished model is DIR/demo-i2v, in diffusers' layout and half precision.
`demo_model.install` makes the model for text to video from it.

    DIR/vae.png, DIR/vae.strip.png, DIR/vae.jsonl, DIR/vae.pt    the same for text, transformer
    DIR/vae/, DIR/tokenizer/, DIR/text_encoder/                  the trained parts
    DIR/demo-i2v/                                                the whole model

On a CPU with glibc, set these variables. They keep freed memory in the process. Without them, most
of the time is spent in page faults:

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
from typing import TYPE_CHECKING, Any

from contract import model_folder
from demo_model.training_log import Budget, Log

if TYPE_CHECKING:
    from demo_model.models import FrozenParts

STAGES = ("vae", "text", "transformer")
# The training of the shipped weights, in minutes on two CPU cores.
_MINUTES = {"vae": 6.5, "text": 4.6, "transformer": 133.6}
# Chosen for less than 20 minutes in total. The quality that they reach was never measured.
_ACCELERATOR_MINUTES = {"vae": 2.0, "text": 2.0, "transformer": 14.0}
# Enough for each loss to fall.
_REDUCED_STEPS = {"vae": 40, "text": 200, "transformer": 40}
_SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the stages that the arguments name. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo_model.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for everything it writes"
    )
    parser.add_argument(
        "--stage", choices=(*STAGES, "all"), default="all", help="(default: %(default)s)"
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="per stage, earlier runs included")
    budget.add_argument("--steps", type=int, help="per stage, earlier runs included")
    budget.add_argument("--reduced", action="store_true", help="only a few steps, for tests")
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
    from demo_model.cores import device  # noqa: PLC0415 - slow, as below

    return _ACCELERATOR_MINUTES if device().type == "cuda" else _MINUTES


def train_stage(
    out: Path, stage: str, budget: Budget, *, resume: bool = False, start: Path | None = None
) -> None:
    """Train one stage and save the trained part.

    Args:
        out: Folder for everything that training writes. For the transformer, it must contain the
            trained parts of the other two stages.
        stage: One of `STAGES`.
        budget: How long to train, earlier runs included.
        resume: Whether to go on from the checkpoint in `out`.
        start: A finished model. Without a checkpoint to resume, the transformer starts from its
            weights.
    """
    # Imported only now, because it takes seconds and --help does not need it.
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
            log, budget, parts, seed=_SEED + 2, resume=resume, start=start
        )
        export(out / "demo-i2v", transformer, parts)


def load_parts(out: Path) -> FrozenParts:
    """Load the parts that the first two stages saved in `out`."""
    from diffusers import AutoencoderKLCogVideoX  # noqa: PLC0415
    from torch import float32  # noqa: PLC0415
    from transformers import T5EncoderModel, T5Tokenizer  # noqa: PLC0415

    from demo_model.models import FrozenParts  # noqa: PLC0415

    return FrozenParts(
        vae=AutoencoderKLCogVideoX.from_pretrained(out / "vae", torch_dtype=float32).eval(),
        tokenizer=T5Tokenizer.from_pretrained(out / "tokenizer"),
        text_encoder=T5EncoderModel.from_pretrained(
            out / "text_encoder", torch_dtype=float32
        ).eval(),
    )


def export(folder: Path, transformer: Any, parts: FrozenParts) -> None:
    """Write the model for image to video to `folder`, in diffusers' layout and half precision."""
    import torch  # noqa: PLC0415
    from diffusers import CogVideoXImageToVideoPipeline  # noqa: PLC0415

    from demo_model import models  # noqa: PLC0415

    shutil.rmtree(folder, ignore_errors=True)
    CogVideoXImageToVideoPipeline(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder.to("cpu", torch.float16),
        transformer=transformer.to("cpu", torch.float16),
        vae=parts.vae.to("cpu", torch.float16),
        scheduler=models.scheduler(),
    ).save_pretrained(folder)
    for file in folder.rglob("*.safetensors"):
        # Only their owner may read them so far, but a container may run as another user.
        file.chmod(0o644)
    model_folder.write(folder, repository=None, revision=None)


if __name__ == "__main__":
    sys.exit(main())
