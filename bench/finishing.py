"""Measures how long the files of a long video take, and how much memory.

The frames are made here, one by one: a photo-like picture that moves, with a little noise, in 720p.
They are finished in a process of their own. Its processor time does not depend on what else the
machine does; the wall time does.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from bench.results import write
from contract.catalogue import Mode
from contract.manifest import ManifestTask, Parameters
from local import ROOT
from processing import finishing
from processing.xmp import Origin

MOST_BYTES = 2 * 1024**3
HEIGHT, WIDTH, FPS, SECONDS = 720, 1280, 24, 60
FILES = "H.264, H.265, WebM, GIF"


def main() -> None:
    """Measure, and write bench/results/finishing.json.

    Raises:
        SystemExit: a process took more memory than it may.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.finishing", "measure"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    row = {"files": FILES, **json.loads(done.stdout)}
    if row["max_rss_mib"] * 2**20 > MOST_BYTES:
        raise SystemExit(f"finishing took {row['max_rss_mib']} MiB")
    print(row, flush=True)
    what = f"Finishing {SECONDS} s of {HEIGHT}p at {FPS} frames per second, with poster and checks."
    print(write("finishing", what, [row]))


def measure() -> None:
    """Finish a video in this process, and print what it took."""
    num_frames = SECONDS * FPS
    parameters = Parameters(
        mode=Mode.TEXT_TO_VIDEO,
        prompt="a bee",
        height=HEIGHT,
        width=WIDTH,
        num_frames=num_frames,
        fps=FPS,
        num_inference_steps=1,
        guidance_scale=1.0,
        seed=1,
    )
    task = ManifestTask(task_id="bee", parameters=parameters, gif=True, h265=True, webm=True)
    origin = Origin(mode=Mode.TEXT_TO_VIDEO, model="demo", revision=None, seed=1, prompt="a bee")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        finishing.finish(frames(num_frames), task, folder=Path(folder), origin=origin)
        sizes = {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
    wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    row = {
        "frames": num_frames,
        "cpu_seconds_per_frame": round((used.ru_utime + used.ru_stime) / num_frames, 4),
        "wall_seconds_per_frame": round(wall / num_frames, 4),
        "max_rss_mib": round(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
        "file_bytes": {name.strip(".").removesuffix(".part"): size for name, size in sizes.items()},
        "load_before": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row))


def frames(num_frames: int) -> Iterator[np.ndarray]:
    """A soft picture that moves by three pixels a frame, with other noise in each frame."""
    random = np.random.default_rng(1)
    tiles = random.integers(20, 235, (HEIGHT // 40, WIDTH // 40, 3), np.uint8)
    large = Image.fromarray(tiles).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    picture = np.asarray(large.filter(ImageFilter.GaussianBlur(4))).astype(np.int16)
    noise = random.integers(-3, 4, (HEIGHT, WIDTH * 2, 1), np.int16)
    for index in range(num_frames):
        moved = np.roll(picture, 3 * index, 1)
        at = int(random.integers(0, WIDTH))
        yield np.clip(moved + noise[:, at : at + WIDTH], 0, 255).astype(np.uint8)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure()
    else:
        main()
