"""Budgets, learning rates, checkpoints and loss curves."""

import json
from functools import partial
from pathlib import Path

from demo_model.training_log import Budget, Course, Log, learning_rate_factor


def test_whichever_budget_ends_first_counts() -> None:
    budget = Budget(steps=10, seconds=100)
    assert budget.done(5, 10) == 0.5
    assert budget.done(5, 90) == 0.9
    assert budget.done(20, 0) == 1.0


def test_the_rate_rises_stays_and_falls() -> None:
    assert learning_rate_factor(0.0, 0, warmup_steps=10) == 0.1
    assert learning_rate_factor(0.4, 100, warmup_steps=10) == 1.0
    assert abs(learning_rate_factor(1.0, 100, warmup_steps=10) - 0.02) < 1e-9


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    log = Log(tmp_path, "stage")
    assert log.load() is None
    log.save({"step": 3})
    assert log.load() == {"step": 3}


def test_a_curve_needs_two_points(tmp_path: Path) -> None:
    log = Log(tmp_path, "stage")
    log.write(step=1, loss=2.0)
    log.draw_curve()
    assert not (tmp_path / "stage.png").exists()
    log.write(step=2, loss=1.0)
    log.draw_curve()
    assert (tmp_path / "stage.png").is_file()


def test_a_course_logs_mean_losses_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path, "stage")
    start = partial(Course, log, report_steps=2, save_seconds=1e9)
    course = start(Budget(steps=4), state=None)
    for loss in (3.0, 1.0, 5.0):
        course.advance(loss)
    assert not course.must_save()
    course.advance(7.0)
    assert course.must_save()
    course.save({"model": 1}, check=lambda: {"psnr": 9.0})
    lines = [json.loads(line) for line in (tmp_path / "stage.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines[:2]] == [2.0, 6.0]
    assert lines[2] == {"step": 4, "psnr": 9.0}
    resumed = start(Budget(steps=8), state=log.load())
    assert (resumed.step, resumed.seconds) == (4, course.seconds)
    assert resumed.done() == 0.5
