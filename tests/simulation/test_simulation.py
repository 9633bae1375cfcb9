"""Nothing lost, nothing twice: the real use cases on a simulated AWS.

The whole of it is `make simulate`; a plain test run takes a slice. A failure names its seed or its
call, and `any_schedule(SEED)` or `Simulation(kill_at=CALL)` runs it again.
"""

import os
import random

import pytest

from tests.simulation.cloud import Faults, Simulation, Violated
from tests.simulation.stories import FAULTS, any_schedule

WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
SCHEDULES = 10_000 if WHOLE else 150
KILLS = None if WHOLE else 16
"""For each fault; None: one at every call."""
# So that processes can share the work, and one sees it go on.
PARTS = 10 if WHOLE else 1
BLOCKS = 200 if WHOLE else 5
# Beside a quota that is missing all day the same calls come again with every sweep.
FIRST_CALLS = 200


def run(name: str, kill_at: int | None) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)), kill_at=kill_at)
    story(simulation)
    simulation.run(horizon_seconds=3 * 86_400)
    simulation.check()
    return simulation


def calls_to_kill_at(name: str) -> list[int]:
    """All, or some of them; with a fault that lasts for a day, of its first hours and its end."""
    alive = run(name, kill_at=None)
    calls = range(1, alive.calls + 1)
    calm = alive.calls_before_calm - FIRST_CALLS
    if FAULTS[name][1].until_seconds <= 3600:
        calm = 0
    chosen = [call for call in calls if call <= FIRST_CALLS or call > calm]
    # From one seed, so that they do not always meet the same kind of call.
    return chosen if KILLS is None else random.Random(1).sample(chosen, KILLS)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_with_a_kill_at_every_call(name: str, part: int) -> None:
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


def test_no_quota_for_a_day_spends_no_receive_and_no_attempt() -> None:
    simulation = run("11 no quota for a day", kill_at=None)
    assert simulation.dead_letters == []
    assert all(count == 1 for count in simulation.accepted.values())


def test_the_harness_sees_a_lost_drop() -> None:
    simulation = Simulation()
    simulation.person_drops("jobs/one.yaml")
    with pytest.raises(Violated, match="lost"):
        simulation.check()
