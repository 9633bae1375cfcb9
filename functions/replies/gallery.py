"""Keeps the gallery: an entry for each path, in the order in which people drop, the newest first.

The gallery is a partition of the table, so that a page of it is one query, however many jobs there
are. Each entry is about the newest job of its path, as the status is.
"""

from collections.abc import Sequence

from functions import s3_keys
from functions.replies.status import problems_of
from functions.spec.resolve import prompts_of
from functions.table.ledger import (
    Change,
    Put,
    Record,
    Remove,
    WithLedger,
    gallery_key,
    job_key,
    owner_key,
    retried,
    shown_key,
)
from functions.table.paths import is_newest
from functions.table.records import GalleryEntry, Job, State, Task
from functions.table.tasks import tasks_of

# How many characters of a prompt and of a problem an entry has. A page of entries stays small.
_PROMPT = 300
_PROBLEM = 200


def entry_of(job: Job, tasks: Sequence[Task]) -> GalleryEntry:
    """What the gallery shows of a job."""
    done = next((task for task in tasks if task.state == State.SUCCEEDED), None)
    problems = problems_of(job, tasks)
    prompts = prompts_of(job.spec) if job.spec else ()
    return GalleryEntry(
        path=job.path,
        job_id=job.job_id,
        key=job.source.key,
        state=job.state,
        dropped_at=job.source.modified_at,
        prompt=" ".join(text for _, text in prompts)[:_PROMPT],
        tags=job.spec.tags if job.spec else (),
        videos=job.task_count,
        percent=sum(task.percent for task in tasks) // max(1, len(tasks)),
        poster=s3_keys.published(job.path, done.number, job.task_count).poster if done else None,
        problem=problems[0].message[:_PROBLEM] if problems else "",
    )


def show(ports: WithLedger, job_id: str) -> None:
    """Make the entry of a path agree with its job, unless a newer drop owns the path.

    A job that was handed on has no entry, because those that follow from it have some.

    The copy at the path is read before the job. So if another handler writes an entry in between,
    this one conflicts, and reads again.

    Raises:
        Conflict: the entry kept changing.
    """

    def change() -> None:
        first = ports.ledger.get(job_key(job_id))
        if first is None:
            return
        shown = ports.ledger.get(shown_key(first.document.path))
        job = ports.ledger.get(job_key(job_id))
        if job is None or not is_newest(ports, job.document):
            return
        if job.document.state == State.HANDED_ON:
            if shown is not None:
                ports.ledger.commit(Remove(shown.key, shown.revision), *_removed(ports, shown))
            return
        entry = entry_of(job.document, [task.document for task in tasks_of(ports, job_id)])
        if shown is None or shown.document != entry:
            ports.ledger.commit(*_changes(ports, shown, entry))

    retried(f"the gallery entry of {job_id}", change)


def add_missing(ports: WithLedger, paths: Sequence[str]) -> None:
    """Add an entry for each of these paths that has a job and no entry.

    Jobs that ended before there was a gallery have none. This makes two calls for all paths
    together, and some more for each entry that it adds.

    Raises:
        Conflict: an entry kept changing.
    """
    entries = ports.ledger.get_all([shown_key(path) for path in paths])
    without = [path for path, entry in zip(paths, entries, strict=True) if entry is None]
    for owner in ports.ledger.get_all([owner_key(path) for path in without]):
        if owner is not None:
            show(ports, owner.document.job_id)


def hide(ports: WithLedger, path: str) -> None:
    """Remove the entry of a path.

    Raises:
        Conflict: the entry kept changing.
    """

    def change() -> None:
        shown = ports.ledger.get(shown_key(path))
        if shown is not None:
            ports.ledger.commit(Remove(shown.key, shown.revision), *_removed(ports, shown))

    retried(f"the gallery entry of {path}", change)


def _changes(
    ports: WithLedger, shown: Record[GalleryEntry] | None, entry: GalleryEntry
) -> list[Change]:
    """The changes that replace an entry, and its copy at the path."""
    key = gallery_key(entry)
    changes: list[Change] = [Put(shown_key(entry.path), entry, shown.revision if shown else 0)]
    if shown is not None and gallery_key(shown.document) != key:
        changes += _removed(ports, shown)
    there = ports.ledger.get(key)
    return [*changes, Put(key, entry, there.revision if there else 0)]


def _removed(ports: WithLedger, shown: Record[GalleryEntry]) -> list[Change]:
    there = ports.ledger.get(gallery_key(shown.document))
    return [Remove(there.key, there.revision)] if there else []
