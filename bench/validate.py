"""Measures `reeldrop` as pipx installs it: how large it is, and how long `reeldrop validate` takes.

Builds the wheel, installs it with its dependencies into an empty environment, as pipx does, and
runs the installed command. It downloads the dependencies unless pip has them.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from bench.results import spread, write
from local import ROOT

RUNS = 20
MOST_BYTES = 60_000_000
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "contract", "functions", "local")


def main() -> None:
    """Measure, and write bench/results/validate.json.

    Raises:
        SystemExit: the installation is too large, or has torch.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = _installed(Path(folder))
        packages = command.parents[1] / "lib"
        size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
        names = sorted(path.name.split("-")[0] for path in packages.rglob("*.dist-info"))
        if size > MOST_BYTES or "torch" in names:
            raise SystemExit(f"{size:,} bytes, with {', '.join(names)}")
        specs = {"text": "prompt: a bee\n", "text and a picture": "prompt: a\nimage: bee.png\n"}
        Image.new("RGB", (720, 480), "red").save(Path(folder, "bee.png"))
        rows: list[dict[str, object]] = [
            {"what": "installed, with compiled files", "bytes": size, "packages": names}
        ]
        for what, text in specs.items():
            spec = Path(folder, "bee.yaml")
            spec.write_text(text)
            times = [_timed([str(command), "validate", str(spec)]) for _ in range(RUNS)]
            rows.append(
                {
                    "what": f"reeldrop validate bee.yaml ({what})",
                    "runs": RUNS,
                    "wall_seconds": spread([wall for wall, _ in times]),
                    "cpu_seconds": spread([cpu for _, cpu in times]),
                }
            )
    what = "The wheel in an environment of its own, and the installed command, started each time"
    print(write("validate", what, rows).read_text())


def _installed(folder: Path) -> Path:
    """Install the wheel into a new environment. Returns the installed command."""
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    for name in _PARTS:
        (source / name).symlink_to(ROOT / name)  # setuptools writes beside what it reads
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source],
        check=True,
    )
    (wheel,) = folder.glob("reeldrop-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", wheel], check=True)
    return environment / "bin" / "reeldrop"


def _timed(command: list[str]) -> tuple[float, float]:
    """Run a command. Returns its wall time, and the CPU time of it and its processes."""
    began, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - began, os.times()
    user = after.children_user - before.children_user
    return wall, user + after.children_system - before.children_system


if __name__ == "__main__":
    main()
