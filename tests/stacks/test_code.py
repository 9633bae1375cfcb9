"""What is in the zips of the functions and of the worker besides the source."""

import shutil
import sys
from pathlib import Path

import pytest

from stacks import code

# The source is not compared with it when it is imported (PEP 552).
UNCHECKED_HASH = (0b01).to_bytes(4, "little")


@pytest.mark.parametrize("build", [code.functions_code, code.worker_code])
def test_all_modules_are_compiled_for_the_python_that_runs_them(build: object) -> None:
    assert callable(build)
    with build("embedded") as name:
        folder = Path(name)
        sources = [path for path in folder.rglob("*.py") if path.stat().st_size]
        assert len(sources) > 30
        tag = sys.implementation.cache_tag
        for source in sources:
            compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
            assert compiled.read_bytes()[4:8] == UNCHECKED_HASH, source


def test_two_builds_are_the_same_bytes() -> None:
    contents = []
    for _ in range(2):
        with code.worker_code("embedded") as name:
            folder = Path(name)
            contents.append(
                {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py*")
                 if path.is_file()}
            )  # fmt: skip
    assert contents[0] == contents[1]


def test_a_program_that_only_has_the_name_of_a_python_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(shim))

    assert code.interpreter("3.99") is None
    assert code.interpreter(None) == sys.executable


def test_packages_are_downloaded_and_compiled_once_and_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "_KEPT", tmp_path)
    monkeypatch.setattr(code, "_PACKAGES", tmp_path / "packages")
    monkeypatch.setattr(code, "LAMBDA_PYTHON", f"{sys.version_info[0]}.{sys.version_info[1]}")
    downloads = []

    def download(lock: str, target: Path, *_more: str) -> None:
        downloads.append(lock)
        (target / "package").mkdir()
        (target / "package" / "module.py").write_text("x = 1")

    monkeypatch.setattr(code, "_download", download)
    places = []
    for _ in range(2):
        with code.functions_code("aws") as name:
            package = Path(name) / "package"
            (compiled,) = (package / "__pycache__").iterdir()
            assert b"reeldrop" not in compiled.read_bytes(), "the name of the folder is not in it"
            places.append([file.stat().st_ino for file in (package / "module.py", compiled)])
            assert (Path(name) / "functions" / "s3_keys.py").exists()
    assert downloads == ["functions"]
    assert places[0] == places[1]
