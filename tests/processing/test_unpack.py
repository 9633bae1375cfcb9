"""The program that starts the worker finds CUDA's libraries for drivers that are older."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local import ROOT
from processing.unpack import libraries_for_an_older_driver

SAYS = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Sep 19 02:35:59 UTC 2025\n"
    "GCC version:  gcc version 10.5.0\n"
)
SAYS_OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build\n"


@pytest.fixture
def compatible(tmp_path: Path) -> Path:
    """As in NVIDIA's image for CUDA 12.9."""
    folder = tmp_path / "compat"
    folder.mkdir()
    (folder / "libcuda.so.575.57.08").write_bytes(b"")
    (folder / "libcuda.so.1").symlink_to("libcuda.so.575.57.08")
    return folder


@pytest.mark.parametrize("text", [SAYS, SAYS_OPEN])
@pytest.mark.parametrize(
    ("version", "needs_them"),
    [("535.183.01", True), ("550.163.01", True), ("575.57.08", False), ("580.95.05", False)],
)
def test_only_an_older_driver_needs_the_libraries(
    compatible: Path, tmp_path: Path, version: str, needs_them: bool, text: str
) -> None:
    driver = tmp_path / "version"
    driver.write_text(text.format(version=version))
    found = libraries_for_an_older_driver(compatible, driver)
    assert found == (compatible if needs_them else None)


def test_without_libraries_or_without_a_driver_nothing_is_needed(
    compatible: Path, tmp_path: Path
) -> None:
    driver = tmp_path / "version"
    assert libraries_for_an_older_driver(compatible, driver) is None
    driver.write_text(SAYS.format(version="535.183.01"))
    assert libraries_for_an_older_driver(tmp_path / "nothing", driver) is None
    driver.write_text("something else")
    assert libraries_for_an_older_driver(compatible, driver) is None


def test_the_worker_starts_with_the_libraries(compatible: Path, tmp_path: Path) -> None:
    """The real program, as the container starts it, with places that belong to this test."""
    driver = tmp_path / "version"
    driver.write_text(SAYS.format(version="535.183.01"))
    text = (ROOT / "processing" / "unpack.py").read_text()
    for place, here in (
        ("/usr/local/cuda/compat", compatible),
        ("/proc/driver/nvidia/version", driver),
    ):
        assert text.count(f'Path("{place}")') == 1
        text = text.replace(f'Path("{place}")', f'Path("{here}")')
    archive = tmp_path / "worker.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("__main__.py", text)
        opened.writestr("processing/__init__.py", "")
        opened.writestr(
            "processing/__main__.py",
            "import os\ndef main(arguments):\n"
            "    print(arguments, os.environ['LD_LIBRARY_PATH'])\n    return 7\n",
        )
    done = subprocess.run(
        [sys.executable, str(archive), "--root", "somewhere"],
        env={"LD_LIBRARY_PATH": "/opt/lib"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    told, said = done.stdout.splitlines()
    assert str(compatible) in told
    assert said == f"['--root', 'somewhere'] {compatible}:/opt/lib"
