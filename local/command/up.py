"""`make up`: a drop folder on this machine that is open until Ctrl-C and keeps its state."""

import json
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from botocore.exceptions import ClientError
from filelock import FileLock, Timeout
from rich.console import Console

from functions import s3_keys
from functions.replies.lone import LoneStatus
from functions.replies.status import Status
from functions.table.records import State
from local import ROOT
from local.cloud.clients import OWNER, REGION
from local.cloud.files import write_atomically
from local.cloud.process import EmbeddedCloud
from local.command import studio
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder

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
                watch = Watch(cloud.client("s3"), folder.output_bucket)
                watch.changes()  # what was there before is not news
                is_open = True
                while is_open:
                    is_open = not stopped.wait(1)
                    cloud.check()
                    for line in watch.changes():
                        console.print(line, markup=False, highlight=False)
            finally:
                outputs.unlink(missing_ok=True)
                (home / ENVIRONMENT_FILE).unlink(missing_ok=True)
            console.print("The drop folder is closed. `make up` opens it again, with its contents.")


class Watch:
    """Finds what is new in the statuses of a drop folder."""

    def __init__(self, s3: Any, output_bucket: str) -> None:
        self._s3, self._bucket = s3, output_bucket
        self._etags: dict[str, str] = {}
        self._said: dict[str, tuple[str, str]] = {}

    def changes(self) -> list[str]:
        """Return a line for each job whose state changed since the last call."""
        lines = []
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=s3_keys.STATUS_PREFIX
        )
        for item in (item for page in pages for item in page.get("Contents", [])):
            if self._etags.get(item["Key"]) == item["ETag"]:
                continue
            self._etags[item["Key"]] = item["ETag"]
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=item["Key"])["Body"].read()
            except ClientError:
                continue  # it was removed meanwhile
            if json.loads(body)["state"] == "lone":
                lines.append(_line_of_lone(LoneStatus.from_json(body)))
                continue
            status = Status.from_json(body)
            # While a job renders, its message changes with each step.
            news = status.state, "" if status.state == State.RUNNING else status.message
            if self._said.get(item["Key"]) != (status.job_id, str(news)):
                self._said[item["Key"]] = status.job_id, str(news)
                lines.append(_line(status, self._bucket))
        return lines


def _line_of_lone(status: LoneStatus) -> str:
    return f"{time.strftime('%H:%M:%S')}  {status.path}: {status.message}"


def _line(status: Status, output_bucket: str) -> str:
    videos = [f"s3://{output_bucket}/{task.video}" for task in status.tasks if task.video]
    made = f" {videos[0]}" if videos and status.state.terminal else ""
    more = f" and {len(videos) - 1} more" if made and len(videos) > 1 else ""
    return f"{time.strftime('%H:%M:%S')}  {status.path}: {status.message}{made}{more}"


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

Emails arrive in {home / "up" / "outbox"}. This terminal shows each job that changes.
"""
