"""How the time that is left is estimated, and how often it is reported."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from contract.manifest import Layout
from processing import progress


class Clock:
    """Time stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def steps(
    clock: Clock, tmp_path: Path, durations: list[float], *, seconds_after: float = 0.0
) -> None:
    reporter = progress.StepReporter(
        Layout(tmp_path), attempt_id="a", task_id="bee", seconds_after=seconds_after
    )
    for step, seconds in enumerate(durations, start=1):
        clock.now += seconds
        reporter.step(step, len(durations))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_slow_first_step_is_not_taken_for_the_pace(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(clock, tmp_path, [30.0, 2.0, 2.0, 2.0, 2.0], seconds_after=5.0)

    left = [event["expected_seconds_left"] for event in lines(capsys)]

    assert left == [4 * 30 + 5, 3 * 2 + 5, 2 * 2 + 5, 2 + 5, 5]


def test_quick_steps_make_a_line_a_second_and_one_at_the_end(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(clock, tmp_path, [0.25] * 10)

    assert [event["step"] for event in lines(capsys)] == [1, 5, 9, 10]
    assert len(list((tmp_path / "output" / "bee").glob("progress-*.json"))) == 9
