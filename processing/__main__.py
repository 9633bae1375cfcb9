"""`python -m processing`: what the container runs. Exit 0 once every task has its result.json."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import Failure
from contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT, Layout

# What SageMaker shows of the message file.
MESSAGE_BYTES = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the manifest under --root. Returns the exit status.

    0 when every task has a result, also if tasks failed; 1 when no task could be tried. What is
    neither is a bug and goes up, with its name in the message file.
    """
    parser = argparse.ArgumentParser(prog="python -m processing", description=__doc__)
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(CONTAINER_ROOT),
        help="folder with input/manifest.json, model/ and output/ (default: %(default)s)",
    )
    parser.add_argument(
        "--message",
        type=Path,
        default=Path(CONTAINER_MESSAGE),
        help="file for one line that says why nothing was rendered (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    layout = Layout(options.root)
    # After the arguments: a wrong option is answered at once.
    from processing import worker  # noqa: PLC0415

    try:
        worker.render_manifest(layout)
    except Failure as failure:
        problem = failure.problems[0]
        line = f"{problem.code}: {problem.sentence()}"
        print(line, file=sys.stderr, flush=True)
        _leave_message(options.message, line)
        worker.fail_every_task(layout, failure)
        return 1
    except Exception as error:
        _leave_message(options.message, f"bug: {type(error).__name__}: {error}")
        raise
    return 0


def _leave_message(path: Path, text: str) -> None:
    line = " ".join(text.split()).encode()[:MESSAGE_BYTES]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The cut may have gone through a character.
        path.write_bytes(line.decode(errors="ignore").encode())
    except OSError:
        # Outside of a container there may be no such folder. Stderr has the same line.
        pass


if __name__ == "__main__":
    sys.exit(main())
