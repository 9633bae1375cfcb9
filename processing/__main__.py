"""`python -m processing`: render all tasks of a manifest. The container runs this command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import Failure, MachineUnusable
from contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT, MESSAGE_BYTES, Layout
from processing.share import Share


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the manifest under --root.

    Any other exception than a `Failure` is a bug. It is written to the message file and raised.

    Returns:
        The exit status: 0 if every task has a result, also if tasks failed; 1 if no task could be
        tried.
    """
    options = _options(arguments)
    layout = Layout(options.root)
    share = Share(options.share, options.number) if options.share else None
    message = share.message if share else options.message
    try:
        # Imported only now, so that a wrong option is reported at once, and that an image without a
        # working torch says so in the message file.
        from processing import several, worker  # noqa: PLC0415

        if share is not None:
            worker.render_manifest(layout, share.take)
        elif len(devices := several.devices(options.processes)) > 1:
            if wrong := several.render_manifest(layout, devices):
                print(wrong, file=sys.stderr, flush=True)
                _leave_message(message, wrong)
                return 1
        else:
            worker.render_manifest(layout)
    except Failure as failure:
        problem = failure.problems[0]
        line = f"{problem.code}: {problem.sentence()}"
        print(line, file=sys.stderr, flush=True)
        _leave_message(message, line)
        if share is not None:
            share.problem.write_text(problem.to_json(), encoding="utf-8")
        elif not isinstance(failure, MachineUnusable):
            worker.fail_every_task(layout, failure)
        return 1
    except Exception as error:
        _leave_message(message, f"bug: {type(error).__name__}: {error}")
        raise
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
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
        help="file for a line that says why nothing was rendered (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        help="how many processes render at the same time (default: one for each GPU)",
    )
    # Only for the processes that this one starts.
    parser.add_argument("--share", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _leave_message(path: Path, text: str) -> None:
    line = " ".join(text.split()).encode()[:MESSAGE_BYTES]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The cut may have left half of a character at the end.
        path.write_bytes(line.decode(errors="ignore").encode())
    except OSError:
        # Outside of a container, the folder may not exist. Stderr has the same line.
        pass


if __name__ == "__main__":
    sys.exit(main())
