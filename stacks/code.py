"""The zips that run: what goes into them, and nothing else.

No Docker: for AWS, pip fetches the wheels of the target machine, hash by hash, from the lock. The
folder is staged before synthesis, so its hash is that of its content, whatever machine made it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")

# The Lambda runtime's and the container's own Python.
LAMBDA_PYTHON = "3.13"
CONTAINER_PYTHON = "3.12"


@contextmanager
def functions_code(code: Literal["aws", "embedded"]) -> Iterator[str]:
    """A folder with the functions, the contract and, for AWS, their packages for arm64."""
    with _folder() as folder:
        if code == "aws":
            _install("functions", folder, LAMBDA_PYTHON, "aarch64")
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=_IGNORED)
        shutil.copytree(ROOT / "contract", folder / "contract", ignore=_IGNORED)
        _compile(folder, LAMBDA_PYTHON if code == "aws" else None)
        yield str(folder)


@contextmanager
def worker_code(code: Literal["aws", "embedded"]) -> Iterator[str]:
    """A folder that, zipped, Python runs as the worker; torch comes with the container."""
    with _folder() as folder:
        if code == "aws":
            _install("processing", folder, CONTAINER_PYTHON, "x86_64")
        shutil.copytree(ROOT / "contract", folder / "contract", ignore=_IGNORED)
        shutil.copytree(ROOT / "processing", folder / "processing", ignore=_IGNORED)
        shutil.copy(ROOT / "processing" / "unpack.py", folder / "__main__.py")
        yield str(folder)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="reeldrop-code-") as name:
        yield Path(name)


def _install(lock: str, target: Path, python: str, machine: str) -> None:
    platforms = [f"manylinux_2_{n}_{machine}" for n in (28, 27, 24, 17)] + [
        f"manylinux2014_{machine}"
    ]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--require-hashes", "-r", str(ROOT / "locks" / f"{lock}.txt"),
            "--target", str(target), "--python-version", python, "--implementation", "cp",
            # The lock was resolved for the target's Python; pip looks at the one that runs it.
            "--ignore-requires-python", "--only-binary=:all:", "--no-compile",
            *(f"--platform={platform}" for platform in platforms),
        ],
        check=True,
    )  # fmt: skip


def _compile(folder: Path, python: str | None) -> None:
    """Add .pyc files: imports take half as long, and a process that reads a drop can write none.

    Only those of the minor version that will run them count; None is the one that runs now.
    Without that Python on this machine the functions work, and start more slowly.
    """
    now = f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = sys.executable if python in {None, now} else shutil.which(f"python{python}")
    if interpreter is None:
        return
    # It fails for files that are no modules, such as templates; nobody imports those.
    subprocess.run(
        [interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
         "-s", str(folder), str(folder)],
        # Sets are written in the order of their hashes, and folders have a new name every time.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
