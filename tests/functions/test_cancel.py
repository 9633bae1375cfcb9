"""Deleting a spec cancels its job, a newer version takes its place; both are said."""

import pytest

from functions.spec.language_model import Answer
from functions.stages import cancel
from functions.stages.cancel import deleted
from functions.stages.finish import attempt_ended
from functions.stages.sweep import sweep
from functions.table.ledger import QUEUE, WAITING
from functions.table.records import QueueEntry, State, Waiting
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks


def test_a_deleted_spec_leaves_the_queue_and_is_told_of(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nvariations: 3\n")
    world.delete("jobs/bee.yaml")
    (job,) = jobs(world)
    assert job.state == State.CANCELED
    assert {task.state for task in tasks(world)} == {State.CANCELED}
    assert not world.ledger.query(QUEUE, QueueEntry)
    assert status(world, "bee").message == "Canceled: its spec was deleted."
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: bee was canceled"]
    assert world.dispatch() == []


def test_a_deleted_spec_no_longer_waits(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: bee.png\n")
    world.delete("jobs/bee.yaml")
    world.drop("jobs/bee.png", PNG)
    assert jobs(world)[0].state == State.CANCELED and not world.ledger.query(WAITING, Waiting)
    assert not tasks(world)


def test_a_processing_job_is_stopped_when_it_has_nothing_else_to_do(world: World) -> None:
    world.drop("jobs/one.yaml")
    world.drop("jobs/two.yaml")
    (attempt,) = world.dispatch()
    world.delete("jobs/one.yaml")
    assert world.running() == [attempt], "it still has the other one to make"
    world.delete("jobs/two.yaml")
    assert world.running() == []
    attempt_ended(world.ports, attempt)
    world.drop("jobs/three.yaml")
    assert len(world.dispatch()) == 1, "the lease was given back"


def test_a_result_that_comes_after_the_end_is_not_published(world: World) -> None:
    world.drop("jobs/one.yaml")
    world.drop("jobs/two.yaml")
    (attempt,) = world.dispatch()
    world.delete("jobs/one.yaml")
    world.render(attempt)
    published = [key for key in world.files.keys("output") if key.endswith(".mp4")]
    assert published == ["videos/two.mp4"]
    assert status(world, "one").state == State.CANCELED


def test_videos_that_were_made_stay(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nvariations: 2\n")
    (attempt,) = world.dispatch()
    first = world.manifest(attempt).tasks[0]
    world.write_result(attempt, first)
    sweep(world.ports)
    world.delete("jobs/bee.yaml")
    assert "videos/bee-01.mp4" in world.files.keys("output")
    assert "1 of 2 videos had been made" in status(world, "bee").message
    assert world.running() == []


def test_deleting_what_is_done_changes_nothing(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.render(world.dispatch()[0])
    world.delete("jobs/bee.yaml")
    assert jobs(world)[0].state == State.SUCCEEDED and len(world.post.sent) == 1


def test_a_late_event_of_a_deletion_does_not_cancel_what_was_dropped_since(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.delete("jobs/bee.yaml", event=False)
    world.drop("jobs/bee.yaml", "prompt: again\n")
    deleted(world.ports, "input", "jobs/bee.yaml")
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


@pytest.mark.parametrize("running", [False, True])
def test_the_sweeper_cancels_what_was_deleted_without_an_event(world: World, running: bool) -> None:
    world.drop("jobs/bee.yaml")
    if running:
        world.dispatch()
    world.delete("jobs/bee.yaml", event=False)
    sweep(world.ports)
    assert jobs(world)[0].state == State.CANCELED and world.running() == []


@pytest.mark.parametrize("running", [False, True])
def test_a_newer_version_takes_the_place_of_one_that_is_not_done(
    world: World, running: bool
) -> None:
    world.drop("jobs/bee.yaml", "prompt: old\n")
    if running:
        world.dispatch()
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: new\n")
    old, new = jobs(world)
    assert (old.state, old.canceled_because) == (State.CANCELED, "superseded")
    assert new.state == State.QUEUED and status(world, "bee").job_id == new.job_id
    assert not world.post.sent, "whoever drops a new version knows"
    for name in list(world.renderer.jobs):
        attempt_ended(world.ports, name)
    world.render(world.dispatch()[-1])
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: bee is ready"]


def test_a_version_that_is_refused_takes_nobodys_place(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: good\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: [")
    assert [job.state for job in jobs(world)] == [State.QUEUED, State.REJECTED]
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: better\n")
    states = [State.CANCELED, State.REJECTED, State.QUEUED]
    assert [job.state for job in jobs(world)] == states


def test_specs_that_would_publish_to_one_place_take_each_others(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.json", '{"prompt": "y"}')
    assert [job.state for job in jobs(world)] == [State.CANCELED, State.QUEUED]


def test_a_late_and_older_drop_of_a_place_is_canceled(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n", event=False)
    world.clock.move(seconds=5)
    world.drop("jobs/bee.json", '{"prompt": "y"}')
    world.clock.move(minutes=5)
    sweep(world.ports)
    by_key = {job.source.key: job.state for job in jobs(world)}
    assert by_key == {"jobs/bee.json": State.QUEUED, "jobs/bee.yaml": State.CANCELED}


@pytest.mark.parametrize("newer", ["prompt: x\nstep: 3\n", "prompt: x\ndry_run: true\n"])
def test_what_waits_is_made_though_a_newer_version_was_not_accepted(
    world: World, newer: str
) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nimage: s.png\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", newer)
    world.drop("jobs/s.png", PNG)
    assert State.QUEUED in [job.state for job in jobs(world)]
    assert len(world.dispatch()) == 1


@pytest.mark.parametrize("picture", [None, b"hello"])
def test_a_version_that_is_refused_for_its_picture_takes_nobodys_place(
    world: World, picture: bytes | None
) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n")
    (attempt,) = world.dispatch()
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: x\nimage: s.png\n")
    if picture is not None:
        world.drop("jobs/s.png", picture)
    world.clock.move(minutes=61)
    sweep(world.ports)
    assert world.running() == [attempt]
    assert sorted(job.state for job in jobs(world)) == [State.REJECTED, State.RUNNING]


def test_what_waits_is_canceled_when_a_newer_version_is_made(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nimage: s.png\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: y\n")
    world.drop("jobs/s.png", PNG)
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


def test_an_older_drop_is_made_when_the_newer_one_of_its_path_was_deleted(world: World) -> None:
    world.drop("jobs/a.json", '{"prompt": "x"}', event=False)
    world.clock.move(seconds=5)
    world.drop("jobs/a.yaml", "prompt: y\n")
    world.delete("jobs/a.yaml")
    world.clock.move(minutes=5)
    sweep(world.ports)
    by_key = {job.source.key: job.state for job in jobs(world)}
    assert by_key == {"jobs/a.json": State.QUEUED, "jobs/a.yaml": State.CANCELED}


class Killed(BaseException):
    """A handler dies."""


def dies_before_it_cancels(world: World, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A version is dropped; its handler dies when the job is committed and the older one lives."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(cancel, "superseded", die)
        world.drop(key, "prompt: two\n")


def test_of_three_versions_the_first_is_canceled_though_the_seconds_handler_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/x.yaml", "prompt: one\n")
    (first,) = world.dispatch()
    world.clock.move(seconds=2)
    dies_before_it_cancels(world, monkeypatch, "jobs/x.yaml")
    world.clock.move(seconds=10)
    world.drop("jobs/x.yaml", "prompt: three\n")
    assert [job.state for job in jobs(world)].count(State.CANCELED) == 2
    assert first not in world.running()
    attempt_ended(world.ports, first)
    world.render(world.dispatch()[0])
    assert len(world.post.sent) == 1


def test_the_sweeper_cancels_what_a_newer_version_did_not_live_to_cancel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/x.yaml", "prompt: one\n")
    world.dispatch()
    world.clock.move(seconds=2)
    dies_before_it_cancels(world, monkeypatch, "jobs/x.yaml")
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


def test_within_one_second_the_current_version_wins(world: World) -> None:
    answer = world.language_model.converse

    def slowly(system: str, user: str, max_tokens: int, image: bytes | None = None) -> Answer:
        """While the first version is enhanced, the second one comes and is enhanced."""
        if len(world.files.objects[("input", "jobs/x.yaml")]) == 1:
            world.drop("jobs/x.yaml", "prompt: two\n")
        return answer(system, user, max_tokens, image)

    world.language_model.converse = slowly  # type: ignore[method-assign]
    world.drop("jobs/x.yaml", "prompt: one\n")
    kept = {task.enhancement.original: task.state for task in tasks(world)}
    assert kept == {"one": State.CANCELED, "two": State.QUEUED}
