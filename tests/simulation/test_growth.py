"""However much there is, each sweep ends in time, and a lost drop is found within three sweeps.

The simulation gives each call the time that it takes (`time_limits.py`) and kills a function that
runs longer than its timeout.
"""

from functions import s3_keys
from functions.table.ledger import Put, job_key, usage_key
from functions.table.records import Usage
from tests.simulation.cloud import SWEEP_EVERY_SECONDS, Simulation

THREE_SWEEPS = 3 * SWEEP_EVERY_SECONDS + 130  # a sweep ignores drops of the last two minutes


def lost_drop(simulation: Simulation) -> str:
    """Upload a spec whose event is lost. Returns the id of the job that it must become."""
    simulation.files.write("input", "jobs/zz.yaml", b"prompt: a bee\n", "x")
    version = simulation.files.facts("input", "jobs/zz.yaml").version
    return s3_keys.job_id("input", "jobs/zz.yaml", version)


def check_found(simulation: Simulation, job_id: str) -> None:
    simulation.run_for(THREE_SWEEPS)
    assert simulation.ledger.get(job_key(job_id)) is not None, simulation.timed_out
    assert not simulation.timed_out


def test_eight_thousand_references_in_half_an_hour() -> None:
    simulation = Simulation()
    for number in range(8000):
        simulation.files.write("input", f"jobs/pictures/{number}.png", b"", "x")
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
