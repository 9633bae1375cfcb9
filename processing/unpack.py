"""Starts a program in the container: `python3 worker.zip ...` starts the worker, and
`python3 worker.zip import ...` starts the import of weights.

The zip contains compiled packages. Python cannot import them from inside of a zip, so this program
unpacks it first. It becomes __main__.py in the root of the zip, and until the zip is unpacked it
can only import from the standard library.
"""

import importlib
import os
import re
import sys
import tempfile
import zipfile
from pathlib import Path

COMPATIBLE = Path("/usr/local/cuda/compat")
"""Where NVIDIA's images keep libraries that let an older driver run their newer CUDA."""
DRIVER = Path("/proc/driver/nvidia/version")
_LIBRARIES = "LD_LIBRARY_PATH"


def main() -> int:
    """Unpack the zip that Python was started with, and run the program. Returns its exit status."""
    archive, arguments = sys.path[0], sys.argv[1:]
    if libraries := libraries_for_an_older_driver(COMPATIBLE, DRIVER):
        _start_again_with(libraries)
    package = "processing"
    if arguments[:1] == ["import"]:
        package, arguments = "model_import", arguments[1:]
    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        sys.path[0] = folder
        status: int = importlib.import_module(f"{package}.__main__").main(arguments)
        return status


def libraries_for_an_older_driver(compatible: Path, driver: Path) -> Path | None:
    """The folder of CUDA's compatibility libraries, if the driver of this machine needs them.

    SageMaker's hosts have drivers of several versions, and since 1.17.4 NVIDIA's container toolkit
    does not mount these libraries by itself. AWS describes the comparison:
    https://docs.aws.amazon.com/sagemaker/latest/dg/inference-gpu-drivers.html.
    With a driver that is as new as they are, they would not work.

    Args:
        compatible: the folder. `libcuda.so.1` in it links to a file with the version in its name.
        driver: what the kernel says about the driver; it exists only with a GPU.
    """
    try:
        target = (compatible / "libcuda.so.1").resolve(strict=True).name
        said = driver.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    of_library = re.fullmatch(r"libcuda\.so\.(\d+)[\d.]*", target)
    of_driver = re.search(r"Kernel Module\b[^\n]*?\s(\d+)\.\d[\d.]*", said)
    if of_library is None or of_driver is None:
        return None
    return compatible if int(of_driver[1]) < int(of_library[1]) else None


def _start_again_with(libraries: Path) -> None:
    """Start this program again. A process looks for libraries where it was told at its start."""
    there = [part for part in os.environ.get(_LIBRARIES, "").split(":") if part]
    if str(libraries) in there:
        return
    os.environ[_LIBRARIES] = ":".join([str(libraries), *there])
    print(f"the driver of this machine is older than its CUDA: using {libraries}", flush=True)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
