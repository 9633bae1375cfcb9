"""The folders that become the zips of the functions and of the worker.

For AWS, pip downloads the wheels for the target machine and checks their hashes against the lock,
so no Docker is needed. The folders are complete before synthesis, so CDK can name each zip by a
hash of its content, and code that has not changed is not deployed again.
"""

import hashlib
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
_KEPT = ROOT / ".reeldrop"
_PACKAGES = _KEPT / "packages"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")

# The Python versions of the Lambda runtime and of the worker's container.
LAMBDA_PYTHON = "3.13"
LAMBDA_MACHINE = "aarch64"
CONTAINER_PYTHON = "3.12"


@contextmanager
def functions_code(
    code: Literal["aws", "embedded"], machine: str = LAMBDA_MACHINE
) -> Iterator[str]:
    """Provide a temporary folder with the functions' code.

    Args:
        code: "aws" adds the packages; "embedded" leaves them out.
        machine: the architecture that the packages are for.
    """
    with _folder() as folder:
        if code == "aws":
            _install("functions", folder, LAMBDA_PYTHON, machine)
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=_IGNORED)
        shutil.copytree(ROOT / "contract", folder / "contract", ignore=_IGNORED)
        _compile(folder, LAMBDA_PYTHON if code == "aws" else None, "functions", "contract")
        yield str(folder)


@contextmanager
def worker_code(code: Literal["aws", "embedded"]) -> Iterator[str]:
    """Provide a temporary folder with the worker's code. Python can run it as a zip.

    Args:
        code: "aws" adds the packages, for x86_64, except torch, which the container has;
            "embedded" leaves them out.
    """
    with _folder() as folder:
        if code == "aws":
            _install("processing", folder, CONTAINER_PYTHON, "x86_64")
            _install("fp8", folder / "fp8", CONTAINER_PYTHON, "x86_64")
        shutil.copytree(ROOT / "contract", folder / "contract", ignore=_IGNORED)
        shutil.copytree(ROOT / "model_import", folder / "model_import", ignore=_IGNORED)
        shutil.copytree(ROOT / "processing", folder / "processing", ignore=_IGNORED)
        shutil.copy(ROOT / "processing" / "unpack.py", folder / "__main__.py")
        ours = ("contract", "model_import", "processing", "__main__.py")
        _compile(folder, CONTAINER_PYTHON if code == "aws" else None, *ours)
        yield str(folder)


@contextmanager
def _folder() -> Iterator[Path]:
    # Beside the kept packages, because a hard link needs the same file system.
    _KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_KEPT, prefix=".code-") as name:
        yield Path(name)


def _install(lock: str, target: Path, python: str, machine: str) -> None:
    """Put packages for another machine into a folder.

    They are downloaded and compiled once for each lock, and kept. The folder gets hard links,
    because to copy ten thousand files takes longer than the whole synthesis.
    """
    content = (ROOT / "locks" / f"{lock}.txt").read_bytes()
    compiles = interpreter(python) is not None
    digest = hashlib.sha256(content + f"{python} {machine} {compiles}".encode()).hexdigest()[:16]
    kept = _PACKAGES / f"{lock}-{machine}-{digest}"
    if not kept.exists():
        _PACKAGES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_PACKAGES, prefix=".making-") as making:
            _download(lock, Path(making), python, machine)
            _compile(Path(making), python, ".")
            for older in _PACKAGES.glob(f"{lock}-{machine}-*"):
                shutil.rmtree(older)
            Path(making).rename(kept)
            Path(making).mkdir()  # for the removal of the temporary folder
    shutil.copytree(kept, target, dirs_exist_ok=True, copy_function=os.link)


def _download(lock: str, target: Path, python: str, machine: str) -> None:
    """Install packages for another machine into a folder.

    Args:
        lock: name of the file under locks/, without its suffix.
        target: the folder.
        python: version of the Python that will import the packages.
        machine: architecture of the machine that will import them.

    Raises:
        subprocess.CalledProcessError: pip failed; it has printed why.
    """
    platforms = [f"manylinux_2_{n}_{machine}" for n in (28, 27, 24, 17)] + [
        f"manylinux2014_{machine}"
    ]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--require-hashes", "-r", str(ROOT / "locks" / f"{lock}.txt"),
            "--target", str(target), "--python-version", python, "--implementation", "cp",
            # pip would compare the packages' requirement with the Python that runs pip. The lock
            # was resolved for the target's Python, so the check is not needed.
            "--ignore-requires-python", "--only-binary=:all:", "--no-compile",
            *(f"--platform={platform}" for platform in platforms),
        ],
        check=True,
    )  # fmt: skip


def _compile(folder: Path, python: str | None, *parts: str) -> None:
    """Add .pyc files, which halve the time that imports take.

    The process that reads drops cannot write these files itself, and the worker would write them
    again in each processing job. Python only uses .pyc files of its own minor version. If this
    machine does not have that version, none are added; the code then works, but starts more slowly.

    Args:
        folder: the folder with the code.
        python: version of the Python that will run the code; None is the one that runs now.
        parts: what to compile: packages or modules in the folder, or "." for all of it.
    """
    program = interpreter(python)
    if program is None:
        return
    # compileall fails if a .py file is not valid Python, such as a template in a package. Nobody
    # imports such files, so the failure is ignored.
    subprocess.run(
        [program, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
         "-s", str(folder), *(str(folder / part) for part in parts)],
        # The same source must always give the same .pyc file. So the hash seed, which decides the
        # order of stored sets, is fixed, and `-s` removes the name of the temporary folder.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def interpreter(python: str | None) -> str | None:
    """A program that is Python of this version, or None if this machine has none."""
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    now = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python in {None, now}:
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        return None
    # A program of this name may only stand for a Python that is not installed, as those of pyenv.
    done = subprocess.run([found, "-c", version], capture_output=True, text=True, check=False)
    return found if done.stdout.strip() == python else None
