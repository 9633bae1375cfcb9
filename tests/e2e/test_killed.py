"""Processes of the embedded cloud are killed during a job, and the job still makes one video."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions import s3_keys
from functions.table.records import State
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import open_drop_folder
from tests.e2e.conftest import Person

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# The embedded cloud saves its state every ten seconds.
SAVED_SECONDS = 12
SLOW = json.dumps({"prompt": "a bee", "num_inference_steps": 100, "enhance": False}).encode()


@pytest.fixture(scope="module")
def person(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person whose cloud keeps its state over a restart."""
    with EmbeddedCloud(tmp_path_factory.mktemp("killed"), persist=True) as cloud:
        yield Person(open_drop_folder(home, cloud), cloud)


def processes_of(folder: Path, word: str = "") -> list[int]:
    """Return the processes that work below `folder` or name it, with `word` in their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode()
            directory = str((process / "cwd").readlink())
        except OSError:
            continue
        if (str(folder) in command or directory.startswith(str(folder))) and word in command:
            found.append(int(process.name))
    return found


def drop_and_wait_for_the_worker(person: Person, name: str) -> list[int]:
    """Drop a slow job, wait until it renders, and return the processes that render it."""
    bucket = person.folder.input_bucket
    person.cloud.client("s3").put_object(Bucket=bucket, Key=f"jobs/{name}.json", Body=SLOW)
    person.eventually(lambda: (s := person.status(name)) and s.state == State.RUNNING)
    found: list[int] = person.eventually(lambda: processes_of(person.cloud.state / "jobs"))
    return found


def versions(person: Person, key: str) -> int:
    answer = person.cloud.client("s3").list_object_versions(
        Bucket=person.folder.output_bucket, Prefix=key
    )
    return len(answer.get("Versions", []))


def check_one_video(person: Person, name: str) -> None:
    status = person.final(name)
    assert status.state == State.SUCCEEDED, status
    person.mail(name)
    assert versions(person, s3_keys.published(name, 1, 1).video) == 1
    mails = [
        f
        for f in (person.cloud.state / "outbox").glob("*.eml")
        if f"X-Path: {name}\n".encode() in f.read_bytes().replace(b"\r\n", b"\n")
    ]
    assert len(mails) == 1


def test_the_worker_is_killed(person: Person) -> None:
    running = drop_and_wait_for_the_worker(person, "worker")
    # A worker that dies before it shows progress says nothing about its task, and is not charged.
    person.eventually(lambda: (s := person.status("worker")) and s.tasks[0].percent)
    for process in running:
        os.kill(process, signal.SIGKILL)
    check_one_video(person, "worker")
    assert person.sidecar("worker").attempts == 2


def test_the_functions_are_killed(person: Person) -> None:
    """All warm functions are killed, five times while the job runs."""
    drop_and_wait_for_the_worker(person, "function")
    killed = 0
    for _ in range(5):
        for process in processes_of(person.cloud.state / "tmp", "_worker.py"):
            os.kill(process, signal.SIGKILL)
            killed += 1
        time.sleep(1)
    assert killed, "no function was running"
    check_one_video(person, "function")


def test_the_whole_cloud_is_killed_and_started_again(person: Person, home: Path) -> None:
    drop_and_wait_for_the_worker(person, "cloud")
    time.sleep(SAVED_SECONDS)
    assert person.status("cloud") is not None
    os.kill(person.cloud.pid, signal.SIGKILL)
    person.cloud.stop()
    # The kernel kills the worker with its parent, but on a busy machine not at the same moment.
    person.eventually(lambda: not processes_of(person.cloud.state / "jobs"))
    person.cloud.start()
    person.folder = open_drop_folder(home, person.cloud)
    check_one_video(person, "cloud")
