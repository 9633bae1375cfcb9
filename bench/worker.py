"""Measures the worker on the demo model: its start, a batch against single runs, and idle time.

    python -m bench.worker

It writes bench/results/worker.json. The worker runs as a processing job runs it: as a process of
its own, from the zip. If the machine has other work to do, times say nothing. Then the result says
so, and only the claim about idle time is checked.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results import QUIET_LOAD, spread, write
from contract.catalogue import MODELS, Mode, Preset
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.outcome import RESULT_FILE, Outcome, Rendered
from demo_model import install
from processing import worker
from processing.pipelines import Pipeline
from stacks.code import worker_code

STARTS = 5
BATCH = 8
# What we claim. `main` fails if it does not hold.
START_SECONDS = 3.0
BATCH_SHARE = 0.5
IDLE_SHARE = 0.03


class ClaimBroken(Exception):
    """The measurement contradicts what we claim."""


@dataclass(frozen=True)
class Run:
    """One process of the worker, with the times since its start, in seconds."""

    first_step: float
    """The first denoising step is done."""
    whole: float
    """The process has ended."""


@dataclass
class Idle:
    """When the thread that renders was busy with denoising and decoding, on its clocks."""

    seconds: float = 0.0
    """Between the first and the last work, without the work itself."""
    whole_seconds: float = 0.0
    _began: float = 0.0
    _ended: float = 0.0

    def around(self, work: Any) -> Any:
        """`work`, a method of the pipeline, with its time noted."""

        def noted(*arguments: Any) -> Any:
            now = time.perf_counter()
            if self._ended:
                self.seconds += now - self._ended
            else:
                self._began = now
            try:
                return work(*arguments)
            finally:
                self._ended = time.perf_counter()
                self.whole_seconds = self._ended - self._began

        return noted


def main() -> None:
    """Measure, and write bench/results/worker.json."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install.write(folder / "models")
        archive = _archive(folder / "worker.zip")
        starts = [_run(archive, _root(folder, f"start-{n}", [n])) for n in range(STARTS)]
        batch = _run(archive, _root(folder, "batch", range(BATCH)))
        singles = [_run(archive, _root(folder, f"single-{n}", [n])) for n in range(BATCH)]
        _check_same(folder)
        idle = _idle(_root(folder, "idle", range(BATCH)))
    single_seconds = sum(run.whole for run in singles)
    rows = {
        "load_at_the_beginning": round(load, 2),
        "start": {"runs": STARTS, "to_first_step_seconds": spread([r.first_step for r in starts])},
        "batch": {
            "videos": BATCH,
            "seconds": round(batch.whole, 2),
            "single_runs_seconds": round(single_seconds, 2),
            "share": round(batch.whole / single_seconds, 3),
        },
        "idle": {
            "videos": BATCH,
            "seconds": round(idle.seconds, 3),
            "of_seconds": round(idle.whole_seconds, 2),
            "share": round(idle.seconds / idle.whole_seconds, 4),
        },
    }
    what = (
        "The worker on the CPU with the demo model: 17 frames of 64x96, "
        f"{MODELS['demo'].num_inference_steps[Preset.STANDARD]} steps"
    )
    print(write("worker", what, rows).read_text())
    check(rows)


def check(rows: dict[str, Any]) -> None:
    """Check that our claims hold.

    Raises:
        ClaimBroken: one does not.
    """
    claims = [("the renderer is idle for", rows["idle"]["share"], IDLE_SHARE)]
    if rows["load_at_the_beginning"] <= QUIET_LOAD:
        start = rows["start"]["to_first_step_seconds"]["median"]
        claims.append(("the start takes", start, START_SECONDS))
        claims.append(("a batch takes", rows["batch"]["share"], BATCH_SHARE))
    for what, found, most in claims:
        if found > most:
            raise ClaimBroken(f"{what} {found}, and at most {most} is claimed")


def _archive(path: Path) -> Path:
    with worker_code("embedded") as archive:
        return Path(shutil.copyfile(archive, path))


def _root(folder: Path, name: str, seeds: Sequence[int]) -> Layout:
    """A root of the worker, with a manifest that has a task for each seed."""
    model = MODELS["demo"]
    weights = model.weights[Mode.TEXT_TO_VIDEO]
    layout = Layout(folder / name)
    layout.references.mkdir(parents=True)
    layout.output.mkdir()
    layout.model.symlink_to(folder / "models" / weights.folder)
    tasks = tuple(
        ManifestTask(
            task_id=f"task-{seed}",
            parameters=Parameters(
                mode=Mode.TEXT_TO_VIDEO,
                prompt="a red circle moves to the right",
                height=weights.sizes[0].height,
                width=weights.sizes[0].width,
                num_frames=model.num_frames[0],
                fps=model.fps,
                num_inference_steps=model.num_inference_steps[Preset.STANDARD],
                guidance_scale=model.guidance_scale,
                seed=seed,
            ),
        )
        for seed in seeds
    )
    manifest = Manifest(attempt_id="bench", model="demo", mode=Mode.TEXT_TO_VIDEO, tasks=tasks)
    layout.manifest.write_text(manifest.to_json(), encoding="utf-8")
    return layout


def _run(archive: Path, layout: Layout) -> Run:
    command = [sys.executable, str(archive), "--root", str(layout.root)]
    command += ["--message", str(layout.root / "message")]
    began = time.perf_counter()
    first_step = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not first_step and json.loads(line)["event"] == "progress":
                first_step = time.perf_counter() - began
    whole = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"the worker ended with {process.returncode}")
    print(f"{layout.root.name}: first step {first_step:.2f} s, all {whole:.2f} s", flush=True)
    return Run(first_step, whole)


def _video(folder: Path, root: str, seed: int) -> str:
    file = Layout(folder / root).task_output(f"task-{seed}") / RESULT_FILE
    result = Outcome.from_json(file.read_bytes()).result
    assert isinstance(result, Rendered), result
    return result.video.sha256


def _check_same(folder: Path) -> None:
    """Check that each video of the batch is byte for byte that of its single run."""
    for seed in range(BATCH):
        if _video(folder, "batch", seed) != _video(folder, f"single-{seed}", seed):
            raise ClaimBroken(f"the video of seed {seed} differs in a batch")


def _idle(layout: Layout) -> Idle:
    """Render in this process, and note when nothing is denoised or decoded."""
    idle = Idle()
    setattr(Pipeline, "denoise", idle.around(Pipeline.denoise))  # noqa: B010
    setattr(Pipeline, "decode", idle.around(Pipeline.decode))  # noqa: B010
    worker.render_manifest(layout)
    return idle


if __name__ == "__main__":
    main()
