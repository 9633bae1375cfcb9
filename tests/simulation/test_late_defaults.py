"""One upload of many files, whose folder defaults want a dry run: nothing of it may be started."""

import random
from functools import partial

import pytest

from functions.table.records import Job, State
from tests.fakes import PNG
from tests.simulation.cloud import Faults, Simulation
from tests.simulation.stories import at

# Measuring coverage here would double the time, and it confuses the lines of greenlets.
pytestmark = pytest.mark.no_cover

JOBS = 25


def upload(s: Simulation, seconds: float, order: str) -> None:
    """Upload specs, their pictures and folder defaults, ten at a time like the AWS CLI.

    Args:
        seconds: how long the upload takes.
        order: the order of the files.
    """
    files: list[tuple[str, bytes | str]] = [("jobs/a/_defaults.yaml", "dry_run: true\n")]
    for number in range(JOBS):
        files.append((f"jobs/a/B{number}.yaml", f"image: B{number}.png\n"))
        files.append((f"jobs/a/B{number}.png", PNG))
    files.sort()
    if order == "any":
        s.rng.shuffle(files)
    elif order == "defaults last":
        files.sort(key=lambda file: "_defaults" in file[0])
    for number, (key, body) in enumerate(files):
        begins = number // 10 * 10 + s.rng.random()
        at(s, seconds * begins / len(files), partial(s.person_drops, key, body))


@pytest.mark.parametrize("order", ["by name", "defaults last", "any"])
@pytest.mark.parametrize("seconds", [0, 2, 12])
def test_nothing_is_rendered_of_an_upload_with_a_dry_run(seconds: float, order: str) -> None:
    """All events of one moment are handled at the same time."""
    for seed in range(3):
        chance = random.Random(seed)
        faults = Faults(duplicate_event=chance.choice((0, 0.3)), lose_event=chance.choice((0, 0.2)))
        s = Simulation(seed=seed, faults=faults, at_once=60, nothing_runs_in=("jobs/",))
        upload(s, seconds, order)
        s.run()
        s.check()
        assert s.accepted.total() == 0
        assert [job.state for job in s.documents(Job)] == [State.PLANNED] * JOBS
