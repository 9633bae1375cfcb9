"""However much there is, each function ends in time, and a lost drop is found within three sweeps.

The simulation gives each call the time that it takes (`time_limits.py`) and kills a function that
runs longer than its timeout.
"""

from datetime import timedelta

import pytest

from functions import s3_keys
from functions.ports import PAGE_OBJECTS, Listed, Page
from functions.table.ledger import LONE, Put, job_key, usage_key
from functions.table.records import Job, Lone, Source, State, Usage
from tests.fakes import PNG
from tests.simulation import time_limits
from tests.simulation.cloud import SWEEP_EVERY_SECONDS, Simulation

# Measuring coverage here would double the time.
pytestmark = pytest.mark.no_cover

MILLION = 1_000_000


class OldDrops:
    """Adds a million old specs to the listing of the input bucket. They are made up when listed."""

    def __init__(self, simulation: Simulation) -> None:
        self._page = simulation.files.page
        self._at = simulation.clock() - timedelta(days=30)
        self.pages = 0

    @staticmethod
    def _key(number: int) -> str:
        return f"jobs/old/{number:07}.yaml"

    def page(self, bucket: str, prefix: str, after: str = "", at_most: int = PAGE_OBJECTS) -> Page:
        """See `Files.page`."""
        others = self._page(bucket, prefix, after, at_most)
        if bucket != "input":
            return others
        self.pages += 1
        first = 0
        if after >= self._key(0):
            first = MILLION if after > self._key(MILLION) else int(after[9:16]) + 1
        last = min(first + at_most, MILLION)
        old = [Listed(self._key(number), self._at) for number in range(first, last)]
        found = sorted((*others.objects, *old), key=lambda listed: listed.key)
        more = others.more or last < MILLION or len(found) > at_most
        return Page(tuple(found[:at_most]), more)


def lost_drop(simulation: Simulation) -> str:
    """Upload a spec whose event is lost. Returns the id of the job that it must become."""
    simulation.files.write("input", "jobs/zz.yaml", b"prompt: a bee\n", "x")
    version = simulation.files.facts("input", "jobs/zz.yaml").version
    return s3_keys.job_id("input", "jobs/zz.yaml", version)


def drop_with_job(simulation: Simulation, key: str) -> None:
    """Upload a spec, and note its job, which has ended."""
    simulation.files.write("input", key, b"prompt: a bee\n", "x")
    facts = simulation.files.facts("input", key)
    at, job_id = facts.modified_at, s3_keys.job_id("input", key, facts.version)
    source = Source(bucket="input", key=key, version=facts.version, versioned=True, modified_at=at)
    job = Job(
        job_id=job_id, source=source, path=s3_keys.path_of(key), state=State.SUCCEEDED,
        task_count=1, created_at=at, updated_at=at,
    )  # fmt: skip
    simulation.ledger.commit(Put(job_key(job_id), job))


def check_found(simulation: Simulation, job_id: str) -> None:
    simulation.listed_together = PAGE_OBJECTS
    simulation.run_for(130)  # a sweep ignores drops of the last two minutes
    for _ in range(3):
        simulation.run_for(SWEEP_EVERY_SECONDS)
        if simulation.ledger.get(job_key(job_id)) is not None:
            break
    assert simulation.ledger.get(job_key(job_id)) is not None
    assert not simulation.timed_out


@pytest.mark.parametrize("page_seconds", [0.02, 0.3])
def test_a_million_objects(page_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(time_limits.SECONDS, "files.page", page_seconds)
    simulation = Simulation()
    old = OldDrops(simulation)
    monkeypatch.setattr(simulation.files, "page", old.page)
    check_found(simulation, lost_drop(simulation))
    assert old.pages > 1000


def test_eight_thousand_references_in_half_an_hour() -> None:
    simulation = Simulation()
    for number in range(8000):
        simulation.files.write("input", f"jobs/a/pictures/{number}.png", PNG, "x")
    check_found(simulation, lost_drop(simulation))
    simulation.run_for(1200)  # from now on, sweeps also tell about pictures that no spec asks for
    assert simulation.ledger.query(LONE, Lone, limit=1)
    check_found(simulation, lost_drop(simulation))


def test_references_in_a_folder_with_defaults() -> None:
    simulation = Simulation()
    simulation.person_drops("jobs/pictures/_defaults.yaml", "fps: 8\n")
    for number in range(2500):
        simulation.files.write("input", f"jobs/pictures/{number}.png", PNG, "x")
    check_found(simulation, lost_drop(simulation))


def test_ten_thousand_drops_in_a_minute() -> None:
    simulation = Simulation()
    for number in range(10_000):
        drop_with_job(simulation, f"jobs/{number}.yaml")
    check_found(simulation, lost_drop(simulation))


def test_defaults_over_five_thousand_folders() -> None:
    simulation = Simulation()
    for number in range(5000):
        usage = Usage(day=simulation.clock().date(), tasks=1)
        simulation.ledger.commit(Put(usage_key(f"{number:04d}"), usage))
    simulation.person_drops("jobs/_defaults.yaml", "max_videos_per_day: 1\n")
    simulation.person_drops("jobs/4999/_defaults.yaml", "fps: 8\n")
    simulation.run_for(60)
    assert not simulation.timed_out
    simulation.person_drops("jobs/4999/bee.yaml")
    check_found(simulation, lost_drop(simulation))


def test_three_hundred_jobs_wait_for_one_picture() -> None:
    simulation = Simulation()
    for number in range(300):
        simulation.person_drops(f"jobs/{number:03}.yaml", "image: late.png\nnotify: false\n")
    simulation.run_for(60)
    simulation.person_drops("jobs/late.png", PNG)
    simulation.run_for(60)
    assert {job.state for job in simulation.documents(Job)} <= {State.QUEUED, State.RUNNING}
    assert not simulation.timed_out
