"""The zips of the functions and of the worker.

For AWS, pip downloads the wheels for the target machine and checks their hashes against the lock,
so no Docker is needed. The same code and locks always give the same zip, and CDK names it by a hash
of its content, so code that has not changed is not deployed again.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
_KEPT = ROOT / ".reeldrop"
_PACKAGES = _KEPT / "packages"
_CHUNK_BYTES = 1 << 20
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")

# The Python versions of the Lambda runtime and of the worker's container.
LAMBDA_PYTHON = "3.13"
LAMBDA_MACHINE = "aarch64"
CONTAINER_PYTHON = "3.12"


@contextmanager
def functions_code(
    code: Literal["aws", "embedded"], machine: str = LAMBDA_MACHINE, certificates: str = ""
) -> Iterator[Path]:
    """Provide a temporary zip with the functions' code.

    Args:
        code: "aws" adds the packages; "embedded" leaves them out.
        machine: the architecture that the packages are for.
        certificates: path of the file with the certificates that sign videos; empty: none do.
    """
    packages = None
    if code == "aws":
        packages = _packages({"": "functions"}, LAMBDA_PYTHON, machine)
    python = LAMBDA_PYTHON if code == "aws" else None
    ours = {name: name for name in ("functions", "contract", "studio")}
    if certificates:
        ours["functions/signing_certificates.pem"] = certificates
    with _zip(packages, python, ours) as path:
        yield path


@contextmanager
def worker_code(code: Literal["aws", "embedded"]) -> Iterator[Path]:
    """Provide a temporary zip with the worker's code. Python can run it.

    Args:
        code: "aws" adds the packages, for x86_64, except torch, which the container has;
            "embedded" leaves them out.
    """
    packages = None
    if code == "aws":
        packages = _packages({"": "processing", "fp8": "fp8"}, CONTAINER_PYTHON, "x86_64")
    python = CONTAINER_PYTHON if code == "aws" else None
    ours = {name: name for name in ("contract", "model_import", "processing")}
    with _zip(packages, python, {**ours, "__main__.py": "processing/unpack.py"}) as path:
        yield path


@contextmanager
def _zip(packages: Path | None, python: str | None, ours: dict[str, str]) -> Iterator[Path]:
    """Provide a temporary zip with packages and our own code.

    Args:
        packages: a zip that has the packages; None: there are none.
        python: version of the Python that will run the code; None is the one that runs now.
        ours: what to add: the name in the zip, and the folder or file in the repository.
    """
    _KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_KEPT, prefix=".code-") as name:
        folder, path = Path(name, "folder"), Path(name, "code.zip")
        folder.mkdir()
        for target, source in ours.items():
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target, ignore=_IGNORED)
            else:
                shutil.copy(ROOT / source, folder / target)
        _compile(folder, python, *ours)
        if packages:
            shutil.copyfile(packages, path)
        _add(folder, path)
        yield path


def _packages(locks: dict[str, str], python: str, machine: str) -> Path:
    """A zip with packages for another machine.

    They are downloaded, compiled and zipped once for each state of their locks, and the zip is
    kept. CDK copies what becomes an asset, and to copy twenty thousand files takes longer than the
    whole synthesis.

    Args:
        locks: the folder in the zip that gets the packages of a lock, and the name of the lock.
        python: version of the Python that will import the packages.
        machine: architecture of the machine that will import them.
    """
    digest = hashlib.sha256(f"{python} {machine} {interpreter(python) is not None}".encode())
    for folder, lock in locks.items():
        digest.update(f"\n{folder} ".encode() + (ROOT / "locks" / f"{lock}.txt").read_bytes())
    name = f"{'-'.join(locks.values())}-{machine}"
    kept = _PACKAGES / f"{name}-{digest.hexdigest()[:16]}.zip"
    if not kept.exists():
        _PACKAGES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_PACKAGES, prefix=".making-") as making:
            content, path = Path(making, "content"), Path(making, "packages.zip")
            for folder, lock in locks.items():
                _download(lock, content / folder, python, machine)
            _compile(content, python, ".")
            _add(content, path)
            for older in _PACKAGES.glob(f"{name}-*.zip"):
                older.unlink()
            path.rename(kept)
    return kept


def _add(folder: Path, path: Path) -> None:
    """Add the files of a folder to a zip, which need not exist.

    The same files always give the same bytes: their order, times and permissions are fixed. Lambda
    runs the code as a user that only has the permissions for everybody.
    """
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)))  # of 1 January 1980
            runs = file.stat().st_mode & stat.S_IXUSR
            entry.external_attr = (stat.S_IFREG | (0o755 if runs else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = file.stat().st_size  # decides whether the entry needs 64 bits
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)


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
    # c2pa-python ships its library a second time, for linking it into programs. It has 31 MB.
    for unused in target.rglob("*.rlib"):
        unused.unlink()


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
