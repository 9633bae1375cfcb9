"""The table: documents with revisions, their keys, and the rule for changing them.

Every change names the revision that was read. Several changes are committed together or not at
all. `Conflict` means that another handler changed one of the documents first. Because of this rule
each video is published once and each mail is sent once.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from contract.catalogue import Mode
from contract.document import Document
from contract.errors import Transient
from functions import s3_keys
from functions.ports import WithClock
from functions.spec.fields import Priority, mode_of
from functions.table.records import (
    Asked,
    Attempt,
    Capacity,
    Collected,
    Cursor,
    Digest,
    DigestKind,
    Family,
    GalleryEntry,
    Health,
    Job,
    LastDigest,
    Learned,
    Letter,
    Lone,
    Looked,
    NotedDefaults,
    PathOwner,
    QueueEntry,
    Refused,
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
    """A document as it was read, with its revision. A change of it must name this revision."""

    key: RecordKey[C_co]
    document: C_co
    revision: int


@dataclass(frozen=True)
class Put(Generic[C_co]):
    """Write a new document (`revision` 0), or replace the one that was read."""

    key: RecordKey[C_co]
    document: C_co
    revision: int = 0


@dataclass(frozen=True)
class Remove(Generic[C_co]):
    """Remove a document, if it is still at the revision that was read."""

    key: RecordKey[C_co]
    revision: int


Change = Put[Document] | Remove[Document]


class Conflict(Transient):
    """A change names a revision that is no longer the current one."""


class Ledger(Protocol):
    """The table. Reads are strongly consistent."""

    def get(self, key: RecordKey[D]) -> Record[D] | None:
        """The document at `key`, if there is one."""

    def get_all(self, keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        """The documents at `keys`, in their order, with None for those that do not exist.

        Each document is current, but they may be read at different moments.
        """

    def query(
        self,
        partition: str,
        kind: type[D],
        *,
        prefix: str = "",
        start: str = "",
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[Record[D]]:
        """Documents of a partition whose sort key begins with `prefix`, in order.

        Args:
            start: a text that begins with `prefix`. Sort keys before it are skipped; backwards,
                those after it.
            limit: how many documents are returned at most.
            backwards: whether the last one in order comes first.
        """

    def commit(self, *changes: Change) -> None:
        """Make all changes (at most 100), or none.

        Raises:
            Conflict: one of them names a revision that is not the current one.
        """


def job_key(job_id: str) -> RecordKey[Job]:
    """A job."""
    return RecordKey(f"JOB#{job_id}", "JOB", Job)


def task_key(task: TaskRef) -> RecordKey[Task]:
    """A task."""
    return RecordKey(f"JOB#{task.job_id}", f"TASK#{task.number:04d}", Task)


TASKS = "TASK#"
QUEUE = "QUEUE"
FINISHING_QUEUE = "QUEUE#FINISHING"
QUEUES = (QUEUE, FINISHING_QUEUE)
"""Videos that models make, and videos that are only finished, on instances of another type."""
WAITING = "WAITING"
REFUSED = "REFUSED"
LONE = "LONE"
OPEN_ATTEMPTS = "ATTEMPTS"
OUTBOX = "OUTBOX"
COLLECTED = "COLLECTED"
DIGESTS = "DIGESTS"
DEFAULTS = "DEFAULTS"
HEALTH = "HEALTH"
GALLERY = "GALLERY"
# In the year 2286, in seconds since 1970: the last number of ten digits.
_END_OF_TIME = 9_999_999_999
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


def queue_of(mode: Mode) -> str:
    """The queue that tasks of a mode wait in."""
    return FINISHING_QUEUE if mode == Mode.FINISHING else QUEUE


def queue_prefix(priority: Priority, folder: str | None = None) -> str:
    """The beginning of the sort keys of all queue entries of a priority, or of a folder in it.

    The entries of a folder are next to each other, so a reader can skip the rest of a long folder.
    """
    rank = PRIORITIES.index(priority)
    if folder is None:
        return f"{rank}#"
    return f"{rank}#{hashlib.sha256(folder.encode()).hexdigest()[:8]}#"


def queue_key(task: Task) -> RecordKey[QueueEntry]:
    """A task's place in the queue: by priority, folder, and the time when it was first queued."""
    at = task.queued_at.strftime("%Y%m%dT%H%M%S.%f")
    prefix = queue_prefix(task.spec.priority, task.folder)
    return RecordKey(queue_of(mode_of(task.spec)), f"{prefix}{at}#{task.task_id}", QueueEntry)


def waiting_key(reference: str, job_id: str) -> RecordKey[Waiting]:
    """A job that waits for the object `reference`, or that is still being read (reference "").

    A tab separates the parts. No reference contains one, because keys with control characters are
    refused.
    """
    return RecordKey(WAITING, f"{waiting_prefix(reference)}{job_id}", Waiting)


def waiting_prefix(reference: str) -> str:
    """The beginning of the sort keys of all jobs that wait for a reference, or for one alike."""
    return f"{s3_keys.folded(reference)}\t"


def refused_key(reference: str, job_id: str) -> RecordKey[Refused]:
    """A drop that was refused because of a reference.

    Args:
        job_id: the id of its first job.
    """
    return RecordKey(REFUSED, f"{waiting_prefix(reference)}{job_id}", Refused)


def asked_key(reference: str) -> RecordKey[Asked]:
    """A file that some spec asks for, by this name or one that is alike."""
    return RecordKey(f"REFERENCE#{s3_keys.folded(reference)}", "ASKED", Asked)


def lone_key(reference: str) -> RecordKey[Lone]:
    """A file that no spec asks for."""
    return RecordKey(LONE, reference, Lone)


def used_key(reference: str, version: str) -> RecordKey[Used]:
    """A version of an image that was a job's reference, in a folder where images become jobs."""
    return RecordKey(f"USED#{reference}", version, Used)


def attempt_key(attempt_id: str) -> RecordKey[Attempt]:
    """An attempt that has not ended. It is removed when it ends."""
    return RecordKey(OPEN_ATTEMPTS, attempt_id, Attempt)


CAPACITY: RecordKey[Capacity] = RecordKey("CAPACITY", "CAPACITY", Capacity)
LOOKED_AT: RecordKey[Looked] = RecordKey("LOOKED", "INBOX", Looked)


def cursor_key(partition: str) -> RecordKey[Cursor]:
    """Where the next sweep continues in a partition."""
    return RecordKey("LOOKED", partition, Cursor)


LEARNED: RecordKey[Learned] = RecordKey("LEARNED", "LEARNED", Learned)


def health_key(model: str, deployment: str) -> RecordKey[Health]:
    """The health of a model.

    Args:
        deployment: stands for the image and the code.
    """
    return RecordKey(HEALTH, f"{model}#{deployment}", Health)


def usage_key(folder: str) -> RecordKey[Usage]:
    """What a folder has used of its daily limits."""
    return RecordKey("USAGE", f"FOLDER#{folder}", Usage)


def defaults_key(key: str) -> RecordKey[NotedDefaults]:
    """What the folder defaults at an S3 key say about more than one drop."""
    return RecordKey(DEFAULTS, key, NotedDefaults)


def owner_key(path: str) -> RecordKey[PathOwner]:
    """The job that owns a path."""
    return RecordKey(f"PATH#{path}", "NEWEST", PathOwner)


def gallery_key(entry: GalleryEntry) -> RecordKey[GalleryEntry]:
    """An entry of the gallery. The newest drop has the lowest sort key, and so comes first."""
    seconds_left = _END_OF_TIME - int(entry.dropped_at.timestamp())
    return RecordKey(GALLERY, f"{seconds_left:010d}#{entry.job_id}", GalleryEntry)


def shown_key(path: str) -> RecordKey[GalleryEntry]:
    """A copy of the entry that the gallery has for a path, because one cannot look for it there."""
    return RecordKey(f"PATH#{path}", "SHOWN", GalleryEntry)


def family_key(root: str) -> RecordKey[Family]:
    """The paths that begin with `root` and end with numbers of two digits."""
    return RecordKey(f"PATH#{root}", "FAMILY", Family)


def letter_key(job_id: str) -> RecordKey[Letter]:
    """A notification that is owed."""
    return RecordKey(OUTBOX, job_id, Letter)


def collected_prefix(kind: DigestKind, folder: str) -> str:
    """The beginning of the sort keys of all ended jobs that one digest will tell of."""
    return f"{kind}#{hashlib.sha256(folder.encode()).hexdigest()[:16]}#"


def collected_key(collected: Collected) -> RecordKey[Collected]:
    """An ended job that a digest will tell of."""
    prefix = collected_prefix(collected.kind, collected.folder)
    return RecordKey(COLLECTED, f"{prefix}{collected.job_id}", Collected)


def digest_key(kind: DigestKind, folder: str) -> RecordKey[Digest]:
    """The digest of a folder that is to be sent. There is at most one of each kind."""
    return RecordKey(DIGESTS, collected_prefix(kind, folder), Digest)


def last_digest_key(kind: DigestKind, folder: str) -> RecordKey[LastDigest]:
    """When a digest of a folder was last made."""
    return RecordKey(f"TOLD#{collected_prefix(kind, folder)}", "LAST", LastDigest)


class WithLedger(Protocol):
    """Has the table."""

    @property
    def ledger(self) -> Ledger:
        """The table."""


class NeedsLedgerAndClock(WithLedger, WithClock, Protocol):
    """What changing records uses: the table and the time."""


RETRIES = 8
"""How often a change is tried before the whole message returns to its queue."""


def retried(what: str, change: Callable[[], T]) -> T:
    """Make a change. After a conflict, read and change again.

    Args:
        what: what is changed, for the message of the error.
        change: reads, decides and commits. It is called up to `RETRIES` times.

    Returns:
        What `change` returned.

    Raises:
        Conflict: another handler changed it first every time.
    """
    for _ in range(RETRIES):
        try:
            return change()
        except Conflict:
            continue
    raise Conflict(f"{what} was changed by others {RETRIES} times in a row")
