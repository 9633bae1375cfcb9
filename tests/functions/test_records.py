"""Records change only through moves, which write no unknown field and no illegal state."""

import ast
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import Code, Problem
from functions.spec.enhance import off
from functions.spec.fields import JobSpec
from functions.table.records import (
    Attempt,
    AttemptState,
    CancelReason,
    Hold,
    HoldReason,
    IllegalMove,
    Job,
    PathOwner,
    Source,
    State,
    Task,
)
from local import ROOT

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = JobSpec(
    prompt="a bee", negative_prompt="", model="demo", height=64, width=64, num_frames=9, fps=8,
    num_inference_steps=2, fit="crop", guidance_scale=1.0, seed=1)  # fmt: skip
PROBLEM = Problem(code=Code.RENDER_FAILED, message="It failed.", hint="Try again.")


def job(state: State = State.WAITING) -> Job:
    source = Source(bucket="b", key="jobs/a.yaml", version="1", versioned=True, modified_at=AT)
    return Job(job_id="a", source=source, path="a", state=state, created_at=AT, updated_at=AT)


def task(state: State = State.QUEUED) -> Task:
    return Task(task_id="a-1", job_id="a", number=1, state=state, spec=SPEC, enhancement=off(["x"]),
                folder="", queued_at=AT)  # fmt: skip


def attempt() -> Attempt:
    return Attempt(attempt_id="x", state=AttemptState.CLAIMING, model="demo", release="one",
                   mode=task().parameters.mode, tasks=(), instance_type="ml.g6e.xlarge",
                   created_at=AT, updated_at=AT)  # fmt: skip


@pytest.mark.parametrize(
    "record", [job(), task(), attempt(), PathOwner(job_id="a", modified_at=AT)]
)
def test_a_misspelled_field_is_refused(record: Any) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        record._with(stat="queued")


@pytest.mark.parametrize("record", [job(), task(), attempt()])
def test_a_state_that_does_not_exist_is_refused(record: Any) -> None:
    with pytest.raises(ValidationError, match="Input should be"):
        record._with(state="quueued")


def test_terminal_states_never_change() -> None:
    for state in State:
        if state.terminal:
            with pytest.raises(IllegalMove):
                job(state).canceled(CancelReason.DELETED, AT)
            with pytest.raises(IllegalMove):
                task(state).canceled(AT)
            with pytest.raises(IllegalMove):
                task(state).claimed("x", AT)


def test_a_move_from_the_wrong_state_is_refused() -> None:
    with pytest.raises(IllegalMove):
        task().succeeded(AT)  # it was never claimed
    with pytest.raises(IllegalMove):
        task(State.RUNNING).held(Hold(reason=HoldReason.DAILY_LIMIT))
    with pytest.raises(IllegalMove):
        task().progressed(5, None)
    with pytest.raises(IllegalMove):
        attempt().started(AT)  # its manifest was never fixed
    with pytest.raises(IllegalMove):
        job(State.QUEUED).rejected((PROBLEM,), AT)


def test_a_task_moves_from_claim_to_its_end() -> None:
    running = task().claimed("x", AT).progressed(40, 3.0)
    assert running.owned_by("x") and not running.owned_by("y")
    again = running.requeued(Hold(reason=HoldReason.NO_CAPACITY), charge=False)
    assert (again.attempts, again.percent, again.attempt_id) == (0, 0, None)
    charged = running.requeued(Hold(reason=HoldReason.NEW_ATTEMPT), charge=True)
    assert charged.attempts == 1
    assert charged.claimed("y", AT).succeeded(AT).percent == 100
    assert running.failed(PROBLEM, AT).problem == PROBLEM


def test_a_job_ends_with_its_last_task() -> None:
    running = job().read_as(SPEC, (), ("",)).accepted(2).running(AT)
    half = running.task_ended(State.FAILED, (), AT)
    assert (half.state, half.open_tasks, half.failed_tasks) == (State.RUNNING, 1, 1)
    assert half.task_ended(State.SUCCEEDED, (), AT).state == State.FAILED
    whole = running.task_ended(State.SUCCEEDED, (), AT).task_ended(State.SUCCEEDED, (), AT)
    assert whole.state == State.SUCCEEDED


def test_no_other_module_copies_a_record_with_changed_fields() -> None:
    """`model_copy(update=...)` accepts any name and any value, so only specs may use it."""
    rooms = ("stages", "table", "replies", "planning", "adapters", "handlers")
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node.func)}"
        for room in rooms
        for file in (ROOT / "functions" / room).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"model_copy", "model_construct", "_with"}
        and ast.unparse(node.func.value) != "spec"
        and file.name != "records.py"
    ]
    assert found == []
