"""Fixtures: a drop folder on the embedded cloud, as `make up` opens it, and a person using it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from functions import s3_keys
from functions.replies.sidecar import Sidecar
from functions.replies.status import Status
from functions.table.records import State
from local import ROOT
from local.cloud.clients import OWNER
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from tests.waiting import eventually


@dataclass
class Person:
    """A person with the AWS CLI and a mailbox."""

    folder: DropFolder
    cloud: EmbeddedCloud

    def aws(self, *arguments: str) -> str:
        """Run the AWS CLI and return its output."""
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "aws"),
                *("--endpoint-url", self.folder.endpoint, *arguments),
            ],
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
                "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def eventually(self, ask: Callable[[], Any]) -> Any:
        """Call until the answer is true, and return it. A failure shows the cloud's log."""
        return eventually(ask, log=self.cloud.log_tail)

    def status(self, path: str) -> Status | None:
        try:
            return Status.from_json(self.read(s3_keys.status(path)))
        except self.cloud.client("s3").exceptions.NoSuchKey:
            return None

    def read(self, key: str) -> bytes:
        bucket = self.folder.output_bucket
        body: bytes = self.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def final(self, path: str) -> Status:
        """Wait until the job has ended, and return its status."""
        status: Status = self.eventually(
            lambda: (s := self.status(path)) and s.state.terminal and s
        )
        return status

    def waiting(self, path: str) -> Status:
        """Wait until the job waits for a reference, and return its status."""
        status: Status = self.eventually(
            lambda: (s := self.status(path)) and s.state == State.WAITING and s
        )
        return status

    def sidecar(self, path: str) -> Sidecar:
        return Sidecar.from_json(self.read(f"videos/{path}.json"))

    def mail(self, path: str) -> EmailMessage:
        """Wait for the mail about a path, and return it."""

        def found() -> list[EmailMessage]:
            mails = [
                BytesParser(policy=policy.default).parsebytes(file.read_bytes())
                for file in (self.cloud.state / "outbox").glob("*.eml")
            ]
            return [mail for mail in mails if mail["X-Path"] == path]

        mails: list[EmailMessage] = self.eventually(found)
        (mail,) = mails
        return mail


@pytest.fixture(scope="session")
def home() -> Path:
    """The home folder of this checkout, so that the assembly and the model are built only once."""
    folder = ROOT / ".reeldrop"
    make_ready(folder)
    return folder


@pytest.fixture(scope="session")
def person(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with EmbeddedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield Person(open_drop_folder(home, cloud), cloud)


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a spec that renders quickly."""

    def write(name: str, **fields: object) -> Path:
        file = tmp_path / name
        file.write_text(json.dumps({"prompt": "a bee", "num_inference_steps": 2, **fields}))
        return file

    return write
