"""`python -m local`, and `reeldrop` where it is installed: the commands are in `command/cli.py`."""

import sys
from collections.abc import Sequence

from local import INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; `sys.argv` if not given.

    Returns:
        The exit status; 130 after an interrupt, as shells do.
    """
    try:
        # This import takes some tenths of a second, and Ctrl-C must be handled in them, too.
        from local.command.cli import run  # noqa: PLC0415

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("interrupted; everything is stopped and cleaned up", flush=True)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
