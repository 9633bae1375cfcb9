"""A sound beside the spec goes to the worker with everything else that a video needs."""

from pathlib import Path

import pytest

from contract.errors import Notice
from contract.manifest import ManifestTask
from functions import s3_keys
from functions.replies.sidecar import Sidecar
from functions.stages.sweep import sweep
from functions.table.records import State
from local import ROOT
from local.command.validate import validate
from tests import sounds
from tests.corpus.videos import mp4
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

SONG = sounds.wav()
WITH_SOUND = "prompt: a bee\naudio: song.wav\n"


def manifest_task(world: World) -> tuple[ManifestTask, dict[str, bytes]]:
    """Dispatch. Returns the only task, and the references in the input of the processing job."""
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    prefix = s3_keys.attempt_references(attempt)
    keys = [key for key in world.files.keys("work") if key.startswith(prefix)]
    return task, {key.removeprefix(prefix): world.files.read("work", key) for key in keys}


def about_sound(notices: tuple[Notice, ...]) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in notices if one.code.startswith("audio-")]


@pytest.mark.parametrize(
    ("start", "body"), [("", b""), ("image: a.png\n", PNG), ("video: a.mp4\n", mp4())]
)
def test_the_worker_gets_the_sound_of_a_video_of_any_mode(
    world: World, start: str, body: bytes
) -> None:
    if start:
        world.drop(f"jobs/a/{start.split()[1]}", body)
    world.drop("jobs/a/song.wav", SONG)
    world.drop("jobs/a/bee.yaml", WITH_SOUND + start)
    task, files = manifest_task(world)
    assert task.audio is not None and files[task.audio] == SONG
    assert task.audio.endswith(".wav") and len(files) == (2 if start else 1)
    assert (task.image is not None, task.video is not None) == ("image" in start, "video" in start)


def test_a_job_waits_for_image_and_sound_whichever_comes_first(world: World) -> None:
    for first, second in (("song.wav", "a.png"), ("a.png", "song.wav")):
        folder = f"jobs/{first[0]}"
        world.drop(f"{folder}/bee.yaml", WITH_SOUND + "image: a.png\n")
        path = s3_keys.path_of(f"{folder}/bee.yaml")
        said = status(world, path).message
        assert said == f"Waiting for {folder}/a.png and {folder}/song.wav to be uploaded."
        world.drop(f"{folder}/{first}", SONG if "wav" in first else PNG)
        assert status(world, path).message == f"Waiting for {folder}/{second} to be uploaded."
        world.drop(f"{folder}/{second}", SONG if "wav" in second else PNG)
        assert status(world, path).state == State.QUEUED


def test_a_sound_in_folder_defaults_lies_beside_them_and_a_spec_can_do_without(
    world: World,
) -> None:
    world.drop("jobs/a/song.wav", SONG)
    world.drop("jobs/a/_defaults.yaml", "audio: song.wav\n")
    world.drop("jobs/a/b/bee.yaml", "prompt: a bee\n")
    world.drop("jobs/a/b/quiet.yaml", "prompt: a bee\naudio: null\n")
    bee, quiet = tasks(world)
    assert bee.spec.audio == "/a/song.wav" and [one.field for one in bee.references] == ["audio"]
    assert quiet.spec.audio is None and quiet.references == ()


def test_a_matrix_varies_the_sound(world: World) -> None:
    for name in ("a", "b"):
        world.drop(f"jobs/{name}.wav", sounds.wav(hertz=400 + ord(name)))
    world.drop("jobs/bee.yaml", "prompt: a bee\nmatrix: {audio: [a.wav, b.wav], seed: [1, 2]}\n")
    (attempt,) = world.dispatch()
    names = [task.audio for task in world.manifest(attempt).tasks]
    assert names[0] == names[1] != names[2] == names[3]


def test_a_clip_can_be_video_and_sound_and_is_copied_once(world: World) -> None:
    world.drop("jobs/clip.mp4", sounds.clip_with_sound())
    write, written = world.files.write, list[str]()

    def watched(bucket: str, key: str, body: bytes, content_type: str, **more: str) -> None:
        written.append(key)
        write(bucket, key, body, content_type, **more)

    world.files.write = watched  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml", "video: clip.mp4\naudio: clip.mp4\n")
    assert sum(key.startswith("references/") for key in written) == 1
    task, files = manifest_task(world)
    assert task.video == task.audio and [task.video] == list(files)


def test_people_know_what_becomes_of_the_length_of_a_sound(world: World) -> None:
    for name, seconds in (("short", 0.5), ("long", 9.0), ("same", 2.1)):
        world.drop(f"jobs/{name}.wav", sounds.wav(seconds))
        world.drop(f"jobs/{name}.yaml", f"prompt: a bee\naudio: {name}.wav\n")
    assert about_sound(status(world, "short").warnings) == [
        (
            "audio-repeated",
            "The sound short.wav is 0.5 s long and the video 2.1 s, so the sound is repeated.",
        )
    ]
    assert about_sound(status(world, "long").warnings) == [
        ("audio-cut", "The sound long.wav is longer than the video, so it ends after 2.1 s.")
    ]
    assert about_sound(status(world, "same").warnings) == []


def test_a_sound_alone_is_no_prompt(world: World) -> None:
    world.drop("jobs/song.wav", SONG)
    world.drop("jobs/bee.yaml", "audio: song.wav\n")
    (problem,) = jobs(world)[0].problems
    assert problem.code == "prompt-empty" and "prompt:" in problem.hint


def test_a_sound_that_never_came_is_named_with_its_field(world: World) -> None:
    world.drop("jobs/clip.yaml", "prompt: a bee\naudio: clip.mp4\n")
    world.clock.move(minutes=61)
    sweep(world.ports)
    (problem,) = jobs(world)[0].problems
    assert (problem.code, problem.place.field) == ("reference-never-came", "audio")
    assert "jobs/clip.mp4" in problem.message


def test_a_damaged_sound_is_refused_alone_and_begins_when_it_is_corrected(world: World) -> None:
    world.drop("jobs/song.wav", SONG[:4_000])
    world.drop("jobs/good.wav", SONG)
    world.drop("jobs/good.yaml", "prompt: a bee\naudio: good.wav\n")
    world.drop("jobs/bee.yaml", WITH_SOUND)
    good, bad = jobs(world)
    assert (good.state, bad.state) == (State.QUEUED, State.REJECTED)
    assert bad.problems[0].message == "The sound song.wav is damaged or cut short."
    world.clock.move(seconds=30)
    world.drop("jobs/song.wav", SONG)
    assert [job.state for job in jobs(world)] == [State.QUEUED, State.REJECTED, State.QUEUED]


def test_a_sound_that_is_replaced_later_does_not_change_the_video(world: World) -> None:
    world.drop("jobs/song.wav", SONG)
    world.drop("jobs/bee.yaml", WITH_SOUND)
    world.drop("jobs/song.wav", sounds.wav(2.0))
    task, files = manifest_task(world)
    assert task.audio and files[task.audio] == SONG


def test_the_sidecar_names_the_sound_and_drops_again(world: World) -> None:
    world.drop("jobs/a/song.wav", SONG)
    world.drop("jobs/a/bee.yaml", WITH_SOUND)
    version = world.files.facts("input", "jobs/a/song.wav").version
    world.render(world.dispatch()[0])
    written = world.files.read("output", "videos/a/bee.json")
    (made_from,) = Sidecar.from_json(written).references
    assert made_from.field == "audio" and made_from.version == version
    assert made_from.file == "s3://input/jobs/a/song.wav"
    world.clock.move(minutes=1)
    world.drop("jobs/again.json", written)
    before, again = tasks(world)
    assert again.spec == before.spec and again.references[0].source == "jobs/a/song.wav"


def test_validate_reads_the_sound(tmp_path: Path) -> None:
    (tmp_path / "bee.yaml").write_text(WITH_SOUND)
    (missing,) = validate([tmp_path / "bee.yaml"], default_model="demo")
    assert "reference-missing" in [one.code for one in missing.warnings]
    (tmp_path / "song.wav").write_bytes(SONG)
    (found,) = validate([tmp_path / "bee.yaml"], default_model="demo")
    assert found.ok and "audio-repeated" in [one.code for one in found.warnings]
    (tmp_path / "song.wav").write_bytes(b"la la la")
    (bad,) = validate([tmp_path / "bee.yaml"], default_model="demo")
    assert [(one.code, one.line) for one in bad.errors] == [("reference-kind", 2)]


def test_the_sound_of_the_samples_was_made_here() -> None:
    chime = (ROOT / "samples" / "chime.wav").read_bytes()
    assert chime == sounds.wav(0.5, hertz=523.25)
