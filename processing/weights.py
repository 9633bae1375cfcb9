"""Checks that a model folder is complete, and computes a fingerprint of its content.

Nothing here needs torch, so an unusable folder is refused within a second.
"""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from contract.catalogue import Mode
from contract.errors import Code, Problem, TaskFailed

PIPELINE_CLASSES: dict[Mode, str] = {
    Mode.TEXT_TO_VIDEO: "CogVideoXPipeline",
    Mode.IMAGE_TO_VIDEO: "CogVideoXImageToVideoPipeline",
    Mode.VIDEO_TO_VIDEO: "CogVideoXVideoToVideoPipeline",
}
"""The pipeline class of diffusers for each mode."""

# Video to video uses the weights of text to video, and starts from a noisy video instead of noise.
_WEIGHTS_CLASSES = PIPELINE_CLASSES | {
    Mode.VIDEO_TO_VIDEO: PIPELINE_CLASSES[Mode.TEXT_TO_VIDEO],
}
"""The class that model_index.json must name for each mode."""

_PLAIN_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
    "text_encoder/config.json",
    "transformer/config.json",
    "vae/config.json",
)
_TOKENIZER_FILES = ("tokenizer/tokenizer.json", "tokenizer/spiece.model")
_WEIGHT_FILES = (
    "text_encoder/model.safetensors",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
)


def check(folder: Path, mode: Mode) -> None:
    """Check that `folder` contains a complete pipeline for `mode`, in diffusers' layout.

    This reads the file names, the configurations and the headers of the weight files, but not the
    weights themselves.

    Raises:
        TaskFailed: `weights-missing` names the absent files, or the other pipeline that the folder
            is for. `weights-damaged` names a file that cannot be read.
    """
    missing = [name for name in _PLAIN_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        missing.append(" or ".join(_TOKENIZER_FILES))
    shards: list[Path] = []
    for name in _WEIGHT_FILES:
        found, absent = _shards(folder, name)
        shards += found
        missing += absent
    if missing:
        raise TaskFailed(
            Problem(
                code=Code.WEIGHTS_MISSING,
                message=f"Files are missing in the model folder: {', '.join(missing)}.",
                hint="Ask your administrator to upload the whole model folder again.",
            )
        )
    for name in _PLAIN_FILES:
        _read_json(folder, name)
    for shard in shards:
        _check_header(folder, shard)
    made_for = _read_json(folder, "model_index.json").get("_class_name")
    if made_for != _WEIGHTS_CLASSES[mode]:
        # Without this check, loading would fail on the shape of a tensor inside the transformer.
        raise TaskFailed(
            Problem(
                code=Code.WEIGHTS_MISSING,
                message=(
                    f"The model folder holds weights for {made_for}, "
                    f"but {mode} needs {_WEIGHTS_CLASSES[mode]}."
                ),
                hint="Ask your administrator to upload the model folder for this mode.",
            )
        )


def fingerprint(folder: Path) -> str:
    """SHA-256 over the sorted relative paths and the contents of all files in `folder`.

    Everybody can check it with
    `cd folder && find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.
    Hidden files and folders, such as the `.cache` of a download, do not count.

    Raises:
        TaskFailed: `weights-damaged`; a file cannot be read.
    """
    lines = hashlib.sha256()
    for path in sorted(_visible_files(folder), key=lambda path: _relative(folder, path).encode()):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise damaged(_relative(folder, path), error) from error
        lines.update(f"{digest}  {_relative(folder, path)}\n".encode())
    return lines.hexdigest()


def damaged(name: str, error: Exception) -> TaskFailed:
    """A failure for `name`, a file or part of the model folder, that cannot be read."""
    first_line = (str(error) or type(error).__name__).splitlines()[0][:300]
    return TaskFailed(
        Problem(
            code=Code.WEIGHTS_DAMAGED,
            message=f"{name} of the model cannot be read: {first_line}.",
            hint="Ask your administrator to upload the whole model folder again.",
        )
    )


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _visible_files(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _shards(folder: Path, name: str) -> tuple[list[Path], list[str]]:
    """The files with the weights of `name`, one or several, and the names of missing ones."""
    if (folder / name).is_file():
        return [folder / name], []
    index = f"{name}.index.json"
    if not (folder / index).is_file():
        return [], [name]
    weight_map = _read_json(folder, index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise damaged(index, ValueError("it has no weight_map"))
    parent = Path(name).parent
    shards = [(parent / str(shard)).as_posix() for shard in sorted(set(weight_map.values()))]
    present = [folder / shard for shard in shards if (folder / shard).is_file()]
    return present, [shard for shard in shards if not (folder / shard).is_file()]


def _read_json(folder: Path, name: str) -> dict[str, object]:
    try:
        content = json.loads((folder / name).read_bytes())
    except (OSError, ValueError) as error:
        raise damaged(name, error) from error
    if not isinstance(content, dict):
        raise damaged(name, ValueError("it is not a JSON object"))
    return content


def _check_header(folder: Path, path: Path) -> None:
    # Opening compares the header with the length of the file, so it finds an incomplete upload.
    try:
        with safe_open(path, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        raise damaged(_relative(folder, path), error) from error
