"""The worker as a process: it needs no AWS library and imports torch only to render."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.outcome import VIDEO_FILE
from tests.processing.conftest import Jobs
from tests.processing.decoding import decoded
from tests.processing.scenes import psnr
from tests.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]


def without(*packages: str) -> str:
    """A program that runs the worker as if some packages were not installed."""
    return f"""
import importlib.machinery, runpy, sys

class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Without
try:
    import {packages[0]}
except ModuleNotFoundError:
    sys.argv[0] = "processing"
    runpy.run_module("processing", run_name="__main__")
"""


# accelerate imports boto3 if it can.
WITHOUT_AWS = without("boto3", "botocore", "aws_lambda_powertools", "functions")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_it_renders_where_no_aws_library_is(jobs: Jobs, tmp_path: Path) -> None:
    layout = jobs.root(jobs.task())

    done = python("-c", WITHOUT_AWS, "--root", str(layout.root), "--message", str(tmp_path / "m"))

    assert done.returncode == 0, done.stderr
    jobs.success(layout)
    # Stdout is only for events, and stderr only for errors.
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "task-succeeded"
    assert done.stderr == ""


@pytest.mark.parametrize("package", ["torch", "numpy", "diffusers"])
def test_an_image_that_lacks_a_package_says_so_in_the_message(
    jobs: Jobs, tmp_path: Path, package: str
) -> None:
    layout, message = jobs.root(jobs.task()), tmp_path / "message"

    done = python("-c", without(package), "--root", str(layout.root), "--message", str(message))

    assert done.returncode == 1
    assert message.read_text() == f"bug: ModuleNotFoundError: No module named '{package}'"
    assert not any(layout.output.rglob("*.json")), "no task is at fault"


def modules_after(*names: str) -> set[str]:
    imports = "; ".join(f"import {name}" for name in names)
    done = python("-c", f"import sys; {imports}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_any_module_of_the_room_imports_no_torch() -> None:
    names = [
        f"processing.{path.stem}"
        for path in (REPOSITORY / "processing").glob("*.py")
        if path.stem != "__init__"
    ]
    assert len(names) > 5

    loaded = modules_after(*names)

    assert not loaded & {"torch", "diffusers", "transformers", "boto3", "botocore"}


def test_the_libraries_do_not_import_what_the_worker_never_uses() -> None:
    done = python(
        "-c",
        "import sys; from contract.catalogue import MODELS; from processing import loading; "
        "loading.usable_device(MODELS['demo']); print(*sys.modules)",
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())

    assert {"torch", "diffusers", "transformers"} <= loaded
    assert not loaded & {"scipy", "sklearn", "boto3", "torchao", "cache_dit"}


@pytest.mark.parametrize("package", ["contract", "processing.__main__"])
def test_contract_and_entry_import_next_to_nothing(package: str) -> None:
    modules = [package]
    if package == "contract":
        modules += [f"contract.{path.stem}" for path in (REPOSITORY / "contract").glob("*.py")]

    loaded = modules_after(*modules)

    assert not loaded & {"torch", "diffusers", "transformers", "numpy", "PIL", "av", "yaml"}


def test_help_is_answered_without_torch() -> None:
    done = python("-X", "importtime", "-m", "processing", "--help")

    assert done.returncode == 0
    assert "--root" in done.stdout
    assert "torch" not in done.stderr


def test_an_unknown_option_is_refused() -> None:
    assert python("-m", "processing", "--rot", "x", "--nope").returncode == 2


def test_24_frames_per_second_are_the_same_video_with_frames_between(jobs: Jobs) -> None:
    layout = jobs.root(
        jobs.task("own", num_frames=9, fps=8),
        jobs.task("24", num_frames=9, fps=24, generated_fps=8),
        jobs.task("loop", num_frames=9, fps=24, generated_fps=8, loop="ping-pong"),
    )

    done = python("-m", "processing", "--root", str(layout.root))

    assert done.returncode == 0, done.stderr
    own, faster, loop = (jobs.success(layout, name).video for name in ("own", "24", "loop"))
    assert (own.num_frames, own.fps, own.duration_seconds) == (9, 8, 9 / 8)
    assert (faster.num_frames, faster.fps, faster.duration_seconds) == (27, 24, 9 / 8)
    assert (loop.num_frames, loop.duration_seconds) == (48, 2.0)
    frames, between = (decoded(layout.task_output(name) / VIDEO_FILE) for name in ("own", "24"))
    for index, frame in enumerate(frames):
        assert psnr(between[3 * index], frame) > 30
        # The random model makes noise, so what is between two frames is like neither.
        assert index == 8 or psnr(between[3 * index + 1], frame) < 30
