"""Publishing results: once, complete, with the sidecar last, and a mail that is not lost."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from contract.errors import Transient, one_line
from contract.outcome import GIF_FILE, H265_FILE, WEBM_FILE
from functions import s3_keys
from functions.replies.outbox import LETTER_CLAIM
from functions.replies.post import MaybeSent
from functions.replies.sidecar import Sidecar
from functions.stages.finish import attempt_ended, file_written
from functions.stages.sweep import sweep
from functions.table.ledger import OPEN_ATTEMPTS, OUTBOX
from functions.table.records import Attempt, Letter, State
from tests.fakes import World
from tests.functions.resolved_specs import read
from tests.functions.stored import jobs, status, tasks


@pytest.fixture
def attempt(world: World) -> str:
    """The id of a running processing job with one task."""
    world.drop("jobs/a/bee.yaml", "prompt: a bee\ntags: [spring]\n")
    return world.dispatch()[0]


def result_key(world: World, attempt: str) -> str:
    return s3_keys.task_result(attempt, tasks(world)[0].task_id)


def test_a_finished_task_is_published_while_its_job_still_runs(world: World, attempt: str) -> None:
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    file_written(world.ports, result_key(world, attempt))
    assert world.running() == [attempt]
    assert world.files.keys("output") == [
        "status/a/bee.json", "videos/a/bee.jpg", "videos/a/bee.json", "videos/a/bee.mp4",
    ]  # fmt: skip
    assert world.files.read("output", "videos/a/bee.mp4") == b"mp4"
    final = status(world, "a/bee")
    assert final.state == State.SUCCEEDED and final.tasks[0].percent == 100
    assert final.tasks[0].video == "videos/a/bee.mp4"
    assert final.warnings[-1].message == "It is a fake."
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: a/bee is ready"
    assert "aws s3 cp s3://output/videos/a/bee.mp4 ." in mail.body
    assert "Link (until 2026-11-21 13:00 UTC at the latest): " in mail.body
    assert mail.attributes == {
        "status": "succeeded", "job_id": jobs(world)[0].job_id, "path": "a/bee",
        "tags": ("spring",),
    }  # fmt: skip


def test_the_sidecar_can_be_dropped_again_for_the_same_video(world: World, attempt: str) -> None:
    world.render(attempt)
    body = world.files.read("output", "videos/a/bee.json")
    sidecar = Sidecar.from_json(body)
    assert json.loads(body)["status"] == "succeeded"
    again = json.loads(world.files.read("output", "videos/a/bee.json"))["spec"]
    assert read(json.dumps(again), "jobs/again.json") == sidecar.spec == tasks(world)[0].spec
    assert not sidecar.spec.enhance, "the enhanced prompt must not be enhanced again"


def test_a_result_with_many_events_is_published_once(world: World, attempt: str) -> None:
    world.render(attempt)
    sweep(world.ports)
    commits = world.ledger.commits
    for _ in range(3):
        file_written(world.ports, result_key(world, attempt))
        attempt_ended(world.ports, attempt)
        sweep(world.ports)
    notes_of_sweeps = 3  # each notes how far it has looked through the input bucket
    assert len(world.post.sent) == 1 and world.ledger.commits == commits + notes_of_sweeps


@pytest.mark.parametrize("call", ["read", "sha256", "copy", "write"])
def test_two_handlers_at_the_same_time_publish_a_video_once(
    world: World, attempt: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event of a result, and in the middle of it the event of the end."""
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    world.renderer.end(attempt, "Completed")
    original = getattr(world.files, call)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(world.files, call, original)
        attempt_ended(world.ports, attempt)
        return original(*args, **kwargs)

    monkeypatch.setattr(world.files, call, interrupted)
    file_written(world.ports, result_key(world, attempt))
    assert tasks(world)[0].state == State.SUCCEEDED and len(world.post.sent) == 1
    for name in ("bee.mp4", "bee.jpg", "bee.json"):
        assert len(world.files.objects[("output", f"videos/a/{name}")]) == 1, name


def test_the_result_of_an_attempt_that_lost_its_task_is_not_published(world: World) -> None:
    """A new attempt renders the task when the result of the earlier one arrives."""
    world.drop("jobs/bee.yaml")
    (old,) = world.dispatch()
    world.write_result(old, world.manifest(old).tasks[0])
    (task,) = world.manifest(old).tasks
    key = s3_keys.task_result(old, task.task_id)
    result = world.files.objects.pop(("work", key))
    world.renderer.end(old, "Failed", "the machine went away")
    attempt_ended(world.ports, old)
    (new,) = world.dispatch()
    world.files.objects[("work", key)] = result
    file_written(world.ports, key)
    assert tasks(world)[0].owned_by(new)
    assert not [key for key in world.files.keys("output") if key.startswith("videos/")]
    world.render(new)
    sidecar = Sidecar.from_json(world.files.read("output", "videos/bee.json"))
    assert sidecar.attempt_id == new


def test_a_result_that_arrives_before_its_video_is_tried_again(world: World, attempt: str) -> None:
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    key = s3_keys.task_file(attempt, task.task_id, "video.mp4")
    video = world.files.objects.pop(("work", key))
    with pytest.raises(Transient):
        file_written(world.ports, result_key(world, attempt))
    assert tasks(world)[0].state == State.RUNNING
    world.files.objects[("work", key)] = video
    file_written(world.ports, result_key(world, attempt))
    assert tasks(world)[0].state == State.SUCCEEDED


def test_a_damaged_video_is_not_published_and_fails_with_its_own_code(
    world: World, attempt: str
) -> None:
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    world.files.write(
        "work", s3_keys.task_file(attempt, task.task_id, "video.mp4"), b"mp", "video/mp4"
    )
    file_written(world.ports, result_key(world, attempt))
    (done,) = tasks(world)
    assert done.state == State.FAILED and done.problem and done.problem.code == "video-damaged"
    assert "videos/a/bee.mp4" not in world.files.keys("output")
    assert world.post.sent[0].subject == "reeldrop: a/bee failed"


def test_a_completed_job_without_its_video_fails_with_its_own_code(
    world: World, attempt: str
) -> None:
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    del world.files.objects[("work", s3_keys.task_file(attempt, task.task_id, "video.mp4"))]
    world.renderer.end(attempt, "Completed")
    attempt_ended(world.ports, attempt)
    problem = tasks(world)[0].problem
    assert problem and problem.code == "video-damaged"


def test_an_unreadable_result_fails_with_its_own_code(world: World, attempt: str) -> None:
    world.files.write("work", result_key(world, attempt), b"{", "application/json")
    file_written(world.ports, result_key(world, attempt))
    problem = tasks(world)[0].problem
    assert problem and problem.code == "result-invalid"


def test_a_failed_task_does_not_fail_the_others(world: World) -> None:
    for name in ("one", "two"):
        world.drop(f"jobs/{name}.yaml")
    (attempt,) = world.dispatch()
    bad = world.manifest(attempt).tasks[0].task_id
    world.render(attempt, failing=bad)
    states = {task.task_id: task.state for task in tasks(world)}
    assert states.pop(bad) == State.FAILED
    assert list(states.values()) == [State.SUCCEEDED]
    assert len(world.post.sent) == 2


def test_a_new_attempt_makes_what_a_dead_worker_left(world: World) -> None:
    for name in ("one", "two"):
        world.drop(f"jobs/{name}.yaml")
    (first,) = world.dispatch()
    done, lost = world.manifest(first).tasks
    world.write_result(first, done)
    world.renderer.end(first, "Failed", "the machine went away")
    attempt_ended(world.ports, first)
    assert {t.task_id: t.state for t in tasks(world)} == {
        done.task_id: State.SUCCEEDED,
        lost.task_id: State.QUEUED,
    }
    (second,) = world.dispatch()
    assert second != first
    assert [t.task_id for t in world.manifest(second).tasks] == [lost.task_id]
    # A late result of the first attempt is stale.
    world.write_result(first, lost)
    file_written(world.ports, s3_keys.task_result(first, lost.task_id))
    assert world.running() == [second]
    world.render(second)
    assert all(job.state == State.SUCCEEDED for job in jobs(world))
    assert len(world.post.sent) == 2


def test_a_task_fails_after_its_last_attempt_and_the_mail_says_why(
    world: World, attempt: str
) -> None:
    for number in (1, 2):
        running = world.running()[0]
        world.write_progress(running, world.manifest(running).tasks[0], 50)
        world.renderer.end(running, "Failed", "the machine went away")
        attempt_ended(world.ports, running)
        if number == 1:
            world.dispatch()
    (task,) = tasks(world)
    assert task.state == State.FAILED and task.attempts == 2
    assert task.problem and task.problem.code == "worker-stopped"
    body = world.post.sent[0].body
    assert "the machine went away" in body
    assert "s3/object/output?region=us-east-1&prefix=failed/a/bee.txt\n" in body
    assert "s3/buckets/input?region=us-east-1&prefix=jobs/a/\n" in body


def test_only_the_task_that_was_being_rendered_is_charged_for_an_attempt(world: World) -> None:
    """A processing job that stops early must not use up the attempts of its later tasks."""
    for number in range(4):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{number}.yaml")
    for _ in range(4):
        for attempt in world.dispatch():
            first, *_rest = world.manifest(attempt).tasks
            world.write_result(attempt, first)
            world.renderer.end(attempt, "Stopped", "MaxRuntimeExceeded")
            attempt_ended(world.ports, attempt)
    assert [job.state for job in jobs(world)] == [State.SUCCEEDED] * 4


def test_a_task_that_kills_the_worker_takes_no_neighbour_with_it(world: World) -> None:
    """The files of the good task are still being written when the other one kills the worker."""
    for name in ("a-good", "b-kills"):
        world.clock.move(seconds=1)
        world.drop(f"jobs/{name}.yaml")
    killer = tasks(world)[1].task_id
    for _ in range(4):
        for attempt in world.dispatch():
            unwritten = None
            for task in world.manifest(attempt).tasks:
                if unwritten and (task.interrupted or unwritten.interrupted):
                    world.write_result(attempt, unwritten)
                world.write_progress(attempt, task, 10)
                if task.task_id == killer:
                    break
                unwritten = task
            world.renderer.end(attempt, "Failed", "exit code: 137")
            attempt_ended(world.ports, attempt)
    good, kills = tasks(world)
    assert kills.task_id == killer
    assert (good.state, kills.state) == (State.SUCCEEDED, State.FAILED)


def test_a_lack_of_instances_uses_up_no_attempt(world: World, attempt: str) -> None:
    for _ in range(5):
        (running,) = world.running()
        world.renderer.end(running, "Failed", "CapacityError: no instances")
        attempt_ended(world.ports, running)
        assert "CapacityError" in status(world, "a/bee").message
        assert world.dispatch() == [], "the same type is not tried again at once"
        world.clock.move(minutes=5)
        world.dispatch()
    world.render(world.running()[0])
    assert jobs(world)[0].state == State.SUCCEEDED


def test_progress_is_shown_and_never_goes_back(world: World, attempt: str) -> None:
    (task,) = world.manifest(attempt).tasks
    late = world.write_progress(attempt, task, 10)
    file_written(world.ports, world.write_progress(attempt, task, 40))
    file_written(world.ports, late)
    shown = status(world, "a/bee")
    assert shown.tasks[0].percent == 40 and shown.message == "Rendering: 40 % (0 of 1 done)."
    world.render(attempt)
    file_written(world.ports, late)
    assert status(world, "a/bee").tasks[0].percent == 100


def test_the_sweep_repairs_what_lost_events_left(world: World, attempt: str) -> None:
    world.render(attempt, tell=False)
    assert tasks(world)[0].state == State.RUNNING
    sweep(world.ports)
    assert jobs(world)[0].state == State.SUCCEEDED and len(world.post.sent) == 1
    assert not world.ledger.query(OPEN_ATTEMPTS, Attempt)


def test_a_result_whose_event_was_lost_is_published_before_the_job_ends(
    world: World, attempt: str
) -> None:
    world.write_result(attempt, world.manifest(attempt).tasks[0])
    sweep(world.ports)
    assert jobs(world)[0].state == State.SUCCEEDED and world.running() == [attempt]


def test_mail_is_owed_until_it_is_sent(world: World, attempt: str) -> None:
    world.post.broken = True
    with pytest.raises(ConnectionError):
        world.render(attempt)
    assert jobs(world)[0].state == State.SUCCEEDED
    assert len(world.ledger.query(OUTBOX, Letter)) == 1
    world.post.broken = False
    sweep(world.ports)
    assert not world.post.sent, "another handler may be sending it now"
    world.clock.move(seconds=LETTER_CLAIM.total_seconds() + 1)
    sweep(world.ports)
    sweep(world.ports)
    (mail,) = world.post.sent
    assert not world.ledger.query(OUTBOX, Letter) and "already" not in mail.body


def test_a_mail_that_sns_may_have_sent_is_sent_again_more_and_more_rarely(
    world: World, attempt: str
) -> None:
    """SNS is slow for a day: it sends each mail, and its answer comes too late."""
    world.post.loses_answers = True
    with pytest.raises(MaybeSent):
        world.render(attempt)
    sweep(world.ports)
    assert len(world.post.sent) == 1, "another handler may be sending it now"
    for minutes, mails in ((5, 1), (6, 2), (6, 2), (6, 3), (600, 8)):
        until = world.clock() + timedelta(minutes=minutes)
        while world.clock() < until:
            world.clock.move(minutes=1)
            with suppress(ExceptionGroup):
                sweep(world.ports)
        assert len(world.post.sent) == mails, minutes
    assert world.post.sent[0].subject == world.post.sent[1].subject
    assert "already" not in world.post.sent[0].body
    for mail in world.post.sent[1:]:
        assert "You may have this mail already" in mail.body
    world.post.loses_answers = False
    world.clock.move(hours=5)
    sweep(world.ports)
    sweep(world.ports)
    assert not world.ledger.query(OUTBOX, Letter)


def test_a_mail_whose_sender_was_killed_says_that_it_may_come_twice(
    world: World, attempt: str
) -> None:
    send = world.post.send

    class Killed(BaseException):
        pass

    def killed(*args: Any) -> None:
        send(*args)
        raise Killed

    world.post.send = killed  # type: ignore[assignment]
    with pytest.raises(Killed):
        world.render(attempt)
    world.post.send = send  # type: ignore[method-assign]
    world.clock.move(seconds=LETTER_CLAIM.total_seconds() + 1)
    sweep(world.ports)
    assert ["already" in mail.body for mail in world.post.sent] == [False, True]


def test_a_sweep_continues_after_an_error(world: World) -> None:
    world.post.broken = True
    with pytest.raises(ConnectionError):
        world.drop("jobs/bad.yaml", "prompt: [")
    world.drop("jobs/lost.yaml", event=False)
    world.clock.move(minutes=7)
    with pytest.raises(ExceptionGroup):
        sweep(world.ports)
    assert {job.path: job.state for job in jobs(world)} == {
        "bad": State.REJECTED,
        "lost": State.QUEUED,
    }


def test_a_failed_job_has_a_text_for_people_until_a_newer_version_comes(world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a\nvariations: 3\n")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=world.manifest(attempt).tasks[1].task_id)
    text = world.files.read("output", "failed/a/bee.txt").decode()
    assert text.startswith("jobs/a/bee.yaml: 2 of 3 videos could be made.\n\nVideo 2:\n")
    assert "What:  It broke.\nFix:   Try again.\nCode:  render-failed\n" in text
    assert "Full report: s3://output/failed/a/bee.txt" in world.post.sent[-1].body
    world.clock.move(seconds=5)
    world.drop("jobs/a/bee.yaml")
    assert "failed/a/bee.txt" not in world.files.keys("output")


FORMATS = {"gif": "bee.gif", "h265": "bee.h265.mp4", "webm": "bee.webm"}


@pytest.mark.parametrize("outputs", [[], ["gif"], ["mp4", "webm"], ["h265"], [*FORMATS]])
def test_the_formats_that_a_spec_asks_for_are_published_and_named(
    world: World, outputs: list[str]
) -> None:
    world.drop("jobs/bee.yaml", f"prompt: a\nmodel: cogvideox-2b\noutputs: {outputs}\n")
    (attempt,) = world.dispatch()
    world.render(attempt)
    (mail,) = world.post.sent
    assert " USD." in mail.body
    sidecar = json.loads(world.files.read("output", "videos/bee.json"))
    named = status(world, "bee").tasks[0].other_formats
    assert list(named) == [f"videos/{FORMATS[o]}" for o in FORMATS if o in outputs]
    for output, name in FORMATS.items():
        key = f"videos/{name}"
        asked = output in outputs
        assert (key in world.files.keys("output")) == asked
        assert (f"prefix={key}\n" in mail.body) == asked
        assert sidecar[f"{output}_file"] == (f"s3://output/{key}" if asked else None)
        if asked:
            assert world.files.read("output", key) == output.encode()
    again = read(json.dumps(sidecar["spec"]), "jobs/again.json")
    assert set(again.outputs) == set(outputs)


@pytest.mark.parametrize("name", [GIF_FILE, H265_FILE, WEBM_FILE])
def test_a_damaged_file_of_another_format_is_not_published(world: World, name: str) -> None:
    world.drop("jobs/bee.yaml", f"prompt: a\noutputs: [{', '.join(FORMATS)}]\n")
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    key = s3_keys.task_file(attempt, task.task_id, name)
    world.files.write("work", key, b"another", "application/octet-stream")
    file_written(world.ports, s3_keys.task_result(attempt, task.task_id))
    (job,) = jobs(world)
    assert job.state == State.FAILED and not world.files.exists("output", "videos/bee.mp4")


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("a\r\nBcc: x@y.z", "aBcc: x@y.z was refused"),
        ("weekly/bee", "weekly/bee was refused"),
        ("müller/" + "ä" * 200, "..." + "a" * 74 + " was refused"),
        ("日本語/誕生日", "(name in the mail)/(name in the mail) was refused"),
        ("x" * 100 + "/bee", "..." + "x" * 70 + "/bee was refused"),
    ],
)
def test_the_subject_of_a_mail_is_valid_and_tells_drops_apart(
    world: World, path: str, subject: str
) -> None:
    world.drop(f"jobs/{path}.yaml", "prompt: [")
    (mail,) = world.post.sent
    assert mail.subject == f"reeldrop: {subject}"
    first, _, rest = mail.body.partition("\n")
    assert first == f"{one_line(f'jobs/{path}.yaml')} was refused."
    assert "\nBcc:" not in rest


def test_nothing_that_a_person_wrote_makes_a_mail_long_or_adds_a_line(world: World) -> None:
    long = "x" * 60_000
    world.drop("jobs/a.yaml", f"prompt: a bee\n{'y' * 60_000}: 1\n")
    world.drop("jobs/b.yaml", "".join(f"field{n}: 1\n" for n in range(500)))
    world.drop("jobs/c.yaml", f'prompt: "{"word " * 300}"\ndry_run: true\nvariations: 32\n')
    world.drop("jobs/d.yaml", 'prompt: "a\\r\\nBcc: x@y.z"\ndry_run: true\n')
    world.drop("jobs/e.yaml", f"prompt: a bee\nimage: {long}.png\n")
    world.drop(f"jobs/{'虫' * 320}.yaml", "".join(f"field{n}: 1\n" for n in range(500)))
    world.drop(f"jobs/{chr(1) * 980}.yaml", "prompt: [")
    world.drop(f"jobs/{'x' * 850}/_defaults.yaml", "".join(f"field{n}: 1\n" for n in range(500)))
    assert len(world.post.sent) == 8
    for mail in world.post.sent:
        assert len(mail.body.encode()) < 8 * 1024 and "\nBcc" not in mail.body


def test_an_event_about_an_end_that_comes_too_early_changes_nothing(
    world: World, attempt: str
) -> None:
    attempt_ended(world.ports, attempt)
    attempt_ended(world.ports, "reeldrop-unknown")
    assert tasks(world)[0].state == State.RUNNING and world.running() == [attempt]
