"""Reads the records and the status files that a stage has written."""

from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import Job, Task
from tests.fakes import World


def jobs(world: World) -> list[Job]:
    """All jobs, the oldest first."""
    found = [Job.from_json(b) for (_, sort), (_, b) in world.ledger.items.items() if sort == "JOB"]
    return sorted(found, key=lambda job: job.created_at)


def tasks(world: World) -> list[Task]:
    """All tasks, by job and number."""
    items = sorted(world.ledger.items.items())
    return [Task.from_json(b) for (_, sort), (_, b) in items if sort.startswith("TASK#")]


def status(world: World, path: str) -> Status:
    """The status file of a path."""
    return Status.from_json(world.files.read("output", s3_keys.status(path)))
