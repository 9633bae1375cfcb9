"""The table: documents with revisions, where each is kept, and the one rule of changing them.

Every change names the revision that it was made from. Several changes are committed together or
not at all, and `Conflict` means that another change came first. That each video is made and each
mail is sent once rests on this rule.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from contract.document import Document
from contract.errors import Transient
from functions import s3_keys
from functions.ports import WithClock
from functions.spec.fields import Priority
from functions.table.records import (
    Attempt,
    Capacity,
    Job,
    Learned,
    Letter,
    Looked,
    PathOwner,
    QueueEntry,
    Task,
    TaskRef,
    Usage,
    Used,
    Waiting,
)

D = TypeVar("D", bound=Document)
C_co = TypeVar("C_co", bound=Document, covariant=True)
T = TypeVar("T")


@dataclass(frozen=True)
class RecordKey(Generic[C_co]):
    """Where a document of type `kind` is kept."""

    partition: str
    sort: str
    kind: type[C_co]


@dataclass(frozen=True)
class Record(Generic[C_co]):
    """A document as it was read, with the revision that a change of it must name."""

    key: RecordKey[C_co]
    document: C_co
    revision: int


@dataclass(frozen=True)
class Put(Generic[C_co]):
    """Write a document: a new one (`revision` 0) or over the one that was read."""

    key: RecordKey[C_co]
    document: C_co
    revision: int = 0


@dataclass(frozen=True)
class Remove(Generic[C_co]):
    """Remove a document that must still be at the revision that was read."""

    key: RecordKey[C_co]
    revision: int


Change = Put[Document] | Remove[Document]


class Conflict(Transient):
    """A change was made from a revision that is no longer the current one."""


class Ledger(Protocol):
    """The table. Reads are strongly consistent."""

    def get(self, key: RecordKey[D]) -> Record[D] | None:
        """The document at `key`, if there is one."""

    def get_all(self, keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        """The documents at `keys`, in their order. Each is current; all together need not be."""

    def query(
        self,
        partition: str,
        kind: type[D],
        *,
        prefix: str = "",
        start: str = "",
        limit: int | None = None,
    ) -> list[Record[D]]:
        """Documents of a partition whose sort key begins with `prefix`, in order.

        Args:
            start: a text that begins with `prefix`; sort keys before it are passed over.
        """

    def commit(self, *changes: Change) -> None:
        """Make all changes (at most 100), or none.

        Raises:
            Conflict: one of them was made from a revision that is not the current one.
        """


def job_key(job_id: str) -> RecordKey[Job]:
    """A job."""
    return RecordKey(f"JOB#{job_id}", "JOB", Job)


def task_key(task: TaskRef) -> RecordKey[Task]:
    """A task."""
    return RecordKey(f"JOB#{task.job_id}", f"TASK#{task.number:04d}", Task)


TASKS = "TASK#"
QUEUE = "QUEUE"
WAITING = "WAITING"
OPEN_ATTEMPTS = "ATTEMPTS"
OUTBOX = "OUTBOX"
USAGE = "USAGE"
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


def queue_prefix(priority: Priority, folder: str | None = None) -> str:
    """Begins the sort keys of all queue entries of a priority, or of a folder in it.

    A folder's entries lie together, so that a reader can pass over the rest of a long folder.
    """
    rank = PRIORITIES.index(priority)
    if folder is None:
        return f"{rank}#"
    return f"{rank}#{hashlib.sha256(folder.encode()).hexdigest()[:8]}#"


def queue_key(task: Task) -> RecordKey[QueueEntry]:
    """A task's place in the queue: by priority, folder, and the time when it was first queued."""
    at = task.queued_at.strftime("%Y%m%dT%H%M%S.%f")
    prefix = queue_prefix(task.spec.priority, task.folder)
    return RecordKey(QUEUE, f"{prefix}{at}#{task.task_id}", QueueEntry)


def waiting_key(reference: str, job_id: str) -> RecordKey[Waiting]:
    """A job that waits for the object `reference`, or that is still being read (reference "").

    The parts are separated by a tab, because keys with control characters are refused.
    """
    return RecordKey(WAITING, f"{waiting_prefix(reference)}{job_id}", Waiting)


def waiting_prefix(reference: str) -> str:
    """The beginning of the sort keys of all jobs that wait for a reference, in any spelling."""
    return f"{s3_keys.one_spelling(reference)}\t"


def used_key(reference: str, version: str) -> RecordKey[Used]:
    """A version of an image that a job used as its reference, in a folder where images are jobs."""
    return RecordKey(f"USED#{reference}", version, Used)


def attempt_key(attempt_id: str) -> RecordKey[Attempt]:
    """An attempt that has not ended. It is removed at its end."""
    return RecordKey(OPEN_ATTEMPTS, attempt_id, Attempt)


CAPACITY: RecordKey[Capacity] = RecordKey("CAPACITY", "CAPACITY", Capacity)
LOOKED_AT: RecordKey[Looked] = RecordKey("LOOKED", "INBOX", Looked)
LEARNED: RecordKey[Learned] = RecordKey("LEARNED", "LEARNED", Learned)


def usage_key(folder: str) -> RecordKey[Usage]:
    """What a folder has used of its daily limits."""
    return RecordKey(USAGE, f"FOLDER#{folder}", Usage)


def owner_key(path: str) -> RecordKey[PathOwner]:
    """The newest job of a path."""
    return RecordKey(f"PATH#{path}", "NEWEST", PathOwner)


def letter_key(job_id: str) -> RecordKey[Letter]:
    """A notification that is owed."""
    return RecordKey(OUTBOX, job_id, Letter)


class WithLedger(Protocol):
    """Can read and change the table."""

    @property
    def ledger(self) -> Ledger:
        """The table."""


class NeedsLedgerAndClock(WithLedger, WithClock, Protocol):
    """What changes of records need: the table and the time."""


RETRIES = 8
"""How often a change is tried again before the queue has to repeat the whole step."""


def retried(what: str, change: Callable[[], T]) -> T:
    """Make a change, and make it again from what is there when another change came first.

    Args:
        what: names what is changed, for the error.
        change: reads, decides and commits. It is called up to `RETRIES` times.

    Returns:
        What `change` returned.

    Raises:
        Conflict: another change came first every time.
    """
    for _ in range(RETRIES):
        try:
            return change()
        except Conflict:
            continue
    raise Conflict(f"{what} was changed by others {RETRIES} times in a row")
