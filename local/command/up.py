"""`make up`: a drop folder on this machine that is open until Ctrl-C and keeps its state."""

import fcntl
import json
import signal
import threading
from pathlib import Path
from types import FrameType

from rich.console import Console

from local.cloud.files import write_atomically
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder

OUTPUTS_FILE = "outputs.json"


class AlreadyUp(Exception):
    """The drop folder of this checkout is open in another process."""


def up(home: Path, port: int, console: Console) -> None:
    """Open the drop folder and wait for Ctrl-C.

    Raises:
        AlreadyUp: it is already open.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUp(f"A drop folder is already open: see {home / OUTPUTS_FILE}.") from None
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
                console.print(_welcome(folder), markup=False, highlight=False)
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, stop)
                while not stopped.wait(1):
                    cloud.check()
            finally:
                outputs.unlink(missing_ok=True)


def _welcome(folder: DropFolder) -> str:
    aws = f"aws --endpoint-url {folder.endpoint} s3"
    return f"""
The drop folder is open at {folder.endpoint} (Ctrl-C closes it; its contents are kept).

  In another terminal (any AWS credentials work; they are not checked):
    export AWS_ACCESS_KEY_ID=me AWS_SECRET_ACCESS_KEY=me AWS_DEFAULT_REGION=us-east-1
    {aws} cp samples/bee.yaml s3://{folder.input_bucket}/jobs/
    {aws} ls --recursive s3://{folder.output_bucket}/
  Mail arrives in .reeldrop/up/outbox/. The names of all resources are in .reeldrop/outputs.json.
"""
