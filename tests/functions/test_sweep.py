"""The sweep finds every drop whose event was lost, and makes few calls."""

from collections import Counter
from typing import Any

import pytest

from functions.ports import Throttled
from functions.stages.sweep import sweep
from functions.table.records import State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status


class Calls:
    """Counts the calls of the ports from now on."""

    def __init__(self, world: World) -> None:
        self.made: Counter[str] = Counter()
        for port in (world.ledger, world.files):
            for name in ("get", "get_all", "query", "facts", "read", "listed"):
                if hasattr(port, name):
                    setattr(port, name, self._counted(name, getattr(port, name)))

    def _counted(self, name: str, call: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.made[name] += 1
            return call(*arguments, **named)

        return wrapped


def test_a_drop_without_event_is_found(world: World) -> None:
    world.drop("jobs/bee.yaml", event=False)
    sweep(world.ports)
    assert jobs(world) == [], "its event may still come"
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert [job.state for job in jobs(world)] == [State.QUEUED]


def test_a_drop_is_found_after_many_hours_without_a_sweep(world: World) -> None:
    sweep(world.ports)
    world.clock.move(minutes=1)
    world.drop("jobs/bee.yaml", event=False)
    world.clock.move(hours=30)
    sweep(world.ports)
    assert len(jobs(world)) == 1


@pytest.mark.parametrize("ending", ["deleted", "replaced"])
def test_what_was_not_published_about_the_end_of_a_job_is_published_later(
    world: World, ending: str
) -> None:
    """Also if no mail is owed. The message about the end may be in a dead-letter queue."""
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "image: bee.png\nnotify: false\n")
    world.clock.move(seconds=5)
    if ending == "deleted":
        world.delete("jobs/bee.yaml", event=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.files, "remove", _throttled)
        if ending == "deleted":
            patch.setattr(world.files, "write", _throttled)
            with pytest.raises(ExceptionGroup):
                sweep(world.ports)
        else:
            with pytest.raises(Throttled):
                world.drop("jobs/bee.yaml", "prompt: x\nnotify: false\n")
    sweep(world.ports)
    assert jobs(world)[0].state == State.CANCELED
    assert status(world, "bee").state == (State.CANCELED if ending == "deleted" else State.QUEUED)
    assert [key for key in world.files.keys("work") if key.startswith("references/")] == []
    assert world.post.sent == []


def _throttled(*_args: object) -> None:
    raise Throttled("SlowDown")


def test_a_version_that_overwrote_another_within_a_second_is_found(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a\n")
    world.drop("jobs/bee.yaml", "prompt: b\n", event=False)
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert len(jobs(world)) == 2


def test_a_drop_that_cannot_be_accepted_is_tried_again_and_delays_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        world.drop(f"jobs/{name}.yaml", event=False)
    facts = world.files.facts

    def broken(bucket: str, key: str, version: str | None = None) -> Any:
        if key == "jobs/b.yaml":
            raise ConnectionError("away")
        return facts(bucket, key, version)

    monkeypatch.setattr(world.files, "facts", broken)
    world.clock.move(minutes=3)
    for _ in range(3):
        with pytest.raises(ExceptionGroup):
            sweep(world.ports)
        world.clock.move(hours=3)
    assert len(jobs(world)) == 2
    monkeypatch.setattr(world.files, "facts", facts)
    sweep(world.ports)
    assert len(jobs(world)) == 3


def test_a_thousand_drops_that_have_their_jobs_cost_few_calls(world: World) -> None:
    world.set(max_tasks_per_job=1000)
    for number in range(1000):
        world.drop(f"jobs/{number}.yaml", "prompt: [")  # it is refused, which is fast
    world.clock.move(minutes=3)
    calls = Calls(world)
    sweep(world.ports)
    assert calls.made["get_all"] == 10 and calls.made.total() < 25
    world.clock.move(minutes=40)
    sweep(world.ports)
    world.clock.move(minutes=5)
    calls.made.clear()
    sweep(world.ports)
    assert calls.made["get_all"] == 0 and calls.made["listed"] == 1


def test_a_running_attempt_of_many_tasks_costs_one_listing(world: World) -> None:
    world.set(max_tasks_per_job=60)
    for number in range(60):
        world.drop(f"jobs/{number}.yaml", "prompt: x\nenhance: false\n")
    (attempt,) = world.dispatch()
    for task in world.manifest(attempt).tasks[:2]:
        world.write_result(attempt, task)
    calls = Calls(world)
    world.clock.move(minutes=1)
    sweep(world.ports)
    assert calls.made["listed"] == 2, (
        "one of the input bucket, and one of the output of this attempt"
    )
    assert sum(job.state == State.SUCCEEDED for job in jobs(world)) == 2
