"""Forecasts of time and cost in status, plans and mails."""

from datetime import timedelta

from functions.table.records import State
from tests.fakes import World
from tests.functions.stored import status, tasks


def test_a_dry_run_shows_time_and_cost(world: World) -> None:
    world.drop("jobs/one.yaml", "prompt: x\nmodel: cogvideox-5b\ndry_run: true\n")
    world.drop(
        "jobs/four.yaml",
        "prompt: x\nmodel: cogvideox-5b\nvariations: 4\npreset: draft\ndry_run: true\n",
    )
    one, four = status(world, "one").expected.cost, status(world, "four").expected.cost
    assert one is not None and four is not None
    # The model card's 90 s on an H100 take an L40S 200 s; four drafts are twice the work of one.
    assert one.gpu_minutes == 3.33 and four.gpu_minutes == 2 * one.gpu_minutes + 0.01
    assert one.usd_low is not None and one.usd_high is not None
    assert 0.14 < one.usd_low < one.usd_high < 0.5
    body = world.post.sent[0].body
    assert "about 3.3 minutes of rendering on ml.g6e.xlarge" in body and "USD" in body


def test_a_type_without_a_known_price_has_no_cost_forecast(world: World) -> None:
    world.set(instance_types="ml.g5.48xlarge")
    world.drop("jobs/one.yaml", "prompt: x\ndry_run: true\n")
    cost = status(world, "one").expected.cost
    assert cost is not None and cost.usd_low is None
    assert "price of that instance type is not known" in world.post.sent[0].body


def test_the_end_of_a_queued_job_depends_on_its_place(world: World) -> None:
    for number in (1, 2, 3):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{number}.yaml", "prompt: x\nmodel: cogvideox-5b\n")
    first, third = status(world, "1").expected, status(world, "3").expected
    assert (first.queue_position, third.queue_position) == (1, 3)
    assert first.ends_at is not None and third.ends_at is not None
    assert timedelta(minutes=6) < third.ends_at - first.ends_at < timedelta(minutes=7)


def test_the_end_of_a_running_job_is_the_one_that_its_worker_reports(world: World) -> None:
    world.drop("jobs/one.yaml", "prompt: x\nmodel: cogvideox-5b\n")
    (attempt,) = world.dispatch()
    before = status(world, "one").expected.ends_at
    assert before is not None and before > world.clock() + timedelta(minutes=5), (
        "the forecast includes the start-up"
    )
    (task,) = world.manifest(attempt).tasks
    from functions.stages.finish import file_written

    file_written(world.ports, world.write_progress(attempt, task, 50))
    left = tasks(world)[0].expected_seconds_left
    assert left is not None
    assert status(world, "one").expected.ends_at == world.clock() + timedelta(seconds=left)


def test_a_finished_job_has_no_forecast(world: World) -> None:
    world.drop("jobs/one.yaml")
    world.render(world.dispatch()[0])
    told = status(world, "one")
    assert told.state == State.SUCCEEDED
    assert told.expected.ends_at is None and told.expected.cost is None
