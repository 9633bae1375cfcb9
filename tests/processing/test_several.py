"""Several processes render one manifest: on SageMaker, one for each GPU of the instance."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from contract.manifest import Layout, ManifestTask
from contract.outcome import VIDEO_FILE, Failed
from processing import several
from processing.share import Share
from tests.processing.conftest import Jobs
from tests.waiting import PATIENCE_SECONDS, eventually

REPOSITORY = Path(__file__).parents[2]


def start(layout: Layout, message: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "processing", "--root", str(layout.root),
         "--message", str(message), "--processes", "2"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def many(jobs: Jobs, count: int) -> list[ManifestTask]:
    return [jobs.task(f"bee-{number}", seed=number) for number in range(count)]


def events(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_two_processes_make_each_video_once_and_as_one_process_does(
    jobs: Jobs, tmp_path: Path
) -> None:
    tasks = many(jobs, 6)
    tasks[3] = tasks[3].model_copy(update={"interrupted": True})
    alone, layout = jobs.rendered(*tasks), jobs.root(*tasks)

    process = start(layout, tmp_path / "message")
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0, errors
    begun = [event for event in events(output) if event["event"] == "task-started"]
    assert Counter(event["task_id"] for event in begun) == Counter(t.task_id for t in tasks)
    assert begun[-1]["task_id"] == "bee-3", "it is rendered when no other one is in work"
    assert sum(event["event"] == "loaded" for event in events(output)) == 3
    for task in tasks:
        one, other = (root.task_output(task.task_id) / VIDEO_FILE for root in (alone, layout))
        assert one.read_bytes() == other.read_bytes()
        jobs.success(layout, task.task_id)


def test_a_damaged_reference_and_damaged_weights_are_reported_once(
    jobs: Jobs, tmp_path: Path
) -> None:
    broken = jobs.task("broken", image="bee.png")
    layout = jobs.root(broken, jobs.task("other", image="bee.png"))
    (layout.references / "bee.png").write_bytes(b"no picture")
    process = start(layout, tmp_path / "message")
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert jobs.failure(layout, "broken").problem.code == "reference-unreadable"
    failed = [event["task_id"] for event in events(output) if event["event"] == "task-failed"]
    assert sorted(map(str, failed)) == ["broken", "other"]

    layout = jobs.root(*many(jobs, 3))
    layout.model.unlink()
    layout.model.mkdir()
    process = start(layout, tmp_path / "message")
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert (tmp_path / "message").read_text().startswith("weights-missing: ")
    for task_id in ("bee-0", "bee-1", "bee-2"):
        result = jobs.result(layout, task_id)
        assert isinstance(result, Failed) and result.problem.code == "weights-missing"


def _wait_until_in_work(process: subprocess.Popen[str], count: int) -> None:
    """Wait until so many tasks are being rendered, and no other one is only being written."""
    assert process.stdout is not None
    seen: dict[str, set[object]] = {"progress": set(), "rendered": set(), "task-succeeded": set()}
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] in seen:
            seen[event["event"]].add(event["task_id"])
        in_work = seen["progress"] - seen["rendered"]
        if len(in_work) == count and seen["rendered"] == seen["task-succeeded"]:
            return
    raise AssertionError(f"there were never {count} tasks in work: {seen}")


def _children(of: int) -> list[int]:
    found = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    return [int(child) for child in found]


def test_a_process_that_is_killed_costs_its_own_task_only(jobs: Jobs, tmp_path: Path) -> None:
    tasks = [jobs.task(f"bee-{n}", num_inference_steps=40, seed=n) for n in range(4)]
    layout, message = jobs.root(*tasks), tmp_path / "message"
    process = start(layout, message)
    # A process without a task would be no loss.
    _wait_until_in_work(process, 2)
    os.kill(_children(process.pid)[0], signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    left = [t.task_id for t in tasks if not (layout.task_output(t.task_id) / VIDEO_FILE).exists()]
    assert len(left) == 1, "a killed process has one task in work"
    assert message.read_text().startswith("1 of 4 tasks have no result; the processes ended with")
    assert "-9" in message.read_text()


def test_a_stop_ends_all_processes(jobs: Jobs, tmp_path: Path) -> None:
    tasks = [jobs.task(f"bee-{n}", num_inference_steps=100, seed=n) for n in range(20)]
    layout = jobs.root(*tasks)
    process = start(layout, tmp_path / "message")
    _wait_until_in_work(process, 1)
    children = _children(process.pid)
    assert len(children) == 2
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_there_is_one_process_for_each_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(several, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert several.devices(None) == ["0", "1", "10"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert several.devices(None) == ["2", "3"]
    assert several.devices(3) == ["0", "1", "2"]


def test_a_task_is_taken_once(tmp_path: Path) -> None:
    one, other = Share(tmp_path, 0), Share(tmp_path, 1)
    assert one.take("a") and not other.take("a") and other.take("b")
    one.give_back("b")
    assert one.take("b")
