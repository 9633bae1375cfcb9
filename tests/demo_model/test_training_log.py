"""Budgets, rates and checkpoints."""

from pathlib import Path

from demo_model.training_log import Budget, Log, learning_rate_factor


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
