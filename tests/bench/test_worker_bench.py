"""The claims about the worker are compared with what was measured."""

import json
from typing import Any

import pytest

from bench import worker
from bench.results import FOLDER


@pytest.fixture
def rows() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "worker.json").read_text())["rows"]
    return found


def test_the_claims_hold_in_the_results(rows: dict[str, Any]) -> None:
    worker.check(rows)


def test_a_renderer_that_waits_breaks_the_claim(rows: dict[str, Any]) -> None:
    rows["idle"]["share"] = 0.04
    with pytest.raises(worker.ClaimBroken, match="idle"):
        worker.check(rows)


def test_times_are_claimed_on_a_quiet_machine_only(rows: dict[str, Any]) -> None:
    rows["start"]["to_first_step_seconds"]["median"] = 9.0
    rows["load_at_the_beginning"] = 8.0
    worker.check(rows)
    rows["load_at_the_beginning"] = 0.1
    with pytest.raises(worker.ClaimBroken, match="start"):
        worker.check(rows)
