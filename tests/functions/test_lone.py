"""A picture, a clip or a sound that no spec asks for gets a status that says what to write."""

import pytest

from functions import s3_keys
from functions.replies.lone import LoneStatus
from functions.stages.sweep import sweep
from functions.table.ledger import LONE, Change, Conflict
from functions.table.records import Job, Lone, State
from tests.corpus.videos import mp4
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status
from tests.sounds import wav


def told(world: World, key: str) -> LoneStatus:
    return LoneStatus.from_json(world.files.read("output", s3_keys.status(s3_keys.path_of(key))))


def statuses(world: World) -> list[str]:
    return [key for key in world.files.keys("output") if key.startswith("status/")]


def sweeps(world: World, minutes: float = 25) -> None:
    for _ in range(int(minutes / 5)):
        world.clock.move(minutes=5)
        sweep(world.ports)


def notes(world: World) -> list[str]:
    return [record.key.sort for record in world.ledger.query(LONE, Lone)]


@pytest.mark.parametrize("event", [True, False])
@pytest.mark.parametrize(
    "name",
    ["bee.png", "my bee.JPG", "a: b #1.png", "1.png", "誕生日.png", "_bee.png", "true.png",
     'say "hi".png', "bee.yaml.png", "clip.mp4", "-x.webp", "my song.WAV"],
)  # fmt: skip
def test_a_lone_picture_or_clip_is_told_what_to_write_and_that_works(
    world: World, name: str, event: bool
) -> None:
    key = f"jobs/a/{name}"
    body = {"mp4": mp4(), "WAV": wav()}.get(name[-3:], PNG)
    world.drop(key, body, event=event)
    sweeps(world, minutes=5)
    assert not statuses(world), "its spec may still come"
    sweeps(world)
    said = told(world, key)
    assert f"No spec asks for {key} yet" in said.message and said.spec_key in said.message
    assert not world.post.sent and not jobs(world)
    assert s3_keys.folder_of(said.spec_key) == "a"
    world.drop(said.spec_key, said.spec)
    (job,) = jobs(world)
    assert job.state == State.QUEUED, job.problems
    assert statuses(world) == [s3_keys.status(job.path)], "it is no longer lone"
    sweeps(world)
    assert notes(world) == []


def test_a_model_that_can_use_the_picture_is_named(world: World) -> None:
    world.set(default_model="cogvideox-2b")
    world.drop("jobs/bee.png", PNG)
    sweeps(world)
    said = told(world, "jobs/bee.png")
    assert "model: cogvideox-5b" in said.spec
    world.drop(said.spec_key, said.spec)
    assert jobs(world)[0].state == State.QUEUED


def test_a_picture_whose_spec_comes_in_time_has_no_status(world: World) -> None:
    world.drop("jobs/early.png", PNG)
    world.drop("jobs/late.yaml", "image: Late.png\n")
    world.clock.move(minutes=8)
    world.drop("jobs/early.yaml", "image: early.png\n")
    world.drop("jobs/late.png", PNG)
    world.drop("jobs/bad.png", b"no picture")
    world.drop("jobs/bad.yaml", "image: bad.png\n")
    sweeps(world, minutes=40)
    assert sorted(statuses(world)) == [f"status/{n}.json" for n in ("bad", "early", "late")]
    assert notes(world) == []


@pytest.mark.parametrize("event", [True, False])
def test_the_status_goes_with_the_picture(world: World, event: bool) -> None:
    world.drop("jobs/bee.png", PNG)
    sweeps(world)
    assert statuses(world) == ["status/bee.png.json"]
    world.delete("jobs/bee.png", event=event)
    sweeps(world, minutes=0 if event else 5)
    assert statuses(world) == [] and notes(world) == []


def test_a_spec_that_is_there_is_not_suggested_to_be_replaced(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    world.drop("jobs/bee.png", PNG)
    sweeps(world)
    assert told(world, "jobs/bee.png").spec_key == "jobs/bee-video.yaml"


def test_the_status_of_a_job_is_never_touched(world: World) -> None:
    """The path of bee.png.yaml is that of the picture."""
    world.drop("jobs/bee.png", PNG)
    sweeps(world)
    world.drop("jobs/bee.png.yaml", "prompt: about something else\n")
    sweeps(world)
    assert status(world, "bee.png").state == State.QUEUED
    world.delete("jobs/bee.png")
    assert status(world, "bee.png").state == State.QUEUED and notes(world) == []


def test_images_that_are_jobs_and_files_that_are_none_are_not_lone(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    for key, body in (("jobs/a/bee.png", PNG), ("jobs/empty.png", b""), ("bee.png", PNG),
                      ("jobs/.hidden.png", PNG), ("jobs/a\nb.png", PNG)):  # fmt: skip
        world.drop(key, body)
    world.drop("jobs/a/clip.mp4", mp4())
    sweeps(world, minutes=40)
    assert sorted(statuses(world)) == ["status/a/bee.png.json", "status/a/clip.mp4.json"]
    assert Job.from_json(world.ledger.items[(f"JOB#{jobs(world)[0].job_id}", "JOB")][1])


@pytest.mark.parametrize("at", ["after the claim", "after the status"])
def test_a_killed_sweep_leaves_no_status_about_a_picture_that_is_taken(
    world: World, at: str
) -> None:
    """The note is there before the status, so a later sweep removes it."""

    class Killed(BaseException):
        pass

    world.drop("jobs/bee.png", PNG)
    sweeps(world, minutes=10)
    assert notes(world) and not statuses(world)
    write = world.files.write

    def die(*arguments: str, mark: str = "") -> None:
        if at == "after the status":
            write(*arguments, mark=mark)  # type: ignore[arg-type]
        raise Killed

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        patched.setattr(world.files, "write", die)
        sweeps(world, minutes=5)
    if at == "after the claim":
        sweeps(world, minutes=10)
        assert statuses(world) == ["status/bee.png.json"]
    world.drop("jobs/a.yaml", "image: bee.png\n")
    sweeps(world, minutes=15)
    assert statuses(world) == ["status/a.json"] and notes(world) == []


def test_a_picture_whose_note_conflicts_is_looked_at_again(world: World) -> None:
    """Although no sweep looks at pictures that are as old as this one is then."""
    commit = world.ledger.commit

    def conflicts(*changes: Change) -> None:
        if any(change.key.partition == LONE for change in changes):
            raise Conflict("another sweep")
        commit(*changes)

    world.drop("jobs/bee.png", PNG)
    world.clock.move(minutes=11)
    with pytest.MonkeyPatch.context() as patched, pytest.raises(ExceptionGroup):
        patched.setattr(world.ledger, "commit", conflicts)
        sweep(world.ports)
    world.clock.move(minutes=60)
    sweeps(world, minutes=10)
    assert statuses(world) == ["status/bee.png.json"]
