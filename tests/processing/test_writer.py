"""Files are written while the next task is rendered, and nothing is lost when the worker ends."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.errors import Code
from contract.manifest import Layout, Parameters
from contract.memory import MemoryMode
from contract.outcome import GIF_FILE, POSTER_FILE, RESULT_FILE, VIDEO_FILE
from processing import files, video, worker
from processing.pipelines import Pipeline, Reference, StepReport
from processing.writer import writing
from tests.processing.conftest import Jobs

REPOSITORY = Path(__file__).parents[2]
LONG_SECONDS = 20.0


class Watched:
    """Records when tasks are denoised and encoded. Each task has its seed as its name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        self.begun = {str(seed): threading.Event() for seed in range(1, 9)}
        """Set when the denoising of a task begins."""
        self.encode_waits_for: dict[str, str] = {}
        """The encoding of the first task waits until the denoising of the second one begins."""
        self.encode_seconds = 0.0
        self.too_late: list[str] = []
        denoise, encode = Pipeline.denoise, video.encode

        def denoises(
            pipeline: Pipeline,
            parameters: Parameters,
            reference: Reference | None,
            on_step: StepReport,
        ) -> torch.Tensor:
            self.order.append(f"denoise {parameters.seed}")
            self.begun[str(parameters.seed)].set()
            return denoise(pipeline, parameters, reference, on_step)

        def encodes(frames: Iterable[np.ndarray], *, path: Path, **options: Any) -> None:
            name = path.parent.name
            time.sleep(self.encode_seconds)
            other = self.encode_waits_for.get(name)
            if other and not self.begun[other].wait(LONG_SECONDS):
                self.too_late.append(name)
            encode(frames, path=path, **options)
            self.order.append(f"encoded {name}")

        monkeypatch.setattr(Pipeline, "denoise", denoises)
        monkeypatch.setattr(video, "encode", encodes)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def contents(layout: Layout, task_id: str) -> dict[str, bytes]:
    folder = layout.task_output(task_id)
    return {name: (folder / name).read_bytes() for name in (VIDEO_FILE, POSTER_FILE, GIF_FILE)}


def test_the_next_task_is_rendered_while_files_are_written(
    jobs: Jobs, watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.encode_waits_for = {"1": "2", "2": "3"}

    layout = jobs.rendered(*(jobs.task(str(seed), seed=seed) for seed in (1, 2, 3)))

    assert watched.too_late == []
    for name in ("1", "2", "3"):
        jobs.success(layout, name)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of_first = [event["event"] for event in events if event.get("task_id") == "1"]
    assert [name for name in of_first if name != "progress"] == [
        "task-started", "decoding", "rendered", "encoding", "task-succeeded",
    ]  # fmt: skip
    ended = [event["task_id"] for event in events if event["event"] == "task-succeeded"]
    assert ended == ["1", "2", "3"]


def test_only_one_video_waits_for_the_writer() -> None:
    free = threading.Event()

    def long_work() -> None:
        free.wait(LONG_SECONDS)

    with writing() as writer:
        writer.begin(long_work)
        next_one = threading.Thread(target=writer.begin, args=(lambda: None,))
        next_one.start()
        next_one.join(0.2)
        waited = next_one.is_alive()
        free.set()
        next_one.join(LONG_SECONDS)
        assert waited and not next_one.is_alive()


def test_the_trouble_of_neighbours_changes_no_byte(
    jobs: Jobs, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four tiles each.
    tasks = [jobs.task(str(seed), seed=seed, height=128, width=160, gif=True) for seed in (1, 2, 3)]
    alone = contents(jobs.rendered(tasks[2]), "3")
    watched.encode_waits_for = {"1": "2", "2": "3"}
    watched.begun["3"].clear()
    decode, publish = Pipeline.decode, files.publish

    def fails_whole(self: Pipeline, latents: torch.Tensor, parameters: Any) -> Any:
        if parameters.seed == 1 and not self._pipe.vae.use_tiling:
            raise torch.AcceleratorError("CUDA error: out of memory", 2)
        return decode(self, latents, parameters)

    def fills_the_disk(path: Path) -> None:
        if path.name == GIF_FILE and path.parent.name == "2":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        publish(path)

    monkeypatch.setattr(Pipeline, "decode", fails_whole)
    monkeypatch.setattr(files, "publish", fills_the_disk)
    layout = jobs.rendered(*tasks)

    modes = [memory.mode for name in ("1", "3") if (memory := jobs.success(layout, name).memory)]
    assert modes == [MemoryMode.ALTERNATING_TILES, MemoryMode.WHOLE]
    assert jobs.failure(layout, "2").problem.code == Code.DISK_FULL
    assert not (layout.task_output("2") / VIDEO_FILE).exists()
    assert contents(layout, "3") == alone


def test_a_video_that_was_rendered_before_the_device_was_lost_is_written(
    jobs: Jobs, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.encode_waits_for = {"1": "2"}
    decode = Pipeline.decode

    def loses_the_device(self: Pipeline, latents: torch.Tensor, parameters: Any) -> Any:
        if parameters.seed == 2:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure", 719)
        return decode(self, latents, parameters)

    monkeypatch.setattr(Pipeline, "decode", loses_the_device)
    layout = jobs.root(*(jobs.task(str(seed), seed=seed) for seed in (1, 2, 3)))

    with pytest.raises(torch.AcceleratorError):
        worker.render_manifest(layout)

    jobs.success(layout, "1")
    assert {path.parent.name for path in layout.output.rglob(RESULT_FILE)} == {"1"}


def test_a_result_that_cannot_be_written_ends_the_worker(
    jobs: Jobs, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = files.publish

    def breaks(path: Path) -> None:
        if path.name == RESULT_FILE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        publish(path)

    monkeypatch.setattr(files, "publish", breaks)

    for seeds in ((1,), (1, 2, 3)):
        watched.order.clear()
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            jobs.rendered(*(jobs.task(str(seed), seed=seed) for seed in seeds))
        assert "denoise 3" not in watched.order


def test_an_interrupted_task_is_in_work_alone(jobs: Jobs, watched: Watched) -> None:
    watched.encode_seconds = 0.2
    tasks = [jobs.task(str(seed), seed=seed) for seed in (1, 2, 3, 4)]
    tasks[1] = tasks[1].model_copy(update={"interrupted": True})

    jobs.rendered(*tasks)

    assert watched.order == [
        "denoise 1", "encoded 1", "denoise 2", "encoded 2", "denoise 3", "denoise 4", "encoded 3",
        "encoded 4",
    ]  # fmt: skip


SLOW = """
import sys, time
from pathlib import Path
from contract.manifest import Layout
from processing import video
from processing.__main__ import main

encode = video.encode

def slow(*frames, **options):
    time.sleep(3)
    encode(*frames, **options)

video.encode = slow
sys.exit(main(["--root", sys.argv[1], "--message", sys.argv[1] + "/message"]))
"""


def test_a_worker_that_is_stopped_writes_what_it_has_rendered(jobs: Jobs) -> None:
    layout = jobs.root(jobs.task("1"), jobs.task("2", num_inference_steps=1000))
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(layout.root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if (event["event"], event.get("task_id")) == ("progress", "2"):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    assert process.returncode == 128 + signal.SIGTERM
    assert '"task-succeeded", "task_id": "1"' in rest
    jobs.success(layout, "1")
    assert not (layout.task_output("2") / RESULT_FILE).exists()
