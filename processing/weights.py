"""Checks that a model folder is complete and holds the files that its model.json lists.

Nothing here needs torch, so a folder that lacks files is refused within a second.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from contract.catalogue import Mode, Model
from contract.errors import Code, Problem, TaskFailed
from contract.model_folder import MODEL_FILE, ModelFile, ModelFolder, files_of, fingerprint
from processing.families import family_of

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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the files of a model folder are."""

    sha256: str
    """Their fingerprint, see `model_folder.fingerprint`."""
    expected: ModelFolder | None
    """What they were compared with, or None if the folder has no model.json."""


def check(folder: Path, model: Model, mode: Mode) -> None:
    """Check that `folder` contains all that `model` needs for `mode`, in diffusers' layout.

    This reads the file names, the configurations and the headers of the weight files, but not the
    weights themselves. `compare` does that.

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
    expected = _model_json(folder)
    if expected is not None:
        missing += [file.path for file in expected.files if not (folder / file.path).is_file()]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise TaskFailed(
            Problem(
                code=Code.WEIGHTS_MISSING,
                message=f"Files are missing in the model folder: {names}.",
                hint="Ask your administrator to upload the whole model folder again.",
            )
        )
    for name in _PLAIN_FILES:
        _read_json(folder, name)
    for shard in shards:
        _check_header(folder, shard)
    made_for = _read_json(folder, "model_index.json").get("_class_name")
    wanted = family_of(model).parts.folders[mode]
    if made_for != wanted:
        # Without this check, loading would fail on the shape of a tensor inside the transformer.
        raise TaskFailed(
            Problem(
                code=Code.WEIGHTS_MISSING,
                message=(
                    f"The model folder holds weights for {made_for}, but {mode} needs {wanted}."
                ),
                hint="Ask your administrator to upload the model folder for this mode.",
            )
        )


def compare(folder: Path) -> Compared:
    """Read every file of `folder`, and compare it with model.json if there is one.

    Raises:
        TaskFailed: `weights-damaged` names the first file that differs or cannot be read.
    """
    expected = _model_json(folder)
    try:
        files = files_of(folder)
    except OSError as error:
        raise damaged(_relative(folder, Path(error.filename)), error) from error
    if expected is not None:
        _check_same(expected.files, files)
    return Compared(sha256=fingerprint(files), expected=expected)


def damaged(name: str, error: Exception) -> TaskFailed:
    """A failure for `name`, a file or part of the model folder, that cannot be used."""
    first_line = (str(error) or type(error).__name__).splitlines()[0][:300]
    return TaskFailed(
        Problem(
            code=Code.WEIGHTS_DAMAGED,
            message=f"{name} of the model cannot be used: {first_line}.",
            hint="Ask your administrator to upload the whole model folder again.",
        )
    )


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _model_json(folder: Path) -> ModelFolder | None:
    try:
        return ModelFolder.from_json((folder / MODEL_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise damaged(MODEL_FILE, error) from error


def _check_same(expected: Sequence[ModelFile], found: Sequence[ModelFile]) -> None:
    listed = {file.path: file for file in expected}
    for file in found:
        if file.path not in listed:
            raise damaged(file.path, ValueError(f"{MODEL_FILE} does not list it"))
        wanted = listed[file.path]
        if file.size_bytes != wanted.size_bytes:
            difference = f"it has {file.size_bytes} bytes instead of {wanted.size_bytes}"
            raise damaged(file.path, ValueError(difference))
        if file.sha256 != wanted.sha256:
            difference = f"its SHA-256 is {file.sha256} instead of {wanted.sha256}"
            raise damaged(file.path, ValueError(difference))


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
