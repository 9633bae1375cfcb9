"""`make up`: a drop folder on this machine that is open until Ctrl-C and keeps its state."""

import json
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from rich.console import Console

from local import ROOT
from local.cloud.clients import OWNER, REGION
from local.cloud.files import write_atomically
from local.cloud.process import EmbeddedCloud
from local.command import studio
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from local.command.watch import Watch, view_for

OUTPUTS_FILE = "outputs.json"
ENVIRONMENT_FILE = "env.sh"


class AlreadyUp(Exception):
    """The drop folder of this checkout is open in another process."""


def up(home: Path, port: int, console: Console) -> None:
    """Open the drop folder and wait for Ctrl-C.

    Raises:
        AlreadyUp: it is already open.
    """
    home.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(home / "up.lock").acquire(blocking=False)
    except Timeout:
        raise AlreadyUp(f"A drop folder is already open: see {home / OUTPUTS_FILE}.") from None
    with lock:
        outputs = home / OUTPUTS_FILE
        stopped = threading.Event()

        def stop(_signal: int, _frame: FrameType | None) -> None:
            stopped.set()

        with console.status("Building the stacks and the demo model (kept for the next run)"):
            make_ready(home)
        with EmbeddedCloud(home / "up", port=port, persist=True) as cloud:
            with console.status("Deploying the stacks"):
                folder = open_drop_folder(home, cloud)
            write_atomically(outputs, (json.dumps(folder.as_outputs(), indent=2) + "\n").encode())
            try:
                write_atomically(home / ENVIRONMENT_FILE, _environment(folder).encode())
                console.print(_welcome(home, folder), markup=False, highlight=False)
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, stop)
                _watch(cloud, folder, console, stopped)
            finally:
                outputs.unlink(missing_ok=True)
                (home / ENVIRONMENT_FILE).unlink(missing_ok=True)
            console.print("The drop folder is closed. `make up` opens it again, with its contents.")


def _watch(
    cloud: EmbeddedCloud, folder: DropFolder, console: Console, stopped: threading.Event
) -> None:
    """Show what comes in and what becomes of it, until Ctrl-C."""
    watch = Watch(cloud.client("s3"), folder.output_bucket)
    # In the table, a long line must be cut and not wrapped by the terminal.
    console = Console() if console.is_terminal else console
    note = f"Studio: {folder.studio_url}  Ctrl-C closes the drop folder."
    with view_for(console, folder.output_bucket, note) as view:
        view.show(watch.news(most=view.keeps))
        is_open = True
        while is_open:
            is_open = not stopped.wait(1)
            cloud.check()
            view.show(watch.news())


def _environment(folder: DropFolder) -> str:
    """What a shell needs to reach the drop folder as the owner of its account."""
    return (
        "\n".join(
            f"export {name}={shlex.quote(value)}"
            for name, value in {
                "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
                "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ENDPOINT_URL": folder.endpoint,
                "IN": folder.input_bucket,
                "OUT": folder.output_bucket,
            }.items()
        )
        + f'\nexport PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
    )


def _welcome(home: Path, folder: DropFolder) -> str:
    return f"""
The drop folder is open at {folder.endpoint} (Ctrl-C closes it; its contents are kept).
In the browser, sign in as {studio.EMAIL} with the password {studio.PASSWORD}:

    {folder.studio_url}

In another terminal:

    . {shlex.quote(str(home / ENVIRONMENT_FILE))}
    reeldrop drop {shlex.quote(str(ROOT / "samples" / "bee.yaml"))} --wait
    aws s3 cp {shlex.quote(str(ROOT / "samples" / "bee.yaml"))} "s3://$IN/jobs/"
    aws s3 ls --recursive "s3://$OUT/"

Emails arrive in {home / "up" / "outbox"}.
This terminal shows what comes in, and what becomes of it.
"""
