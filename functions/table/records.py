"""Jobs, tasks and attempts: the records of the table, and the states they go through.

    waiting → queued → running → succeeded | failed        and  rejected, planned, canceled

Terminal states never change. A job has the state of its tasks taken together.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from contract.catalogue import Mode
from contract.document import Document
from contract.errors import Notice, Problem
from contract.manifest import Parameters
from functions.spec.enhance import Enhancement
from functions.spec.fields import JobSpec, Priority, parameters_of
from functions.spec.folder_defaults import DayLimits


class State(StrEnum):
    """Where a job or a task is."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    PLANNED = "planned"
    """Checked and answered with what would be made; nothing was to be rendered."""
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether this state is final."""
        return self not in {State.WAITING, State.QUEUED, State.RUNNING}


class Source(Document):
    """The object that a job came from."""

    bucket: str
    key: str
    version: str
    """Version id; the etag where the bucket has no versions."""
    versioned: bool
    modified_at: datetime
    """When it was dropped, as S3 tells it: in whole seconds."""


class Job(Document):
    """One version of one spec."""

    job_id: str
    source: Source
    path: str
    state: State
    created_at: datetime
    updated_at: datetime
    spec: JobSpec | None = None
    """As dropped, over the defaults of its folders."""
    task_count: int = 0
    open_tasks: int = 0
    failed_tasks: int = 0
    waiting_for: str | None = None
    """Key of the reference that has not come yet; None while waiting: it is being read."""
    reason: str = ""
    """Why it was canceled."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Notice, ...] = ()


class Task(Document):
    """One video of a job."""

    task_id: str
    job_id: str
    number: int
    state: State
    spec: JobSpec
    """Resolved."""
    enhancement: Enhancement
    folder: str
    """Of the drop, from jobs/ on."""
    reference: str | None
    """Key of the image or video in the work bucket, as it was kept."""
    queued_at: datetime
    attempts: int = 0
    """Attempts that were started; one that got no capacity does not count."""
    attempt_id: str | None = None
    """The attempt that owns this task while it runs. A result of another attempt is stale."""
    percent: int = 0
    expected_seconds_left: float | None = None
    waiting_reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counted_on: date | None = None
    """The day of its folder to which it was counted when it started; None: to none."""
    counted_seconds: float = 0.0
    """GPU seconds that were counted then."""
    problem: Problem | None = None

    @property
    def model(self) -> str:
        """Name of the model."""
        assert self.spec.model is not None  # resolved
        return self.spec.model

    @property
    def parameters(self) -> Parameters:
        """What the worker is told."""
        return parameters_of(self.spec)


class TaskRef(Document):
    """Names a task."""

    job_id: str
    number: int


class QueueEntry(Document):
    """A queued task's place in the line, with what planning needs to know of it.

    Exists exactly while the task is queued, and is never changed: its revision is always 1.
    """

    task: TaskRef
    task_id: str
    model: str
    mode: Mode
    priority: Priority
    folder: str
    counted_on: date | None = None
    """The day to which it was counted in an attempt before: it is counted once a day."""
    queued_at: datetime
    size_class: int
    """Tasks of one class are of like size: see `estimate.size_class_of`."""
    work: float
    """How much there is to compute: see `estimate.work_of`."""


class Waiting(Document):
    """A job that waits for a reference, or is being read, until a deadline."""

    job_id: str
    deadline: datetime


class Attempt(Document):
    """One processing job: from the claim of its tasks to its end.

    `claiming`: tasks are being taken; `starting`: the manifest is fixed, the create call may have
    been made; `started`: SageMaker has it; `returning`: there is no capacity, and the tasks go back
    to the queue. An attempt that has ended is removed.
    """

    attempt_id: str
    state: Literal["claiming", "starting", "started", "returning"]
    model: str
    mode: Mode
    tasks: tuple[TaskRef, ...]
    """While claiming, those to take; from `starting` on, those of the manifest, for good."""
    instance_type: str
    created_at: datetime
    updated_at: datetime
    manifest_sha256: str = ""
    reason: str = ""
    """Why it is returning."""


class Lease(Document):
    """The right of an attempt to an instance, and what kind of tasks it has."""

    attempt_id: str
    instance_type: str
    model: str
    mode: Mode
    size_class: int
    ends_at: datetime
    """When the attempt is expected to end."""


class NoInstance(Document):
    """SageMaker had no instance of a type for us."""

    instance_type: str
    at: datetime
    reason: str


class Capacity(Document):
    """Who holds instances, which types were refused, and whose turn it is.

    One record, so that whoever opens an attempt does so from all of it.
    """

    leases: tuple[Lease, ...] = ()
    refusals: tuple[NoInstance, ...] = ()
    """At most one for each type."""
    served: tuple[str, ...] = ()
    """Folders in the order in which they last had a task started, the latest last."""


class Usage(Document):
    """What a folder has had started on one day, and what it may."""

    limits: DayLimits = DayLimits()
    """What the folder defaults say; the settings limit all folders besides."""
    day: date
    tasks: int = 0
    gpu_seconds: float = 0.0
    """Expected ones: they are counted before they are used."""

    def within(self, limits: DayLimits) -> bool:
        """Whether the limits allow as much as this."""
        return limits.allow(videos=self.tasks, gpu_seconds=self.gpu_seconds)

    def plus(self, seconds: float) -> "Usage":
        """With one more task of that length."""
        more = {"tasks": self.tasks + 1, "gpu_seconds": self.gpu_seconds + seconds}
        return self.model_copy(update=more)


class Rate(Document):
    """How long things take with one model, mode and instance type, as finished jobs showed."""

    model: str
    mode: Mode
    instance_type: str
    startup_seconds: float
    """From the opening of an attempt to its first task, less the loading of weights."""
    loading_seconds: float
    seconds_per_work: float
    jobs: int
    """Processing jobs that this was learned from."""


class Learned(Document):
    """All rates that were learned."""

    rates: tuple[Rate, ...] = ()


class PathOwner(Document):
    """The newest job of a path. Status and refusal at that path are this job's."""

    job_id: str
    modified_at: datetime
    live: str | None = None
    """The newest job of the path that was queued: what is published there is its."""
    live_modified_at: datetime | None = None
    superseded: tuple[str, ...] = ()
    """Those that were accepted before it, and are to be canceled."""


class Used(Document):
    """An image served a job as its reference, so it is no job of its own."""

    job_id: str


class Looked(Document):
    """How far the sweeper has looked at the inbox."""

    until: datetime
    """Every drop that is older than this has its job."""


class Letter(Document):
    """A notification that is owed. Removed once it is sent.

    The one who sends it claims it first, so that two handlers do not both send it; a claim that
    its holder did not live to use is taken over by the sweeper.
    """

    job_id: str
    claimed_at: datetime | None = None
