"""The sweep finds every drop whose event was lost, and makes few calls."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from contract.errors import Transient
from functions.log import Event
from functions.ports import Page, Throttled
from functions.stages import cancel, finish
from functions.stages.sweep import TOLERATED, sweep
from functions.table import day_limits
from functions.table.ledger import CAPACITY, LOOKED_AT
from functions.table.records import Looked, State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status


class Calls:
    """Counts the calls of the ports from now on."""

    def __init__(self, world: World) -> None:
        self.made: Counter[str] = Counter()
        for port in (world.ledger, world.files):
            for name in ("get", "get_all", "query", "facts", "read", "page", "facts_after"):
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
    assert (calls.made["get_all"], calls.made["facts_after"]) == (10, 10)
    assert calls.made.total() < 45
    world.clock.move(minutes=40)
    sweep(world.ports)
    world.clock.move(minutes=5)
    calls.made.clear()
    sweep(world.ports)
    assert calls.made["get_all"] == 0 and calls.made["page"] == 1


def test_eight_thousand_references_cost_their_listing_only(world: World) -> None:
    world.drop("jobs/pictures/_defaults.yaml", "fps: 8\n")
    for number in range(8000):
        world.drop(f"jobs/pictures/{number}.png", b"", event=False)
    world.clock.move(minutes=3)
    calls = Calls(world)
    sweep(world.ports)
    assert calls.made["page"] == 9
    assert calls.made["facts"] == 2, "the folder defaults: are they new, and are they there?"
    assert world.announced == []


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
    assert calls.made["page"] == 2, "one of the input bucket, and one of the output of this attempt"
    assert sum(job.state == State.SUCCEEDED for job in jobs(world)) == 2


# --- little time -----------------------------------------------------------------------------


def slow(world: World, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    """Let each call of a method of S3 take some seconds."""
    call = getattr(world.files, name)

    def takes_time(*arguments: Any) -> Any:
        world.clock.move(seconds=seconds)
        return call(*arguments)

    monkeypatch.setattr(world.files, name, takes_time)


def looked(world: World) -> Looked:
    record = world.ledger.get(LOOKED_AT)
    assert record is not None
    return record.document


def small_pages(world: World, monkeypatch: pytest.MonkeyPatch, objects: int) -> None:
    """Let S3 list only a few objects with one call."""
    page = world.files.page

    def small(bucket: str, prefix: str, after: str = "") -> Page:
        return page(bucket, prefix, after, objects)

    monkeypatch.setattr(world.files, "page", small)


def test_a_round_over_the_bucket_goes_on_where_the_last_sweep_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(world.ports)
    world.clock.move(seconds=10)
    dropped_at = world.clock()
    for number in range(9):
        world.drop(f"jobs/{number}.yaml", event=False)
    small_pages(world, monkeypatch, 1)
    slow(world, monkeypatch, "page", 61)
    before = looked(world).until
    for found in (4, 8):
        world.clock.move(minutes=5)
        sweep(world.ports)
        assert len(jobs(world)) == found and looked(world).until == before
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert len(jobs(world)) == 9
    assert looked(world).until == dropped_at, "they had no job, so the next round must see them"
    monkeypatch.undo()
    sweep(world.ports)
    assert not looked(world).under_way and looked(world).until > dropped_at


def test_a_round_also_stops_within_a_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(250):
        world.files.write("input", f"jobs/{number:03}.yaml", b"prompt: [", "x")
    slow(world, monkeypatch, "facts_after", 130)
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert looked(world).round_after == "jobs/199.yaml" and len(jobs(world)) == 200
    sweep(world.ports)
    assert not looked(world).under_way and len(jobs(world)) == 250


def test_drops_are_found_however_long_the_checks_of_the_table_take(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        world.drop(f"jobs/{number:02}.yaml", f"image: never-{number}.png\n")
    world.drop("jobs/lost.yaml", event=False)
    world.clock.move(minutes=3)
    monkeypatch.setattr(cancel, "if_gone", lambda *_: world.clock.move(seconds=5))
    sweep(world.ports)
    assert any(job.path == "lost" for job in jobs(world))


def test_each_waiting_job_has_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        world.drop(f"jobs/{number:02}.yaml", f"image: late-{number:02}.png\n")
        world.drop(f"jobs/late-{number:02}.png", PNG, event=False)
    slow(world, monkeypatch, "facts", 1)
    queued: list[str] = []
    sweeps = 0
    while len(queued) < 50:
        before = len(queued)
        sweep(world.ports)
        sweeps += 1
        queued = sorted(job.path for job in jobs(world) if job.state == State.QUEUED)
        assert len(queued) > before
        assert queued == [f"{number:02}" for number in range(len(queued))], "the next ones"
    assert sweeps > 3, "one sweep had no time for all of them"


def test_a_record_that_kills_the_sweep_does_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set(max_processing_jobs=3, max_tasks_per_job=1)
    for number in range(3):
        world.drop(f"jobs/{number}.yaml", "prompt: x\npriority: high\n")
    first, *others = sorted(world.dispatch())
    for attempt in (first, *others):
        world.render(attempt, tell=False)
    ended = finish.attempt_ended

    def killed(ports: Any, attempt_id: str) -> None:
        if attempt_id == first:
            raise KeyboardInterrupt
        ended(ports, attempt_id)

    monkeypatch.setattr(finish, "attempt_ended", killed)
    for _ in range(4):
        with suppress(KeyboardInterrupt):
            sweep(world.ports)
    assert sum(job.state == State.SUCCEEDED for job in jobs(world)) == len(others) == 2


# --- announcements ---------------------------------------------------------------------------


def test_a_drop_is_announced_until_it_has_its_job_but_not_in_every_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise Transient("the reading process did not start")

    monkeypatch.setattr(world.reader, "spec", broken)
    world.drop("jobs/bee.yaml", event=False)
    for _ in range(24 * 12):
        world.clock.move(minutes=5)
        sweep(world.ports)
    assert 24 + 20 < len(world.announced) < 24 + 26
    monkeypatch.undo()
    for _ in range(13):
        world.clock.move(minutes=5)
        sweep(world.ports)
    assert [job.state for job in jobs(world)] == [State.QUEUED]
    world.announced.clear()
    sweep(world.ports)
    assert world.announced == []


def test_a_job_that_cannot_be_read_does_not_hide_the_drops_behind_it(world: World) -> None:
    dropped_at = world.clock()
    world.drop("jobs/a/bee.yaml")
    (broken,) = (place for place in world.ledger.items if place[1] == "JOB")
    world.ledger.items[broken] = (1, "{}")
    for number in range(150):
        world.drop(f"jobs/b/{number}.yaml", "prompt: [", event=False)
    world.clock.move(minutes=3)
    with pytest.raises(ExceptionGroup):
        sweep(world.ports)
    assert "jobs/b/99.yaml" in world.announced
    assert looked(world).until <= dropped_at, "the next round must look at them again"


def test_folder_defaults_without_event_are_announced_once(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n", event=False)
    for _ in range(3):
        world.clock.move(minutes=5)
        sweep(world.ports)
    assert world.announced == ["jobs/a/_defaults.yaml"]
    assert day_limits.limits_of(world.ports, ["a"])["a"].videos == 1


def test_the_answer_to_wrong_folder_defaults_ends_with_them(world: World) -> None:
    """Neither the correction nor the deletion had an event."""
    world.drop("jobs/a/_defaults.yaml", "fps: [\n")
    assert world.files.exists("output", "rejected/a/_defaults.txt")
    world.clock.move(minutes=1)
    world.drop("jobs/a/_defaults.yaml", "fps: 8\n", event=False)
    world.delete("jobs/a/_defaults.yaml", event=False)
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert not [key for key in world.files.keys("output") if "a/_defaults" in key]


def test_folder_defaults_that_were_deleted_without_event_end(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n")
    world.delete("jobs/a/_defaults.yaml", event=False)
    sweep(world.ports)
    assert day_limits.limits_of(world.ports, ["a"])["a"].videos == 0


def test_images_are_announced_only_if_they_are_jobs(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/b/_defaults.yaml", "animate_images: false\n")
    world.drop("jobs/a/bee.yaml", "image: used.png\n")
    world.drop("jobs/a/used.png", PNG)
    for name in ("job.png", "c/job.png", "b/reference.png", "clip.mp4"):
        world.drop(f"jobs/a/{name}", PNG, event=False)
    world.drop("jobs/reference.png", PNG, event=False)
    world.announced.clear()
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert sorted(world.announced) == ["jobs/a/c/job.png", "jobs/a/job.png"]
    assert sorted(job.path for job in jobs(world)) == ["a/bee", "a/c/job.png", "a/job.png"]


def test_a_processing_job_that_runs_for_much_longer_than_expected_is_counted(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    record = world.ledger.get(CAPACITY)
    assert record is not None
    began, ends_at = world.clock(), record.document.leases[0].ends_at

    def counted() -> list[object]:
        world.logged.clear()
        sweep(world.ports)
        return [facts["attempt_id"] for event, facts in world.logged if event == Event.RUNS_LONG]

    assert counted() == []
    world.clock.at = ends_at + (ends_at - began) + TOLERATED - timedelta(seconds=1)
    assert counted() == []
    world.clock.move(seconds=2)
    assert counted() == [attempt] and counted() == [attempt], "in each sweep, so the alarm stays"
    world.render(attempt)
    assert counted() == []
