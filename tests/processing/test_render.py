"""From a manifest to files: tasks that succeed."""

import hashlib
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from contract import model_folder
from contract.outcome import GIF_FILE, POSTER_FILE, RESULT_FILE, VIDEO_FILE, Progress, WeightsSource
from processing import video, weights, worker
from tests.processing.conftest import Jobs
from tests.processing.decoding import decoded


def test_each_task_gets_a_video_a_poster_and_a_true_result(jobs: Jobs) -> None:
    tasks = [
        jobs.task("wide", height=64, width=96, num_frames=17, seed=1),
        jobs.task("tall", height=96, width=64, fps=12, seed=2),
        jobs.task("plain", guidance_scale=1.0, seed=3),
    ]

    layout = jobs.rendered(*tasks)

    for task in tasks:
        folder = layout.task_output(task.task_id)
        result = jobs.success(layout, task.task_id)
        assert result.parameters == task.parameters
        assert result.attempt_id == "attempt-1"
        assert result.model == "demo"
        assert result.scheduler == "CogVideoXDDIMScheduler"
        assert result.video == video.probe(folder / VIDEO_FILE)
        shape = (task.parameters.num_frames, task.parameters.height, task.parameters.width, 3)
        assert decoded(folder / VIDEO_FILE).shape == shape
        assert result.video.fps == task.parameters.fps
        assert result.video.duration_seconds == pytest.approx(shape[0] / task.parameters.fps)
        sha256 = hashlib.sha256((folder / VIDEO_FILE).read_bytes()).hexdigest()
        assert result.video.sha256 == sha256
        poster = (folder / POSTER_FILE).read_bytes()
        assert result.poster_sha256 == hashlib.sha256(poster).hexdigest()
        with Image.open(folder / POSTER_FILE) as image:
            assert image.size == (shape[2], shape[1])
        assert result.started_at <= result.finished_at
        assert result.quality.contrast > 5
        assert result.quality.motion > 1
        assert result.weights_sha256 == weights.compare(layout.model).sha256
        assert min(result.seconds.model_dump().values()) > 0
        # The random model makes noise, so there may be warnings about the picture.
        assert all(notice.code.startswith("video-") for notice in result.warnings)


def test_a_result_says_where_the_weights_come_from(jobs: Jobs) -> None:
    unchecked = jobs.success(jobs.rendered(jobs.task()))
    layout = jobs.root(jobs.task())
    original = layout.model.resolve()
    layout.model.unlink()
    shutil.copytree(original, layout.model)
    model_folder.write(layout.model, repository="zai-org/CogVideoX-2b", revision="1137dac")

    worker.render_manifest(layout)

    checked = jobs.success(layout)
    assert unchecked.weights_source is None
    assert checked.weights_source == WeightsSource(
        repository="zai-org/CogVideoX-2b", revision="1137dac"
    )
    assert checked.weights_sha256 == unchecked.weights_sha256


def test_the_result_is_written_last_and_nothing_unfinished_stays(jobs: Jobs) -> None:
    layout = jobs.root(jobs.task())
    left_over = layout.task_output("bee") / ".progress-70.json.part"
    left_over.parent.mkdir()
    left_over.write_bytes(b"of a run that was killed")

    worker.render_manifest(layout)

    files = sorted(left_over.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert files[-1].name == RESULT_FILE
    assert not [path for path in files if path.name.startswith(".")]


def test_a_seed_means_the_same_video_and_another_seed_another(jobs: Jobs) -> None:
    tasks = [jobs.task("one", seed=1), jobs.task("again", seed=1), jobs.task("two", seed=2)]

    layout = jobs.rendered(*tasks)

    one, again, two = (decoded(layout.task_output(t.task_id) / VIDEO_FILE) for t in tasks)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)


def test_the_same_frames_are_the_same_file_each_time(jobs: Jobs, tmp_path: Path) -> None:
    layout = jobs.rendered(jobs.task())
    frames = decoded(layout.task_output("bee") / VIDEO_FILE)
    files = set()

    for _ in range(60):
        video.encode(frames, fps=8, path=tmp_path / "video.mp4")
        files.add((tmp_path / "video.mp4").read_bytes())

    assert len(files) == 1


def test_prompt_and_negative_prompt_both_matter(jobs: Jobs) -> None:
    tasks = [
        jobs.task("plain"),
        jobs.task("prompt", prompt="a train in the snow"),
        jobs.task("negative", negative_prompt="dark city at night"),
    ]

    layout = jobs.rendered(*tasks)

    videos = [jobs.success(layout, task.task_id).video.sha256 for task in tasks]
    assert len(set(videos)) == 3


def test_tasks_rendered_together_equal_tasks_rendered_alone(jobs: Jobs) -> None:
    bee = jobs.task("bee", seed=5, num_frames=17, height=64, width=96)
    train = jobs.task("train", seed=6, prompt="a train", num_inference_steps=3)

    together = jobs.rendered(bee, train)

    for task in (bee, train):
        alone = jobs.rendered(task)
        assert np.array_equal(
            decoded(together.task_output(task.task_id) / VIDEO_FILE),
            decoded(alone.task_output(task.task_id) / VIDEO_FILE),
        )


def test_an_image_shapes_the_video_and_stands_upright(jobs: Jobs) -> None:
    layout = jobs.root(
        jobs.task("upright", image="upright.png"),
        jobs.task("turned", image="turned.jpg"),
        jobs.task("sideways", image="sideways.jpg"),
        jobs.task("alpha", image="alpha.png"),
    )
    upright = Image.new("RGB", (64, 64), "blue")
    upright.paste("red", (0, 0, 64, 32))
    upright.save(layout.references / "upright.png")
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(layout.references / "sideways.jpg", quality=100, subsampling=0)
    # The same pixels, with the EXIF orientation that turns them back.
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(layout.references / "turned.jpg", quality=100, subsampling=0, exif=exif)
    Image.new("RGBA", (200, 100), (0, 255, 0, 128)).save(layout.references / "alpha.png")

    worker.render_manifest(layout)

    first = decoded(layout.task_output("upright") / VIDEO_FILE).astype(int)
    distance = {
        name: np.abs(decoded(layout.task_output(name) / VIDEO_FILE) - first).mean()
        for name in ("turned", "sideways", "alpha")
    }
    assert distance["turned"] < distance["sideways"] / 2
    assert distance["turned"] < distance["alpha"] / 2


def test_a_prompt_beyond_the_token_limit_is_rendered_with_a_warning(jobs: Jobs) -> None:
    long = "qzx " * 40 + "lighthouse"

    layout = jobs.rendered(jobs.task("long", prompt=long), jobs.task("short"))

    cut = {notice.code: notice for notice in jobs.success(layout, "long").warnings}["prompt-cut"]
    assert "64" in cut.message
    assert "qzx" in cut.message
    assert "prompt-cut" not in [n.code for n in jobs.success(layout, "short").warnings]


def test_progress_is_told_as_lines_and_as_files(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = jobs.rendered(jobs.task(num_inference_steps=20))

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "manifest"
    assert names[-1] == "task-succeeded"
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["step"], last["of"], last["percent"]) == (20, 20, 99)
    files = sorted(layout.task_output("bee").glob("progress-*.json"))
    assert [path.name for path in files] == [
        f"progress-{percent}.json" for percent in (10, 20, 30, 40, 50, 60, 70, 80, 90)
    ]
    first = Progress.from_json(files[0].read_bytes())
    assert (first.task_id, first.percent) == ("bee", 10)


def test_a_restarted_worker_does_only_what_is_left(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    bee, train = jobs.task("bee"), jobs.task("train", prompt="a train")
    layout = jobs.root(bee, train)
    worker.render_manifest(layout)
    kept = (layout.task_output("bee") / RESULT_FILE).stat().st_mtime_ns
    (layout.task_output("train") / RESULT_FILE).unlink()
    capsys.readouterr()

    worker.render_manifest(layout)

    assert (layout.task_output("bee") / RESULT_FILE).stat().st_mtime_ns == kept
    started = [line for line in capsys.readouterr().out.splitlines() if "task-started" in line]
    assert [json.loads(line)["task_id"] for line in started] == ["train"]
    jobs.success(layout, "train")


def test_a_result_of_an_earlier_attempt_or_half_of_one_does_not_count(jobs: Jobs) -> None:
    bee, train = jobs.task("bee"), jobs.task("train", prompt="a train")
    layout = jobs.rendered(bee, train)
    jobs.write_manifest(layout, bee, train, attempt_id="attempt-2")
    (layout.task_output("train") / RESULT_FILE).write_text('{"result": {')

    worker.render_manifest(layout)

    assert jobs.success(layout, "bee").attempt_id == "attempt-2"
    assert jobs.success(layout, "train").attempt_id == "attempt-2"


def test_a_gif_comes_where_it_is_asked_for(jobs: Jobs) -> None:
    layout = jobs.rendered(jobs.task("with", gif=True, num_frames=17), jobs.task("without"))

    asked = layout.task_output("with")
    data = (asked / GIF_FILE).read_bytes()
    assert jobs.success(layout, "with").gif_sha256 == hashlib.sha256(data).hexdigest()
    with Image.open(asked / GIF_FILE) as image:
        assert isinstance(image, GifImageFile)
        assert (image.format, image.n_frames, image.size) == ("GIF", 17, (64, 64))
    newest = max(asked.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == RESULT_FILE
    assert not list(asked.glob(".*"))
    assert jobs.success(layout, "without").gif_sha256 is None
    assert not (layout.task_output("without") / GIF_FILE).exists()


def test_a_downloaded_video_says_what_it_was_made_from(jobs: Jobs) -> None:
    hidden = jobs.task("hidden", prompt="a secret bee", label="AI-generated", seed=8)
    layout = jobs.rendered(
        jobs.task(prompt="a bee, “slowly” = 🐝", seed=7),
        hidden.model_copy(update={"prompt_in_file": False}),
    )

    with av.open(str(layout.task_output("bee") / VIDEO_FILE)) as container:
        tags = container.metadata
    assert tags["title"] == "a bee, “slowly” = 🐝"
    assert tags["comment"] == "reeldrop, model demo, seed 7"
    data = (layout.task_output("hidden") / VIDEO_FILE).read_bytes()
    assert b"seed 8" in data and b"trainedAlgorithmicMedia" in data and b"secret" not in data
    # The model did not make the label.
    frames = decoded(layout.task_output("hidden") / VIDEO_FILE)
    corner = frames[:, 49:62, 3:62].astype(int)
    assert corner.max() - np.quantile(corner, 0.1) > 100
