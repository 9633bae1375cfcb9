"""Video to video: with a usable reference, and with one that cannot be used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.errors import Code
from contract.manifest import Layout, Parameters
from contract.outcome import VIDEO_FILE, Rendered
from demo_model import install
from processing import loading, pipelines, plan, video, worker
from processing.clip import Clip, load_clip
from processing.pipelines import Pipeline, Reference, StepReport
from tests.processing.conftest import Jobs
from tests.processing.decoding import decoded


def reference(layout: Layout, name: str = "bee.mp4", count: int = 17) -> np.ndarray:
    """Write a reference video: a red square that moves right on blue."""
    frames = np.zeros((count, 64, 96, 3), np.uint8)
    frames[...] = (30, 60, 200)
    for index, frame in enumerate(frames):
        frame[20:44, 4 * index : 4 * index + 24] = (220, 40, 40)
    video.encode(frames, fps=8, path=layout.references / name)
    return frames


def made(layout: Layout, task_id: str) -> np.ndarray:
    return decoded(layout.task_output(task_id) / VIDEO_FILE)


def codes(result: Rendered) -> list[str]:
    """The warnings, without those about the picture: the random model makes noise."""
    found = [notice.code for notice in result.warnings]
    return [code for code in found if not code.startswith("video-")]


def test_a_low_strength_stays_nearer_to_the_reference_than_a_high_one(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This needs the trained model, because the videos of the random one are noise.
    install.write(tmp_path / "trained")
    monkeypatch.setattr(jobs, "_models", tmp_path / "trained")
    strengths = {"low": 0.2, "high": 1.0}
    tasks = [
        jobs.task(
            name,
            video="bee.mp4",
            prompt="a green star moves left on a white background",
            width=96,
            num_frames=17,
            num_inference_steps=5,
            strength=strength,
        )
        for name, strength in strengths.items()
    ]
    layout = jobs.root(*tasks)
    frames = reference(layout).astype(float)

    worker.render_manifest(layout)

    low, high = (np.abs(made(layout, name) - frames).mean() for name in strengths)
    assert low < high / 4
    assert jobs.success(layout, "low").parameters.strength == 0.2
    assert codes(jobs.success(layout, "low")) == []


def test_the_reference_and_the_seed_decide_what_it_looks_like(jobs: Jobs) -> None:
    layout = jobs.root(
        jobs.task("one", video="bee.mp4", num_frames=17),
        jobs.task("again", video="bee.mp4", num_frames=17),
        jobs.task("seed", video="bee.mp4", num_frames=17, seed=2),
        jobs.task("other", video="other.mp4", num_frames=17),
        jobs.task("padded", video="bee.mp4", num_frames=17, fit="pad"),
    )
    reference(layout)
    video.encode(
        np.full((17, 64, 96, 3), 250, np.uint8),
        fps=8,
        path=layout.references / "other.mp4",
    )

    worker.render_manifest(layout)

    files = {
        name: (layout.task_output(name) / VIDEO_FILE).read_bytes()
        for name in ("one", "again", "seed", "other", "padded")
    }
    assert files["one"] == files["again"]
    assert len(set(files.values())) == 4


def test_videos_of_several_modes_share_what_is_loaded_and_are_those_of_single_runs(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [
        jobs.task("text", num_frames=17),
        jobs.task("video", video="bee.mp4", num_frames=17, num_inference_steps=4),
        jobs.task("again", num_frames=17, seed=2),
    ]
    alone = []
    for task in tasks:
        layout = jobs.root(task)
        reference(layout)
        worker.render_manifest(layout)
        alone.append((layout.task_output(task.task_id) / VIDEO_FILE).read_bytes())
    loads = []
    load = loading.load

    def counted(**given: Any) -> Pipeline:
        loads.append(given)
        return load(**given)

    monkeypatch.setattr(loading, "load", counted)
    together = jobs.root(*tasks)
    reference(together)

    worker.render_manifest(together)

    assert len(loads) == 1
    for task, video_alone in zip(tasks, alone, strict=True):
        assert (together.task_output(task.task_id) / VIDEO_FILE).read_bytes() == video_alone
        assert jobs.success(together, task.task_id).parameters == task.parameters


def test_progress_counts_the_steps_that_are_made(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = jobs.root(jobs.task(video="bee.mp4", num_inference_steps=20, strength=0.5))
    reference(layout)

    worker.render_manifest(layout)

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["step"], last["of"], last["percent"]) == (10, 10, 99)
    names = sorted(path.name for path in layout.task_output("bee").glob("progress-*.json"))
    assert names == [f"progress-{percent}.json" for percent in range(10, 91, 10)]


def test_a_short_reference_is_rendered_with_a_warning(jobs: Jobs) -> None:
    layout = jobs.root(
        jobs.task("short", video="short.mp4", num_frames=17),
        jobs.task("long", video="long.mp4", num_frames=17),
    )
    reference(layout, "short.mp4", 5)
    reference(layout, "long.mp4", 24)

    worker.render_manifest(layout)

    short = jobs.success(layout, "short")
    assert codes(short) == ["reference-short"]
    assert short.video.num_frames == 17
    assert codes(jobs.success(layout, "long")) == []


def test_a_reference_that_cannot_be_used_fails_its_task_alone(jobs: Jobs) -> None:
    layout = jobs.root(
        jobs.task("good", video="good.mp4"),
        jobs.task("poison", video="poison.mp4"),
        jobs.task("playlist", video="playlist.mp4"),
        jobs.task("absent", video="absent.mp4"),
    )
    reference(layout, "good.mp4")
    (layout.references / "poison.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and then nothing")
    (layout.references / "playlist.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")

    worker.render_manifest(layout)

    jobs.success(layout, "good")
    for name in ("poison", "playlist", "absent"):
        problem = jobs.failure(layout, name).problem
        assert problem.code == Code.REFERENCE_UNREADABLE
        assert f"{name}.mp4" in problem.message


@pytest.mark.parametrize(("strength", "least"), [(0.09, "0.1"), (0.0, "0.1")])
def test_a_strength_that_leaves_no_step_fails_its_task_alone(
    jobs: Jobs, strength: float, least: str
) -> None:
    layout = jobs.root(
        jobs.task("none", video="bee.mp4", num_inference_steps=10, strength=strength),
        jobs.task("one", video="bee.mp4", num_inference_steps=10, strength=0.1),
    )
    reference(layout)

    worker.render_manifest(layout)

    problem = jobs.failure(layout, "none").problem
    assert problem.code == Code.FIELD_RANGE
    assert f"strength of {strength:g}, none of the 10 steps is left" in problem.message
    assert f"at least  strength: {least}" in problem.hint
    jobs.success(layout, "one")


def test_every_reference_is_read_at_the_size_and_rate_of_its_task(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def watched(path: Path, **given: Any) -> Clip:
        seen.append(given)
        return load_clip(path, **given)

    monkeypatch.setattr(plan, "load_clip", watched)
    monkeypatch.setattr(loading, "load", lambda **_: pytest.fail("far enough"))
    layout = jobs.root(
        jobs.task(
            "bee", video="bee.mp4", height=96, fps=24, generated_fps=12, num_frames=17, fit="pad"
        )
    )
    reference(layout)

    with pytest.raises(pytest.fail.Exception):
        worker.render_manifest(layout)

    assert seen == [{"height": 96, "width": 64, "num_frames": 17, "fps": 12, "fit": "pad"}]


def test_other_modes_fit_their_image_as_they_are_told(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    layout = jobs.root(
        jobs.task("crop", image="tall.png"), jobs.task("pad", image="tall.png", fit="pad")
    )
    Image.new("RGB", (32, 64), "white").save(layout.references / "tall.png")
    denoise = pipelines.Pipeline.denoise
    dark = {}

    def looks(
        self: Pipeline, parameters: Parameters, picture: Reference | None, on_step: StepReport
    ) -> torch.Tensor:
        dark[parameters.fit] = float((np.asarray(picture) == 0).mean())
        return denoise(self, parameters, picture, on_step)

    monkeypatch.setattr(pipelines.Pipeline, "denoise", looks)

    worker.render_manifest(layout)

    assert dark == {"crop": 0.0, "pad": 0.5}
