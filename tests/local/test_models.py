"""Weights are imported into the work bucket, from a folder or from a hub, and used from then on."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.catalogue import Mode
from contract.model_folder import MODEL_FILE, Ready, files_of
from demo_model.install import SHIPPED
from functions import s3_keys
from local.cloud.process import EmbeddedCloud
from local.cloud.service_limits import violations
from local.command.models import Machine, import_folder, import_request
from model_import import ImportFailed
from tests.local.test_doctor import ACCOUNT

MODE = Mode.IMAGE_TO_VIDEO
SMALL = "scheduler/scheduler_config.json"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model folder as a person may have it: cloned with git."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    (folder / MODEL_FILE).unlink()
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "README.md").write_text("# about it")
    return folder


class Uploads:
    """A client of S3 that counts the files that it uploads, and can break off."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.files: list[str] = []
        self.at_most = 100

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        if len(self.files) == self.at_most:
            raise KeyboardInterrupt
        self.files.append(key)
        self._s3.upload_file(file, bucket, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


@pytest.fixture
def s3(cloud: EmbeddedCloud) -> Uploads:
    return Uploads(cloud.client("s3"))


def keys(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def told(_line: str) -> None:
    pass


@pytest.mark.parametrize(
    ("instance_type", "has_volume"),
    [("ml.m5.xlarge", True), ("ml.r5d.large", False), ("ml.g6e.xlarge", False)],
)
def test_the_key_of_the_deployment_encrypts_what_an_import_writes(
    instance_type: str, has_volume: bool
) -> None:
    """SageMaker refuses a key for the volume of a type that has a disk of its own."""
    key = "arn:aws:kms:us-east-1:000000000000:key/ours"
    account = replace(ACCOUNT, key_arn=key)
    machine = Machine(instance_type, 100)
    request = import_request(account, "reeldrop--import", "demo", "c" * 40, "s3://work/m", machine)
    assert violations("CreateProcessingJob", request) == []
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == key
    volume = request["ProcessingResources"]["ClusterConfig"].get("VolumeKmsKeyId")
    assert volume == (key if has_volume else None)
    assert key not in str(import_request(ACCOUNT, "j", "demo", "c", "s3://work/m", machine))


def test_a_folder_is_uploaded_without_what_does_not_belong_to_it(
    s3: Uploads, bucket: str, source: Path
) -> None:
    ready = import_folder(s3, bucket, "demo-i2v", MODE, source, told)
    prefix = s3_keys.model_release("demo-i2v", ready.release)
    wanted = [f"{prefix}{file.path}" for file in files_of(SHIPPED)]
    assert sorted(keys(s3, bucket)) == sorted(
        [*wanted, f"{prefix}{MODEL_FILE}", s3_keys.model_ready("demo-i2v")]
    )
    body = s3.get_object(Bucket=bucket, Key=s3_keys.model_ready("demo-i2v"))["Body"].read()
    assert Ready.from_json(body) == ready


def test_an_upload_that_broke_off_is_continued(s3: Uploads, bucket: str, source: Path) -> None:
    s3.at_most = 3
    with pytest.raises(KeyboardInterrupt):
        import_folder(s3, bucket, "demo-i2v", MODE, source, told)
    assert s3_keys.model_ready("demo-i2v") not in keys(s3, bucket)
    s3.at_most = 100
    import_folder(s3, bucket, "demo-i2v", MODE, source, told)
    assert len(s3.files) == len(set(s3.files)) == len(files_of(SHIPPED))
    assert s3_keys.model_ready("demo-i2v") in keys(s3, bucket)


def test_changed_weights_become_another_release(s3: Uploads, bucket: str, source: Path) -> None:
    """A processing job that runs keeps the release that it began with."""
    first = import_folder(s3, bucket, "demo-i2v", MODE, source, told)
    before = keys(s3, bucket)
    assert import_folder(s3, bucket, "demo-i2v", MODE, source, told) == first
    assert keys(s3, bucket) == before
    (source / SMALL).write_text((source / SMALL).read_text() + "\n")
    second = import_folder(s3, bucket, "demo-i2v", MODE, source, told)
    assert second.release != first.release
    assert set(before) < set(keys(s3, bucket))


@pytest.mark.parametrize(
    ("mode", "missing", "says"),
    [
        (MODE, "vae/config.json", "vae/config.json"),
        (MODE, "transformer/diffusion_pytorch_model.safetensors", "transformer/diffusion_pytorch"),
        (Mode.TEXT_TO_VIDEO, None, "CogVideoXImageToVideoPipeline"),
    ],
)
def test_a_folder_that_cannot_be_used_is_not_uploaded(
    s3: Uploads, bucket: str, source: Path, mode: Mode, missing: str | None, says: str
) -> None:
    if missing:
        (source / missing).unlink()
    with pytest.raises(ImportFailed, match=says):
        import_folder(s3, bucket, "demo-i2v", mode, source, told)
    assert not keys(s3, bucket)


def test_a_folder_that_is_not_the_one_in_its_model_json_is_refused(
    s3: Uploads, bucket: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    (folder / SMALL).write_text((folder / SMALL).read_text() + " ")
    with pytest.raises(ImportFailed, match=SMALL):
        import_folder(s3, bucket, "demo-i2v", MODE, folder, told)
    assert not keys(s3, bucket)
