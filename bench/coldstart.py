"""Measures what a function takes to start: its imports, in a fresh process of Lambda's Python.

The code is the zip that is deployed, as `stacks/code.py` builds it, but with packages for the
architecture of this machine. So the seconds compare the rows with each other. They are not those of
Lambda, which also fetches the zip and starts a machine. The sizes are those of the deployed zip.
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.results import spread, write
from stacks.code import LAMBDA_PYTHON, functions_code, interpreter

RUNS = 15
MOST_BYTES = 262_144_000
"""What Lambda accepts, unzipped."""
HANDLERS = ("submit", "dispatch", "finish", "sweep")
_EVERYTHING = "everything"
# What reads foreign files: the packages, and the folders with their libraries.
_MEDIA = {"Pillow": ("PIL", "pillow.libs"), "PyAV": ("av", "av.libs")}

_PROGRAM = """
import importlib, json, resource, sys, time
began, cpu = time.perf_counter(), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, used, len(sys.modules)]))
"""


class Start(NamedTuple):
    """What one process took."""

    wall_seconds: float
    cpu_seconds: float
    memory_mib: float
    modules: int


def main() -> None:
    """Measure, and write bench/results/coldstart.json.

    Raises:
        SystemExit: this machine has no Python of Lambda's version, or the zip is too large.
    """
    program = interpreter(LAMBDA_PYTHON)
    if program is None:
        raise SystemExit(f"there is no python{LAMBDA_PYTHON} on the PATH")
    load = os.getloadavg()[0]
    with functions_code("aws") as path:
        sizes = _sizes(path)
    if sizes["unzipped_bytes"] > MOST_BYTES:
        raise SystemExit(f"the zip has {sizes['unzipped_bytes']:,} bytes, unzipped")
    with functions_code("aws", platform.machine()) as path, tempfile.TemporaryDirectory() as name:
        zipfile.ZipFile(path).extractall(name)
        starts = list(_starts(program, Path(name)))
    rows = {"load_at_the_beginning": round(load, 2), "sizes": sizes, "starts": starts}
    what = (
        f"The imports of a function in a fresh process of Python {LAMBDA_PYTHON}, "
        f"{RUNS} of each, in turn"
    )
    print(write("coldstart", what, rows).read_text())


def _starts(program: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure each row in turn, so that what else the machine does affects all of them alike."""
    modules = {handler: [f"functions.handlers.{handler}"] for handler in HANDLERS}
    modules[_EVERYTHING] = [*(name for names in modules.values() for name in names),
                            "functions.reading.child", "functions.reading.pictures",
                            "functions.reading.clips", "functions.reading.yaml_text"]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        shutil.copytree(folder, source, ignore=shutil.ignore_patterns("__pycache__"))
        cases = [(compiled, what) for compiled in (True, False) for what in modules]
        found: dict[tuple[bool, str], list[Start]] = {case: [] for case in cases}
        for run in range(RUNS + 1):
            for compiled, what in cases:
                start = _start(program, folder if compiled else source, modules[what])
                if run:  # the first one reads the files from the disk
                    found[compiled, what].append(start)
    for (compiled, what), runs in found.items():
        yield {
            "imports": what,
            "compiled": compiled,
            "runs": RUNS,
            "wall_seconds": spread([run.wall_seconds for run in runs]),
            "cpu_seconds": spread([run.cpu_seconds for run in runs]),
            "memory_mib": round(max(run.memory_mib for run in runs)),
            "modules": runs[0].modules,
        }


def _start(program: str, folder: Path, modules: list[str]) -> Start:
    done = subprocess.run(
        [program, "-c", _PROGRAM, *modules],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return Start(*json.loads(done.stdout))


def _sizes(path: Path) -> dict[str, Any]:
    files = zipfile.ZipFile(path).infolist()
    sizes = {file.filename.partition("/")[0]: 0 for file in files}
    for file in files:
        sizes[file.filename.partition("/")[0]] += file.file_size
    return {
        "zipped_bytes": path.stat().st_size,
        "unzipped_bytes": sum(sizes.values()),
        "compiled": any(file.filename.endswith(".pyc") for file in files),
        **{name: sum(sizes.get(part, 0) for part in parts) for name, parts in _MEDIA.items()},
    }


if __name__ == "__main__":
    main()
