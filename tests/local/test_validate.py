"""`reeldrop validate` checks files on this machine as the bucket would."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local import ROOT
from local.__main__ import main
from local.command import job_files
from local.command.jobs_folder import JobsFolder
from tests.fakes import PNG, picture


def answer(capsys: pytest.CaptureFixture[str], *files: Path) -> tuple[int, list[dict[str, Any]]]:
    status = main(["validate", "--json", *map(str, files)])
    return status, json.loads(capsys.readouterr().out)


def write(folder: Path, name: str, body: str | bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body if isinstance(body, bytes) else body.encode())
    return file


def test_a_good_spec_with_its_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, "bee.yaml", "prompt: a cat #1\nseed: 3\nvariations: 2\n")
    status, (verdict,) = answer(capsys, good)
    assert status == 0 and verdict["ok"] and verdict["errors"] == []
    assert [task["seed"] for task in verdict["tasks"]] == [3, 4]
    assert [warning["code"] for warning in verdict["warnings"]] == ["comment-cut"]


def test_one_bad_file_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, "bee.yaml", "prompt: x\n")
    bad = write(tmp_path, "bad.yaml", "prompt: x\nsteps: 3\n")
    status, (first, second) = answer(capsys, good, bad)
    assert status == 1 and first["ok"] and not second["ok"]
    (error,) = second["errors"]
    assert (error["code"], error["line"], error["column"]) == ("field-unknown", 2, 1)
    assert "num_inference_steps" in error["hint"]


def test_defaults_and_references_beside_a_spec_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "jobs/_defaults.yaml", "fps: 11\nimage: logo.png\n")
    write(tmp_path, "jobs/logo.png", PNG)
    spec = write(tmp_path, "jobs/a/bee.yaml", "prompt: x\n")
    status, (verdict,) = answer(capsys, spec)
    (task,) = verdict["tasks"]
    assert status == 0 and (task["fps"], task["image"]) == (11, "/logo.png")
    (tmp_path / "jobs" / "logo.png").unlink()
    _, (verdict,) = answer(capsys, spec)
    assert [w["code"] for w in verdict["warnings"]] == ["reference-missing"]
    write(tmp_path, "jobs/logo.png", b"I am a text")
    status, (verdict,) = answer(capsys, spec)
    assert status == 1 and verdict["errors"][0]["code"] == "reference-kind"
    write(tmp_path, "jobs/_defaults.yaml", "fsp: 11\n")
    _, (verdict,) = answer(capsys, spec)
    assert verdict["errors"][0]["file"] == "jobs/_defaults.yaml"


def test_images_of_scenes_are_read_and_uploaded_with_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "model: wan2.2-5b\nscenes:\n- image: tall.png\n- it goes on\n- image: b/logo.png\n"
    write(tmp_path, "jobs/tall.png", picture("PNG", (64, 128)))
    spec = write(tmp_path, "jobs/bee.yaml", body)
    status, (verdict,) = answer(capsys, spec)
    (task,) = verdict["tasks"]
    assert status == 0 and task["height"] > task["width"], "the first image decides the shape"
    assert [scene["transition"] for scene in task["scenes"]] == ["cut", "continue", "cut"]
    assert [w["code"] for w in verdict["warnings"]] == ["reference-missing"]
    write(tmp_path, "jobs/b/logo.png", PNG)
    jobs = JobsFolder.around(spec)
    keys = [target for _, target in job_files.belongings(jobs, jobs.key(spec))]
    assert keys == ["jobs/tall.png", "jobs/b/logo.png"]


def test_what_the_rows_of_a_list_need_is_uploaded_with_it(tmp_path: Path) -> None:
    for name in ("star.png", "x/other.png", "unasked.png"):
        write(tmp_path, f"jobs/{name}", PNG)
    write(tmp_path, "jobs/x/_defaults.yaml", "seed: 1\n")
    rows = "num_frames;image\n81;star.png\n0;unasked.png\n;x/other.png\n"
    table = write(tmp_path, "jobs/x.csv", rows)
    jobs = JobsFolder.around(table)
    keys = [target for _, target in job_files.belongings(jobs, jobs.key(table))]
    assert keys == ["jobs/x/_defaults.yaml", "jobs/star.png", "jobs/x/other.png"]


@pytest.mark.parametrize("name", ["nothing.yaml", "bee.docx", "bee.png"])
def test_files_that_are_not_specs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    if not name.startswith("nothing"):
        file.write_bytes(PNG)
    status, (verdict,) = answer(capsys, file)
    assert status == 1 and verdict["errors"][0]["code"] == "key-suffix"


def test_the_output_for_people(tmp_path: Path) -> None:
    bad = write(tmp_path, "bad.yaml", "prompt: a cat: on a mat\n")
    done = subprocess.run(
        [sys.executable, "-m", "local", "validate", str(bad), str(ROOT / "samples" / "bee.yaml")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{bad}:1:14: " in done.stdout and "bee.yaml: good, 1 video" in done.stdout
