"""The sweep keeps places and expected ends in statuses up to date, and writes nothing else."""

from functions.stages.sweep import sweep
from tests.fakes import World
from tests.functions.stored import status

DONE = "prompt: a\nenhance: false\n"


def written(world: World, path: str) -> int:
    """How often a status was written."""
    return len(world.files.objects[("output", f"status/{path}.json")])


def queued(world: World) -> None:
    """One job runs, and two wait behind each other."""
    world.set(max_tasks_per_job=1)
    for name in ("runs", "b", "c"):
        world.drop(f"jobs/{name}.yaml", DONE)
        world.clock.move(seconds=10)
    world.dispatch()


def test_a_status_is_not_written_again_if_nothing_has_changed(world: World) -> None:
    queued(world)
    sweep(world.ports)
    counts = [written(world, name) for name in ("runs", "b", "c")]
    mails = len(world.post.sent)
    sweep(world.ports)
    sweep(world.ports)
    assert [written(world, name) for name in ("runs", "b", "c")] == counts
    assert len(world.post.sent) == mails


def test_a_new_place_in_the_queue_is_written(world: World) -> None:
    queued(world)
    sweep(world.ports)
    assert status(world, "c").expected.queue_position == 2
    assert "behind 1 video" in status(world, "c").message
    world.delete("jobs/b.yaml")
    sweep(world.ports)
    assert status(world, "c").expected.queue_position == 1
    assert "behind" not in status(world, "c").message


def test_an_expected_end_is_written_if_it_has_moved_noticeably(world: World) -> None:
    queued(world)
    sweep(world.ports)
    before, count = status(world, "c").expected.ends_at, written(world, "c")
    assert before is not None
    world.clock.move(seconds=20)
    sweep(world.ports)
    assert (status(world, "c").expected.ends_at, written(world, "c")) == (before, count)
    world.clock.move(hours=2)
    sweep(world.ports)
    after = status(world, "c").expected.ends_at
    assert after is not None and after > before and written(world, "c") == count + 1


def test_a_status_that_was_deleted_is_written_again(world: World) -> None:
    queued(world)
    world.files.remove("output", "status/c.json")
    sweep(world.ports)
    assert status(world, "c").expected.queue_position == 2
