"""`make demo` and `make up` as commands: files, exit statuses, interrupts and kills."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import ROOT
from local.cloud.clients import OWNER
from tests.e2e.decoding import decoded
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


@pytest.fixture
def own_home(home: Path, tmp_path: Path) -> Path:
    """A home folder for one test, so that the processes of each test can be told apart.

    It has the assembly and the model, so that they need not be built again.
    """
    folder = tmp_path / "home"
    shutil.copytree(home / "models", folder / "models")
    (assembly,) = home.glob("assembly-*")
    shutil.copytree(assembly, folder / assembly.name)
    return folder


def command(own_home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "local", "--home", str(own_home), *arguments]


@pytest.fixture
def started(own_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command in its own process group, as a terminal does."""
    processes: list[subprocess.Popen[str]] = []
    # A shell lets the processes that it runs in the background ignore Ctrl-C. A process inherits
    # that. It does not inherit a handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(own_home, *arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
    signal.signal(signal.SIGINT, before)


def processes_of(own_home: Path) -> list[str]:
    """Return the commands of processes that have this home in their arguments or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue  # the process has ended or belongs to another user
        if str(own_home).encode() in text:
            found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until_gone(own_home: Path) -> None:
    """Wait until no process of this home is running."""
    eventually(lambda: not processes_of(own_home), log=lambda: str(processes_of(own_home)))


def test_demo_drops_the_reference_with_the_spec(own_home: Path, tmp_path: Path) -> None:
    """The spec has a space and an umlaut in its name, and its image lies beside it."""
    shutil.copy(ROOT / "samples" / "star.png", tmp_path)
    spec = tmp_path / "schöne Biene.yaml"
    spec.write_text((ROOT / "samples" / "star-from-a-picture.yaml").read_text())
    done = subprocess.run(
        command(own_home, "demo", str(spec), "--out", str(tmp_path / "out")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {f"schöne Biene.{suffix}" for suffix in ("mp4", "json", "jpg", "eml")}
    sidecar = json.loads((tmp_path / "out" / "schöne Biene.json").read_text())
    video = sidecar["video"]
    assert decoded((tmp_path / "out" / "schöne Biene.mp4").read_bytes(), tmp_path) == (
        video["num_frames"],
        video["height"],
        video["width"],
        video["fps"],
    )
    assert sidecar["spec"]["image"] == "/star.png"
    wait_until_gone(own_home)
    assert not list((own_home / "demo").iterdir())


def test_demo_of_an_image_alone_without_mail(own_home: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "samples" / "photos" / "square.jpg", tmp_path)
    (tmp_path / "_defaults.yaml").write_text(
        "animate_images: true\nnum_inference_steps: 2\nnotify: false\n"
    )
    done = subprocess.run(
        command(own_home, "demo", str(tmp_path / "square.jpg"), "--out", str(tmp_path / "out")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^\$ aws s3 cp .*/square\.jpg", done.stdout, re.MULTILINE)) == 1
    assert "notify is false" in done.stdout
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {f"square.jpg.{suffix}" for suffix in ("mp4", "json", "jpg")}


def test_demo_of_a_spec_with_an_error_shows_the_error_and_fails(
    own_home: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("prompt: a bee: on a flower\n")
    done = subprocess.run(
        command(own_home, "demo", str(spec), "--out", str(tmp_path / "out")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a colon" in done.stdout
    assert "line 1, column 14" in done.stdout
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"bad.txt", "bad.eml"}


def test_demo_of_a_missing_file_fails(own_home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(own_home, "demo", str(tmp_path / "no.yaml")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "There is no file" in done.stdout


@pytest.mark.parametrize("after_seconds", [0.2, 1.2, 2.5, 5.0])
def test_ctrl_c_leaves_nothing_behind(
    own_home: Path,
    tmp_path: Path,
    started: Callable[..., subprocess.Popen[str]],
    after_seconds: float,
) -> None:
    process = started("demo", "samples/bee.yaml", "--out", str(tmp_path / "out"))
    time.sleep(after_seconds)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in {130, -signal.SIGINT}, output
    # While Python is loading its modules, it answers by itself.
    assert "Traceback" not in output or output.startswith("Traceback"), output
    wait_until_gone(own_home)
    folder = own_home / "demo"
    assert not folder.exists() or not list(folder.iterdir())


def test_sigkill_leaves_no_processes_and_the_next_demo_cleans_up(
    own_home: Path, tmp_path: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("demo", "samples/bee.yaml", "--out", str(tmp_path / "out"))
    jobs = own_home / "demo"
    eventually(lambda: list(jobs.glob("*/jobs/*")) or process.poll() is not None)
    assert process.poll() is None, "it has ended before a processing job ran"
    process.kill()
    process.wait()
    wait_until_gone(own_home)
    spec = tmp_path / "quick.yaml"
    spec.write_text("prompt: a bee\nnum_inference_steps: 2\n")
    again = started("demo", str(spec), "--out", str(tmp_path / "out"))
    output, _ = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, output
    assert not list((own_home / "demo").iterdir())


def outputs_of(own_home: Path, process: subprocess.Popen[str]) -> dict[str, str]:
    """Wait until `make up` has opened the drop folder, and return its outputs."""
    file = own_home / "outputs.json"
    eventually(lambda: file.exists() or process.poll() is not None)
    return dict(json.loads(file.read_text()))


def client_of(outputs: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=outputs["Endpoint"],
        region_name="us-east-1",
        aws_access_key_id=OWNER.access_key_id,
        aws_secret_access_key=OWNER.secret_access_key,
    )


def is_ready(outputs: dict[str, str], key: str) -> bool:
    """Whether the status at a key says so. It is written after the files of the video."""
    found = client_of(outputs).list_objects_v2(Bucket=outputs["OutputBucket"], Prefix=key)
    if not found.get("Contents"):
        return False
    body = client_of(outputs).get_object(Bucket=outputs["OutputBucket"], Key=key)["Body"].read()
    return bool(json.loads(body)["state"] == "succeeded")


def videos(outputs: dict[str, str]) -> dict[str, str]:
    """Return the ETags of the published files by their keys."""
    found = client_of(outputs).list_objects_v2(Bucket=outputs["OutputBucket"], Prefix="videos/")
    return {item["Key"]: item["ETag"] for item in found.get("Contents", [])}


def drop_as_the_welcome_says(spec: Path, own_home: Path) -> None:
    """Drop a spec with the lines that `make up` shows, in a shell that knows nothing else."""
    lines = f'. {own_home / "env.sh"}\naws s3 cp {spec} "s3://$IN/jobs/"\n'
    subprocess.run(["sh", "-ec", lines], env={"PATH": "/usr/bin:/bin"}, check=True)


def interrupt(process: subprocess.Popen[str], own_home: Path) -> str:
    """Press Ctrl-C, and check that the command ends cleanly. Returns what it printed."""
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    wait_until_gone(own_home)
    return output


def test_up_serves_any_client_and_keeps_its_contents(
    own_home: Path, tmp_path: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("up")
    outputs = outputs_of(own_home, process)
    assert set(outputs) == {
        "Endpoint", "InputBucket", "OutputBucket", "WorkBucket", "LogBucket", "TopicArn",
        "EventBusName", "TableName", "DefaultModel", "InstanceTypes", "JobPrefix", "CodeUri",
        "ImageUri",
        "ImportRoleArn", "EnhancerModelId", "GuardrailId", "GuardrailVersion", "KeyArn",
        "LambdaConcurrency", "DropPolicyArn", "WatchPolicyArn", "FinishingInstanceType",
        "StudioUrl", "StudioUsers", "StudioClient",
    }  # fmt: skip
    spec = tmp_path / "kept.yaml"
    spec.write_text("prompt: a bee\nnum_inference_steps: 2\n")
    drop_as_the_welcome_says(spec, own_home)
    eventually(lambda: is_ready(outputs, "status/kept.json"))
    before = videos(outputs)

    second = started("up")
    output, _ = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 1 and re.search("already open", output)

    said = interrupt(process, own_home)
    assert (
        f". {own_home / 'env.sh'}" in said
        and f'{ROOT / "samples" / "bee.yaml"} "s3://$IN/jobs/"' in said
    )
    # It looks once in a second, so it may miss what lasts for less.
    assert re.search("  kept: (The prompt is being enhanced|In the queue|Rendering)", said), said
    assert f"  kept: Ready. s3://{outputs['OutputBucket']}/videos/kept.mp4" in said
    assert said.rstrip().endswith("opens it again, with its contents.")
    assert not list(own_home.glob("outputs.json")) + list(own_home.glob("env.sh"))

    process = started("up")
    again = outputs_of(own_home, process)
    assert again["InputBucket"] == outputs["InputBucket"]
    assert videos(again) == before
    assert "kept:" not in interrupt(process, own_home), "it is no news"
