"""Two deployments share an account, and a newer version arrives while a job runs."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from functions.replies.status import Status
from functions.table.records import State
from local.command.assembly import synthesise
from local.command.deploy import deploy
from local.command.drop_folder import upload_models
from tests.e2e.conftest import Person

NAME = "reeldrop-dev"


@dataclass(frozen=True)
class Other:
    """The second deployment in the account of the first one."""

    person: Person
    assembly: Path
    outputs: dict[str, str]

    def drop(self, name: str, **fields: object) -> None:
        spec = json.dumps({"prompt": "a bee", "enhance": False, "notify": False, **fields})
        self._s3.put_object(
            Bucket=self.outputs["InputBucket"], Key=f"jobs/{name}", Body=spec.encode()
        )

    def status(self, path: str) -> Status | None:
        try:
            answer = self._s3.get_object(
                Bucket=self.outputs["OutputBucket"], Key=f"status/{path}.json"
            )
        except self._s3.exceptions.NoSuchKey:
            return None
        return Status.from_json(answer["Body"].read())

    def reaches(self, path: str, *states: State) -> Status:
        status: Status = self.person.eventually(
            lambda: (s := self.status(path)) and s.state in states and s
        )
        return status

    def functions(self) -> dict[str, str]:
        """The hashes of the functions' code, by name."""
        found = self.person.cloud.client("lambda").list_functions()["Functions"]
        return {
            f["FunctionName"]: f["CodeSha256"] for f in found if f["FunctionName"].startswith(NAME)
        }

    @property
    def _s3(self) -> Any:
        return self.person.cloud.client("s3")


@pytest.fixture(scope="module")
def other(person: Person, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Other:
    folder = tmp_path_factory.mktemp("assembly") / "out"
    synthesise(folder, stack_name=NAME)
    outputs = deploy(folder, person.cloud.endpoint)
    upload_models(home / "models", person.cloud, outputs["WorkBucket"])
    return Other(person, folder, outputs)


def newer(assembly: Path, folder: Path) -> Path:
    """Copy an assembly, with other code for the functions and for the worker."""
    shutil.copytree(assembly, folder)
    hashes = {}
    for asset in folder.glob("asset.*.zip"):
        with zipfile.ZipFile(asset, "a") as archive:
            archive.writestr("newer.txt", "a file that the older version does not have")
        old = asset.name.split(".")[1]
        hashes[old] = hashlib.sha256(asset.name.encode()).hexdigest()
        asset.rename(folder / f"asset.{hashes[old]}.zip")
    assert len(hashes) == 2
    manifest = json.loads((folder / "manifest.json").read_text())
    url = manifest["artifacts"][NAME]["properties"]["stackTemplateAssetObjectUrl"]
    template = Path(url).stem
    hashes[template] = hashlib.sha256(template.encode()).hexdigest()
    for file in folder.glob("*.json"):
        text = file.read_text()
        for old, new in hashes.items():
            text = text.replace(old, new)
        file.write_text(text)
    return folder


def keys(person: Person, bucket: str) -> set[str]:
    found = person.cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return {entry["Key"] for entry in found}


def test_two_deployments_in_an_account_do_not_mix(person: Person, other: Other) -> None:
    other.drop("theirs.json", num_inference_steps=2)
    spec = json.dumps({"prompt": "a bee", "dry_run": True, "enhance": False}).encode()
    ours = {"Bucket": person.folder.input_bucket, "Key": "jobs/ours.json"}
    person.cloud.client("s3").put_object(**ours, Body=spec)
    other.reaches("theirs", State.SUCCEEDED)
    assert person.final("ours").state == State.PLANNED
    assert person.status("theirs") is None and other.status("ours") is None
    work = keys(person, other.outputs["WorkBucket"])
    attempts = {key.split("/")[1] for key in work if key.startswith("attempts/")}
    assert attempts and all(name.startswith(f"{NAME}--") for name in attempts)


def test_a_newer_version_that_arrives_while_a_job_runs_finishes_it(
    other: Other, tmp_path: Path
) -> None:
    """The processing job keeps the worker that it began with, and the newer functions publish."""
    other.drop("before.json", num_inference_steps=40, variations=2)
    other.reaches("before", State.RUNNING)
    before = other.functions()
    outputs = deploy(newer(other.assembly, tmp_path / "newer"), other.person.cloud.endpoint)
    after = other.functions()
    assert set(after) == set(before) and not set(after.values()) & set(before.values())
    assert outputs["CodeUri"] != other.outputs["CodeUri"]
    assert outputs["TableName"] == other.outputs["TableName"]
    running = other.status("before")
    assert running is not None and running.state == State.RUNNING, "it still ran"
    status = other.reaches("before", State.SUCCEEDED)
    assert [task.attempt for task in status.tasks] == [1, 1], "in its first attempt"
    other.drop("after.json", num_inference_steps=2)
    other.reaches("after", State.SUCCEEDED)
