"""The real stages on a simulated AWS: nothing may be lost or done twice.

`make simulate` runs all simulations, a plain test run only some. A failure names its seed or its
call. `any_schedule(SEED)` or `run(STORY, kill_at=CALL)` runs it again.
"""

import os

import pytest

from functions import s3_keys
from tests.simulation import kills, lifecycle
from tests.simulation.checks import Violated
from tests.simulation.cloud import Faults, Simulation
from tests.simulation.stories import FAULTS, any_schedule

# Measuring coverage here would double the time, and it confuses the lines of greenlets.
pytestmark = pytest.mark.no_cover

WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
SCHEDULES = 2_000 if WHOLE else 150
SHARE = kills.Share(new=1, known=40) if WHOLE else kills.Share(new=40, known=400)
"""The stories have 98,000 places, and 13,000 that are different."""
# The work is divided, so that processes can share it and its progress is visible.
BLOCKS = 80 if WHOLE else 5


def run(name: str, kill_at: int | None = None) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)), kill_at=kill_at)
    story(simulation)
    simulation.run(horizon_seconds=3 * 86_400 + faults.end_seconds)
    simulation.check()
    return simulation


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_with_kills_at_many_places(name: str, testrun_uid: str) -> None:
    told = kills.told(name, SHARE, testrun_uid)
    assert told.wrong == (), "\n".join(told.wrong)


def test_a_story_is_killed_once_at_each_new_place_and_at_some_others() -> None:
    places, share = kills.Places(), kills.Share(new=1, known=3)
    name = "01 events 2 to 5 times, at once"
    first = [*map(places.in_story(name, share), [*range(300)] * 2)]
    assert first == [True] * 300 + [False] * 300
    again = [*map(places.in_story(name, share), [*range(300)] * 4)]
    assert 60 < sum(again) < 140 and again.index(True) < 60
    assert sum(map(places.in_story("39 a hundred days without quota", share), range(300))) < 60


def test_what_goes_wrong_after_a_kill_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(simulation: Simulation) -> None:
        if simulation.kill_at == 9:
            os._exit(3)
        if simulation.kill_at is not None:
            raise Violated("something")

    calls = iter(range(1, 100_000))
    monkeypatch.setattr(Simulation, "check", check)
    told = kills.tell("01 events 2 to 5 times, at once", lambda _place: next(calls) in {5, 7, 9})
    assert told.kills == 3
    for said, call in zip(
        told.wrong, ("killed at call 5: ", "killed at call 7: ", "ended with"), strict=True
    ):
        assert call in said


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
    simulation = run("11 no quota for a day")
    assert simulation.dead_letters == []
    assert all(count == 1 for count in simulation.accepted.values())


def test_the_simulation_finds_a_task_that_fails_because_its_reference_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expires = lifecycle.Rule("work", s3_keys.REFERENCES_PREFIX, days=30, noncurrent_days=None)
    monkeypatch.setattr(lifecycle, "rules", lambda: (expires,))
    with pytest.raises(Violated, match=r"failed without a cause.*reference"):
        run("39 a hundred days without quota")


def test_the_simulation_finds_a_lost_drop() -> None:
    simulation = Simulation()
    simulation.person_drops("jobs/one.yaml")
    with pytest.raises(Violated, match="lost"):
        simulation.check()
