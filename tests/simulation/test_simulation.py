"""Nothing lost, nothing twice: the real use cases on a simulated AWS.

The whole of it is `make simulate`; a plain test run takes a slice. A failure names its seed or its
call, and `any_schedule(SEED)` or `Simulation(kill_at=CALL)` runs it again.
"""

import os

import pytest

from tests.simulation.cloud import Faults, Simulation, Violated
from tests.simulation.stories import FAULTS, any_schedule

WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
SCHEDULES = 10_000 if WHOLE else 400
# A prime, so that the slice does not always meet the same kind of call.
EVERY = 1 if WHOLE else 23


def run(name: str, kill_at: int | None) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)), kill_at=kill_at)
    story(simulation)
    simulation.run(horizon_seconds=3 * 86_400)
    simulation.check()
    return simulation


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_with_a_kill_at_every_call(name: str) -> None:
    calls = run(name, kill_at=None).calls
    # In a day without quota the same calls come again with every sweep.
    most = 120 if FAULTS[name][1].until_seconds > 3600 else calls
    for kill_at in range(1, most, EVERY):
        try:
            run(name, kill_at)
        except Exception as error:
            raise AssertionError(f"{name}, killed at call {kill_at}: {error}") from error


@pytest.mark.parametrize("block", range(20))
def test_schedules_from_seeds(block: int) -> None:
    size = SCHEDULES // 20
    for seed in range(block * size, (block + 1) * size):
        simulation = any_schedule(seed)
        try:
            simulation.run(horizon_seconds=3 * 86_400)
            simulation.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r} with {simulation.faults}") from error


def test_no_quota_for_a_day_spends_no_receive_and_no_attempt() -> None:
    simulation = run("11 no quota for a day", kill_at=None)
    assert simulation.dead_letters == []
    assert all(count == 1 for count in simulation.accepted.values())


def test_the_harness_sees_a_lost_drop() -> None:
    simulation = Simulation()
    simulation.person_drops("jobs/one.yaml")
    with pytest.raises(Violated, match="lost"):
        simulation.check()
