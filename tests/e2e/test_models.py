"""The weights of a model are imported with the command, and drops wait until they are there."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.catalogue import Mode
from contract.model_folder import MODEL_FILE, Ready
from demo_model.install import SHIPPED
from functions import s3_keys
from functions.table.records import State
from local import ROOT
from local.command.models import folders_of, import_folder, import_rife
from tests import random_rife
from tests.e2e.conftest import Person
from tests.hub import COMMIT, Hub, serving
from tests.waiting import PATIENCE_SECONDS

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "repository"
    shutil.copytree(SHIPPED, folder)
    (folder / MODEL_FILE).unlink()
    with serving(Hub("zai-org/CogVideoX-5b-I2V", folder)) as found:
        yield found


@pytest.fixture
def command(person: Person, hub: Hub, tmp_path: Path) -> Command:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(person.folder.as_outputs()))

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local", name, *arguments, "--outputs", str(outputs)],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "HF_ENDPOINT": hub.endpoint,
                "COLUMNS": "200",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    return run


def ready(person: Person, folder: str) -> Ready:
    s3, key = person.cloud.client("s3"), s3_keys.model_ready(folder)
    body = s3.get_object(Bucket=person.folder.work_bucket, Key=key)["Body"].read()
    return Ready.from_json(body)


def drop(person: Person, spec: Path) -> None:
    person.aws("s3", "cp", str(spec), f"s3://{person.folder.input_bucket}/jobs/")


IMPORT = ("import-model", "cogvideox-5b", "--mode", "image-to-video")


def test_a_model_is_imported_from_a_hub_by_a_processing_job(
    person: Person, command: Command, hub: Hub
) -> None:
    refused = command(*IMPORT)
    assert refused.returncode == 1
    assert "--accept-licence" in refused.stdout and "CogVideoX License" in refused.stdout

    hub.altered = {"vae/config.json"}
    failed = command(*IMPORT, "--accept-licence")
    assert failed.returncode == 1 and "vae/config.json" in failed.stdout
    assert "cogvideox-5b  " in (listed := command("models").stdout)
    assert COMMIT[:16] not in listed

    hub.altered = set()
    done = command(*IMPORT, "--accept-licence")
    assert done.returncode == 0, done.stdout + done.stderr
    found = ready(person, "cogvideox-5b-i2v")
    assert (found.revision, found.repository) == (COMMIT, hub.repository)
    assert COMMIT[:16] in command("models").stdout
    sent = len(hub.sent)
    assert command(*IMPORT, "--accept-licence").returncode == 0
    assert len(hub.sent) == sent, "it was there already"


def test_a_drop_waits_for_weights_that_were_not_imported(
    person: Person, command: Command, spec_file: Callable[..., Path], home: Path
) -> None:
    s3, work = person.cloud.client("s3"), person.folder.work_bucket
    s3.delete_object(Bucket=work, Key=s3_keys.model_ready("demo"))
    try:
        drop(person, spec_file("early.json"))
        status = person.eventually(
            lambda: (s := person.status("early")) and "import-model demo" in s.message and s
        )
        assert status.state == State.QUEUED
        source = str(home / "models" / "demo")
        done = command("import-model", "demo", "--mode", "text-to-video", "--from", source)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        mode = Mode.TEXT_TO_VIDEO
        import_folder(s3, work, "demo", mode, home / "models" / "demo", lambda _line: None)
    drop(person, spec_file("next.json"))  # the sweep would wake dispatch within five minutes
    assert person.final("next").state == person.final("early").state == State.SUCCEEDED


def test_rife_interpolates_from_its_import_until_it_is_removed(
    person: Person,
    command: Command,
    spec_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other.pkl"
    random_rife.offered(other)
    refused = command("import-model", "rife", "--from", str(other))
    assert refused.returncode == 1 and "instead of fe854fc8" in refused.stdout, refused.stdout

    s3, work = person.cloud.client("s3"), person.folder.work_bucket
    source = random_rife.accepted(tmp_path / "flownet.pkl", monkeypatch)
    imported = import_rife(s3, work, source, lambda _line: None)
    assert imported.release in command("models").stdout
    fields = {"fps": 24, "seed": 1, "prompt": "a red ball bounces"}
    try:
        drop(person, spec_file("with-rife.json", **fields))
        assert person.final("with-rife").state == State.SUCCEEDED
    finally:
        s3.delete_object(Bucket=work, Key=s3_keys.model_ready("rife"))
    drop(person, spec_file("without-rife.json", **fields))
    assert person.final("without-rife").state == State.SUCCEEDED

    made, without = person.sidecar("with-rife"), person.sidecar("without-rife")
    assert made.interpolation is not None and without.interpolation is not None
    assert made.interpolation.method == "rife"
    assert made.interpolation.weights_sha256 == imported.sha256
    assert without.interpolation.method == "search"
    assert made.video.sha256 != without.video.sha256


def test_what_cannot_be_imported_is_said(command: Command, tmp_path: Path) -> None:
    for arguments, says in (
        (("cogvideo",), "The models are demo, cogvideox-2b"),
        (("cogvideox-2b", "--mode", "image-to-video"), "has no mode"),
        (("cogvideox-5b", "--accept-licence", "--from", str(tmp_path)), "Say with --mode"),
        (("cogvideox-2b", "--from", str(tmp_path)), "Files are missing"),
        (("cogvideox-2b",), "has no repository zai-org/CogVideoX-2b"),
    ):
        done = command("import-model", *arguments)
        assert done.returncode == 1 and says in done.stdout, done.stdout + done.stderr


def test_each_mode_of_the_demo_model_is_imported_with_the_drop_folder(person: Person) -> None:
    assert {ready(person, folder).repository for folder in folders_of("demo")} == {None}


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What the doctor found, by check: the worst of each."""
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        verdict, what = line[:12].strip(), line[12:29].strip()
        found[what] = "problem" if "problem" in {verdict, found.get(what)} else verdict
    return found


def test_the_doctor_finds_problems_of_a_deployment(person: Person, command: Command) -> None:
    done = command("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    found = verdicts(done)
    # The embedded cloud has no Service Quotas.
    assert found == dict.fromkeys(found, "ok") | {"quota": "not checked"}, done.stdout
    assert set(found) >= {"weights", "notifications", "language model", "a dry run"}
    assert not [key for key in keys(person, person.folder.input_bucket) if "doctor" in key]

    s3, work = person.cloud.client("s3"), person.folder.work_bucket
    key = s3_keys.model_ready("demo")
    marker = s3.get_object(Bucket=work, Key=key)["Body"].read()
    s3.delete_object(Bucket=work, Key=key)
    set_fault(person, "ThrottlingException")
    try:
        done = command("doctor")
    finally:
        set_fault(person, None)
        s3.put_object(Bucket=work, Key=key, Body=marker)
    assert done.returncode == 1
    problems = {what for what, verdict in verdicts(done).items() if verdict == "problem"}
    assert problems == {"weights", "language model"}, done.stdout
    assert "reeldrop import-model demo" in done.stdout


def set_fault(person: Person, fault: str | None) -> None:
    """Let the stand-in of Bedrock fail."""
    body = json.dumps({"fault": fault}).encode()
    urllib.request.urlopen(f"{person.cloud.endpoint}/_reeldrop/bedrock", body).close()


def keys(person: Person, bucket: str) -> list[str]:
    found = person.cloud.client("s3").list_objects_v2(Bucket=bucket)
    return [entry["Key"] for entry in found.get("Contents", ())]
