"""Videos that are made of several scenes: from the spec to the sidecar."""

import json
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.catalogue import MODELS, Mode
from contract.errors import Code, JobRejected
from contract.outcome import scene_file
from contract.scenes import parts_of
from contract.timeline import timeline_of
from functions import s3_keys
from functions.adapters.sagemaker import processing_request
from functions.log import Event
from functions.planning import estimate
from functions.planning.batching import kind_of
from functions.replies.sidecar import Sidecar
from functions.spec.fields import FolderDefaults, parameters_of
from functions.spec.guardrail import Judgement
from functions.spec.language_model import Answer
from functions.stages.finish import file_written
from functions.stages.sweep import sweep
from functions.table.records import Learned, QueueEntry, State
from tests.fakes import BLOCKED_PNG, PNG, SETTINGS, World
from tests.functions.resolved_specs import draft, read, read_all, refusal
from tests.functions.stored import jobs, status, tasks

TEXT, IMAGE = Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO
TWO = "scenes: [a red circle moves right, it moves left]\n"
THREE = """
scenes:
  - a bee
  - prompt: it lands
    seed: 9
  - prompt: a cat
    transition: fade
seed: 5
outputs: [mp4, scenes]
"""


def test_each_scene_gets_what_it_leaves_open() -> None:
    p = parameters_of(read(THREE))
    assert (p.mode, p.prompt, p.num_frames, p.seed) == (TEXT, "", 17 + 16 + 17 - 8, 5)
    assert [scene.mode for scene in p.scenes] == [TEXT, IMAGE, TEXT]
    assert [scene.transition for scene in p.scenes] == ["cut", "continue", "fade"]
    assert [scene.seed for scene in p.scenes] == [5, 9, 7]
    assert [scene.num_frames for scene in p.scenes] == [17, 17, 17]
    assert timeline_of(p).num_frames == p.num_frames


def test_a_resolved_spec_is_a_spec_that_makes_the_same_video() -> None:
    for variation in read_all(f"{THREE}variations: 2\n"):
        again = read(json.dumps(variation.model_dump(mode="json")), "jobs/a.json")
        assert again == variation
    first, second = read_all(f"{THREE}variations: 2\n")
    seeds = [[scene.seed for scene in one.scenes or ()] for one in (first, second)]
    assert seeds == [[5, 9, 7], [6, 10, 8]]


def test_a_scene_with_an_image_begins_with_a_cut_unless_it_says_otherwise() -> None:
    body = "scenes:\n- image: bee.png\n- {image: a/bee.png, transition: fade}\n- {image: c.png}\n"
    spec = read(body)
    assert [scene.image for scene in spec.scenes or ()] == ["/bee.png", "/a/bee.png", "/c.png"]
    assert [s.transition for s in parameters_of(spec).scenes] == ["cut", "fade", "cut"]
    assert parameters_of(spec).mode == IMAGE


def test_the_size_is_one_that_text_and_image_both_have() -> None:
    spec = read(f"model: cogvideox1.5-5b\n{TWO}")
    assert (spec.height, spec.width) == (768, 1360)
    problem = refusal(f"model: cogvideox1.5-5b\nwidth: 1200\n{TWO}")
    assert problem.code == Code.SIZE_UNSUPPORTED and "image-to-video" in problem.message
    assert read(f"model: wan2.2-5b\naspect: portrait\n{TWO}").height == 1280


def test_a_model_that_cannot_continue_says_what_else_to_do() -> None:
    problem = refusal(f"model: cogvideox-2b\n{TWO}")
    assert problem.code == Code.MODE_UNSUPPORTED and problem.place.line == 2
    assert "transition: cut" in problem.hint and "cogvideox-5b" in problem.hint
    body = "model: cogvideox-2b\nscenes:\n- a bee\n- {prompt: a cat, transition: cut}\n"
    assert [scene.mode for scene in parameters_of(read(body)).scenes] == [TEXT, TEXT]


def test_a_mistake_in_a_scene_is_named_with_its_line() -> None:
    long = "bee " * 100
    body = f"enhance: false\nscenes:\n- a bee\n- prompt: {long}\n- a cat\n"
    world = World()
    world.drop("jobs/bee.yaml", body)
    (problem,) = jobs(world)[0].problems
    assert problem.code == Code.PROMPT_TOO_LONG and problem.place.line == 4
    assert "prompt of scene 2 has 100 words" in problem.message
    problem = refusal("scenes:\n- a bee\n- prompt: a cat\n  duration_seconds: 9\n")
    assert problem.code == Code.DURATION_UNSUPPORTED and problem.place.line == 4
    assert "add a scene" in problem.hint
    problem = refusal("scenes:\n- a bee\n- seed: 3\n")
    assert (problem.code, problem.message) == (Code.PROMPT_EMPTY, "Scene 2 has no prompt.")


def test_too_many_frames_are_refused_whatever_makes_them() -> None:
    scenes = "".join("- {prompt: a bee, num_frames: 161}\n" for _ in range(12))
    problem = refusal(f"model: cogvideox1.5-5b\nfps: 60\nscenes:\n{scenes}")
    assert problem.code == Code.FIELD_RANGE and "fps" in problem.message


def test_the_closer_file_decides_whether_a_video_has_scenes() -> None:
    folder = {"_defaults.yaml": "prompt: a cat\nnum_frames: 17\nimage: cat.png\n"}
    assert [s.prompt for s in read(TWO, **folder).scenes or ()][1] == "it moves left"
    folder = {"_defaults.yaml": f"{TWO}outputs: [mp4, scenes]\n"}
    alone = read("prompt: a bee\n", **folder)
    assert alone.scenes is None and alone.outputs == ("mp4",)
    assert len(read("seed: 3\n", **folder).scenes or ()) == 2
    assert draft("prompt: a\n", **folder).spec.scenes is None
    finished = read("video: bee.mp4\n", **folder)
    assert finished.scenes is None and finished.outputs == ("mp4",)
    assert isinstance(draft("seed: 1\n", **folder).layers[1].spec, FolderDefaults)


def test_a_matrix_varies_only_what_is_for_the_whole_video() -> None:
    specs = read_all(f"{TWO}matrix: {{preset: [draft, best]}}\n")
    assert [spec.preset for spec in specs] == ["draft", "best"] and all(s.scenes for s in specs)
    for matrix in ("{prompt: [a, b]}", "{include: [{num_frames: 17}]}"):
        problem = refusal(f"{TWO}matrix: {matrix}\n")
        assert problem.code == Code.MATRIX_INVALID and "scenes" in problem.message


def test_clips_of_scenes_are_only_for_a_video_with_scenes() -> None:
    problem = refusal("prompt: a bee\noutputs: [mp4, scenes]\n")
    assert problem.code == Code.FIELD_CONFLICT and "scenes" in problem.hint


def test_an_image_of_a_scene_is_a_reference(world: World) -> None:
    body = "scenes:\n- a bee\n- image: bee.png\n- image: cat.png\n"
    world.drop("jobs/bee.yaml", body)
    assert jobs(world)[0].waiting_for == ("jobs/bee.png", "jobs/cat.png")
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/cat.png", PNG)
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    assert task.image is None and task.scene_images[0] is None and not task.scene_clips
    folder = s3_keys.attempt_references(attempt)
    assert all(f"{folder}{name}" in world.files.keys("work") for name in task.scene_images[1:])
    world.render(attempt)
    sidecar = Sidecar.from_json(world.files.read("output", "videos/bee.json"))
    assert [one.field for one in sidecar.references] == ["scenes.1.image", "scenes.2.image"]


def test_a_reference_of_a_scene_that_never_came_or_is_bad_is_named(world: World) -> None:
    world.drop("jobs/bee.yaml", "scenes:\n- a bee\n- image: bee.png\n")
    world.drop("jobs/bad.yaml", "scenes:\n- a bee\n- image: bad.png\n")
    world.drop("jobs/bad.png", b"no picture")
    bad = next(job for job in jobs(world) if job.path == "bad")
    assert bad.state == State.REJECTED and bad.problems[0].place.line == 3
    world.clock.move(seconds=SETTINGS.reference_deadline_seconds + 1)
    sweep(world.ports)
    late = next(job for job in jobs(world) if job.path == "bee")
    assert late.problems[0].place.field == "scenes.1.image"


# batching and starting


def test_a_video_with_scenes_gets_the_weights_of_both_folders(world: World) -> None:
    world.drop("jobs/bee.yaml", TWO)
    world.drop("jobs/cat.yaml", TWO)
    world.drop("jobs/plain.yaml", "prompt: a\n")
    world.set(max_processing_jobs=2)
    attempts = world.dispatch()
    manifests = [world.manifest(attempt) for attempt in attempts]
    both = next(m for m in manifests if m.tasks[0].parameters.scenes)
    assert len(both.tasks) == 2 and both.mode == TEXT, "they share a processing job"
    job, _, _ = world.renderer.jobs[both.attempt_id]
    assert (job.model_uri, job.image_model_uri) == (
        "s3://work/models/demo/one/",
        "s3://work/models/demo-i2v/one/",
    )
    inputs = processing_request(job, SETTINGS)["ProcessingInputs"]
    paths = [one["S3Input"]["LocalPath"] for one in inputs]
    assert "/opt/ml/processing/model" in paths and "/opt/ml/processing/image-model" in paths
    plain = next(m for m in manifests if not m.tasks[0].parameters.scenes)
    assert world.renderer.jobs[plain.attempt_id][0].image_model_uri is None


def test_text_weights_come_first_also_if_the_first_scene_is_an_image(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    body = "scenes:\n- image: bee.png\n- {prompt: a cat, transition: cut}\n"
    world.drop("jobs/bee.yaml", body)
    (attempt,) = world.dispatch()
    manifest = world.manifest(attempt)
    assert (manifest.mode, manifest.tasks[0].parameters.mode) == (TEXT, IMAGE)
    assert world.renderer.jobs[attempt][0].model_uri == "s3://work/models/demo/one/"


def test_without_the_weights_of_one_folder_the_video_waits(world: World) -> None:
    ready = s3_keys.model_ready("demo-i2v")
    body = world.files.read("work", ready)
    world.files.remove("work", ready)
    world.drop("jobs/bee.yaml", TWO)
    assert not world.dispatch() and status(world, "bee").tasks[0].hold == "no-weights"
    world.files.write("work", ready, body, "application/json")
    assert len(world.dispatch()) == 1


def test_scenes_with_one_model_folder_share_a_job_with_other_videos(world: World) -> None:
    world.set(default_model="wan2.2-5b")
    world.drop("jobs/bee.yaml", TWO)
    world.drop("jobs/plain.yaml", "prompt: a\n")
    entries = [task.queue_entry for task in tasks(world)]
    assert len({kind_of(entry) for entry in entries}) == 1, "a scene is as long as a video"


def test_an_estimate_counts_every_scene_at_the_rate_of_its_mode() -> None:
    (spec,) = read_all(f"model: cogvideox-5b\n{TWO}")
    (plain,) = read_all("model: cogvideox-5b\nprompt: a\n")
    g6e = "ml.g6e.xlarge"

    def of(one: object) -> estimate.TaskEstimate:
        return estimate.of_task(Learned(), parameters_of(one), "cogvideox-5b", g6e)  # type: ignore[arg-type]

    assert of(spec).render_seconds == pytest.approx(2 * of(plain).render_seconds)
    loading = of(spec).startup_seconds - of(plain).startup_seconds
    assert loading == pytest.approx(60.0), "two folders are loaded"
    slow = estimate.rate_of(Learned(), "cogvideox-5b", IMAGE, parameters_of(spec).preset, g6e)
    slow = slow.model_copy(update={"seconds_per_work": 3 * slow.seconds_per_work})
    again = estimate.of_task(Learned(rates=(slow,)), parameters_of(spec), "cogvideox-5b", g6e)
    assert again.render_seconds == pytest.approx(4 * of(plain).render_seconds)


def test_a_queue_expects_what_the_estimate_says(world: World) -> None:
    world.set(default_model="cogvideox-5b")
    world.drop("jobs/bee.yaml", THREE)
    (task,) = tasks(world)
    entry = QueueEntry.from_json(task.queue_entry.to_json())
    found = estimate.of_task(
        Learned(), task.parameters, task.model, "ml.g6e.xlarge", outputs=task.spec.outputs
    )
    expected = estimate.expected(Learned(), entry, "ml.g6e.xlarge")
    assert expected.render_seconds == pytest.approx(found.render_seconds)
    assert expected.startup_seconds == found.startup_seconds


def test_a_status_says_which_scene_is_being_made(world: World) -> None:
    world.drop("jobs/bee.yaml", TWO)
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    file_written(world.ports, world.write_progress(attempt, task, 60, scene=2))
    found = status(world, "bee")
    assert "scene 2 of 2" in found.message
    assert (found.tasks[0].scene, found.tasks[0].scenes) == (2, 2)
    world.render(attempt)
    assert status(world, "bee").tasks[0].scene is None


# results


def test_scenes_are_published_beside_their_video(world: World) -> None:
    world.drop("jobs/bee.yaml", f"{THREE}fps: 24\n")
    (attempt,) = world.dispatch()
    world.render(attempt)
    clips = [f"videos/bee.scene0{n}.mp4" for n in (1, 2, 3)]
    assert [key for key in world.files.keys("output") if ".scene" in key] == clips
    sidecar = Sidecar.from_json(world.files.read("output", "videos/bee.json"))
    assert [one.file for one in sidecar.scenes] == [f"s3://output/{key}" for key in clips]
    assert [one.first_frame for one in sidecar.scenes] == [0, 51, 75]
    assert sum(one.num_frames for one in sidecar.scenes) == sidecar.video.num_frames
    assert [one.seed for one in sidecar.scenes] == [5, 9, 7]
    assert sidecar.image_weights_sha256 and sidecar.guidance is None
    assert sidecar.scenes[1].first_second == pytest.approx(51 / 24, abs=0.001)
    assert read(json.dumps(sidecar.model_dump(mode="json")), "jobs/bee.json") == sidecar.spec
    assert list(status(world, "bee").tasks[0].scene_files) == clips
    (mail,) = world.post.sent
    assert "Scene 2: it lands" in mail.body and "s3://output/videos/bee.scene01.mp4" in mail.body


def test_a_failed_scene_keeps_those_before_it(world: World) -> None:
    world.drop("jobs/bee.yaml", THREE.replace("outputs: [mp4, scenes]\n", ""))
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    world.render(attempt, failing=task.task_id, at_scene=3)
    videos = [key for key in world.files.keys("output") if key.startswith("videos/")]
    assert videos == ["videos/bee.scene01.mp4", "videos/bee.scene02.mp4"]
    kept = "The 2 scenes before it are kept: videos/bee.scene01.mp4 to bee.scene02.mp4."
    found = status(world, "bee")
    assert kept in found.message and list(found.tasks[0].scene_files) == videos
    assert kept in world.files.read("output", "failed/bee.txt").decode()
    assert kept in world.post.sent[0].body
    before = dict(world.files.objects)
    file_written(world.ports, s3_keys.task_result(attempt, task.task_id))
    assert world.files.objects == before, "nothing is published twice"


def test_scenes_that_are_not_what_the_worker_wrote_are_not_kept(world: World) -> None:
    world.drop("jobs/bee.yaml", THREE)
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task, fail=True, at_scene=3)
    key = s3_keys.task_file(attempt, task.task_id, scene_file(2))
    clip = world.files.read("work", key)
    world.files.remove("work", key)
    result = s3_keys.task_result(attempt, task.task_id)
    with suppress(Exception):
        file_written(world.ports, result)
    assert tasks(world)[0].state == State.RUNNING, "it may still be uploaded"
    world.files.write("work", key, clip[:-1], "video/mp4")
    file_written(world.ports, result)
    failed = tasks(world)[0]
    assert failed.problem and failed.problem.message == "It broke." and not failed.scenes_kept
    assert not [key for key in world.files.keys("output") if key.startswith("videos/")]
    assert Event.SCENES_NOT_KEPT in [event for event, _ in world.logged]


def test_kept_scenes_are_signed_and_say_what_made_them(world: World) -> None:
    world.set(signing_key="arn:aws:kms:us-east-1:000000000000:key/a")
    world.drop("jobs/bee.yaml", f"{THREE}enhance: false\n")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    world.render(attempt, failing=task.task_id, at_scene=2)
    assert b" signed " in world.files.read("output", "videos/bee.scene01.mp4")
    (claim,) = world.signer.claims
    assert (claim.seed, claim.prompt) == (5, "a bee")


def test_a_guardrail_sees_the_scenes_that_are_kept(world: World) -> None:
    world.set(guardrail_id="guard", guardrail_version="1", guardrail_pictures=True)
    world.drop("jobs/bee.yaml", f"{THREE}enhance: false\n")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    assert {"a bee", "it lands", "a cat"} <= world.guardrail.allowed
    world.render(attempt, failing=task.task_id, at_scene=2)
    assert tasks(world)[0].scenes_kept == 1
    seen = world.reader.previews(world.clip_of(task.task_id, 1), "scene.mp4")
    assert seen and world.guardrail.allowed_pictures.issuperset(seen)


def test_scenes_that_a_guardrail_blocks_are_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set(guardrail_id="guard", guardrail_version="1", guardrail_pictures=True)
    world.drop("jobs/bee.yaml", f"{THREE}enhance: false\n")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    blocked = Judgement(blocked=True, reasons=("violence",))
    monkeypatch.setattr(world.guardrail, "judge_pictures", lambda _: blocked)
    world.render(attempt, failing=task.task_id, at_scene=2)
    failed = tasks(world)[0]
    assert (failed.state, failed.scenes_kept) == (State.FAILED, 0)
    assert not [key for key in world.files.keys("output") if key.startswith("videos/")]


# what a guardrail and a language model do with the texts


def test_a_blocked_scene_is_named(world: World) -> None:
    world.set(guardrail_id="guard", guardrail_version="1", guardrail_pictures=True)
    world.drop("jobs/bee.yaml", "scenes:\n- a bee\n- something forbidden\n")
    (problem,) = jobs(world)[0].problems
    assert problem.code == Code.PROMPT_BLOCKED and problem.place.line == 3
    assert "prompt of scene 2" in problem.message
    world.drop("jobs/bad.png", BLOCKED_PNG)
    world.drop("jobs/pic.yaml", "scenes:\n- a bee\n- image: bad.png\n")
    (problem,) = next(job for job in jobs(world) if job.path == "pic").problems
    assert problem.code == Code.REFERENCE_BLOCKED and "image of scene 2 bad.png" in problem.message


def test_all_scenes_are_enhanced_in_one_call(world: World) -> None:
    world.language_model.answer = Answer("1. A bee lands.\n\n2. It takes off.", "end_turn", "fake")
    world.drop("jobs/bee.yaml", "scenes:\n- a <bee>\n- it flies\n")
    ((system, user),) = world.language_model.asked
    assert '<scene number="1">\na &lt;bee&gt;\n</scene>' in user and "it flies" in user
    assert "2 lines" in system
    (task,) = tasks(world)
    assert [scene.prompt for scene in task.parameters.scenes] == ["A bee lands.", "It takes off."]
    assert task.enhancement.originals == ("a <bee>", "it flies")


def test_the_first_image_is_shown_and_a_scene_without_text_stays_without(world: World) -> None:
    world.language_model.answer = Answer("1.\n2. It takes off.", "end_turn", "fake")
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "scenes:\n- image: bee.png\n- it flies\n")
    assert world.language_model.shown[0] is not None
    (task,) = tasks(world)
    assert [scene.prompt for scene in task.parameters.scenes] == ["", "It takes off."]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("A bee lands. It takes off.", "numbered line"),
        ("1. A bee lands.", "numbered line"),
        ("1. A bee.\n2. It flies.\n3. More.", "numbered line"),
        ("2. A bee.\n1. It flies.", "numbered line"),
        ("Here are the scenes:\n1. A bee.\n2. It flies.", "numbered line"),
        ("1. A bee.\n2.", "empty for one"),
        ("1. A bee\x07.\n2. It flies.", "control characters"),
    ],
)
def test_an_answer_of_another_form_changes_nothing(world: World, answer: str, reason: str) -> None:
    world.language_model.answer = Answer(answer, "end_turn", "fake")
    world.drop("jobs/bee.yaml", TWO)
    (task,) = tasks(world)
    kept = [scene.prompt for scene in task.parameters.scenes]
    assert kept == ["a red circle moves right", "it moves left"]
    assert task.enhancement.status == "kept" and reason in task.enhancement.reason


def test_each_caption_fits_the_model(world: World) -> None:
    long = "A bee flies over a meadow in the sun. " * 20
    world.language_model.answer = Answer(f"1. {long}\n2. {long}", "end_turn", "fake")
    world.drop("jobs/bee.yaml", TWO)
    (task,) = tasks(world)
    assert all(0 < len(scene.prompt.split()) < 64 / 1.4 for scene in task.parameters.scenes)


def test_a_review_has_the_scenes_and_makes_the_same_videos(world: World) -> None:
    world.language_model.answer = Answer("1. A bee.\n2. It flies.\n3. A cat.", "end_turn", "fake")
    world.drop("jobs/bee.yaml", f"{THREE}enhance: review\nvariations: 2\n")
    text = world.files.read("output", "review/bee.yaml").decode()
    assert "It flies." in text and "#   it lands" in text
    found = read_all(text)
    planned = [task.spec for task in tasks(world)]
    assert [parameters_of(one) for one in found] == [parameters_of(one) for one in planned]


# names


@pytest.mark.parametrize(("path", "family"), [("a-01.scene02", "a"), ("a.scene02.h265", "a")])
def test_names_of_scenes_belong_to_the_family(path: str, family: str) -> None:
    assert s3_keys.family_of(path) == family


def test_a_spec_cannot_have_the_name_of_a_scene_of_another(world: World) -> None:
    world.drop("jobs/bee.yaml", TWO)
    world.drop("jobs/bee.scene02.yaml", "prompt: a\n")
    world.drop("jobs/bee.scene03.yaml", "prompt: a\n")
    states = {job.path: job.state for job in jobs(world)}
    assert states == {
        "bee": State.QUEUED, "bee.scene02": State.REJECTED, "bee.scene03": State.QUEUED
    }  # fmt: skip


def test_a_refused_scene_list_says_what_is_wrong() -> None:
    with pytest.raises(JobRejected) as caught:
        read("scenes:\n- {prompt: a, transition: fade}\n- {image: a.png, transition: continue}\n")
    first, second = caught.value.problems
    assert first.code == second.code == Code.FIELD_CONFLICT
    assert "no scene is before it" in first.message and "transition: cut" in second.hint


def some(values: Sequence[object]) -> st.SearchStrategy[object]:
    return st.sampled_from(values)


SCENE = st.one_of(
    st.text(min_size=1, max_size=20),
    st.fixed_dictionaries(
        {},
        optional={
            "prompt": st.text(max_size=20),
            "image": some(["a.png", "/b/c.jpg"]),
            "duration_seconds": some([2, 5.5, 9]),
            "num_frames": some([17, 49, 81, 18]),
            "seed": st.integers(-1, 2**32 - 1),
            "transition": some(["continue", "cut", "fade"]),
        },
    ),
)


@settings(max_examples=150)
@given(
    st.lists(SCENE, min_size=1, max_size=13),
    st.fixed_dictionaries(
        {},
        optional={
            "model": some(sorted(MODELS)),
            "variations": st.integers(1, 3),
            "aspect": some(["portrait", "landscape"]),
            "slow_motion": some([1, 8]),
            "loop": some([True, "ping-pong"]),
            "outputs": some([["mp4"], ["mp4", "scenes"]]),
            "seed": some([7, 2**32 - 1]),
        },
    ),
)
def test_scenes_resolve_to_what_their_model_can_do_or_are_refused(
    scenes: list[object], others: dict[str, object]
) -> None:
    try:
        resolved = read_all(json.dumps({**others, "scenes": scenes}), "jobs/a.json")
    except JobRejected as rejection:
        assert all(p.code and p.hint for p in rejection.problems)
        return
    for one in resolved:
        p, model = parameters_of(one), MODELS[str(one.model)]
        assert (
            len(p.scenes) == len(scenes) and p.num_frames == parts_of(p.scenes, model.fps)[-1].end
        )
        for scene in p.scenes:
            sizes = {(size.height, size.width) for size in model.weights[scene.mode].sizes}
            assert (p.height, p.width) in sizes and scene.num_frames in model.num_frames
            assert 0 <= scene.seed < 2**32
        (again,) = read_all(one.to_json(), "jobs/b/c.json")
        assert again == one, "the resolved spec resolves to itself in every folder"
