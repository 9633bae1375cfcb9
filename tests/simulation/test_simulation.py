"""The real stages on a simulated AWS: nothing may be lost or done twice.

`make simulate` runs all simulations, a plain test run only some. A failure names its seed or its
call. `any_schedule(SEED)` or `Simulation(kill_at=CALL)` runs it again.
"""

import os
import random

import pytest

from functions import s3_keys
from tests.simulation import lifecycle
from tests.simulation.checks import Violated
from tests.simulation.cloud import Faults, Simulation
from tests.simulation.stories import FAULTS, any_schedule

# Measuring coverage here would double the time, and it confuses the lines of greenlets.
pytestmark = pytest.mark.no_cover

WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
SCHEDULES = 10_000 if WHOLE else 150
KILLS = None if WHOLE else 16
"""How many calls are killed for each fault. None means calls at every place.

A place is a call, and the different calls that its handler made before (`Simulation.places`). A
story of a day without quota has 60,000 calls at 500 places."""
# The work is divided, so that processes can share it and its progress is visible.
PARTS = 10 if WHOLE else 1
BLOCKS = 200 if WHOLE else 5


def run(name: str, kill_at: int | None) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)), kill_at=kill_at)
    story(simulation)
    simulation.run(horizon_seconds=3 * 86_400 + faults.end_seconds)
    simulation.check()
    return simulation


def calls_to_kill_at(name: str) -> list[int]:
    """The calls at which a handler is killed: one at each place, or a sample of them."""
    rng = random.Random(1)
    at: dict[int, list[int]] = {}
    for call, place in enumerate(run(name, kill_at=None).places, 1):
        at.setdefault(place, []).append(call)
    chosen = [rng.choice(calls) for calls in at.values()]
    if KILLS is None:
        return chosen
    # A simulated day takes long.
    return rng.sample(chosen, KILLS // 3 if FAULTS[name][1].end_seconds > 3600 else KILLS)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_with_a_kill_at_every_place(name: str, part: int) -> None:
    for kill_at in calls_to_kill_at(name)[part::PARTS]:
        try:
            run(name, kill_at)
        except Exception as error:
            raise AssertionError(f"{name}, killed at call {kill_at}: {error}") from error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_schedules_from_seeds(block: int) -> None:
    size = SCHEDULES // BLOCKS
    for seed in range(block * size, (block + 1) * size):
        simulation = any_schedule(seed)
        try:
            simulation.run(horizon_seconds=3 * 86_400)
            simulation.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r} with {simulation.faults}") from error


def test_a_day_without_quota_uses_up_no_receive_and_no_attempt() -> None:
    simulation = run("11 no quota for a day", kill_at=None)
    assert simulation.dead_letters == []
    assert all(count == 1 for count in simulation.accepted.values())


def test_the_simulation_finds_a_task_that_fails_because_its_reference_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expires = lifecycle.Rule("work", s3_keys.REFERENCES_PREFIX, days=30, noncurrent_days=None)
    monkeypatch.setattr(lifecycle, "rules", lambda: (expires,))
    with pytest.raises(Violated, match=r"failed without a cause.*reference"):
        run("39 a hundred days without quota", kill_at=None)


def test_the_simulation_finds_a_lost_drop() -> None:
    simulation = Simulation()
    simulation.person_drops("jobs/one.yaml")
    with pytest.raises(Violated, match="lost"):
        simulation.check()
