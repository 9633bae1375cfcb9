"""A task starts at once if its drop came alone, and otherwise when nothing more is uploaded."""

import pytest

from functions.log import Event
from functions.stages.dispatch import dispatch
from functions.stages.uploads import QUIET_AFTER, WAIT_AT_MOST
from tests.fakes import PNG, World


def started(world: World) -> list[str]:
    """Run one dispatch. Returns the names of the jobs whose tasks it started."""
    dispatch(world.ports)
    return sorted(
        task.task_id.partition("-")[0]
        for attempt in world.running()
        for task in world.manifest(attempt).tasks
    )


def test_a_drop_that_comes_alone_starts_at_once(world: World) -> None:
    world.drop("jobs/a/pic.png", PNG)
    world.drop("jobs/a/old.yaml", "prompt: [")
    world.clock.move(seconds=QUIET_AFTER.total_seconds())
    world.drop("jobs/b/other.yaml", event=False)
    world.drop("jobs/a/.DS_Store", b"x", event=False)
    world.drop("jobs/a/bee.yaml", "prompt: a\nvariations: 2\n")
    assert started(world) == ["bee", "bee"]
    assert not world.wakes_later


def test_its_own_reference_does_not_delay_a_drop(world: World) -> None:
    world.drop("jobs/a/bee.yaml", "matrix: {image: [one.png, two.png]}\n")
    world.drop("jobs/a/one.png", PNG)
    world.drop("jobs/a/two.png", PNG)
    assert started(world) == ["bee", "bee"]


@pytest.mark.parametrize(
    "other", ["jobs/a/other.yaml", "jobs/a/b/pic.png", "jobs/a/_defaults.yaml"]
)
def test_a_task_waits_while_files_arrive_near_it(world: World, other: str) -> None:
    world.drop("jobs/a/c/bee.yaml")
    world.drop(other, PNG, event=False)
    assert started(world) == []
    (again,) = world.wakes_later
    assert again - world.clock() == QUIET_AFTER
    assert Event.UPLOADS_CONTINUE in [event for event, _ in world.logged]
    world.clock.move(seconds=4)
    assert started(world) == []
    if not other.endswith("_defaults.yaml"):
        world.clock.move(seconds=1)
        assert started(world) == ["bee"]


def test_a_task_does_not_wait_forever(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a\nenhance: false\n")
    for number in range(int(WAIT_AT_MOST.total_seconds())):
        world.drop(f"jobs/{number}.png", PNG)
        assert started(world) == []
        world.clock.move(seconds=1)
    assert started(world) == ["bee"]


def test_in_a_folder_with_many_files_those_after_the_spec_are_seen(world: World) -> None:
    for number in range(1001):
        world.drop(f"jobs/a/0{number:04}.png", PNG, event=False)
    world.clock.move(minutes=1)
    world.drop("jobs/a/bee.yaml")
    world.drop("jobs/a/cat.png", PNG, event=False)
    assert started(world) == []


def test_many_jobs_are_not_looked_at_one_by_one(world: World) -> None:
    for number in range(12):
        world.drop(f"jobs/a/{number}.yaml", "prompt: a\nenhance: false\n")
    assert started(world) == [] and len(world.wakes_later) == 1
