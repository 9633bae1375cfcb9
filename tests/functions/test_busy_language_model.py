"""A busy language model is asked again, for as long as the priority of the job allows."""

from datetime import timedelta

import pytest

from functions.replies.status import Status
from functions.spec.enhance import PATIENCE
from functions.spec.language_model import Answer, LanguageModelBusy, LanguageModelUnavailable
from functions.stages.accept import ASK_AGAIN_AFTER, ASK_AGAIN_BY
from functions.stages.sweep import sweep
from functions.table.ledger import WAITING
from functions.table.records import State, Waiting
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

BUSY = LanguageModelBusy("ThrottlingException: Too many requests")
CAPTION = Answer("A bee lands. It is warm.", "end_turn", "fake")


def said(world: World) -> Status:
    return status(world, "bee")


def test_a_drop_waits_for_a_busy_language_model(world: World) -> None:
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml")
    (job,) = jobs(world)
    assert job.state == State.WAITING and not world.post.sent
    assert said(world).message == (
        "The prompt is being enhanced, but the language model is busy. It is asked again until "
        "12:10 UTC; after that, the prompt is used as it is."
    )
    world.language_model.answer = CAPTION
    world.pass_time(60)
    (task,) = tasks(world)
    assert task.spec.prompt == "A bee lands. It is warm." and task.enhancement.status == "enhanced"
    assert said(world).state == State.QUEUED
    assert "not-enhanced" not in [warning.code for warning in said(world).warnings]
    assert not world.ledger.query(WAITING, Waiting)


@pytest.mark.parametrize("priority", PATIENCE)
def test_the_prompt_is_used_as_it_is_when_the_patience_of_its_priority_ends(
    world: World, priority: str
) -> None:
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml", f"prompt: a bee\npriority: {priority}\n")
    patience = PATIENCE[priority].total_seconds()  # type: ignore[index]
    world.pass_time(patience - 1)
    assert jobs(world)[0].state == State.WAITING
    world.pass_time(60)
    (task,) = tasks(world)
    assert task.spec.prompt == "a bee" and task.enhancement.status == "kept"
    words = "The prompt was not enhanced: too many requests (ThrottlingException"
    notice = next(w for w in said(world).warnings if w.code == "not-enhanced")
    assert notice.message.startswith(words)
    world.render(world.dispatch()[0])
    assert f"Note: {words}" in world.post.sent[0].body


def test_it_asks_less_and_less_often_and_the_drops_of_a_burst_at_different_times(
    world: World,
) -> None:
    world.language_model.answer = BUSY
    for number in range(20):
        world.drop(f"jobs/{number}.yaml", "prompt: a bee\npriority: low\n")
    first = [at for at, _, _ in world.announced_later]
    assert len(set(first)) > 5
    assert min(first) - world.clock() >= ASK_AGAIN_AFTER
    world.language_model.asked.clear()
    world.pass_time(3700)
    assert all(job.state == State.QUEUED for job in jobs(world))
    asked = len(world.language_model.asked) / 20
    assert 3600 / ASK_AGAIN_BY.total_seconds() <= asked < 20


@pytest.mark.parametrize("priority", PATIENCE)
def test_another_error_is_not_waited_for(world: World, priority: str) -> None:
    world.language_model.answer = LanguageModelUnavailable("AccessDeniedException: no")
    world.drop("jobs/bee.yaml", f"prompt: a bee\npriority: {priority}\n")
    assert said(world).state == State.QUEUED
    assert [w.code for w in said(world).warnings if w.code == "not-enhanced"]


def test_a_job_that_waited_for_its_reference_is_patient_from_then_on(world: World) -> None:
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml", "prompt: x\nimage: bee.png\n")
    world.pass_time(50 * 60)
    world.drop("jobs/bee.png", PNG)
    world.pass_time(60)
    assert jobs(world)[0].state == State.WAITING
    world.language_model.answer = CAPTION
    world.pass_time(600)
    assert tasks(world)[0].enhancement.status == "enhanced"


def test_the_sweep_continues_if_the_announcement_was_lost(world: World) -> None:
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml")
    world.announced_later.clear()
    world.language_model.answer = CAPTION
    world.clock.move(minutes=2)
    sweep(world.ports)
    assert jobs(world)[0].state == State.WAITING, "the announcement may still come"
    world.clock.move(minutes=2)
    sweep(world.ports)
    assert jobs(world)[0].state == State.QUEUED


@pytest.mark.parametrize("deleted", [True, False])
def test_a_spec_that_is_deleted_or_replaced_meanwhile_is_canceled(
    world: World, deleted: bool
) -> None:
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml")
    world.language_model.answer = CAPTION
    if deleted:
        world.delete("jobs/bee.yaml")
    else:
        world.clock.move(seconds=5)
        world.drop("jobs/bee.yaml", "prompt: newer\n")
    world.pass_time(900)
    states = sorted(job.state for job in jobs(world))
    assert states == [State.CANCELED] if deleted else [State.CANCELED, State.QUEUED]


def test_while_it_waits_nothing_takes_longer_than_its_patience(world: World) -> None:
    """The clock of the last try is not past the end of the patience by more than a moment."""
    world.language_model.answer = BUSY
    world.drop("jobs/bee.yaml")
    began = world.clock()
    while jobs(world)[0].state == State.WAITING:
        world.pass_time(1)
        assert world.clock() - began < PATIENCE["normal"] + timedelta(seconds=5)
