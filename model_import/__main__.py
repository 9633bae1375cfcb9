"""`python -m model_import`: download a model folder. The container of an import runs this."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.catalogue import MODELS
from contract.errors import TaskFailed
from contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT, MESSAGE_BYTES
from model_import import ImportFailed, hub
from processing import weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Download one model folder into output/. Returns the exit status.

    Any other exception than an `ImportFailed` is a bug, and is raised.
    """
    parser = argparse.ArgumentParser(prog="python -m model_import", description=__doc__)
    parser.add_argument("--folder", required=True, help="a model folder of the catalogue")
    parser.add_argument("--revision", required=True, help="a commit of its repository")
    parser.add_argument("--root", type=Path, default=Path(CONTAINER_ROOT))
    parser.add_argument("--message", type=Path, default=Path(CONTAINER_MESSAGE))
    options = parser.parse_args(arguments)
    try:
        _import(options.folder, options.revision, options.root / "output")
    except (ImportFailed, TaskFailed) as failure:
        line = str(failure)
        print(line, file=sys.stderr, flush=True)
        options.message.parent.mkdir(parents=True, exist_ok=True)
        options.message.write_bytes(line.encode()[:MESSAGE_BYTES])
        return 1
    return 0


def _import(folder: str, revision: str, target: Path) -> None:
    found = [
        (model, mode, weights.repository)
        for model in MODELS.values()
        for mode, weights in model.weights.items()
        if weights.folder == folder and weights.repository
    ]
    if not found:
        raise ImportFailed(f"No model of the catalogue has a folder {folder!r} on Hugging Face.")
    model, mode, repository = found[0]
    target.mkdir(parents=True, exist_ok=True)
    wanted = hub.listing(repository, revision)
    hub.download(wanted, target, lambda line: print(line, flush=True))
    weights.check(target, model, mode)


if __name__ == "__main__":
    sys.exit(main())
