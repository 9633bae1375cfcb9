"""Run reeldrop on this machine: a demo, an open drop folder, or a check of job specs.

`make demo` and `make up` call the first two. The command itself is `.venv/bin/reeldrop`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from local import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; `sys.argv` if not given.

    Returns:
        The exit status; 130 after an interrupt, as shells do.
    """
    parser = argparse.ArgumentParser(prog="reeldrop", description=__doc__)
    parser.add_argument(
        "--home",
        type=Path,
        default=ROOT / ".reeldrop",
        help="folder for all state (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser("demo", help="run one job on the embedded cloud")
    demo_parser.add_argument("spec", type=Path, nargs="?", default=Path("samples/bee.yaml"))
    demo_parser.add_argument("--out", type=Path, default=Path("out/demo"))
    up_parser = commands.add_parser("up", help="keep a drop folder open on this machine")
    up_parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="0 (the default): the port of the last run if it is free, otherwise any free port",
    )
    validate_parser = commands.add_parser(
        "validate",
        help="check job specs as the bucket would; the exit status is 1 if any is refused",
    )
    validate_parser.add_argument("files", metavar="FILE", type=Path, nargs="+")
    validate_parser.add_argument("--json", action="store_true", help="print JSON")
    validate_parser.add_argument(
        "--model", default="demo", help="the default model of the deployment (default: %(default)s)"
    )
    try:
        return _run(parser.parse_args(arguments))
    except KeyboardInterrupt:
        print("interrupted; everything is stopped and cleaned up", flush=True)
        return 130


def _run(chosen: argparse.Namespace) -> int:
    # These imports take a second. They are inside a function that main() calls, so that main()
    # handles Ctrl-C during that second, too.
    from rich.console import Console  # noqa: PLC0415

    from local.cloud.process import CloudFailed  # noqa: PLC0415
    from local.command.assembly import SynthesisFailed  # noqa: PLC0415
    from local.command.demo import DemoFailed, demo  # noqa: PLC0415
    from local.command.deploy import DeployFailed  # noqa: PLC0415
    from local.command.up import AlreadyUp, up  # noqa: PLC0415
    from local.command.validate import show, validate  # noqa: PLC0415

    console = Console(soft_wrap=True)
    if chosen.command == "validate":
        verdicts = validate(chosen.files, default_model=chosen.model)
        if chosen.json:
            print(json.dumps([verdict.as_plain() for verdict in verdicts], indent=2))
        else:
            show(verdicts, console)
        return 0 if all(verdict.ok for verdict in verdicts) else 1
    try:
        if chosen.command == "demo":
            return demo(chosen.home.resolve(), chosen.spec, chosen.out, console)
        up(chosen.home.resolve(), chosen.port, console)
    except (AlreadyUp, CloudFailed, DemoFailed, DeployFailed, SynthesisFailed) as error:
        console.print(str(error), markup=False, highlight=False, style="red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
