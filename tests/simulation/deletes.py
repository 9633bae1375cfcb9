"""Checks what must follow when people delete specs: no more work, no more videos."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from functions import s3_keys
from functions.table.ledger import task_key
from functions.table.records import Job, State, Task, TaskRef

if TYPE_CHECKING:
    from tests.simulation.cloud import Simulation

# How long the functions may take to notice a deletion. Without faults, its event comes at once, and
# a message comes again once at most. Otherwise two sweeps notice it after the faults have ended.
_WITHOUT_FAULTS = timedelta(seconds=100)
_AFTER_FAULTS = timedelta(seconds=800)


def deleted_at(simulation: "Simulation", key: str, version: str) -> datetime | None:
    """When a version was deleted by a delete marker, in whole seconds; None if it was not."""
    there = False
    for one in simulation.files.objects.get(("input", key), []):
        there = there or one.version == version
        if there and one.is_delete_marker:
            return one.at
    return None


def late(simulation: "Simulation", jobs: dict[str, Job]) -> Iterator[str]:
    """What went on too long after a deletion, as sentences."""
    due = {
        job_id: _due(simulation, at)
        for job_id, job in jobs.items()
        if (at := deleted_at(simulation, job.source.key, job.source.version))
    }
    for job_id, until in due.items():
        if jobs[job_id].updated_at > until:
            yield f"the spec of {job_id} was deleted, and later it became {jobs[job_id].state}"
    for at, job_id in simulation.publications:
        if job_id in due and at > due[job_id]:
            yield f"a video of {job_id} was published although its spec had been deleted"
    yield from _rendered_for_nobody(simulation)
    yield from _replies_about_nothing(simulation)


def _rendered_for_nobody(simulation: "Simulation") -> Iterator[str]:
    for attempt_id, at in simulation.ended_at.items():
        # A task whose attempt got no instance may have been planned away since.
        found = [_task(simulation, task_id) for task_id in simulation.rendered[attempt_id]]
        tasks = [task for task in found if task is not None]
        canceled = [t.finished_at for t in tasks if t.finished_at and t.state == State.CANCELED]
        if canceled and len(canceled) == len(tasks) and at > _due(simulation, max(canceled)):
            yield f"{attempt_id} was not stopped although all of its tasks had been canceled"


def _replies_about_nothing(simulation: "Simulation") -> Iterator[str]:
    for key in simulation.keys_deleted:
        if s3_keys.kind_of(key) == s3_keys.Kind.DEFAULTS and not simulation.files.exists(
            "input", key
        ):
            path = s3_keys.path_of(key)
            for reply in (s3_keys.status(path), s3_keys.rejected(path)):
                if simulation.files.exists("output", reply):
                    yield f"{reply} is about folder defaults that were deleted"


def _due(simulation: "Simulation", at: datetime) -> datetime:
    if not simulation.has_faults:
        return at + _WITHOUT_FAULTS
    return max(at, simulation.calm_at) + _AFTER_FAULTS


def _task(simulation: "Simulation", task_id: str) -> Task | None:
    job_id, _, number = task_id.rpartition("-")
    record = simulation.ledger.get(task_key(TaskRef(job_id=job_id, number=int(number))))
    return record.document if record else None
