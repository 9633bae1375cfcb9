"""Videos that are made of scenes: from the scenes to one file, whatever happens in between."""

import hashlib
import json
import signal
import subprocess
import sys
import weakref
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from contract.catalogue import Mode
from contract.errors import Code, TaskFailed
from contract.manifest import Layout, ManifestTask
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    POSTER_FILE,
    RESULT_FILE,
    VIDEO_FILE,
    WEBM_FILE,
    Progress,
    scene_file,
)
from processing import loading, plan, worker
from processing.made import KeptScenes, Made
from processing.pipelines import Pipeline
from tests.processing.conftest import Jobs, scene
from tests.processing.decoding import decoded
from tests.processing.test_several import REPOSITORY, start
from tests.waiting import PATIENCE_SECONDS

FOUR = (
    scene("a bee", "cut", seed=1),
    scene("a train", "continue", seed=2),
    scene("a horse", "cut", seed=3),
    scene("a lake", "fade", seed=4),
)
"""What is made in the first round is 1, 3 and 4."""


def events(captured: str, name: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in captured.splitlines()]
    return [event for event in found if event["event"] == name]


def files_of(layout: Layout, task_id: str = "bee") -> dict[str, bytes]:
    """All files that people get."""
    folder = layout.task_output(task_id)
    names = [path.name for path in folder.iterdir() if path.suffix != ".json"]
    return {name: (folder / name).read_bytes() for name in sorted(names)}


def test_four_scenes_become_one_video_with_chapters_and_clips(jobs: Jobs) -> None:
    film = jobs.film(*FOUR, scene_clips=True).model_copy(
        update={"h265": True, "webm": True, "gif": True}
    )
    layout = jobs.rendered(film)

    result = jobs.success(layout)
    assert result.parameters == film.parameters
    # The doubled frame is left out, and the fade overlaps with four frames.
    assert result.video.num_frames == 9 + 8 + 9 + 5 == film.parameters.num_frames
    assert [(made.first_frame, made.num_frames) for made in result.scenes] == [
        (0, 9), (9, 8), (17, 5), (22, 9),
    ]  # fmt: skip
    titles = ["a bee", "a train", "a horse", "a lake"]
    for name in (VIDEO_FILE, H265_FILE, WEBM_FILE):
        assert chapters(layout, name) == [
            (0, 9, titles[0]), (9, 17, titles[1]), (17, 22, titles[2]), (22, 31, titles[3]),
        ], name  # fmt: skip
    assert {GIF_FILE, POSTER_FILE} < set(files_of(layout))
    for number, frames in enumerate((9, 8, 9, 9), 1):
        clip = layout.task_output("bee") / scene_file(number)
        assert len(decoded(clip)) == frames
        data = clip.read_bytes()
        assert result.files[clip.name] == hashlib.sha256(data).hexdigest()
        assert b"trainedAlgorithmicMedia" in data and titles[number - 1].encode() in data
    assert result.guidance is None and result.profile is None
    assert all(len(made.guidance.scales) == 2 for made in result.scenes)
    assert result.weights_sha256 != result.image_weights_sha256 is not None
    assert not layout.task_scenes("bee").exists()
    newest = max(layout.task_output("bee").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == RESULT_FILE


def chapters(layout: Layout, name: str) -> list[tuple[int, int, str]]:
    """The first frame of each chapter, the one after its last, and its title."""
    with av.open(str(layout.task_output("bee") / name)) as container:
        found: list[Any] = container.chapters()
    return [
        (
            round(chapter["start"] * chapter["time_base"] * 8),
            round(chapter["end"] * chapter["time_base"] * 8),
            chapter["metadata"]["title"],
        )
        for chapter in found
    ]


def test_no_file_says_the_prompts_if_they_are_kept_out(jobs: Jobs) -> None:
    film = jobs.film(scene("a secret bee", "cut"), scene("a secret train"), scene_clips=True)
    layout = jobs.rendered(film.model_copy(update={"prompt_in_file": False}))

    assert [title for _, _, title in chapters(layout, VIDEO_FILE)] == ["Scene 1", "Scene 2"]
    for name, data in files_of(layout).items():
        assert b"secret" not in data, name


class Watched:
    """Records what the model gets and makes: for each seed the image, and the frames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seeds: list[int] = []
        self.images: dict[int, NDArray[np.uint8]] = {}
        self.frames: dict[int, NDArray[np.uint8]] = {}
        denoise, decode = Pipeline.denoise, Pipeline.decode

        def denoises(self_: Pipeline, parameters: Any, reference: Any, on_step: Any) -> Any:
            self.seeds.append(parameters.seed)
            if reference is not None:
                self.images[parameters.seed] = np.asarray(reference)
            return denoise(self_, parameters, reference, on_step)

        def decodes(self_: Pipeline, latents: Any, parameters: Any) -> Any:
            self.frames[parameters.seed] = decode(self_, latents, parameters)
            return self.frames[parameters.seed]

        monkeypatch.setattr(Pipeline, "denoise", denoises)
        monkeypatch.setattr(Pipeline, "decode", decodes)


def test_a_scene_continues_from_the_very_last_frame_and_others_from_their_inputs(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    film = jobs.film(
        scene(seed=1, transition="cut"),
        scene(seed=2),
        scene(seed=3),
        scene(seed=4, transition="cut", from_image=True),
        images={4: "bee.png"},
        label="hidden in the last frame",
        fps=24,
        generated_fps=8,
    )
    layout = jobs.root(film)
    Image.new("RGB", (64, 64), "red").save(layout.references / "bee.png")

    worker.render_manifest(layout)

    assert watched.seeds == [1, 2, 3, 4]
    assert np.array_equal(watched.images[2], watched.frames[1][-1])
    assert np.array_equal(watched.images[3], watched.frames[2][-1])
    assert np.array_equal(watched.images[4], np.full((64, 64, 3), (255, 0, 0)))
    assert jobs.success(layout).video.num_frames == 3 * (9 + 8 + 8 + 9)


def watched_transformers(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """All transformers that will be loaded. When one is, all others must be gone."""
    load = loading._Loader.transformer
    loaded: list[weakref.ref[Any]] = []

    def watched(loader: loading._Loader) -> Any:
        assert [ref for ref in loaded if ref() is not None] == [], "two transformers in memory"
        transformer = load(loader)
        loaded.append(weakref.ref(transformer))
        return transformer

    monkeypatch.setattr(loading._Loader, "transformer", watched)
    return loaded


def test_eight_films_load_each_transformer_once_and_never_two_at_a_time(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = watched_transformers(monkeypatch)
    films = [jobs.film(*FOUR, task_id=f"film-{n}", num_inference_steps=1) for n in range(8)]

    layout = jobs.rendered(*films)

    assert len(loaded) == 2
    output = capsys.readouterr().out
    order = [(e["task_id"], e["scene"]) for e in events(output, "scene-made")]
    assert order == [(f.task_id, n) for f in films for n in (1, 3, 4)] + [
        (f.task_id, 2) for f in films
    ]
    begun = [event["task_id"] for event in events(output, "task-started")]
    assert begun == [film.task_id for film in films]
    for film in films:
        jobs.success(layout, film.task_id)
    # Each is finished as soon as its last scene is made.
    lines = output.splitlines()
    first_end = next(n for n, line in enumerate(lines) if '"task-succeeded"' in line)
    of_last = [n for n, line in enumerate(lines) if '"film-7", "scene": 2' in line]
    assert first_end < of_last[-1]


class Killed(BaseException):
    """The worker is killed here."""


@pytest.mark.parametrize("where", ["half", "after"])
def test_a_worker_that_is_killed_at_each_scene_goes_on_with_the_scenes_that_are_there(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    film = jobs.film(*FOUR, scene_clips=True, num_inference_steps=1)
    whole = jobs.rendered(film)
    layout = jobs.root(film)
    watched, keep = Watched(monkeypatch), KeptScenes.keep
    killed: set[int] = set()

    def killing(kept: KeptScenes, number: int, parameters: Any, made: Made) -> Made:
        if number in killed:
            return keep(kept, number, parameters, made)
        killed.add(number)
        keep(kept, number, parameters, made)
        if where == "half":
            frames = layout.task_scenes("bee") / f"scene-{number:02d}.npy"
            frames.with_suffix(".json").unlink()
            frames.write_bytes(frames.read_bytes()[:1000])
        raise Killed

    monkeypatch.setattr(KeptScenes, "keep", killing)
    for _ in FOUR:
        with pytest.raises(Killed):
            worker.render_manifest(layout)
        assert not (layout.task_output("bee") / RESULT_FILE).exists()
    worker.render_manifest(layout)

    assert files_of(layout) == files_of(whole)
    times = 1 if where == "after" else 2
    assert Counter(watched.seeds) == dict.fromkeys((1, 2, 3, 4), times)
    assert jobs.success(layout).scenes == jobs.success(whole).scenes
    assert not layout.task_scenes("bee").exists()


def test_a_worker_that_is_killed_for_real_renders_each_scene_once(
    jobs: Jobs, tmp_path: Path
) -> None:
    films = [jobs.film(*FOUR, task_id=f"film-{n}", num_inference_steps=1) for n in range(2)]
    whole, layout = jobs.rendered(*films), jobs.root(*films)
    made: Counter[tuple[str, int]] = Counter()
    for kills in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-m", "processing", "--root", str(layout.root), "--processes", "1",
             "--message", str(tmp_path / "message")],
            cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "scene-made":
                made[event["task_id"], event["scene"]] += 1
            if kills and sum(made.values()) == 7:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=PATIENCE_SECONDS)
    assert set(made.values()) <= {1, 2} and sum(made.values()) <= 9, "one scene was in work"
    for film in films:
        assert files_of(layout, film.task_id) == files_of(whole, film.task_id)


def test_two_processes_make_films_as_one_does(jobs: Jobs, tmp_path: Path) -> None:
    films = [jobs.film(*FOUR, task_id=f"film-{n}", num_inference_steps=1) for n in range(3)]
    films[1] = films[1].model_copy(update={"interrupted": True})
    alone, layout = jobs.rendered(*films), jobs.root(*films)

    process = start(layout, tmp_path / "message")
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0, errors
    made = Counter((e["task_id"], e["scene"]) for e in events(output, "scene-made"))
    assert made == Counter({(film.task_id, n): 1 for film in films for n in (1, 2, 3, 4)})
    for film in films:
        assert files_of(layout, film.task_id) == files_of(alone, film.task_id)


def test_an_interrupted_film_is_alone_in_work(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    films = [jobs.film(*FOUR[:2], task_id=f"film-{n}", num_inference_steps=1) for n in range(3)]
    films[0] = films[0].model_copy(update={"interrupted": True})
    jobs.rendered(*films)
    output = capsys.readouterr().out
    names = ("task-started", "task-succeeded")
    order = [
        (event["task_id"], event["event"])
        for event in map(json.loads, output.splitlines())
        if event["event"] in names
    ]
    assert order[-2:] == [("film-0", name) for name in names]
    assert {task_id for task_id, _ in order[:-2]} == {"film-1", "film-2"}


def fails_at(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = Pipeline.denoise

    def breaks(self: Pipeline, parameters: Any, *arguments: Any) -> torch.Tensor:
        if parameters.seed == seed:
            raise ZeroDivisionError("of all things")
        return denoise(self, parameters, *arguments)

    monkeypatch.setattr(Pipeline, "denoise", breaks)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_scene_that_fails_keeps_those_before_it_and_names_itself(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fails_at(number, monkeypatch)
    good = jobs.film(
        scene(seed=8, transition="cut"), scene(seed=9), task_id="good", num_inference_steps=1
    )

    layout = jobs.rendered(jobs.film(*FOUR, num_inference_steps=1), good)

    failed = jobs.failure(layout)
    assert failed.problem.code == Code.RENDER_FAILED
    assert failed.problem.message.startswith(f"Scene {number} of 4: Rendering failed")
    assert "of all things" in failed.detail
    files = files_of(layout)
    assert sorted(files) == [scene_file(n) for n in range(1, number)]
    digests = [hashlib.sha256(files[name]).hexdigest() for name in sorted(files)]
    assert list(failed.scene_clips_sha256) == digests
    for name in files:
        assert len(decoded(layout.task_output("bee") / name)) >= 8
    assert not layout.task_scenes("bee").exists()
    jobs.success(layout, "good")


def test_a_failure_in_the_first_round_keeps_no_model_in_memory(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its traceback refers to the pipeline.
    fails_at(3, monkeypatch)
    loaded = watched_transformers(monkeypatch)
    jobs.failure(jobs.rendered(jobs.film(*FOUR)))
    assert len(loaded) == 2


def test_a_film_that_cannot_be_written_leaves_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("processing.ending.finishing.write_clip", lambda *_, **__: breaks())
    layout = jobs.rendered(jobs.film(*FOUR[:2], scene_clips=True))
    assert jobs.failure(layout).problem.code == Code.DISK_FULL
    assert files_of(layout) == {}
    assert not list(layout.task_output("bee").glob(".*"))
    assert not layout.task_scenes("bee").exists()


def test_progress_goes_on_from_scene_to_scene_and_round_to_round(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    films = [jobs.film(*FOUR, task_id=name, num_inference_steps=5) for name in ("one", "two")]
    layout = jobs.rendered(*films)

    lines = events(capsys.readouterr().out, "progress")
    for film in films:
        own = [line for line in lines if line["task_id"] == film.task_id]
        assert [line["percent"] for line in own] == sorted(line["percent"] for line in own)
        assert [line["percent"] for line in own if line["step"] == 5] == [25, 50, 75, 99]
        assert list(dict.fromkeys(line["scene"] for line in own)) == [1, 3, 4, 2]
        paths = sorted(layout.task_output(film.task_id).glob("progress-*.json"))
        found = [Progress.from_json(path.read_bytes()) for path in paths]
        decades = [progress.percent // 10 for progress in found]
        assert decades == sorted(set(decades)) and len(decades) == 9
        assert {progress.scene for progress in found} == {1, 2, 3, 4}


def test_a_scene_counts_until_the_whole_video_is_made(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []
    place = worker._Rendering._place

    def watched(self: Any, task: Any, its: Any) -> Any:
        found = place(self, task, its)
        places.append((task.task_id, found.number, found.made, found.until_end))
        return found

    monkeypatch.setattr(worker._Rendering, "_place", watched)
    three = FOUR[:3]
    jobs.rendered(jobs.film(*three, task_id="one"), jobs.film(*three, task_id="two"))
    assert places == [
        ("one", 1, 0, 4), ("one", 3, 1, 3), ("two", 1, 0, 3), ("two", 3, 1, 2),
        ("one", 2, 2, 0), ("two", 2, 2, 0),
    ]  # fmt: skip


def test_films_of_images_only_and_of_texts_only_need_one_folder(jobs: Jobs) -> None:
    from_image = scene(transition="cut", from_image=True)
    film = jobs.film(from_image, scene(seed=2), images={1: "bee.png"})
    layout = jobs.root(film)
    Image.new("RGB", (64, 64), "red").save(layout.references / "bee.png")
    worker.render_manifest(layout)
    assert jobs.success(layout).image_weights_sha256 is None
    texts = jobs.rendered(jobs.film(FOUR[0], FOUR[2]))
    assert jobs.success(texts).image_weights_sha256 is None


def test_a_damaged_image_names_its_scene(jobs: Jobs) -> None:
    film = jobs.film(FOUR[0], scene(transition="cut", from_image=True), images={2: "bee.png"})
    layout = jobs.root(film)
    (layout.references / "bee.png").write_bytes(b"no picture")
    worker.render_manifest(layout)
    problem = jobs.failure(layout).problem
    assert problem.code == Code.REFERENCE_UNREADABLE
    assert problem.message.startswith("Scene 2 of 2: The image bee.png")


@pytest.mark.parametrize("folder", ["model", "image_model"])
def test_damaged_weights_of_either_folder_are_found_before_anything_is_made(
    jobs: Jobs, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    layout = jobs.root(jobs.film(*FOUR))
    link: Path = getattr(layout, folder)
    link.unlink()
    with pytest.raises(TaskFailed) as caught:
        worker.render_manifest(layout)
    assert caught.value.problems[0].code == Code.WEIGHTS_MISSING
    assert watched.seeds == []


def changed(film: ManifestTask, **changes: Any) -> ManifestTask:
    names = set(ManifestTask.model_fields)
    of_task = {name: value for name, value in changes.items() if name in names}
    of_parameters = {name: value for name, value in changes.items() if name not in names}
    parameters = film.parameters.model_copy(update=of_parameters)
    return film.model_copy(update={"parameters": parameters, **of_task})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene_images": (None,)}, "1 scene_images for 4 scenes"),
        ({"scene_images": ("a.png", None, None, None)}, "scene 1 of bee another mode"),
        ({"scene_images": (None, "a.png", None, None)}, "scene 2 of bee another mode"),
        ({"num_frames": 36}, "another number of frames"),
        ({"mode": Mode.IMAGE_TO_VIDEO}, "another mode than its first scene"),
        ({"image": "a.png"}, "a reference beside"),
        ({"scenes": FOUR[1:]}, "lets the first scene of bee continue"),
        ({"scenes": ()}, "which has none"),
    ],
)
def test_a_film_that_contradicts_itself_is_refused(
    jobs: Jobs, changes: dict[str, Any], words: str
) -> None:
    layout = jobs.root(jobs.film(*FOUR))
    film = changed(jobs.film(*FOUR), **changes)
    if "scenes" in changes:
        film = changed(film, scene_images=(None,) * 3)
    jobs.write_manifest(layout, film, attempt_id="a")
    with pytest.raises(TaskFailed, match=words):
        plan.check_manifest(plan.read_manifest(layout))


def test_tasks_that_need_other_folders_are_refused(jobs: Jobs) -> None:
    layout = jobs.root(jobs.film(*FOUR))
    jobs.write_manifest(layout, jobs.film(*FOUR), jobs.task("bee"), attempt_id="a")
    with pytest.raises(TaskFailed, match="several model folders"):
        plan.check_manifest(plan.read_manifest(layout))
