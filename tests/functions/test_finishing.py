"""Specs with a video and no prompt: the video is only finished, without a model."""

import json
import re

import pytest

from contract.catalogue import NO_MODEL, Mode
from contract.errors import Code
from contract.origin import EDITED
from functions import s3_keys
from functions.planning.estimate import USD_PER_HOUR
from functions.replies.sidecar import Sidecar
from functions.spec.clip import Clip
from functions.spec.finishing import MOST_FRAMES
from functions.stages.sweep import sweep
from functions.table.records import HoldReason, State
from tests.corpus.videos import mp4
from tests.fakes import SETTINGS, World
from tests.functions.stored import jobs, status, tasks
from tests.functions.test_health import die
from tests.sounds import clip_with_sound

CLIP = "jobs/clip.mp4"


def world_with(spec: str, clip: bytes | None = None, **settings: object) -> World:
    world = World()
    world.set(**settings)
    world.files.write("input", CLIP, clip or mp4(), "x")
    world.drop("jobs/a.yaml", spec)
    return world


def problem(world: World) -> tuple[str, str, str | None]:
    (job,) = jobs(world)
    assert job.state == State.REJECTED, job
    found = job.problems[0]
    return found.code, f"{found.message} {found.hint}", found.place.field


def test_it_runs_on_an_instance_without_a_gpu_and_without_weights() -> None:
    world = world_with("video: clip.mp4\nslow_motion: 2\n")

    (attempt,) = world.dispatch()

    job, _, _ = world.renderer.jobs[attempt]
    assert (job.instance_type, job.model_uri) == ("ml.c5.2xlarge", None)
    manifest = world.manifest(attempt)
    assert (manifest.model, manifest.mode) == (NO_MODEL, Mode.FINISHING)
    (task,) = manifest.tasks
    p = task.parameters
    assert (p.height, p.width, p.num_frames, p.generated_fps, p.fps) == (64, 96, 17, 8, 8)
    assert (p.slow_motion, p.num_inference_steps, p.strength) == (2, 0, None)
    assert task.video is not None


def test_the_sidecar_says_that_no_model_was_used_and_can_be_dropped_again() -> None:
    world = world_with("video: clip.mp4\nfps: 24\nlabel: cut\n")
    (attempt,) = world.dispatch()
    world.render(attempt)
    (before,) = world.manifest(attempt).tasks

    text = world.files.read("output", "videos/a.json")
    sidecar = Sidecar.from_json(text)
    assert (sidecar.model, sidecar.licence, sidecar.spec.model) == (None, None, None)
    assert (sidecar.generated_fps, sidecar.video.fps) == (8, 24.0)
    assert "Finished from clip.mp4, without a model." in world.post.sent[-1].body

    world.drop("jobs/again.json", text)
    (attempt,) = world.dispatch()
    (after,) = world.manifest(attempt).tasks
    assert after.parameters == before.parameters


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("strength: 0.5", "strength"),
        ("model: demo", "model"),
        ("preset: best", "preset"),
        ("num_inference_steps: 10", "num_inference_steps"),
        ("guidance_scale: 3.0", "guidance_scale"),
        ("negative_prompt: rain", "negative_prompt"),
        ("seed: 4", "seed"),
        ("lora: ink", "lora"),
        ("height: 64", "height"),
        ("aspect: landscape", "aspect"),
        ("fit: pad", "fit"),
        ("duration_seconds: 1", "duration_seconds"),
        ("num_frames: 9", "num_frames"),
        ("variations: 2", "variations"),
        ("enhance: review", "enhance"),
        ("matrix: {seed: [1, 2]}", "matrix.seed.0"),
    ],
)
def test_what_only_a_model_can_use_is_refused_and_the_advice_works(line: str, field: str) -> None:
    world = world_with(f"video: clip.mp4\n{line}\n")
    code, words, place = problem(world)
    assert (code, place) == (Code.FIELD_CONFLICT, field)
    assert "add a prompt. Otherwise, delete the line." in words

    world.drop("jobs/a.yaml", "video: clip.mp4\n")
    assert jobs(world)[-1].state == State.QUEUED


def test_in_folder_defaults_it_is_for_the_specs_that_can_use_it() -> None:
    world = World()
    world.files.write("input", CLIP, mp4(), "x")
    world.drop(
        "jobs/_defaults.yaml",
        "strength: 0.5\nmodel: demo\nseed: 4\nvariations: 2\nenhance: review\nheight: 64\n"
        "preset: best\nnegative_prompt: rain\nfps: 24\n",
    )
    world.drop("jobs/a.yaml", "video: clip.mp4\n")

    (job,) = jobs(world)
    assert job.state == State.QUEUED, job.problems
    (task,) = tasks(world)
    assert (task.spec.model, task.spec.seed, task.spec.fps) == (None, None, 24)
    assert not world.language_model.asked


def test_a_prompt_in_the_folder_defaults_still_makes_a_new_video() -> None:
    world = World()
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/_defaults.yaml", "prompt: the same as a painting\n")
    world.drop("jobs/a.yaml", "video: clip.mp4\n")
    assert tasks(world)[0].parameters.mode == Mode.VIDEO_TO_VIDEO


def test_a_matrix_of_clips_and_rates_is_finished() -> None:
    world = world_with("video: clip.mp4\nmatrix: {fps: [12, 24], slow_motion: [1, 2]}\n")
    assert len(tasks(world)) == 4
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 4, "they share a processing job"


def test_neither_queue_waits_for_the_other() -> None:
    world = World()
    world.drop("jobs/model.yaml", "prompt: a bee\n")
    (first,) = world.dispatch()
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/a.yaml", "video: clip.mp4\n")

    running = world.dispatch()

    assert len(running) == 2, "max_processing_jobs is 1 for each of them"
    world.drop("jobs/b.yaml", "video: clip.mp4\nfps: 24\n")
    assert world.dispatch() == running
    assert first in running


def test_it_does_not_wait_for_weights_or_for_a_model_that_is_paused() -> None:
    world = World()
    world.files.remove("work", s3_keys.model_ready("demo"))
    world.drop("jobs/model.yaml", "prompt: a bee\n")
    assert world.dispatch() == []
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/a.yaml", "video: clip.mp4\n")
    assert len(world.dispatch()) == 1


def test_finishing_that_shows_no_sign_of_life_is_paused_alone() -> None:
    world = World()
    world.files.write("input", CLIP, mp4(), "x")
    for name in ("a", "b"):
        world.drop(f"jobs/{name}.yaml", f"video: clip.mp4\nlabel: {name}\n")
    for _ in range(2):
        (attempt,) = world.dispatch()
        die(world, attempt)
    assert world.dispatch() == []
    assert status(world, "a").tasks[0].hold == HoldReason.MODEL_PAUSED
    world.drop("jobs/model.yaml", "prompt: a bee\n")
    assert len(world.dispatch()) == 1


def test_a_dry_run_tells_length_and_cost() -> None:
    world = world_with("video: clip.mp4\nfps: 24\nslow_motion: 4\ndry_run: true\n")
    found = status(world, "a")
    assert "1 video of 8.5 s at 24 fps" in found.message
    assert "rendering on ml.c5.2xlarge" in found.message
    cost = found.expected.cost
    assert cost is not None and cost.usd_high is not None
    startup = cost.startup_minutes / 60 * USD_PER_HOUR["ml.c5.2xlarge"]
    assert startup < cost.usd_high < 1.5 * startup
    assert [task.spec.fps for task in found.tasks if task.spec] == [24]


def test_a_job_with_both_kinds_tells_both_instance_types() -> None:
    world = world_with("video: clip.mp4\nmatrix: {prompt: ['', a painting]}\ndry_run: true\n")
    message = status(world, "a").message
    assert "ml.c5.2xlarge and ml.g6e.xlarge" in message or (
        "ml.g6e.xlarge and ml.c5.2xlarge" in message
    )


def clip(**changes: object) -> Clip:
    values = {
        "height": 64, "width": 96, "num_frames": 600, "fps": 30.0, "duration_seconds": 20.0,
        "has_sound": False, "hdr": None,
    }  # fmt: skip
    return Clip.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("spec", "found", "words"),
    [
        ("", {"duration_seconds": 150.0}, "makes 4,500 frames at 30 fps. The limit is 3,600. "
         "Write  fps: 24  or less, or cut it to 120 s."),
        ("fps: 60\n", {"duration_seconds": 75.0}, "Write  fps: 48  or less, or cut it to 60 s."),
        ("slow_motion: 8\n", {"duration_seconds": 100.0}, "with slow_motion: 8. The limit is 3,600."
         " Cut it to 15 s or less, or use a smaller slow_motion."),
        ("loop: ping-pong\nfps: 12\n", {"duration_seconds": 61.0}, "has 1,830 frames. A ping-pong "
         "can have at most 1,800 there and as many back. Cut it to 60 s or less"),
        ("", {"duration_seconds": 0.01}, "single frame"),
    ],
)  # fmt: skip
def test_a_clip_that_is_too_long_is_refused_with_numbers_that_work(
    spec: str, found: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr(world.reader, "video", lambda *_: clip(**found))
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/a.yaml", f"video: clip.mp4\n{spec}")

    _, said, _ = problem(world)
    assert words in said
    assert jobs(world)[0].bad_reference is not None, "a shorter clip starts it"
    if advised := re.search(r"Write  (fps: \d+)", said):
        rest = "".join(line for line in spec.splitlines(True) if "fps" not in line)
        world.drop("jobs/b.yaml", f"video: clip.mp4\n{advised[1]}\n{rest}")
        assert jobs(world)[-1].state == State.QUEUED
    if advised := re.search(r"ut it to (\d+) s", said):
        cut = clip(**{**found, "duration_seconds": float(advised[1])})
        monkeypatch.setattr(world.reader, "video", lambda *_: cut)
        world.drop(CLIP, mp4(num_frames=9))
        assert jobs(world)[-1].state == State.QUEUED


def test_a_shorter_clip_starts_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.reader, "video", lambda *_: clip(duration_seconds=150.0))
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/a.yaml", "video: clip.mp4\n")
    assert jobs(world)[0].state == State.REJECTED

    monkeypatch.setattr(world.reader, "video", lambda *_: clip(duration_seconds=120.0))
    world.drop(CLIP, mp4(num_frames=9))

    assert jobs(world)[-1].state == State.QUEUED
    assert tasks(world)[0].parameters.num_frames == MOST_FRAMES


def test_notices_say_what_becomes_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    large = clip(height=2160, width=3840, has_sound=True, hdr="HLG")
    monkeypatch.setattr(world.reader, "video", lambda *_: large)
    world.files.write("input", CLIP, mp4(), "x")
    world.drop("jobs/a.yaml", "video: clip.mp4\nslow_motion: 2\n")
    assert [notice.code for notice in jobs(world)[0].warnings] == [
        "reference-hdr", "reference-smaller", "sound-left-out",
    ]  # fmt: skip
    assert (tasks(world)[0].parameters.height, tasks(world)[0].parameters.width) == (1080, 1920)


def test_a_sound_that_is_kept_needs_no_notice() -> None:
    world = world_with("video: clip.mp4\n", clip_with_sound())
    assert jobs(world)[0].warnings == ()


def test_the_credentials_say_that_it_was_edited_from_the_clip() -> None:
    world = world_with("video: clip.mp4\n", signing_key="arn:aws:kms:us-east-1:0:key/one")
    (attempt,) = world.dispatch()
    world.render(attempt)
    (claim,) = world.signer.claims
    assert (claim.model, claim.source_type, claim.prompt) == (None, EDITED, "")
    assert world.signer.clips == [mp4()]


def test_the_label_and_the_clip_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with("video: clip.mp4\nlabel: forbidden\n", guardrail_id="g")
    assert problem(world)[0] == Code.PROMPT_BLOCKED
    assert world.guardrail.seen or world.guardrail.asked


def test_a_video_that_an_older_version_accepted_without_a_prompt_stays_with_its_model() -> None:
    world = world_with("video: clip.mp4\nprompt: x\n")
    (task,) = tasks(world)
    old = json.loads(task.to_json())
    old["spec"]["prompt"] = ""
    old.pop("clip")
    again = type(task).from_json(json.dumps(old))
    assert again.model == "demo"
    assert again.parameters.mode == again.queue_entry.mode == Mode.VIDEO_TO_VIDEO


def test_newer_defaults_with_a_prompt_move_it_to_the_other_queue() -> None:
    world = world_with("video: clip.mp4\n")
    world.drop("jobs/_defaults.yaml", "prompt: a painting\n")

    (attempt,) = world.dispatch()

    assert world.manifest(attempt).mode == Mode.VIDEO_TO_VIDEO
    sweep(world.ports)


def test_the_default_type_is_one_that_may_finish() -> None:
    assert SETTINGS.instance_types_for(Mode.FINISHING) == ("ml.c5.2xlarge",)
