"""Starting processing jobs: compatible tasks share one, and tasks wait if there is no capacity."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import pytest

from functions import s3_keys
from functions.log import Event
from functions.ports import Throttled
from functions.stages.dispatch import dispatch
from functions.stages.finish import attempt_ended, file_written
from functions.stages.renderer import NoQuota, ProcessingJob, StartDenied, StartThrottled
from functions.stages.sweep import sweep
from functions.table import day_limits
from functions.table.attempts import TAKE_OVER_AFTER
from functions.table.ledger import (
    CAPACITY,
    OPEN_ATTEMPTS,
    QUEUE,
    Change,
    D,
    Put,
    Record,
    RecordKey,
    Remove,
    attempt_key,
    queue_key,
    task_key,
)
from functions.table.records import Attempt, QueueEntry, State, Task
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

P = ParamSpec("P")
T = TypeVar("T")


def leases(world: World) -> tuple[str, ...]:
    record = world.ledger.get(CAPACITY)
    return tuple(lease.attempt_id for lease in record.document.leases) if record else ()


def test_a_drop_on_an_idle_system_starts_at_once(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    assert task.state == State.RUNNING and task.attempts == 1 and task.attempt_id == attempt
    assert [t.task_id for t in world.manifest(attempt).tasks] == [task.task_id]
    assert status(world, "bee").state == State.RUNNING
    assert leases(world) == (attempt,)


def test_tasks_that_queue_during_an_attempt_share_the_next_one(world: World) -> None:
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


def test_the_limits_of_tasks_and_processing_jobs_are_kept(world: World) -> None:
    world.set(max_tasks_per_job=2, max_processing_jobs=2)
    for number in range(5):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{number}.yaml")
    first, second = world.dispatch()
    assert [len(world.manifest(a).tasks) for a in (first, second)] == [2, 2]
    assert len(world.ledger.query(QUEUE, QueueEntry)) == 1


def test_only_tasks_of_one_model_folder_share_a_processing_job(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/1.yaml", "prompt: a\n")
    world.drop("jobs/2.yaml", "image: bee.png\n")
    world.drop("jobs/3.yaml", "prompt: c\nmodel: cogvideox-2b\n")
    world.drop("jobs/4.yaml", "prompt: d\n")
    # Wan has one folder for both modes.
    world.drop("jobs/5.yaml", "prompt: e\nmodel: wan2.2-5b\n")
    world.drop("jobs/6.yaml", "image: bee.png\nmodel: wan2.2-5b\n")
    world.set(max_processing_jobs=9)
    manifests = [world.manifest(attempt) for attempt in world.dispatch()]
    assert sorted(
        (m.model, *(str(task.parameters.mode) for task in m.tasks)) for m in manifests
    ) == [
        ("cogvideox-2b", "text-to-video"),
        ("demo", "image-to-video"),
        ("demo", "text-to-video", "text-to-video"),
        ("wan2.2-5b", "text-to-video", "image-to-video"),
    ]
    kept = next(task.references[0].key for task in tasks(world) if task.references)
    images = [(m.attempt_id, task.image) for m in manifests for task in m.tasks if task.image]
    assert len(images) == 2
    for attempt_id, image in images:
        copied = f"attempts/{attempt_id}/input/references/{image}"
        assert world.files.read("work", copied) == world.files.read("work", kept)


def test_tasks_are_rendered_by_priority_then_age(world: World) -> None:
    world.drop("jobs/0.yaml")
    (first,) = world.dispatch()
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "high")):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{name}.yaml", f"prompt: x\npriority: {priority}\n")
    world.render(first)
    (second,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(second).tasks] == ["c", "d", "b", "a"]


def test_without_quota_tasks_wait_and_use_up_no_attempt(world: World) -> None:
    world.renderer.quota = 0
    world.drop("jobs/bee.yaml")
    for _ in range(20):
        world.dispatch()
        world.clock.move(minutes=5)
        sweep(world.ports)
    (task,), (job,) = tasks(world), jobs(world)
    assert task.state == job.state == State.QUEUED and task.attempts == 0
    assert "quota does not allow" in status(world, "bee").message
    assert leases(world) == () and not world.ledger.query(OPEN_ATTEMPTS, Attempt)
    assert world.wakes > 20, "each sweep wakes dispatch again"
    world.renderer.quota = 1
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert jobs(world)[0].state == State.SUCCEEDED


@pytest.mark.parametrize(
    "message",
    [
        "The account-level service limit 'Size of EBS volume for a processing job instance' is 50 "
        "GBs, with current utilization of 0 GBs and a request delta of 100 GBs.",
        "The account-level service limit 'Total number of instances allowed across processing "
        "jobs' is 4 Instances, with current utilization of 4 Instances.",
    ],
)
def test_the_status_names_the_quota_in_the_words_of_sagemaker(world: World, message: str) -> None:
    world.renderer.quota, world.renderer.no_quota = 0, message
    world.drop("jobs/bee.yaml")
    world.dispatch()
    assert message in status(world, "bee").message


def test_a_refused_processing_job_fails_its_tasks_and_delays_no_others(world: World) -> None:
    world.renderer.refuses.add("s3://work/models/cogvideox-2b/one/")
    world.drop("jobs/a.yaml", "prompt: x\nmodel: cogvideox-2b\npriority: high\n")
    world.drop("jobs/b.yaml", "prompt: x\n")
    (attempt,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(attempt).tasks] == ["b"]
    problem = next(task.problem for task in tasks(world) if task.task_id.startswith("a"))
    assert problem and problem.code == "start-refused"
    assert "No S3 objects found" in status(world, "a").message
    assert "No S3 objects found" in world.post.sent[0].body
    assert leases(world) == (attempt,)


def test_a_task_whose_reference_is_gone_fails_alone(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    for name in ("a", "b", "c"):
        world.drop(f"jobs/{name}.yaml", "prompt: x\nimage: bee.png\nnotify: false\n")
    gone = next(task for task in tasks(world) if task.task_id.startswith("b"))
    world.files.remove("work", gone.references[0].key)
    (attempt,) = world.dispatch()
    assert [task.task_id[0] for task in world.manifest(attempt).tasks] == ["a", "c"]
    said = status(world, "b")
    assert said.state == State.FAILED and said.tasks[0].problem
    assert said.tasks[0].problem.code == "reference-gone"
    world.render(attempt)
    assert [status(world, name).state for name in ("a", "c")] == [State.SUCCEEDED] * 2


def test_a_task_whose_reference_is_gone_is_answered_after_a_kill(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/a.yaml", "image: bee.png\nnotify: false\n")
    world.drop("jobs/b.yaml", "image: bee.png\nnotify: false\n")
    world.files.remove("work", tasks(world)[0].references[0].key)
    write = world.files.write

    def killed(bucket: str, key: str, body: bytes, content_type: str, **_: str) -> None:
        if key.startswith("status/"):
            raise ConnectionError("killed")
        write(bucket, key, body, content_type)

    world.files.write = killed  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        world.dispatch()
    world.files.write = write  # type: ignore[method-assign]
    assert status(world, "a").state == State.QUEUED
    world.clock.move(seconds=TAKE_OVER_AFTER.total_seconds() + 1)
    world.dispatch()
    assert status(world, "a").state == State.FAILED


def test_an_attempt_whose_references_are_all_gone_ends(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/a.yaml", "image: bee.png\n")
    world.drop("jobs/b.yaml", "prompt: text alone\n")
    (with_image,) = (task.references[0] for task in tasks(world) if task.references)
    world.files.remove("work", with_image.key)
    (attempt,) = world.dispatch()
    assert [task.task_id[0] for task in world.manifest(attempt).tasks] == ["b"]
    assert status(world, "a").state == State.FAILED and leases(world) == (attempt,)


def test_references_that_an_earlier_handler_copied_are_not_copied_again(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    for number in range(4):
        world.drop(f"jobs/{number}.yaml", "image: bee.png\n")
    copy, copied = world.files.copy, list[str | None]()

    def two_in_one_run(source: Any, target: tuple[str, str], content_type: str, **_: str) -> None:
        if len(copied) % 2 == 0 and copied and copied[-1] is not None:
            copied.append(None)
            raise ConnectionError("killed")
        copy(source, target, content_type)
        copied.append(target[1])

    world.files.copy = two_in_one_run  # type: ignore[method-assign]
    for _ in range(3):
        with suppress(ConnectionError):
            world.dispatch()
        world.clock.move(seconds=TAKE_OVER_AFTER.total_seconds() + 1)
    keys = [key for key in copied if key is not None]
    assert len(keys) == len(set(keys)) == 4
    assert len(world.manifest(world.running()[0]).tasks) == 4


def test_the_tasks_of_a_job_share_the_copy_of_a_reference(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "image: bee.png\nvariations: 3\n")
    (attempt,) = world.dispatch()
    prefix = s3_keys.attempt_references(attempt)
    (copy,) = (key for key in world.files.keys("work") if key.startswith(prefix))
    images = {task.image for task in world.manifest(attempt).tasks}
    assert images == {copy.removeprefix(prefix)}


def test_copies_of_references_are_removed_when_their_job_ends_and_not_before(world: World) -> None:
    def copies() -> list[str]:
        return [key for bucket, key in world.files.objects if key.startswith("references/")]

    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/made.yaml", "image: bee.png\nvariations: 2\n")
    world.drop("jobs/canceled.yaml", "image: bee.png\n")
    world.drop("jobs/planned.yaml", "image: bee.png\ndry_run: true\n")
    assert len(copies()) == 2, "nothing is rendered for a dry run"
    world.delete("jobs/canceled.yaml")
    assert len(copies()) == 1
    world.clock.move(days=40)
    (attempt,) = world.dispatch()
    world.write_result(attempt, world.manifest(attempt).tasks[0])
    file_written(
        world.ports, s3_keys.task_result(attempt, world.manifest(attempt).tasks[0].task_id)
    )
    assert len(copies()) == 1, "the other task may have to be tried again"
    world.render(attempt)
    assert copies() == []


def test_a_processing_job_is_adopted_if_the_answer_to_its_create_call_was_lost(
    world: World,
) -> None:
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


def test_a_dispatch_can_be_killed_at_every_step(world: World) -> None:
    """Kill a dispatch before and after each commit and each call. Later ones complete its work."""

    class Killed(BaseException):
        pass

    def run(kill_at: int) -> bool:
        """Whether the kill happened."""
        fresh = World()
        fresh.drop("jobs/1.yaml")
        fresh.drop("jobs/2.yaml")
        fresh.clock.move(seconds=10)
        count = 0

        def guarded(call: Callable[P, T]) -> Callable[P, T]:
            def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
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
    assert points > 15, "there must be a kill at every point of the dispatch"


def test_a_long_queue_is_read_in_parts_and_a_small_folder_has_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.table.queue._PAGE", 64)
    world.set(max_tasks_per_job=8)
    for number in range(600):
        world.clock.move(milliseconds=1)
        world.drop(f"jobs/{number % 2}/{number}.yaml", "prompt: x\nenhance: false\n")
    world.drop("jobs/small/bee.yaml")
    world.clock.move(seconds=10)
    counted = Counted(world)
    (attempt,) = world.dispatch()
    folders = [t.task_id.rpartition("-")[0][:3] for t in world.manifest(attempt).tasks]
    assert len(folders) == 8 and folders.count("bee") == 1
    assert counted.entries <= 400
    # The folder that was served last comes last, in the next attempt too.
    world.render(attempt)
    world.drop("jobs/small/bee2.yaml")
    world.drop("jobs/new/first.yaml")
    world.dispatch()
    tasks_now = [t.task_id for t in world.manifest(world.running()[0]).tasks]
    assert tasks_now[0].startswith("first-")


class Counted:
    """Counts how much of the queue is read from now on."""

    def __init__(self, world: World) -> None:
        self.calls = self.entries = 0
        query = world.ledger.query

        def counting(partition: str, kind: type[D], **arguments: Any) -> list[Record[D]]:
            found = query(partition, kind, **arguments)
            if partition == QUEUE:
                self.calls += 1
                self.entries += len(found)
            return found

        world.ledger.query = counting  # type: ignore[method-assign]


def test_a_dispatch_without_a_free_instance_does_not_read_the_queue(world: World) -> None:
    world.drop("jobs/1.yaml")
    world.dispatch()
    world.drop("jobs/2.yaml")
    counted = Counted(world)
    world.dispatch()
    assert counted.calls == 0


def test_every_folder_has_its_turn_if_there_are_more_than_one_dispatch_reads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.table.queue._PAGE", 16)
    monkeypatch.setattr("functions.table.queue._PAGES", 4)
    folders = 15
    for number in range(folders * 20):
        world.drop(f"jobs/{number % folders}/{number}.yaml", "prompt: x\nenhance: false\n")
    chance = random.Random(1)
    ports = replace(world.ports, new_suffix=lambda: f"{chance.getrandbits(32):08x}")
    seen: set[str] = set()
    world.clock.move(seconds=10)
    for _ in range(30):
        dispatch(ports)
        (attempt,) = world.running()
        seen |= {t.document.folder for t in task_records(world, attempt)}
        world.render(attempt)
    assert len(seen) == folders


def task_records(world: World, attempt_id: str) -> list[Record[Task]]:
    record = world.ledger.get(attempt_key(attempt_id))
    assert record is not None
    return [t for t in world.ledger.get_all([task_key(r) for r in record.document.tasks]) if t]


def test_many_tasks_are_claimed_with_few_commits(world: World) -> None:
    world.set(max_tasks_per_job=128)
    for number in range(100):
        world.drop(f"jobs/{number % 40}/{number}.yaml", "prompt: x\nenhance: false\n")
    world.set(max_tasks_per_folder_day=1000)
    before = world.ledger.commits
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 100
    shown = 100  # the entry of each job in the gallery
    assert world.ledger.commits - before - shown == 8, (
        "the lease, five claims, the manifest, the start"
    )


def test_a_task_that_changes_during_a_claim_does_not_delay_the_others(world: World) -> None:
    world.drop("jobs/1.yaml")
    world.drop("jobs/2.yaml")
    commit, get_all = world.ledger.commit, world.ledger.get_all

    def meanwhile(keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        found = get_all(keys)
        if keys[0].sort.startswith("TASK#"):
            world.ledger.get_all = get_all  # type: ignore[method-assign]
            record = found[0]
            assert record is not None and isinstance(record.document, Task)
            ended = record.document.model_copy(update={"state": State.CANCELED})
            commit(Put(record.key, ended, record.revision), Remove(queue_key(record.document), 1))
        return found

    world.ledger.get_all = meanwhile  # type: ignore[method-assign]
    (attempt,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(attempt).tasks] == ["2"]


def test_the_next_instance_type_is_used_if_the_first_has_no_quota(world: World) -> None:
    world.set(instance_types="ml.p5.4xlarge,ml.g6e.xlarge,ml.g5.xlarge", max_processing_jobs=2)
    world.renderer.quotas = {"ml.p5.4xlarge": 0, "ml.g6e.xlarge": 1}
    world.drop("jobs/1.yaml")
    world.drop("jobs/2.yaml", "prompt: x\nmodel: cogvideox-2b\n")
    world.dispatch()
    assert [world.renderer.jobs[a][0].instance_type for a in world.running()] == [
        "ml.g6e.xlarge",
        "ml.g5.xlarge",
    ]
    assert len(leases(world)) == 2
    # A few minutes later the preferred type is tried again.
    for attempt in world.running():
        world.render(attempt)
    world.renderer.quotas = {}
    world.clock.move(minutes=5)
    world.drop("jobs/3.yaml")
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].instance_type == "ml.p5.4xlarge"


def test_the_next_instance_type_is_used_if_the_first_has_no_instance(world: World) -> None:
    world.set(instance_types="ml.p5.4xlarge,ml.g6e.xlarge")
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.renderer.end(attempt, "Failed", "CapacityError: no instances")
    attempt_ended(world.ports, attempt)
    assert "CapacityError" in status(world, "bee").message
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].instance_type == "ml.g6e.xlarge"
    assert tasks(world)[0].attempts == 1


def test_a_task_over_the_daily_limit_waits_for_the_next_day_and_says_so(world: World) -> None:
    world.set(max_tasks_per_folder_day=2)
    for name in ("a/1", "a/2", "a/3", "b/4"):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{name}.yaml")
    world.clock.move(seconds=10)
    (attempt,) = world.dispatch()
    assert [t.task_id[0] for t in world.manifest(attempt).tasks] == ["1", "4", "2"]
    world.render(attempt)
    assert world.dispatch() == []
    assert "daily limit" in status(world, "a/3").message
    assert status(world, "a/3").state == State.QUEUED
    world.clock.move(hours=11)
    assert world.dispatch() == []
    world.clock.move(hours=1)
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert [job.state for job in jobs(world)] == [State.SUCCEEDED] * 4
    assert status(world, "a/3").message == "Ready."


def test_folder_defaults_limit_all_folders_below_and_cannot_be_raised_there(
    world: World,
) -> None:
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/a/b/_defaults.yaml", "max_videos_per_day: 5\nmax_gpu_minutes_per_day: 60\n")
    for name in ("a/1", "a/2", "a/b/3", "a/b/4", "5", "6"):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{name}.yaml")
    (attempt,) = world.dispatch()
    assert sorted(t.task_id[0] for t in world.manifest(attempt).tasks) == ["1", "3", "5", "6"]
    world.render(attempt)
    assert world.dispatch() == []
    for held in ("a/2", "a/b/4"):
        assert "daily limit" in status(world, held).message
    world.clock.move(hours=12)
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert [job.state for job in jobs(world)] == [State.SUCCEEDED] * 6


def test_a_changed_limit_applies_to_waiting_tasks(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n")
    for number in range(5):
        world.drop(f"jobs/a/b/{number}.yaml")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 1
    world.render(attempt)
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 3\n")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 2
    world.render(attempt)
    world.delete("jobs/a/_defaults.yaml")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 2


def test_a_limit_applies_before_the_event_about_it_comes(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n", event=False)
    for number in range(3):
        world.drop(f"jobs/a/{number}.yaml")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 1


def test_of_two_changes_of_a_limit_at_once_the_newer_one_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, read = "jobs/_defaults.yaml", world.files.read

    def changed_meanwhile(*arguments: Any) -> bytes:
        body = read(*arguments)
        monkeypatch.setattr(world.files, "read", read)
        world.drop(key, "max_videos_per_day: 2\n")
        return body

    monkeypatch.setattr(world.files, "read", changed_meanwhile)
    world.drop(key, "max_videos_per_day: 1\n")
    assert day_limits.limits_of(world.ports, ["a"])["a"].videos == 2


def test_wrong_defaults_leave_the_limits_as_they_were(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: many\n")
    assert day_limits.limits_of(world.ports, ["a"])["a"].videos == 1


def test_a_drop_over_the_daily_limit_is_told_so_at_once_and_has_no_forecast(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/1.yaml")
    world.dispatch()
    world.drop("jobs/2.yaml", "prompt: x\nvariations: 2\n")
    told = status(world, "2")
    assert "daily limit of this folder is used up for 2026-11-21" in told.message
    assert "as soon as the limit is higher: that of _defaults.yaml" in told.message
    assert "(max_tasks_per_folder_day, max_gpu_minutes_per_folder_day)" in told.message
    assert told.expected.ends_at is None


def test_the_status_of_a_job_that_continues_tomorrow_does_not_say_rendering(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/many.yaml", "prompt: x\nvariations: 2\n")
    (attempt,) = world.dispatch()
    world.render(attempt)
    world.dispatch()
    told = status(world, "many").message
    assert told.startswith("1 of 2 videos done, the rest in the queue: the daily limit")


def test_a_handler_whose_clock_is_behind_does_not_restart_the_day(world: World) -> None:
    world.set(max_processing_jobs=3, max_tasks_per_job=1)
    world.drop("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n")
    for number in range(4):
        world.drop(f"jobs/a/{number}.yaml")
    for day, hour, minute, second in ((22, 0, 0, 1), (21, 23, 59, 59), (22, 0, 0, 2)):
        world.clock.at = datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)
        assert len(world.dispatch()) == 1, "only the first one runs"


def test_a_video_that_is_tried_again_is_counted_once(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/1.yaml")
    (attempt,) = world.dispatch()
    world.renderer.end(attempt, "Failed", "the machine went away")
    attempt_ended(world.ports, attempt)
    (again,) = world.dispatch()
    world.render(again)
    assert jobs(world)[0].state == State.SUCCEEDED


def test_a_task_that_could_not_start_does_not_count_in_its_day(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.renderer.refuses = {f"s3://work/{s3_keys.model_release('demo', 'one')}"}
    world.drop("jobs/1.yaml")
    world.dispatch()
    assert jobs(world)[0].state == State.FAILED
    world.renderer.refuses = set()
    world.clock.move(seconds=2)
    world.drop("jobs/1.yaml")
    assert len(world.dispatch()) == 1


def test_a_task_that_was_replaced_before_it_started_does_not_count_in_its_day(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    world.drop("jobs/1.yaml", "prompt: one\n")
    start = world.renderer.start

    def refusing(job: ProcessingJob) -> None:
        world.clock.move(seconds=2)
        world.drop("jobs/1.yaml", "prompt: two\n")
        raise NoQuota("quota")

    world.renderer.start = refusing  # type: ignore[method-assign]
    world.dispatch()
    world.renderer.start = start  # type: ignore[method-assign]
    world.clock.move(minutes=5)
    assert len(world.dispatch()) == 1


def test_a_video_that_alone_exceeds_the_daily_minutes_is_rendered(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "max_gpu_minutes_per_day: 1\n")
    for name in ("1", "2"):
        world.drop(f"jobs/{name}.yaml", "prompt: x\nmodel: cogvideox-5b\n")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 1, "one task takes 200 s"


def test_gpu_minutes_for_each_day_are_limited(world: World) -> None:
    world.set(max_gpu_minutes_per_folder_day=8)
    for name in ("1", "2", "3"):
        world.drop(f"jobs/{name}.yaml", "prompt: x\nmodel: cogvideox-5b\n")
    (attempt,) = world.dispatch()
    assert len(world.manifest(attempt).tasks) == 2, "each task takes 200 s"


def test_an_attempt_without_capacity_does_not_count_in_its_day(world: World) -> None:
    world.set(max_tasks_per_folder_day=1)
    world.renderer.quota = 0
    world.drop("jobs/bee.yaml")
    for _ in range(3):
        assert world.dispatch() == []
        assert "quota" in status(world, "bee").message
        world.clock.move(minutes=5)
    world.renderer.quota = 1
    (attempt,) = world.dispatch()
    world.render(attempt)
    world.drop("jobs/other.yaml")
    assert world.dispatch() == []


def test_two_dispatches_at_once_keep_the_daily_limit(world: World) -> None:
    """The second dispatch plans when the first has its lease and has not claimed a task yet."""
    world.set(max_tasks_per_folder_day=1, max_processing_jobs=2)
    world.drop("jobs/1.yaml")
    world.drop("jobs/2.yaml", "prompt: x\nmodel: cogvideox-2b\npriority: low\n")
    world.clock.move(minutes=5)
    commit = world.ledger.commit
    leased: list[tuple[Change, ...]] = []

    def then_another(*changes: Change) -> None:
        commit(*changes)
        if changes[0].key == CAPACITY and not leased:
            leased.append(changes)
            # Only one task may start, and the second plan chooses this one for its high priority.
            world.drop("jobs/3.yaml", "prompt: x\nmodel: cogvideox-2b\npriority: high\n")
            assert len(world.dispatch()) == 1

    world.ledger.commit = then_another  # type: ignore[method-assign]
    world.dispatch()
    assert sum(task.state == State.RUNNING for task in tasks(world)) == 1
    assert len(leases(world)) == 1


def test_tasks_wait_and_say_why_if_their_start_is_denied(world: World) -> None:
    def denying(job: ProcessingJob) -> None:
        raise StartDenied("AccessDeniedException: not authorized to perform iam:PassRole")

    start = world.renderer.start
    world.renderer.start = denying  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml")
    assert world.dispatch() == []
    assert world.ledger.query(OPEN_ATTEMPTS, Attempt) == []
    assert jobs(world)[0].state == State.QUEUED and tasks(world)[0].attempts == 0
    assert "iam:PassRole" in status(world, "bee").message
    assert "start-denied" in [event for event, _ in world.logged]
    world.renderer.start = start  # type: ignore[method-assign]
    world.clock.move(minutes=5)
    assert len(world.dispatch()) == 1


def test_a_throttled_start_gives_its_lease_back(world: World) -> None:
    def throttling(job: ProcessingJob) -> None:
        raise StartThrottled("ThrottlingException: Rate exceeded")

    world.renderer.start = throttling  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml")
    world.dispatch()
    assert world.ledger.query(OPEN_ATTEMPTS, Attempt) == []
    assert "too many requests" in status(world, "bee").message


@pytest.mark.parametrize("call", ["files.write", "renderer.status"])
def test_a_processing_job_that_may_run_keeps_its_tasks_if_another_call_is_throttled(
    world: World, call: str
) -> None:
    """The answer to the create call was lost. Only a throttled create call proves that it had no
    effect. Another throttled call says nothing about the processing job."""
    world.renderer.lose_next_acknowledgement = True
    world.drop("jobs/bee.yaml")
    with pytest.raises(ConnectionError):
        world.dispatch()
    (attempt,) = world.running()
    world.clock.move(minutes=3)
    ports = world.ports
    port = getattr(ports, call.partition(".")[0])

    def throttled(*_args: object) -> None:
        raise Throttled("ThrottlingException: Rate exceeded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(port, call.partition(".")[2], throttled)
        with pytest.raises(Throttled):
            dispatch(ports)
    assert tasks(world)[0].attempt_id == attempt
    world.clock.move(minutes=3)
    assert world.dispatch() == [attempt]


def test_forty_refused_processing_jobs_do_not_delay_another_model(world: World) -> None:
    world.set(max_tasks_per_job=1)
    world.renderer.refuses = {"s3://work/models/cogvideox-2b/one/"}
    for number in range(40):
        world.drop(f"jobs/{number}.yaml", "prompt: a bee\nmodel: cogvideox-2b\n")
    world.clock.move(seconds=1)
    world.drop("jobs/other.yaml")
    refused = [job for job in jobs(world) if job.path != "other"]
    for _ in range(40):
        world.clock.move(seconds=1)
        world.dispatch()
    assert {job.state for job in jobs(world) if job.path != "other"} == {State.FAILED}
    assert len(refused) == 40 and len(world.running()) == 1


def test_a_refused_attempt_gives_its_lease_back_before_mails_are_sent(world: World) -> None:
    world.renderer.refuses = {"s3://work/models/cogvideox-2b/one/"}
    world.drop("jobs/bad.yaml", "prompt: a bee\nmodel: cogvideox-2b\n")
    world.post.broken = True
    with pytest.raises(ConnectionError):
        world.dispatch()
    capacity = world.ledger.get(CAPACITY)
    assert capacity is not None and capacity.document.leases == ()
    world.drop("jobs/good.yaml")
    assert len(world.dispatch()) == 1
    world.post.broken = False
    world.clock.move(minutes=10)
    world.dispatch()
    assert "bad failed" in " ".join(sent.subject for sent in world.post.sent)


def test_a_task_waits_for_weights_that_were_not_imported(world: World) -> None:
    world.files.remove("work", s3_keys.model_ready("cogvideox-2b"))
    world.drop("jobs/big.yaml", "prompt: a bee\nmodel: cogvideox-2b\n")
    world.drop("jobs/small.yaml")
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].model_uri == "s3://work/models/demo/one/"
    world.render(attempt)
    assert world.dispatch() == []
    waiting = status(world, "big")
    assert waiting.state == State.QUEUED
    assert "`reeldrop import-model cogvideox-2b`" in waiting.message
    world.weights_of("cogvideox-2b", "new")
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].model_uri == "s3://work/models/cogvideox-2b/new/"


def test_ready_that_nobody_can_read_is_not_ready(world: World) -> None:
    world.files.write("work", s3_keys.model_ready("demo"), b"", "application/json")
    world.drop("jobs/small.yaml")
    assert world.dispatch() == []
    assert "import-model demo" in status(world, "small").message


def test_newer_weights_do_not_change_an_attempt_that_was_begun(world: World) -> None:
    world.drop("jobs/a.yaml")
    world.renderer.lose_next_acknowledgement = True
    with pytest.raises(ConnectionError):
        world.dispatch()
    world.import_weights("two")
    world.clock.move(minutes=3)
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].model_uri == "s3://work/models/demo/one/"
    world.render(attempt)
    world.drop("jobs/b.yaml")
    (attempt,) = world.dispatch()
    assert world.renderer.jobs[attempt][0].model_uri == "s3://work/models/demo/two/"


def interpolation_of(world: World, attempt: str) -> str | None:
    return world.renderer.jobs[attempt][0].interpolation_uri


def test_rife_goes_to_attempts_that_interpolate_if_it_was_imported(world: World) -> None:
    world.drop("jobs/smooth.yaml", "prompt: a bee\nfps: 24\n")
    (without,) = world.dispatch()
    assert interpolation_of(world, without) is None
    assert Event.NO_WEIGHTS not in {event for event, _ in world.logged}
    world.render(without)

    world.weights_of("rife", "one")
    world.drop("jobs/plain.yaml", "prompt: a bee\n")
    world.drop("jobs/fewer.yaml", "prompt: a bee\nfps: 4\n")
    (plain,) = world.dispatch()
    assert interpolation_of(world, plain) is None
    world.render(plain)
    world.drop("jobs/plain.yaml", "prompt: a bee\n")
    world.drop("jobs/slow.yaml", "prompt: a bee\nslow_motion: 2\n")
    (slow,) = world.dispatch()
    assert len(world.manifest(slow).tasks) == 2
    assert interpolation_of(world, slow) == "s3://work/models/rife/one/"


def test_a_newer_rife_does_not_change_an_attempt_that_was_begun(world: World) -> None:
    world.weights_of("rife", "one")
    world.drop("jobs/smooth.yaml", "prompt: a bee\nfps: 24\n")
    start, asked = world.renderer.start, []

    def refused_once(job: ProcessingJob) -> None:
        asked.append(job.interpolation_uri)
        if len(asked) == 1:
            raise ConnectionError
        start(job)

    world.renderer.start = refused_once  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        world.dispatch()
    world.weights_of("rife", "two")
    world.clock.move(minutes=3)
    (attempt,) = world.dispatch()
    assert asked == ["s3://work/models/rife/one/"] * 2
    assert interpolation_of(world, attempt) == asked[0]


def test_the_log_says_which_processing_job_renders_a_task(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\nvariations: 2\n")
    (attempt,) = world.dispatch()
    (job,) = jobs(world)
    (started,) = (facts for event, facts in world.logged if event == Event.STARTED)
    assert started["attempt_id"] == attempt
    assert started["task_ids"] == [f"{job.job_id}-01", f"{job.job_id}-02"]
