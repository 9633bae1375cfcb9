"""Two specs never publish under one name: `a.yaml` with variations makes `a-01.mp4`, as `a-01.yaml`
does."""

import json

import pytest

from contract.errors import Code
from functions.table.ledger import Change
from functions.table.records import Job, State
from tests.fakes import World
from tests.functions.stored import jobs, status

MANY = "prompt: many\nvariations: 3\n"
ONE = "prompt: one\n"


def job_of(world: World, key: str) -> Job:
    """The newest job of a key."""
    version = world.files.facts("input", key).version
    (job,) = (j for j in jobs(world) if (j.source.key, j.source.version) == (key, version))
    return job


def refused_for_its_name(world: World, key: str) -> bool:
    return [problem.code for problem in job_of(world, key).problems] == [Code.NAME_TAKEN]


def test_a_spec_is_refused_if_another_one_makes_a_video_of_its_name(world: World) -> None:
    world.drop("jobs/a.yaml", MANY)
    world.drop("jobs/a-02.yaml", ONE)
    assert refused_for_its_name(world, "jobs/a-02.yaml")
    refusal = world.files.read("output", "rejected/a-02.txt").decode()
    assert "videos/a-02.mp4" in refusal and "jobs/a.yaml" in refusal and "another name" in refusal
    for key in ("jobs/a-04.yaml", "jobs/b-01.yaml", "jobs/b/a-01.yaml", "jobs/a-1.yaml"):
        world.drop(key, ONE)
        assert job_of(world, key).state == State.QUEUED


def test_a_job_of_several_videos_is_refused_if_a_spec_has_one_of_its_names(world: World) -> None:
    world.drop("jobs/a-03.yaml", ONE)
    world.drop("jobs/a.yaml", MANY)
    assert refused_for_its_name(world, "jobs/a.yaml")
    world.clock.move(seconds=5)
    world.drop("jobs/a.yaml", "prompt: many\nvariations: 2\n")
    assert job_of(world, "jobs/a.yaml").state == State.QUEUED
    assert job_of(world, "jobs/a-03.yaml").state == State.QUEUED


def test_a_contact_sheet_is_not_the_poster_of_another_job(world: World) -> None:
    """Both would be videos/a-01.jpg."""
    world.drop("jobs/a.yaml", MANY)
    world.drop("jobs/a-01.yaml", MANY)
    assert refused_for_its_name(world, "jobs/a-01.yaml")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jobs/a.yaml", "jobs/a.h265.yaml"),
        ("jobs/a.h265.yaml", "jobs/a.yaml"),
        ("jobs/a-01.yaml", "jobs/a-01.h265.yaml"),
    ],
)
def test_the_h265_of_a_video_is_not_the_mp4_of_another_job(
    world: World, one: str, other: str
) -> None:
    wide = "outputs: [mp4, h265]\n"
    world.drop(one, ONE + wide)
    world.drop(other, ONE + wide)
    assert refused_for_its_name(world, other)
    (problem,) = job_of(world, other).problems
    assert ".h265.mp4" in problem.message
    world.clock.move(seconds=5)
    world.drop("jobs/b/a.yaml", ONE)
    world.drop("jobs/b/a.h265.yaml", ONE)
    assert job_of(world, "jobs/b/a.h265.yaml").state == State.QUEUED, "a.yaml makes no H.265"


def test_the_h265_of_one_of_several_videos_is_not_the_mp4_of_another_job(world: World) -> None:
    world.drop("jobs/a-02.h265.yaml", ONE)
    world.drop("jobs/a.yaml", f"{MANY}outputs: [h265]\n")
    assert refused_for_its_name(world, "jobs/a.yaml")
    world.clock.move(seconds=5)
    world.drop("jobs/a.yaml", f"{MANY}outputs: [webm]\n")
    assert job_of(world, "jobs/a.yaml").state == State.QUEUED


def test_a_dry_run_says_so_too(world: World) -> None:
    world.drop("jobs/a.yaml", MANY)
    world.drop("jobs/a-01.yaml", ONE + "dry_run: true\n")
    assert refused_for_its_name(world, "jobs/a-01.yaml")


def test_the_sidecar_of_one_of_several_videos_needs_another_name_in_its_folder(
    world: World,
) -> None:
    world.drop("jobs/a.yaml", MANY)
    world.render(world.dispatch()[0])
    sidecar = world.files.read("output", "videos/a-01.json")
    spec = json.dumps(json.loads(sidecar)["spec"])
    for key in ("jobs/a-01.json", "jobs/again/a-01.json", "jobs/again.json"):
        world.drop(key, spec)
    assert refused_for_its_name(world, "jobs/a-01.json")
    assert job_of(world, "jobs/again/a-01.json").state == State.QUEUED
    assert job_of(world, "jobs/again.json").state == State.QUEUED
    assert world.files.read("output", "videos/a-01.json") == sidecar


def test_versions_of_one_spec_replace_each_other(world: World) -> None:
    for key, body in (("jobs/a.yaml", MANY), ("jobs/b-01.yaml", ONE)):
        for _ in range(2):
            world.clock.move(seconds=5)
            world.drop(key, body)
            assert job_of(world, key).state == State.QUEUED


@pytest.mark.parametrize("how", ["deleted", "deleted when it was done", "replaced", "refused"])
def test_a_name_is_free_again(world: World, how: str) -> None:
    world.drop("jobs/a.yaml", MANY if how != "refused" else MANY + "step: 1\n")
    if how == "deleted when it was done":
        world.render(world.dispatch()[0])
    if how.startswith("deleted"):
        world.delete("jobs/a.yaml")
    world.clock.move(seconds=5)
    if how == "replaced":
        world.drop("jobs/a.yaml", ONE)
    world.drop("jobs/a-01.yaml", ONE)
    assert job_of(world, "jobs/a-01.yaml").state == State.QUEUED
    assert status(world, "a-01").state == State.QUEUED


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("jobs/a.yaml", "jobs/a-01.yaml"),
        ("jobs/a-01.yaml", "jobs/a.yaml"),
        ("jobs/a-02.h265.yaml", "jobs/a.yaml"),
    ],
)
def test_only_one_of_two_is_accepted_at_the_same_time(
    world: World, first: str, second: str
) -> None:
    """The second one is accepted between the look and the commit of the first one."""
    commit = world.ledger.commit
    plain = "enhance: false\noutputs: [h265]\n"
    bodies = {key: (MANY if key == "jobs/a.yaml" else ONE) + plain for key in (first, second)}

    def late(*changes: Change) -> None:
        world.ledger.commit = commit  # type: ignore[method-assign]
        world.drop(second, bodies[second])
        commit(*changes)

    world.ledger.commit = late  # type: ignore[method-assign]
    world.drop(first, bodies[first])
    assert job_of(world, second).state == State.QUEUED
    assert refused_for_its_name(world, first)
