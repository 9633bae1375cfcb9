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
"""How many calls are killed for each fault. None means every call."""
# The work is divided, so that processes can share it and its progress is visible.
PARTS = 10 if WHOLE else 1
BLOCKS = 200 if WHOLE else 5
# While the quota is missing all day, every sweep makes the same calls. So only the first calls, and
# those around the end of the fault, are killed.
FIRST_CALLS = 200


def run(name: str, kill_at: int | None) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)), kill_at=kill_at)
    story(simulation)
    simulation.run(horizon_seconds=3 * 86_400 + faults.end_seconds)
    simulation.check()
    return simulation


def calls_to_kill_at(name: str) -> list[int]:
    """The calls at which a handler is killed: all, or a sample in a plain test run.

    If a fault lasts for a day, only calls from its beginning and its end are chosen.
    """
    alive = run(name, kill_at=None)
    calls = range(1, alive.calls + 1)
    calm = alive.calls_before_calm - FIRST_CALLS
    if FAULTS[name][1].end_seconds <= 3600:
        calm = 0
    chosen = [call for call in calls if call <= FIRST_CALLS or call > calm]
    if KILLS is None:
        return chosen
    # A simulated day takes long. A random sample, because calls at equal distances could all be of
    # one kind.
    return random.Random(1).sample(chosen, KILLS if calm == 0 else KILLS // 3)


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
