"""What the use cases need from the world. `aws.py` answers with AWS, tests with fakes.

The table is a store of documents with revisions: every change names the revision that it was
made from, several changes are committed together or not at all, and `Conflict` means that
somebody else was faster. All exactly-once behaviour rests on this one rule.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from functions import keys
from functions.job import (
    Attempt,
    Capacity,
    Job,
    Learned,
    Letter,
    Looked,
    Newest,
    QueueEntry,
    Task,
    TaskRef,
    Usage,
    Used,
    Waiting,
)
from functions.settings import Settings
from functions.spec import Priority
from functions.spec_text import Parsed
from processing.contract.document import Document
from processing.contract.errors import Transient

D = TypeVar("D", bound=Document)
C_co = TypeVar("C_co", bound=Document, covariant=True)

# --- the table -----------------------------------------------------------------------------


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
    """A task's place in the line of its priority and folder: by the time it was first queued."""
    at = task.queued_at.strftime("%Y%m%dT%H%M%S.%f")
    prefix = queue_prefix(task.spec.priority, task.folder)
    return RecordKey(QUEUE, f"{prefix}{at}#{task.task_id}", QueueEntry)


def waiting_key(reference: str, job_id: str) -> RecordKey[Waiting]:
    """A job that waits for the object `reference`, or, with "", for being read to its end.

    A key has no control characters that we allow.
    """
    return RecordKey(WAITING, f"{waiting_prefix(reference)}{job_id}", Waiting)


def waiting_prefix(reference: str) -> str:
    """What the sort keys of all begin with that wait for a reference, however it is spelled."""
    return f"{keys.one_spelling(reference)}\t"


def used_key(reference: str, version: str) -> RecordKey[Used]:
    """A version of a reference that a job has used, where an image alone would be a job."""
    return RecordKey(f"USED#{reference}", version, Used)


def attempt_key(attempt_id: str) -> RecordKey[Attempt]:
    """An attempt that has not ended: removed at its end."""
    return RecordKey(OPEN_ATTEMPTS, attempt_id, Attempt)


CAPACITY: RecordKey[Capacity] = RecordKey("CAPACITY", "CAPACITY", Capacity)
LOOKED_AT: RecordKey[Looked] = RecordKey("LOOKED", "INBOX", Looked)
LEARNED: RecordKey[Learned] = RecordKey("LEARNED", "LEARNED", Learned)


def usage_key(folder: str) -> RecordKey[Usage]:
    """What a folder has used of its day."""
    return RecordKey(USAGE, f"FOLDER#{folder}", Usage)


def newest_key(path: str) -> RecordKey[Newest]:
    """The newest job of a path."""
    return RecordKey(f"PATH#{path}", "NEWEST", Newest)


def letter_key(job_id: str) -> RecordKey[Letter]:
    """A notification that is owed."""
    return RecordKey(OUTBOX, job_id, Letter)


# --- files ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileFacts:
    """An object's current (or named) version."""

    version: str
    versioned: bool
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Listed:
    """The current version of an object, found by listing."""

    key: str
    modified_at: datetime
    version: str
    versioned: bool


class Missing(Exception):
    """There is no such object, or no longer that version of it."""


class Files(Protocol):
    """S3. `version` None means the current one."""

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """Size and version. Raises Missing."""

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        """The content, or its first bytes. Raises Missing."""

    def write(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """Create or replace an object."""

    def copy(
        self,
        source: tuple[str, str, str | None],
        target: tuple[str, str],
        content_type: str,
    ) -> None:
        """Copy (bucket, key, version) to (bucket, key) inside S3. Raises Missing."""

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object; fine when there is none."""

    def sha256(self, bucket: str, key: str) -> str:
        """Hex digest of the content. Raises Missing."""

    def listed(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """All objects below a prefix. Never on the way of a job; for the sweeper."""

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """An HTTPS link to download the object with."""


# --- processing jobs -----------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessingJob:
    """What we ask of SageMaker."""

    attempt_id: str
    instance_type: str
    manifest_sha256: str
    input_uri: str
    model_uri: str
    output_uri: str


@dataclass(frozen=True)
class ProcessingStatus:
    """What SageMaker says of a processing job."""

    status: str
    reason: str
    manifest_sha256: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in {"Completed", "Failed", "Stopped"}


class NoCapacity(Exception):
    """The quota does not allow another processing job now. Means waiting, never failing."""


class Refused(Exception):
    """The processing job cannot be created as it is, now and later; the message says why."""


class NameTaken(Exception):
    """A processing job of this name exists already."""


class Renderer(Protocol):
    """SageMaker processing."""

    def start(self, job: ProcessingJob) -> None:
        """Create the processing job. Raises NoCapacity, NameTaken, Refused."""

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        """Its status, or None if there is no such job."""

    def stop(self, attempt_id: str) -> None:
        """Ask it to stop; nothing if it does not exist or has ended."""


# --- what came from outside ----------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """An image as it was read: upright, RGB, without its metadata, encoded anew as PNG."""

    height: int
    width: int
    png: bytes
    preview: bytes
    """JPEG of at most 768 pixels a side, for a language model to look at."""


@dataclass(frozen=True)
class Clip:
    """What a video is."""

    height: int
    width: int
    num_frames: int
    fps: float


class Reader(Protocol):
    """Reads bytes that came from outside, where a crash or a bomb hurts nothing else.

    Whatever is wrong with them is the sender's to mend, so every method raises JobRejected; what is
    read too slowly or needs too much memory counts as wrong.
    """

    def spec(self, body: bytes, key: str) -> Parsed:
        """A spec or folder defaults, as values with places. The key's suffix says what it is."""

    def image(self, body: bytes, name: str) -> Picture:
        """An image; `name` is what messages call it."""

    def video(self, body: bytes, name: str) -> Clip:
        """The facts of a video, found by decoding it."""

    def contact_sheet(self, posters: Sequence[tuple[str, bytes]]) -> bytes:
        """A JPEG with all posters (label, JPEG), each with its label, in a grid."""


# --- words and letters ---------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a language model answered."""

    text: str
    stop_reason: str
    answered_by: str


class LanguageModelUnavailable(Exception):
    """The model did not answer; the message says why."""


class LanguageModel(Protocol):
    """Bedrock Converse."""

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """One turn, with a JPEG to look at if there is one. Raises LanguageModelUnavailable."""


class Post(Protocol):
    """SNS."""

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """Publish one notification."""


# --- all of it -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ports:
    """Everything that a use case may touch."""

    settings: Settings
    region: str
    ledger: Ledger
    files: Files
    renderer: Renderer
    reader: Reader
    language_model: LanguageModel
    post: Post
    wake: Callable[[], None]
    """Ask for a dispatch soon."""
    now: Callable[[], datetime]
    """Aware, UTC."""
    new_suffix: Callable[[], str]
    """Eight random lower-case hex digits."""
    tell: Callable[[str, dict[str, object]], None]
    """Log an event with its facts."""
