"""The zips that run: what goes into them, and nothing else.

No Docker: for AWS, pip fetches the wheels of the target machine, hash by hash, from the lock. The
folder is staged before synthesis, so its hash is that of its content, whatever machine made it.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "demo_model")

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
        (folder / "processing").mkdir()
        shutil.copy(ROOT / "processing" / "__init__.py", folder / "processing")
        shutil.copytree(
            ROOT / "processing" / "contract", folder / "processing" / "contract", ignore=_IGNORED
        )
        _compile(folder, LAMBDA_PYTHON if code == "aws" else None)
        yield str(folder)


@contextmanager
def worker_code(code: Literal["aws", "embedded"]) -> Iterator[str]:
    """A folder that, zipped, Python runs as the worker; torch comes with the container."""
    with _folder() as folder:
        if code == "aws":
            _install("processing", folder, CONTAINER_PYTHON, "x86_64")
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
    """Add .pyc files: imports take half as long, and processes that read drops write none.

    Only those of the minor version that will run it count; None is the one that runs now.
    """
    if python in {None, f"{sys.version_info.major}.{sys.version_info.minor}"}:
        compileall.compile_dir(
            folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
