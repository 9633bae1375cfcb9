"""A model is paused if its processing jobs end without a sign of life, and recovers by itself."""

from datetime import timedelta

import pytest

from functions.log import Event
from functions.replies.publish import publish_status
from functions.replies.status import Status
from functions.stages.finish import attempt_ended
from functions.table.records import PAUSES, HoldReason, State
from tests.fakes import World
from tests.functions.stored import jobs, status, tasks

BROKEN = "AlgorithmError: bug: ImportError: libcudart.so.12: cannot open shared object file"


def die(world: World, attempt_id: str, *, after: int = 0) -> None:
    """Let a processing job fail after it has rendered some of its tasks."""
    for task in world.manifest(attempt_id).tasks[:after]:
        world.write_result(attempt_id, task)
    world.renderer.end(attempt_id, "Failed", BROKEN)
    attempt_ended(world.ports, attempt_id)


def burn(world: World, hours: float) -> int:
    """Dispatch every five minutes. Each processing job dies at once. Returns their number."""
    before = len(world.renderer.jobs)
    for _ in range(round(hours * 12)):
        for attempt_id in world.dispatch():
            die(world, attempt_id)
        world.clock.move(minutes=5)
    return len(world.renderer.jobs) - before


def logged(world: World, event: Event) -> int:
    return sum(one == event for one, _ in world.logged)


def test_a_broken_deployment_costs_few_processing_jobs_and_every_status_says_why(
    world: World,
) -> None:
    world.set(max_tasks_per_job=128)
    for number in range(128):
        world.drop(f"jobs/{number}.yaml")
    assert burn(world, hours=24) == 4
    assert burn(world, hours=24) == 1
    assert logged(world, Event.MODEL_PAUSED) == 1
    assert logged(world, Event.FAILED) == logged(world, Event.NEW_ATTEMPT) == 0
    assert world.post.sent == []
    for job in jobs(world):
        said = status(world, job.path)
        assert said.state == State.QUEUED and said.tasks[0].hold == HoldReason.MODEL_PAUSED
        assert "libcudart.so.12" in said.message and "tried again after 2026-" in said.message


def test_after_a_repair_without_a_deployment_one_task_finds_out_and_all_finish(
    world: World,
) -> None:
    for number in range(6):
        world.drop(f"jobs/{number}.yaml")
    burn(world, hours=0.5)
    assert world.dispatch() == []
    world.clock.move(hours=1)
    (probe,) = world.dispatch()
    assert len(world.manifest(probe).tasks) == 1
    world.set(max_processing_jobs=3)
    assert world.dispatch() == [probe], "nothing else starts before the answer"
    world.render(probe)
    assert logged(world, Event.MODEL_RESUMED) == 1
    while running := world.dispatch():
        for attempt_id in running:
            world.render(attempt_id)
    assert {task.state for task in tasks(world)} == {State.SUCCEEDED}
    assert {task.attempts for task in tasks(world)} == {1}


def test_a_new_deployment_starts_at_once(world: World) -> None:
    world.drop("jobs/bee.yaml")
    burn(world, hours=0.5)
    assert world.dispatch() == []
    world.set(code_uri="s3://assets/repaired.zip")
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert status(world, "bee").state == State.SUCCEEDED


def test_other_models_are_not_paused(world: World) -> None:
    world.drop("jobs/bee.yaml")
    burn(world, hours=0.5)
    world.drop("jobs/other.yaml", "prompt: a bee\nmodel: cogvideox-2b\n")
    (attempt,) = world.dispatch()
    assert world.manifest(attempt).model == "cogvideox-2b"


def test_each_pause_is_longer_up_to_a_day(world: World) -> None:
    world.drop("jobs/bee.yaml")
    burn(world, hours=0.25)
    for pause in (*PAUSES, PAUSES[-1]):
        assert world.dispatch() == []
        world.clock.move(seconds=(pause - timedelta(minutes=20)).total_seconds())
        assert world.dispatch() == []
        world.clock.move(minutes=20)
        (probe,) = world.dispatch()
        die(world, probe)


def test_a_processing_job_with_a_sign_of_life_pauses_nothing(world: World) -> None:
    world.set(max_attempts=9)
    world.drop("jobs/bee.yaml", "prompt: a\nvariations: 3\n")
    for _ in range(4):
        (attempt,) = world.dispatch()
        world.write_progress(attempt, world.manifest(attempt).tasks[0], 2)
        die(world, attempt)
    assert world.dispatch() and logged(world, Event.SILENT_END) == 0


def test_the_end_of_one_processing_job_is_counted_once(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.renderer.end(attempt, "Failed", BROKEN)
    write = world.files.write

    def die_while_the_status_is_written(*args: object, **kwargs: object) -> None:
        raise ConnectionError("killed")

    world.files.write = die_while_the_status_is_written  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        attempt_ended(world.ports, attempt)
    world.files.write = write  # type: ignore[method-assign]
    attempt_ended(world.ports, attempt)
    assert logged(world, Event.SILENT_END) == 1 and world.dispatch() != []


def test_a_task_that_kills_the_worker_does_not_pause_its_model(world: World) -> None:
    """It is rendered last the next time, so the others show that the deployment works."""
    for name in ("poison", "a", "b"):
        world.drop(f"jobs/{name}.yaml")
        world.clock.move(seconds=1)
    started = 0
    while running := world.dispatch():
        (attempt,) = running
        started += 1
        world.clock.move(minutes=5)
        order = [task.task_id for task in world.manifest(attempt).tasks]
        poison = next((n for n, name in enumerate(order) if "poison" in name), None)
        if poison is None:
            world.render(attempt)
        else:
            die(world, attempt, after=poison)
    assert [status(world, name).state for name in ("a", "b")] == [State.SUCCEEDED] * 2
    poisoned: Status = status(world, "poison")
    assert poisoned.state == State.FAILED and "tried 2 times" in poisoned.message
    assert started == 3 and logged(world, Event.MODEL_PAUSED) == 0


def test_a_task_that_kills_the_worker_fails_once_another_has_shown_that_it_works(
    world: World,
) -> None:
    world.drop("jobs/poison.yaml")
    burn(world, hours=0.5)
    world.drop("jobs/good.yaml")
    world.clock.move(hours=2)
    (probe,) = world.dispatch()
    assert ["good" in task.task_id for task in world.manifest(probe).tasks] == [True]
    world.render(probe)
    (attempt,) = world.dispatch()
    die(world, attempt)
    assert status(world, "poison").state == State.FAILED


def test_the_reason_to_wait_is_left_out_when_its_time_is_over(world: World) -> None:
    world.drop("jobs/bee.yaml")
    burn(world, hours=0.5)
    assert status(world, "bee").expected.queue_position is None
    world.clock.move(hours=2)
    publish_status(world.ports, jobs(world)[0].job_id)
    said = status(world, "bee")
    assert said.message == "In the queue." and said.expected.queue_position == 1
