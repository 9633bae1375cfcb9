"""`python -m demo_model.install OUT_DIR`: write the trained demo model as two model folders.

    OUT_DIR/demo        text to video
    OUT_DIR/demo-i2v    image to video

The repository contains the second one. The first has the same weights without the inputs for an
image, so it is made from the second. This needs no torch and always writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from safetensors.numpy import load_file, save_file

from contract import model_folder
from contract.catalogue import MODELS, Mode
from contract.errors import Failure
from demo_model import models
from processing import weights
from processing.families import family_of

SHIPPED = Path(__file__).parent / "weights" / "demo-i2v"
"""The trained model in the repository, in diffusers' layout and half precision."""

_TRANSFORMER = Path("transformer", "diffusion_pytorch_model.safetensors")
_PATCHES = "patch_embed.proj.weight"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both folders. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo_model.install",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="OUT_DIR", type=Path, help="parent of both folders")
    write(parser.parse_args(arguments).folder)
    return 0


def write(folder: Path, shipped: Path = SHIPPED) -> None:
    """Write the two model folders. Folders that are complete and current stay as they are.

    Args:
        folder: Their parent folder.
        shipped: The model for image to video to make both from.

    Raises:
        TaskFailed: `weights-damaged`; a file of `shipped` is not the one in its model.json.
    """
    kept = weights.compare(shipped).sha256
    folder.mkdir(parents=True, exist_ok=True)
    # Two commands may run at the same time. The second one waits and then finds the folders.
    with FileLock(folder / ".lock"):
        for mode in (Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO):
            _write(folder / MODELS["demo"].weights[mode].folder, mode, shipped, kept)


def _write(target: Path, mode: Mode, shipped: Path, kept: str) -> None:
    mark = target.with_name(f".{target.name}.made-from")
    if _is_whole(target, mode) and mark.is_file() and mark.read_text() == kept:
        return
    # Written under another name and renamed, so that an interrupted run leaves no partial model.
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(shipped, part)
    if mode == Mode.TEXT_TO_VIDEO:
        _drop_image_inputs(part)
        model_folder.write(part, repository=None, revision=None)
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    mark.write_text(kept, encoding="utf-8")


def _is_whole(folder: Path, mode: Mode) -> bool:
    try:
        weights.check(folder, MODELS["demo"], mode)
    except Failure:
        return False
    return (folder / model_folder.MODEL_FILE).is_file()


def _drop_image_inputs(folder: Path) -> None:
    """Turn the image to video model in `folder` into the text to video model."""
    _rewrite(folder / "transformer" / "config.json", {"in_channels": models.LATENT_CHANNELS})
    _rewrite(
        folder / "model_index.json",
        {"_class_name": family_of(MODELS["demo"]).parts.folders[Mode.TEXT_TO_VIDEO]},
    )
    tensors = load_file(folder / _TRANSFORMER)
    tensors[_PATCHES] = tensors[_PATCHES][:, : models.LATENT_CHANNELS].copy()
    save_file(tensors, folder / _TRANSFORMER, metadata={"format": "pt"})


def _rewrite(path: Path, changes: dict[str, object]) -> None:
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    content |= changes
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
