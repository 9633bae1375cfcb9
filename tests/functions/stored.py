"""Reads the records and the status files that a stage has written, or makes records older."""

from datetime import datetime

from functions import s3_keys
from functions.replies.status import Status
from functions.table.ledger import GALLERY, LOOKED_AT, Ledger, Put, Remove, shown_key
from functions.table.records import GalleryEntry, Job, Looked, Task
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


def as_before_the_gallery(ledger: Ledger, until: datetime) -> None:
    """Make the table as a version without a gallery left it.

    Args:
        ledger: the table.
        until: what it says of the input bucket if no sweep has run: every older drop has its job.
    """
    for entry in ledger.query(GALLERY, GalleryEntry):
        shown = ledger.get(shown_key(entry.document.path))
        assert shown is not None
        ledger.commit(Remove(entry.key, entry.revision), Remove(shown.key, shown.revision))
    record = ledger.get(LOOKED_AT)
    looked = record.document if record else Looked(until=until)
    older = looked.model_copy(update={"fills_gallery": False, "gallery_filled": False})
    ledger.commit(Put(LOOKED_AT, older, record.revision if record else 0))
