"""Renders a manifest with one process for each GPU of the machine.

Each process loads the model once, and takes one task after the other in the order of the manifest.
A process that dies leaves its task without a result, and the others go on.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import processing
from contract.errors import Code, Failure, MachineUnusable, Problem, TaskFailed
from contract.manifest import Layout, Manifest
from processing import plan, progress, results
from processing.share import Share

_DEVICES = Path("/dev")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = "OMP_NUM_THREADS"
_CUT_SHORT = 128 + signal.SIGTERM


def devices(processes: int | None) -> list[str]:
    """The GPU of each process that is to render, as CUDA_VISIBLE_DEVICES names it.

    Args:
        processes: how many processes. None: one for each GPU of this machine.
    """
    if processes is not None:
        return [str(number) for number in range(processes)]
    if visible := os.environ.get(_VISIBLE):
        return visible.split(",")
    numbers = (re.fullmatch(r"nvidia(\d+)", device.name) for device in _DEVICES.glob("nvidia*"))
    return sorted((found[1] for found in numbers if found), key=int)


def render_manifest(layout: Layout, on: Sequence[str]) -> str:
    """Render every task of the manifest that has no result yet.

    Args:
        layout: The worker's folders.
        on: The GPU of each process.

    Returns:
        What went wrong, if tasks are left without a result. Empty if there are none.

    Raises:
        Failure: No process could render any task.
        SystemExit: SIGTERM came. The processes have ended.
    """
    manifest = plan.read_manifest(layout)
    with tempfile.TemporaryDirectory(prefix="tasks-") as folder:
        share = Share(Path(folder), 0)
        # A task that was interrupted before is rendered when no other one is in work.
        alone = [task.task_id for task in manifest.tasks if task.interrupted]
        for task_id in alone:
            share.take(task_id)
        progress.emit("processes", number=len(on))
        ended = _run(layout, on, Path(folder)) if len(alone) < len(manifest.tasks) else []
        for task_id in alone:
            share.give_back(task_id)
        if alone:
            ended += _run(layout, on[:1], Path(folder))
        left = sum(not results.has_result(layout, manifest, task) for task in manifest.tasks)
        if not left:
            return ""
        _raise_if_none_could(Path(folder), ended)
        return _what_went_wrong(Path(folder), ended, manifest, left)


def _run(layout: Layout, on: Sequence[str], folder: Path) -> list[int]:
    """Run a process on each GPU, and wait for all of them. Returns their exit statuses."""
    with _stopped_with_this_process() as children:
        for number, device in enumerate(on):
            children.append(_start(layout, number, device, folder, of=len(on)))
        return [child.wait() for child in children]


def _start(
    layout: Layout, number: int, device: str, folder: Path, *, of: int
) -> subprocess.Popen[bytes]:
    package = Path(str(processing.__file__)).parents[1]
    path = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = str(max(1, (os.cpu_count() or 1) // of))
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "processing", "--root", str(layout.root)),
            *("--share", str(folder), "--number", str(number)),
        ],
        env={
            _THREADS: threads,
            **os.environ,
            _VISIBLE: device,
            "PYTHONPATH": os.pathsep.join(path),
        },
    )


@contextmanager
def _stopped_with_this_process() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Children that get SIGTERM when this process gets it. Each finishes writing its files.

    Raises:
        SystemExit: SIGTERM came, and the children have ended.
    """
    children: list[subprocess.Popen[bytes]] = []

    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for child in children:
            child.terminate()

    before: Any = signal.signal(signal.SIGTERM, stop)
    try:
        yield children
    finally:
        signal.signal(signal.SIGTERM, before)
    if stopped:
        sys.exit(_CUT_SHORT)


def _raise_if_none_could(folder: Path, ended: Sequence[int]) -> None:
    """Raise what kept every process from rendering anything, if something did."""
    found = [Problem.from_json(file.read_bytes()) for file in sorted(folder.glob("problem-*"))]
    if len(found) < len(ended):
        return
    # A machine without a working GPU says nothing about the tasks, so another problem goes first.
    found.sort(key=lambda problem: problem.code == Code.GPU_UNUSABLE)
    unusable = found[0].code == Code.GPU_UNUSABLE
    failure: Failure = MachineUnusable(found[0]) if unusable else TaskFailed(found[0])
    raise failure


def _what_went_wrong(folder: Path, ended: Sequence[int], manifest: Manifest, left: int) -> str:
    said = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("message-*"))]
    statuses = ", ".join(str(status) for status in ended)
    count = f"{left} of {len(manifest.tasks)} tasks have no result"
    return " ".join([f"{count}; the processes ended with {statuses}.", *said])
