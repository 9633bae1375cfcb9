"""Starting processing jobs: all that is compatible goes into one, and capacity means waiting."""

import pytest

from functions.dispatch import TAKE_OVER_AFTER, dispatch
from functions.job import Attempt, Capacity, State
from functions.ports import OPEN_ATTEMPTS, QUEUE, QueueEntry, capacity_key
from functions.sweep import sweep
from tests.fakes import World
from tests.fakes import PNG
from tests.functions.test_submit import jobs, status, tasks


def leases(world: World) -> tuple[str, ...]:
    record = world.ledger.get(capacity_key("ml.g6e.xlarge"))
    return record.document.leases if record else Capacity().leases


def test_a_drop_on_an_idle_system_starts_at_once(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    assert task.state == State.RUNNING and task.attempts == 1 and task.attempt_id == attempt
    assert [t.task_id for t in world.manifest(attempt).tasks] == [task.task_id]
    assert status(world, "bee").state == State.RUNNING
    assert leases(world) == (attempt,)


def test_what_queues_while_one_runs_goes_into_one_job_when_it_ends(world: World) -> None:
    world.drop("jobs/1.yaml")
    (first,) = world.dispatch()
    for number in range(2, 6):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{number}.yaml")
    assert world.dispatch() == [first], "no second lease"
    assert status(world, "3").message == "In the queue behind 1 video."
    world.render(first)
    (second,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(second).tasks] == ["2", "3", "4", "5"]
    assert not world.ledger.query(QUEUE, QueueEntry)


def test_a_job_takes_no_more_than_it_may_and_more_jobs_run_when_they_may(world: World) -> None:
    world.set(max_tasks_per_job=2, max_processing_jobs=2)
    for number in range(5):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{number}.yaml")
    first, second = world.dispatch()
    assert [len(world.manifest(a).tasks) for a in (first, second)] == [2, 2]
    assert len(world.ledger.query(QUEUE, QueueEntry)) == 1


def test_only_the_same_model_and_mode_share_a_job(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/1.yaml", "prompt: a\n")
    world.drop("jobs/2.yaml", "image: bee.png\n")
    world.drop("jobs/3.yaml", "prompt: c\nmodel: cogvideox-2b\n")
    world.drop("jobs/4.yaml", "prompt: d\n")
    world.set(max_processing_jobs=9)
    manifests = [world.manifest(attempt) for attempt in world.dispatch()]
    assert sorted((m.model, str(m.mode), len(m.tasks)) for m in manifests) == [
        ("cogvideox-2b", "text-to-video", 1),
        ("demo", "image-to-video", 1),
        ("demo", "text-to-video", 2),
    ]
    i2v = next(m for m in manifests if m.mode == "image-to-video")
    image = f"attempts/{i2v.attempt_id}/input/references/{i2v.tasks[0].image}"
    kept = next(task.reference for task in tasks(world) if task.reference)
    assert world.files.read("work", image) == world.files.read("work", kept)


def test_priority_then_age(world: World) -> None:
    world.drop("jobs/0.yaml")
    (first,) = world.dispatch()
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "high")):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{name}.yaml", f"prompt: x\npriority: {priority}\n")
    world.render(first)
    (second,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(second).tasks] == ["c", "d", "b", "a"]


def test_no_quota_is_waiting_and_spends_nothing(world: World) -> None:
    world.renderer.quota = 0
    world.drop("jobs/bee.yaml")
    for _ in range(20):
        world.dispatch()
        world.clock.move(minutes=5)
        sweep(world.ports)
    (task,), (job,) = tasks(world), jobs(world)
    assert task.state == job.state == State.QUEUED and task.attempts == 0
    assert "quota for ml.g6e.xlarge" in status(world, "bee").message
    assert leases(world) == () and not world.ledger.query(OPEN_ATTEMPTS, Attempt)
    assert world.wakes > 20, "the sweeper keeps asking"
    world.renderer.quota = 1
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert jobs(world)[0].state == State.SUCCEEDED


def test_a_refused_job_fails_by_name_and_keeps_nobody_else_from_starting(world: World) -> None:
    world.renderer.refuses.add("s3://work/models/cogvideox-2b/")
    world.drop("jobs/a.yaml", "prompt: x\nmodel: cogvideox-2b\npriority: high\n")
    world.drop("jobs/b.yaml", "prompt: x\n")
    (attempt,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(attempt).tasks] == ["b"]
    problem = next(task.problem for task in tasks(world) if task.task_id.startswith("a"))
    assert problem and problem.code == "start-refused"
    assert "No S3 objects found" in status(world, "a").message
    assert "No S3 objects found" in world.post.sent[0].body
    assert leases(world) == (attempt,)


def test_a_kept_reference_that_is_gone_fails_by_name(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "image: bee.png\n")
    image = tasks(world)[0].reference
    assert image is not None
    world.files.remove("work", image)
    assert world.dispatch() == []
    assert jobs(world)[0].state == State.FAILED and leases(world) == ()


def test_a_create_call_whose_acknowledgement_is_lost_is_adopted(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.renderer.lose_next_acknowledgement = True
    with pytest.raises(ConnectionError):
        dispatch(world.ports)
    (attempt,) = world.dispatch()
    (open_attempt,) = world.ledger.query(OPEN_ATTEMPTS, Attempt)
    assert open_attempt.document.state == "starting", "too young to be taken over"
    world.clock.move(seconds=TAKE_OVER_AFTER.total_seconds() + 1)
    assert world.dispatch() == [attempt], "no second processing job"
    (open_attempt,) = world.ledger.query(OPEN_ATTEMPTS, Attempt)
    assert open_attempt.document.state == "started"
    assert tasks(world)[0].attempts == 1


def test_every_step_may_be_the_last_of_a_dispatch(world: World) -> None:
    """Kill a dispatch before and after each commit and each call; the next ones mend it."""

    class Killed(BaseException):
        pass

    def run(kill_at: int) -> bool:
        """Whether the kill happened."""
        fresh = World()
        fresh.drop("jobs/1.yaml")
        fresh.drop("jobs/2.yaml")
        count = 0

        def guarded(call):  # type: ignore[no-untyped-def]
            def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
                nonlocal count
                count += 1
                if count == kill_at:
                    raise Killed
                answer = call(*args, **kwargs)
                count += 1
                if count == kill_at:
                    raise Killed
                return answer

            return wrapped

        originals = (fresh.ledger.commit, fresh.files.write, fresh.renderer.start)
        fresh.ledger.commit = guarded(fresh.ledger.commit)  # type: ignore[method-assign]
        fresh.files.write = guarded(fresh.files.write)  # type: ignore[method-assign]
        fresh.renderer.start = guarded(fresh.renderer.start)  # type: ignore[method-assign]
        killed = False
        try:
            dispatch(fresh.ports)
        except Killed:
            killed = True
        fresh.ledger.commit, fresh.files.write, fresh.renderer.start = originals  # type: ignore[method-assign]
        for _ in range(6):
            fresh.clock.move(minutes=5)
            sweep(fresh.ports)
            for attempt in fresh.dispatch():
                fresh.render(attempt)
        assert [job.state for job in jobs(fresh)] == [State.SUCCEEDED] * 2, kill_at
        assert [task.attempts for task in tasks(fresh)] == [1, 1], kill_at
        assert len(fresh.post.sent) == 2, kill_at
        assert leases(fresh) == () and not fresh.ledger.query(OPEN_ATTEMPTS, Attempt)
        return killed

    points = 1
    while run(points):
        points += 1
    assert points > 15, "the kills went through the whole dispatch"
