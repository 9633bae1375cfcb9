"""What is in the zips of the functions and of the worker besides the source."""

import shutil
import stat
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from stacks import code

# The source is not compared with it when it is imported (PEP 552).
UNCHECKED_HASH = (0b01).to_bytes(4, "little")


@pytest.mark.parametrize("build", [code.functions_code, code.worker_code])
def test_all_modules_are_compiled_for_the_python_that_runs_them(build: object) -> None:
    assert callable(build)
    with build("embedded") as path, zipfile.ZipFile(path) as archive:
        sources = [Path(entry.filename) for entry in archive.infolist()
                   if entry.filename.endswith(".py") and entry.file_size]  # fmt: skip
        assert len(sources) > 30
        tag = sys.implementation.cache_tag
        for source in sources:
            compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
            assert archive.read(str(compiled))[4:8] == UNCHECKED_HASH, source


def test_two_builds_are_the_same_bytes_and_everybody_may_read_them() -> None:
    contents = []
    for _ in range(2):
        with code.worker_code("embedded") as path:
            contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    entries = zipfile.ZipFile(BytesIO(contents[0])).infolist()
    assert {stat.filemode(entry.external_attr >> 16) for entry in entries} == {"-rw-r--r--"}


def test_a_program_that_only_has_the_name_of_a_python_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(shim))

    assert code.interpreter("3.99") is None
    assert code.interpreter(None) == sys.executable


def test_packages_are_downloaded_and_compiled_once_for_each_state_of_their_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "_KEPT", tmp_path)
    monkeypatch.setattr(code, "_PACKAGES", tmp_path / "packages")
    monkeypatch.setattr(code, "CONTAINER_PYTHON", f"{sys.version_info[0]}.{sys.version_info[1]}")
    downloads = []

    def download(lock: str, target: Path, *_more: str) -> None:
        downloads.append(lock)
        (target / lock).mkdir(parents=True)
        (target / lock / "module.py").write_text("x = 1")
        (target / lock / "program").touch(mode=0o700)

    monkeypatch.setattr(code, "_download", download)
    contents = []
    for _ in range(2):
        with code.worker_code("aws") as path, zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert len(set(names)) == len(names)
            for module in ("processing/module", "fp8/fp8/module", "processing/worker", "__main__"):
                folder, _, stem = module.rpartition("/")
                compiled = f"__pycache__/{stem}.{sys.implementation.cache_tag}.pyc"
                found = archive.read(f"{folder}/{compiled}" if folder else compiled)
                assert str(tmp_path).encode() not in found
            program = archive.getinfo("fp8/fp8/program")
            assert stat.filemode(program.external_attr >> 16) == "-rwxr-xr-x"
            contents.append(path.read_bytes())
    assert downloads == ["processing", "fp8"]
    assert contents[0] == contents[1]

    monkeypatch.setattr(code, "ROOT", _with_another_lock(tmp_path / "root"))
    with code.worker_code("aws"):
        pass
    assert downloads == ["processing", "fp8"] * 2
    (kept,) = (tmp_path / "packages").iterdir()
    assert kept.suffix == ".zip", "the older one is gone, and nothing else is left"


def _with_another_lock(root: Path) -> Path:
    """The repository, where the lock of the packages for fp8 has a line more."""
    root.mkdir()
    for name in ("contract", "model_import", "processing"):
        (root / name).symlink_to(code.ROOT / name)
    shutil.copytree(code.ROOT / "locks", root / "locks")
    with (root / "locks" / "fp8.txt").open("a") as lock:
        lock.write("# another\n")
    return root
