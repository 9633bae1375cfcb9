"""Jobs are canceled when their spec is deleted or replaced, and the status says so."""

import pytest

from functions.spec.language_model import Answer
from functions.stages import cancel
from functions.stages.cancel import deleted
from functions.stages.finish import attempt_ended
from functions.stages.sweep import sweep
from functions.table.ledger import QUEUE, WAITING
from functions.table.records import CancelReason, QueueEntry, State, Waiting
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks


@pytest.mark.parametrize("is_queued", [False, True])
def test_a_spec_that_was_deleted_before_a_worse_one_came_is_canceled(
    world: World, is_queued: bool
) -> None:
    """The event of the deletion comes when a file is there again, which cannot be used."""
    world.drop("jobs/a.yaml", "prompt: a bee\n" + ("" if is_queued else "image: late.png\n"))
    world.delete("jobs/a.yaml", event=False)
    world.drop("jobs/a.yaml", "prompt: [")
    deleted(world.ports, "input", "jobs/a.yaml")
    world.clock.move(minutes=5)
    sweep(world.ports)
    older, newer = jobs(world)
    assert (older.state, newer.state) == (State.CANCELED, State.REJECTED)
    assert older.canceled_because == CancelReason.DELETED
    assert status(world, "a").state == State.REJECTED


def test_a_deleted_spec_leaves_the_queue_and_a_mail_says_so(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nvariations: 3\n")
    world.delete("jobs/bee.yaml")
    (job,) = jobs(world)
    assert job.state == State.CANCELED
    assert {task.state for task in tasks(world)} == {State.CANCELED}
    assert not world.ledger.query(QUEUE, QueueEntry)
    assert status(world, "bee").message == "Canceled: its spec was deleted."
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: bee was canceled"]
    assert world.dispatch() == []


def test_a_deleted_spec_no_longer_waits_for_its_reference(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: bee.png\n")
    world.delete("jobs/bee.yaml")
    world.drop("jobs/bee.png", PNG)
    assert jobs(world)[0].state == State.CANCELED and not world.ledger.query(WAITING, Waiting)
    assert not tasks(world)


def test_a_processing_job_is_stopped_when_all_its_tasks_are_canceled(world: World) -> None:
    world.drop("jobs/one.yaml")
    world.drop("jobs/two.yaml")
    (attempt,) = world.dispatch()
    world.delete("jobs/one.yaml")
    assert world.running() == [attempt], "it still has the other task to render"
    world.delete("jobs/two.yaml")
    assert world.running() == []
    attempt_ended(world.ports, attempt)
    world.drop("jobs/three.yaml")
    assert len(world.dispatch()) == 1, "the lease was given back"


def test_a_result_of_a_canceled_job_is_not_published(world: World) -> None:
    world.drop("jobs/one.yaml")
    world.drop("jobs/two.yaml")
    (attempt,) = world.dispatch()
    world.delete("jobs/one.yaml")
    world.render(attempt)
    published = [key for key in world.files.keys("output") if key.endswith(".mp4")]
    assert published == ["videos/two.mp4"]
    assert status(world, "one").state == State.CANCELED


def test_published_videos_stay_when_a_job_is_canceled(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nvariations: 2\n")
    (attempt,) = world.dispatch()
    first = world.manifest(attempt).tasks[0]
    world.write_result(attempt, first)
    sweep(world.ports)
    world.delete("jobs/bee.yaml")
    assert "videos/bee-01.mp4" in world.files.keys("output")
    assert "1 of 2 videos had been made" in status(world, "bee").message
    assert world.running() == []


def test_deleting_the_spec_of_a_finished_job_changes_nothing(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.render(world.dispatch()[0])
    world.delete("jobs/bee.yaml")
    assert jobs(world)[0].state == State.SUCCEEDED and len(world.post.sent) == 1


def test_a_late_deletion_event_does_not_cancel_a_newer_drop(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.delete("jobs/bee.yaml", event=False)
    world.drop("jobs/bee.yaml", "prompt: again\n")
    deleted(world.ports, "input", "jobs/bee.yaml")
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


@pytest.mark.parametrize("running", [False, True])
def test_the_sweep_cancels_a_job_whose_deletion_event_was_lost(world: World, running: bool) -> None:
    world.drop("jobs/bee.yaml")
    if running:
        world.dispatch()
    world.delete("jobs/bee.yaml", event=False)
    sweep(world.ports)
    assert jobs(world)[0].state == State.CANCELED and world.running() == []


@pytest.mark.parametrize("running", [False, True])
def test_a_newer_version_replaces_an_unfinished_one(world: World, running: bool) -> None:
    world.drop("jobs/bee.yaml", "prompt: old\n")
    if running:
        world.dispatch()
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: new\n")
    old, new = jobs(world)
    assert (old.state, old.canceled_because) == (State.CANCELED, "superseded")
    assert new.state == State.QUEUED and status(world, "bee").job_id == new.job_id
    assert not world.post.sent, "nobody needs a mail about a version that they replaced"
    for name in list(world.renderer.jobs):
        attempt_ended(world.ports, name)
    world.render(world.dispatch()[-1])
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: bee is ready"]


def test_a_rejected_version_replaces_no_other(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: good\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: [")
    assert [job.state for job in jobs(world)] == [State.QUEUED, State.REJECTED]
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: better\n")
    states = [State.CANCELED, State.REJECTED, State.QUEUED]
    assert [job.state for job in jobs(world)] == states


def test_a_newer_spec_with_the_same_path_replaces_the_older_one(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.json", '{"prompt": "y"}')
    assert [job.state for job in jobs(world)] == [State.CANCELED, State.QUEUED]


def test_an_older_drop_that_is_found_late_is_canceled(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n", event=False)
    world.clock.move(seconds=5)
    world.drop("jobs/bee.json", '{"prompt": "y"}')
    world.clock.move(minutes=5)
    sweep(world.ports)
    by_key = {job.source.key: job.state for job in jobs(world)}
    assert by_key == {"jobs/bee.json": State.QUEUED, "jobs/bee.yaml": State.CANCELED}


@pytest.mark.parametrize("newer", ["prompt: x\nstep: 3\n", "prompt: x\ndry_run: true\n"])
def test_a_waiting_job_is_made_if_a_newer_version_was_not_accepted(
    world: World, newer: str
) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nimage: s.png\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", newer)
    world.drop("jobs/s.png", PNG)
    assert State.QUEUED in [job.state for job in jobs(world)]
    assert len(world.dispatch()) == 1


@pytest.mark.parametrize("picture", [None, b"hello"])
def test_a_version_that_is_rejected_for_its_image_replaces_no_other(
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


def test_a_waiting_job_is_canceled_when_a_newer_version_is_accepted(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nimage: s.png\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: y\n")
    world.drop("jobs/s.png", PNG)
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


def test_an_older_drop_is_made_if_the_newer_one_was_deleted(world: World) -> None:
    world.drop("jobs/a.json", '{"prompt": "x"}', event=False)
    world.clock.move(seconds=5)
    world.drop("jobs/a.yaml", "prompt: y\n")
    world.delete("jobs/a.yaml")
    world.clock.move(minutes=5)
    sweep(world.ports)
    by_key = {job.source.key: job.state for job in jobs(world)}
    assert by_key == {"jobs/a.json": State.QUEUED, "jobs/a.yaml": State.CANCELED}


class Killed(BaseException):
    """A handler is killed."""


def killed_before_it_cancels(world: World, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Drop a version. Its handler is killed after it commits the job, before it cancels others."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(cancel, "superseded", die)
        world.drop(key, "prompt: two\n")


def test_the_third_version_cancels_the_first_if_the_handler_of_the_second_was_killed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/x.yaml", "prompt: one\n")
    (first,) = world.dispatch()
    world.clock.move(seconds=2)
    killed_before_it_cancels(world, monkeypatch, "jobs/x.yaml")
    world.clock.move(seconds=10)
    world.drop("jobs/x.yaml", "prompt: three\n")
    assert [job.state for job in jobs(world)].count(State.CANCELED) == 2
    assert first not in world.running()
    attempt_ended(world.ports, first)
    world.render(world.dispatch()[0])
    assert len(world.post.sent) == 1


def test_the_sweep_cancels_an_older_version_if_the_handler_of_the_newer_was_killed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/x.yaml", "prompt: one\n")
    world.dispatch()
    world.clock.move(seconds=2)
    killed_before_it_cancels(world, monkeypatch, "jobs/x.yaml")
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert sorted(job.state for job in jobs(world)) == [State.CANCELED, State.QUEUED]


def test_of_two_versions_within_a_second_the_current_one_wins(world: World) -> None:
    answer = world.language_model.converse

    def slowly(system: str, user: str, max_tokens: int, image: bytes | None = None) -> Answer:
        """Drop the second version while the first one is being enhanced."""
        if len(world.files.objects[("input", "jobs/x.yaml")]) == 1:
            world.drop("jobs/x.yaml", "prompt: two\n")
        return answer(system, user, max_tokens, image)

    world.language_model.converse = slowly  # type: ignore[method-assign]
    world.drop("jobs/x.yaml", "prompt: one\n")
    kept = {task.enhancement.original: task.state for task in tasks(world)}
    assert kept == {"one": State.CANCELED, "two": State.QUEUED}
