"""The records of the table: jobs, tasks, attempts, and what else is kept between two events.

    waiting → queued → running → succeeded | failed        and  rejected, planned, canceled

A job has the state of its tasks taken together. Terminal states never change.

A record changes only through its moves: methods that are named after what happened, check that
the record may change like that, and validate the result. So a field that does not exist or a
state that cannot follow is never written.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Self

from contract.catalogue import Mode
from contract.document import Document
from contract.errors import Notice, Problem
from contract.manifest import Parameters
from functions.spec.enhance import Enhancement
from functions.spec.fields import JobSpec, Priority, parameters_of
from functions.spec.folder_defaults import DayLimits
from functions.spec.work import size_class_of, work_of

# Folders whose turn is remembered.
_FOLDERS = 64


class IllegalMove(RuntimeError):
    """A record was to change in a way that its state does not allow: a bug."""


class _Moving(Document):
    """A record that changes through moves."""

    def _with(self, **changes: object) -> Self:
        """A copy with some fields changed, validated like a new record.

        Raises:
            pydantic.ValidationError: a field does not exist, or its value is not valid.
        """
        return type(self).model_validate({**dict(self), **changes})


class State(StrEnum):
    """Where a job or a task is."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    PLANNED = "planned"
    """Checked, and answered with what would be made. Nothing is rendered."""
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether this state is final."""
        return self not in {State.WAITING, State.QUEUED, State.RUNNING}


class ProcessingState(StrEnum):
    """The states of a processing job, in SageMaker's words."""

    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def ended(self) -> bool:
        """Whether the processing job writes nothing more."""
        return self not in {ProcessingState.IN_PROGRESS, ProcessingState.STOPPING}


class FailureKind(StrEnum):
    """Why a processing job failed, as far as it changes what is done next."""

    NO_INSTANCE = "no-instance"
    """SageMaker had no instance of the type, so no task is to blame."""
    OTHER = "other"


class Ending(Document):
    """How a processing job ended."""

    state: ProcessingState | None
    """None: SageMaker does not know the processing job."""
    detail: str = ""
    """SageMaker's or the worker's own words."""
    failure: FailureKind | None = None


class HoldReason(StrEnum):
    """Why a queued task does not run yet."""

    DAILY_LIMIT = "daily-limit"
    NO_CAPACITY = "no-capacity"
    START_DENIED = "start-denied"
    """SageMaker answered with an error that an administrator has to correct, such as a right that
    is missing."""
    THROTTLED = "throttled"
    NEW_ATTEMPT = "new-attempt"


class Hold(Document):
    """Why a queued task does not run yet, with the facts that its words are made from."""

    reason: HoldReason
    day: date | None = None
    """The day whose limit is used up."""
    instance_type: str = ""
    """The type whose quota is used up."""
    detail: str = ""
    """SageMaker's own words, when it denied the start."""
    ending: Ending | None = None
    """How the attempt before ended."""


class CancelReason(StrEnum):
    """Why a job was canceled."""

    DELETED = "deleted"
    SUPERSEDED = "superseded"


class Source(Document):
    """The object that a job came from."""

    bucket: str
    key: str
    version: str
    """Version id, or the etag where the bucket has no versions."""
    versioned: bool
    modified_at: datetime
    """When it was dropped, in whole seconds as S3 reports it."""

    @property
    def version_id(self) -> str | None:
        """The version id, if the bucket has versions."""
        return self.version if self.versioned else None


_JOB_MOVES: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset(
        {State.WAITING, State.QUEUED, State.REJECTED, State.PLANNED, State.CANCELED}
    ),
    # A job is queued again when its last running task is, and may end from there, because the
    # tasks of a job change independently of each other.
    State.QUEUED: frozenset(
        {State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELED}
    ),
    State.RUNNING: frozenset(
        {State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELED}
    ),
}
_TASK_MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELED}),
    State.RUNNING: frozenset({State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELED}),
}


class Job(_Moving):
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
    """Key of the reference that is not there yet. None while waiting: the job is being read."""
    canceled_because: CancelReason | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Notice, ...] = ()

    def _to(self, state: State, at: datetime, **changes: object) -> Self:
        if state not in _JOB_MOVES.get(self.state, frozenset()):
            raise IllegalMove(f"job {self.job_id} cannot go from {self.state} to {state}")
        return self._with(state=state, updated_at=at, **changes)

    @property
    def wants_mail(self) -> bool:
        """Whether its end is to be notified. A job whose spec could not be read is."""
        return self.spec is None or self.spec.notify

    def read_as(self, spec: JobSpec, warnings: tuple[Notice, ...]) -> Self:
        """Its files were read."""
        return self._with(spec=spec, warnings=warnings)

    def noticed(self, warnings: tuple[Notice, ...]) -> Self:
        """These are all warnings now."""
        return self._with(warnings=warnings)

    def being_read(self) -> Self:
        """It is read, and its prompts are being enhanced."""
        return self._to(State.WAITING, self.updated_at, waiting_for=None)

    def waiting_for_reference(self, reference: str) -> Self:
        """A reference is not there yet.

        Args:
            reference: its key.
        """
        return self._to(State.WAITING, self.updated_at, waiting_for=reference)

    def rejected(self, problems: tuple[Problem, ...], at: datetime) -> Self:
        """It cannot be accepted."""
        return self._to(State.REJECTED, at, problems=problems)

    def accepted(self, tasks: int) -> Self:
        """Its tasks are in the queue."""
        return self._to(State.QUEUED, self.updated_at, task_count=tasks, open_tasks=tasks)

    def planned(self, tasks: int) -> Self:
        """It is answered with what it would make."""
        return self._to(State.PLANNED, self.updated_at, task_count=tasks)

    def running(self, at: datetime) -> Self:
        """At least one of its tasks runs."""
        return self._to(State.RUNNING, at)

    def queued_again(self, at: datetime) -> Self:
        """None of its tasks runs any more."""
        return self._to(State.QUEUED, at)

    def task_ended(self, state: State, warnings: tuple[Notice, ...], at: datetime) -> Self:
        """One of its tasks ended. With the last one the job ends.

        Args:
            state: succeeded or failed, of the task.
            warnings: what the worker noticed.
        """
        failed = self.failed_tasks + (state == State.FAILED)
        changes: dict[str, object] = {
            "open_tasks": self.open_tasks - 1,
            "failed_tasks": failed,
            "warnings": tuple(dict.fromkeys((*self.warnings, *warnings))),
        }
        if self.open_tasks > 1:
            return self._with(updated_at=at, **changes)
        return self._to(State.FAILED if failed else State.SUCCEEDED, at, **changes)

    def canceled(self, reason: CancelReason, at: datetime) -> Self:
        """Nobody wants it any more."""
        return self._to(State.CANCELED, at, canceled_because=reason, open_tasks=0)


class TaskRef(Document):
    """Names a task."""

    job_id: str
    number: int


class Task(_Moving):
    """One video of a job."""

    task_id: str
    job_id: str
    number: int
    state: State
    spec: JobSpec
    """Resolved."""
    enhancement: Enhancement
    folder: str
    """Of the drop, below jobs/."""
    reference: str | None
    """Key of the image or video in the work bucket, as it was kept."""
    queued_at: datetime
    attempts: int = 0
    """Attempts that were started. One that got no capacity does not count."""
    attempt_id: str | None = None
    """The attempt that owns this task while it runs. A result of another attempt is stale."""
    percent: int = 0
    expected_seconds_left: float | None = None
    hold: Hold | None = None
    """Why it does not run yet, while it is queued."""
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

    @property
    def ref(self) -> TaskRef:
        """The name of this task."""
        return TaskRef(job_id=self.job_id, number=self.number)

    @property
    def queue_entry(self) -> "QueueEntry":
        """Its entry in the queue."""
        parameters = self.parameters
        return QueueEntry(
            task=self.ref,
            task_id=self.task_id,
            model=self.model,
            mode=parameters.mode,
            priority=self.spec.priority,
            folder=self.folder,
            counted_on=self.counted_on,
            queued_at=self.queued_at,
            size_class=size_class_of(parameters),
            work=work_of(parameters),
        )

    def owned_by(self, attempt_id: str) -> bool:
        """Whether it runs in this attempt."""
        return self.state == State.RUNNING and self.attempt_id == attempt_id

    def _to(self, state: State, **changes: object) -> Self:
        if state not in _TASK_MOVES.get(self.state, frozenset()):
            raise IllegalMove(f"task {self.task_id} cannot go from {self.state} to {state}")
        return self._with(state=state, **changes)

    def claimed(self, attempt_id: str, at: datetime) -> Self:
        """An attempt takes it."""
        return self._to(
            State.RUNNING,
            attempts=self.attempts + 1,
            attempt_id=attempt_id,
            percent=0,
            hold=None,
            started_at=at,
        )

    def counted(self, day: date, seconds: float) -> Self:
        """It is counted to its folder's day.

        Args:
            seconds: the GPU seconds that it is expected to take.
        """
        return self._with(counted_on=day, counted_seconds=seconds)

    def uncounted(self) -> Self:
        """It is no longer counted to its folder's day, because nothing was rendered."""
        return self._with(counted_on=None, counted_seconds=0.0)

    def requeued(self, hold: Hold, *, charge: bool) -> Self:
        """Its attempt ended without a result of it.

        Args:
            hold: why it waits again.
            charge: whether the attempt counts as one of its attempts.
        """
        again = self._to(
            State.QUEUED,
            attempts=self.attempts - (not charge),
            attempt_id=None,
            percent=0,
            expected_seconds_left=None,
            hold=hold,
            started_at=None,
        )
        return again if charge else again.uncounted()

    def held(self, hold: Hold) -> Self:
        """It stays in the queue, for this reason."""
        if self.state != State.QUEUED:
            raise IllegalMove(f"task {self.task_id} is {self.state} and cannot be held")
        return self._with(hold=hold)

    def progressed(self, percent: int, expected_seconds_left: float | None) -> Self:
        """The worker reports progress."""
        if self.state != State.RUNNING:
            raise IllegalMove(f"task {self.task_id} is {self.state} and makes no progress")
        return self._with(percent=percent, expected_seconds_left=expected_seconds_left)

    def succeeded(self, at: datetime) -> Self:
        """Its video is published."""
        return self._to(State.SUCCEEDED, finished_at=at, expected_seconds_left=None, percent=100)

    def failed(self, problem: Problem, at: datetime) -> Self:
        """It gets no video."""
        return self._to(State.FAILED, finished_at=at, expected_seconds_left=None, problem=problem)

    def canceled(self, at: datetime) -> Self:
        """Its job was canceled."""
        return self._to(State.CANCELED, finished_at=at, expected_seconds_left=None, hold=None)


class QueueEntry(Document):
    """A queued task's place in the queue, with what planning needs to know about it.

    It exists exactly while the task is queued and is never changed, so its revision is always 1.
    """

    task: TaskRef
    task_id: str
    model: str
    mode: Mode
    priority: Priority
    folder: str
    counted_on: date | None = None
    """The day to which it was counted in an earlier attempt: a task is counted once a day."""
    queued_at: datetime
    size_class: int
    """Tasks of one class are of similar size: see `spec/work.py`."""
    work: float
    """How much there is to compute: see `spec/work.py`."""


class Waiting(Document):
    """A job that waits for a reference, or is being read, until a deadline."""

    job_id: str
    deadline: datetime


class AttemptState(StrEnum):
    """Where an attempt is."""

    CLAIMING = "claiming"
    """Tasks are being claimed."""
    STARTING = "starting"
    """The manifest is fixed, and the create call may have been made."""
    STARTED = "started"
    """SageMaker accepted the processing job."""
    RETURNING = "returning"
    """It cannot start now, and the tasks return to the queue."""
    REFUSED = "refused"
    """It can never start, and the tasks fail."""


_ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.CLAIMING: frozenset({AttemptState.STARTING}),
    # Starting again: a handler was killed, and the next one goes on.
    AttemptState.STARTING: frozenset(
        {
            AttemptState.STARTING,
            AttemptState.STARTED,
            AttemptState.RETURNING,
            AttemptState.REFUSED,
        }
    ),
    AttemptState.STARTED: frozenset(),
    AttemptState.RETURNING: frozenset(),
    AttemptState.REFUSED: frozenset(),
}


class Attempt(_Moving):
    """One processing job, from the claim of its tasks to its end. It is removed when it ends."""

    attempt_id: str
    state: AttemptState
    model: str
    mode: Mode
    tasks: tuple[TaskRef, ...]
    """While claiming: those to claim. From `starting` on: those of the manifest, unchanged."""
    instance_type: str
    created_at: datetime
    updated_at: datetime
    manifest_sha256: str = ""
    hold: Hold | None = None
    """Why it is returning."""
    refusal: str = ""
    """Why it was refused, in SageMaker's words."""

    def _to(self, state: AttemptState, at: datetime, **changes: object) -> Self:
        if state not in _ATTEMPT_MOVES[self.state]:
            raise IllegalMove(f"attempt {self.attempt_id} cannot go from {self.state} to {state}")
        return self._with(state=state, updated_at=at, **changes)

    def taken_over(self, at: datetime) -> Self:
        """Another handler goes on with it."""
        return self._with(updated_at=at)

    def starting(self, tasks: tuple[TaskRef, ...], manifest_sha256: str, at: datetime) -> Self:
        """Its manifest is fixed."""
        return self._to(AttemptState.STARTING, at, tasks=tasks, manifest_sha256=manifest_sha256)

    def started(self, at: datetime) -> Self:
        """SageMaker accepted its processing job."""
        return self._to(AttemptState.STARTED, at)

    def returning(self, hold: Hold, at: datetime) -> Self:
        """It cannot start now.

        Args:
            hold: why. It becomes the reason why the tasks wait.
        """
        return self._to(AttemptState.RETURNING, at, hold=hold)

    def refused(self, refusal: str, at: datetime) -> Self:
        """It can never start.

        Args:
            refusal: why, in SageMaker's words.
        """
        return self._to(AttemptState.REFUSED, at, refusal=refusal)


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
    """SageMaker had no instance of a type."""

    instance_type: str
    at: datetime


class Capacity(_Moving):
    """Who holds instances, which types had none, and whose turn it is.

    This is one record, so whoever opens an attempt decides from all of it.
    """

    leases: tuple[Lease, ...] = ()
    without_instance: tuple[NoInstance, ...] = ()
    """At most one for each type."""
    served: tuple[str, ...] = ()
    """Folders in the order in which they last had a task started, the latest last."""

    def leased(self, lease: Lease, folders: tuple[str, ...]) -> Self:
        """An attempt was opened.

        Args:
            lease: its lease.
            folders: the folder of each of its tasks, in their order. They move to the end of the
                turn.
        """
        latest_first = dict.fromkeys(reversed(folders))
        served = [folder for folder in self.served if folder not in latest_first]
        return self._with(
            leases=(*self.leases, lease),
            served=(*served, *reversed(latest_first))[-_FOLDERS:],
        )

    def released(self, attempt_id: str, instance_type: str, shortage: NoInstance | None) -> Self:
        """An attempt ended.

        Args:
            shortage: set when there was no instance for it; None means that there was one, so its
                type has instances again.
        """
        others = (n for n in self.without_instance if n.instance_type != instance_type)
        return self._with(
            leases=tuple(lease for lease in self.leases if lease.attempt_id != attempt_id),
            without_instance=(*others, shortage) if shortage else tuple(others),
        )


class Usage(_Moving):
    """What a folder has had started on one day, and what it may."""

    limits: DayLimits = DayLimits()
    """What the folder defaults say. The settings limit every folder besides."""
    day: date
    tasks: int = 0
    gpu_seconds: float = 0.0
    """Expected ones: they are counted before they are used."""

    def within(self, limits: DayLimits) -> bool:
        """Whether the limits allow as much as this."""
        return limits.allow(videos=self.tasks, gpu_seconds=self.gpu_seconds)

    def limited(self, limits: DayLimits) -> Self:
        """The folder defaults say this now."""
        return self._with(limits=limits)

    def plus(self, seconds: float) -> Self:
        """With one more task that is expected to take `seconds` of GPU time."""
        return self._with(tasks=self.tasks + 1, gpu_seconds=self.gpu_seconds + seconds)

    def minus(self, seconds: float) -> Self:
        """Without a task that was counted with `seconds` of GPU time."""
        return self._with(
            tasks=max(0, self.tasks - 1), gpu_seconds=max(0.0, self.gpu_seconds - seconds)
        )


class Rate(Document):
    """How long things take with one model, mode and instance type, as finished jobs showed."""

    model: str
    mode: Mode
    instance_type: str
    startup_seconds: float
    """From the opening of an attempt to its first task, without the loading of weights."""
    loading_seconds: float
    seconds_per_work: float
    jobs: int
    """Processing jobs that this was learned from."""


class Learned(Document):
    """All rates that were learned."""

    rates: tuple[Rate, ...] = ()


class PathOwner(_Moving):
    """Which job owns a path: the newest one. Status and refusal at that path are about this job."""

    job_id: str
    modified_at: datetime
    live: str | None = None
    """The newest job of the path that was queued. The videos at that path are from this job."""
    live_modified_at: datetime | None = None
    superseded: tuple[str, ...] = ()
    """Jobs that were accepted before it and are to be canceled."""

    def newest_is(self, job: Job) -> Self:
        """A drop is at least as new as the one that was known, so it is the newest."""
        if self.modified_at > job.source.modified_at:
            return self
        return self._with(job_id=job.job_id, modified_at=job.source.modified_at)

    def live_is(self, job: Job, superseded: tuple[str, ...]) -> Self:
        """A job was accepted, and takes the place of others.

        Args:
            superseded: the ids of the jobs that have not ended and that it replaces.
        """
        return self._with(
            live=job.job_id,
            live_modified_at=job.source.modified_at,
            superseded=tuple(dict.fromkeys(superseded)),
        )


class Used(Document):
    """An image served a job as its reference, so it is not a job of its own."""

    job_id: str


class Looked(Document):
    """How far the sweep has looked at the input bucket."""

    until: datetime
    """Every drop that is older than this has its job."""


class Letter(_Moving):
    """A notification that is owed. It is removed when it has been sent.

    A handler claims it before it sends it, so that two handlers do not both send it. If the
    handler is killed in between, the sweep claims it again.
    """

    job_id: str
    claimed_at: datetime | None = None

    def claimed(self, at: datetime) -> Self:
        """A handler is going to send it."""
        return self._with(claimed_at=at)
