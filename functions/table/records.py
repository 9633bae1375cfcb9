"""The records of the table: jobs, tasks, attempts, and everything else that outlives a handler.

    waiting → queued → running → succeeded | failed        and  rejected, planned, canceled

The state of a job summarizes the states of its tasks. Terminal states never change.

A record changes only through its moves. A move is a method that is named after what happened. It
checks that the state allows this change, and validates the result. So a field that does not exist,
or a state that may not follow, is never written.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import AliasChoices, Field, ValidationInfo, field_validator

from contract.catalogue import NO_MODEL, Mode, Preset, folder_of
from contract.document import Document
from contract.errors import Notice, Problem
from contract.manifest import Parameters
from functions import s3_keys
from functions.spec.clip import Clip
from functions.spec.enhance import PATIENCE, Enhancement
from functions.spec.fields import JobSpec, Priority, parameters_of, references_of
from functions.spec.folder_defaults import DayLimits
from functions.spec.work import size_class_of, work_by_mode, work_of, writing_seconds_of

# Whoever put such files there perhaps never meant to drop them.
_NO_DROP = {s3_keys.Kind.UNKNOWN, s3_keys.Kind.MISPLACED}
# How many folders are remembered for taking turns.
_FOLDERS = 64


class IllegalMove(RuntimeError):
    """The state of a record does not allow this move. This is a bug in our code."""


class _Moving(Document):
    """A record that changes through moves."""

    def _with(self, **changes: object) -> Self:
        """A copy with some fields changed, validated like a new record.

        Raises:
            pydantic.ValidationError: a field does not exist, or its value is not valid.
        """
        return type(self).model_validate({**dict(self), **changes})


class State(StrEnum):
    """The state of a job or a task."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    PLANNED = "planned"
    """It was checked and answered with what it would make. Nothing is rendered."""
    CANCELED = "canceled"
    HANDED_ON = "handed-on"
    """It makes no video itself. Specs were dropped because of it, and each of them is a job."""

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
        """Whether the processing job has ended and writes nothing more."""
        return self not in {ProcessingState.IN_PROGRESS, ProcessingState.STOPPING}


class FailureKind(StrEnum):
    """Why a processing job failed, as far as it matters for what we do next."""

    NO_INSTANCE = "no-instance"
    """SageMaker had no instance of the type, so no task is charged."""
    OTHER = "other"


class Ending(Document):
    """How a processing job ended."""

    state: ProcessingState | None
    """None if SageMaker does not know the processing job."""
    detail: str = ""
    """The message of SageMaker or the worker, unchanged."""
    failure: FailureKind | None = None


class HoldReason(StrEnum):
    """Why a queued task does not run yet."""

    DAILY_LIMIT = "daily-limit"
    NO_CAPACITY = "no-capacity"
    START_DENIED = "start-denied"
    """SageMaker denied the start until an administrator corrects something, such as a missing
    permission."""
    THROTTLED = "throttled"
    NEW_ATTEMPT = "new-attempt"
    MODEL_PAUSED = "model-paused"
    """Processing jobs with this model end without a sign of life."""
    NO_WEIGHTS = "no-weights"
    """The weights of its model were not imported."""


class Hold(Document):
    """Why a queued task does not run yet, with the facts for the sentence about it."""

    reason: HoldReason
    day: date | None = None
    """For `DAILY_LIMIT`: the day whose limit is used up."""
    instance_type: str = ""
    """For `NO_CAPACITY`: the type whose quota is used up."""
    detail: str = ""
    """For `NO_CAPACITY` and `START_DENIED`: the message of SageMaker. For `NO_WEIGHTS`: the name of
    the model."""
    ending: Ending | None = None
    """For `NEW_ATTEMPT` and `MODEL_PAUSED`: how the last attempt ended."""
    until: datetime | None = None
    """For `MODEL_PAUSED`: when it is tried again."""

    def holds(self, at: datetime) -> bool:
        """Whether the task certainly does not start at this time."""
        return self.day == at.date() or (self.until is not None and at < self.until)

    def is_over(self, at: datetime) -> bool:
        """Whether the task waited only until an earlier time."""
        return self.until is not None and at >= self.until


class DigestKind(StrEnum):
    """What a digest is about."""

    ENDED = "ended"
    """Jobs that have ended, whose specs or folders say `notify: digest`."""
    NO_DROPS = "no-drops"
    """Files that are no drops."""


class CancelReason(StrEnum):
    """Why a job was canceled."""

    DELETED = "deleted"
    SUPERSEDED = "superseded"


class Source(Document):
    """The object that a job came from."""

    bucket: str
    key: str
    version: str
    """The version id, or the etag if the bucket has no versions."""
    versioned: bool
    modified_at: datetime
    """When it was dropped, in whole seconds as S3 reports it."""

    @property
    def version_id(self) -> str | None:
        """The version id, if the bucket has versions."""
        return self.version if self.versioned else None


class NotJudged(Document):
    """The guardrail does not judge the texts of a job."""

    since: datetime
    again_at: datetime
    """When it is asked again. Events before that change nothing, so that they do not add up."""
    reason: str
    """In the words of Bedrock."""


class KeptReference(Document):
    """A reference of a task, as it was when its job was accepted."""

    field: str
    """The field of the spec that names it."""
    key: str
    """Key of the copy in the work bucket."""
    source: str = ""
    """Key of the file that it was copied from, and its version. Records of 0.1 have neither."""
    version: str = ""


class BadReference(Document):
    """The reference because of which a job was refused."""

    key: str
    """As the spec names it."""
    version: str | None
    """The version that cannot be used. None if it was not uploaded in time, or if it is not known
    which file is meant."""


_JOB_MOVES: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset(
        {
            State.WAITING,
            State.QUEUED,
            State.REJECTED,
            State.PLANNED,
            State.CANCELED,
            State.HANDED_ON,
        }
    ),
    # A job is queued again if no task of it runs any more. A queued job may end directly, because
    # the tasks of a job change independently of each other.
    # If newer folder defaults want no rendering, it may become planned before anything has begun.
    State.QUEUED: frozenset(
        {
            State.QUEUED,
            State.RUNNING,
            State.PLANNED,
            State.SUCCEEDED,
            State.FAILED,
            State.CANCELED,
        }
    ),
    State.RUNNING: frozenset(
        {State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELED}
    ),
}
_TASK_MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.QUEUED, State.RUNNING, State.PLANNED, State.CANCELED}),
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
    """As it was dropped, merged with the defaults of its folders."""
    defaults: tuple[str, ...] = ()
    """The versions of the folder defaults that it was last compared with, the closest folder first.
    The text is empty for a folder without any."""
    queued_at: datetime | None = None
    """When its videos were queued first; None if they never were."""
    begun: bool = False
    """Whether an attempt has claimed one of its videos. Newer folder defaults do not apply then."""
    announced_at: datetime | None = None
    """When its drop was announced because folder defaults had changed."""
    task_count: int = 0
    open_tasks: int = 0
    failed_tasks: int = 0
    waiting_for: tuple[str, ...] = ()
    """Keys of the references that the job waits for. None of them in the state waiting means that
    the job is being read."""
    found_empty: tuple[str, ...] = ()
    """Those of them that were there, but without content."""
    busy_since: datetime | None = None
    """Since when the language model has been too busy to enhance the prompts."""
    not_judged: NotJudged | None = None
    """Why its texts were not judged when the guardrail was asked last; None if they were."""
    canceled_because: CancelReason | None = None
    problems: tuple[Problem, ...] = ()
    more_problems: int = 0
    """How many further problems are not among them."""
    warnings: tuple[Notice, ...] = ()
    bad_reference: BadReference | None = None
    """For a rejected job: it was refused because of this reference, which may change."""
    last_try: str | None = None
    """Only in the first job of a drop: the id of the last job that the same version has become,
    because references changed for which the jobs before had been refused."""
    folder_wants_digest: bool = False
    """For a spec that could not be read: whether its folder says `notify: digest`."""
    dropped: tuple[str, ...] = ()
    """The keys of the specs that were dropped because of it: the final of an approved draft, or the
    good rows of a list."""
    bad_rows: int = 0
    """For a list: how many of its rows cannot be used."""

    @field_validator("waiting_for", "found_empty", mode="before")
    @classmethod
    def _one_reference(cls, value: Any, info: ValidationInfo) -> Any:
        """In 0.1, a job waited for one reference at a time."""
        if value is True:
            return info.data.get("waiting_for")
        if isinstance(value, str):
            return (value,)
        return tuple(value) if value else ()

    def _to(self, state: State, at: datetime, **changes: object) -> Self:
        if state not in _JOB_MOVES.get(self.state, frozenset()):
            raise IllegalMove(f"job {self.job_id} cannot go from {self.state} to {state}")
        return self._with(state=state, updated_at=at, **changes)

    @property
    def wanted_outputs(self) -> tuple[str, ...]:
        """The `outputs` of its spec."""
        return self.spec.outputs if self.spec else ()

    @property
    def outputs(self) -> frozenset[str]:
        """The keys of everything that it publishes under videos/.

        Scenes by themselves are among them in any case, because those before one that fails are
        kept.
        """
        wanted = self.wanted_outputs
        return s3_keys.outputs(self.path, self.task_count, wanted, self.scene_count)

    @property
    def scene_count(self) -> int:
        """How many scenes each of its videos has. 0: they are not made of scenes."""
        return len(self.spec.scenes or ()) if self.spec else 0

    @property
    def wants_mail(self) -> bool:
        """Whether a mail is sent at its end. It is sent if the spec could not be read.

        If the job was superseded, there will be a mail about the newer version. If other specs were
        dropped because of it, there will be mails about these.
        """
        if self.canceled_because == CancelReason.SUPERSEDED or self.state == State.HANDED_ON:
            return False
        return self.spec is None or self.spec.notify is not False

    @property
    def digest(self) -> DigestKind | None:
        """The digest that reports its end, if it does not get a mail of its own."""
        if s3_keys.kind_of(self.source.key) in _NO_DROP:
            return DigestKind.NO_DROPS
        wanted = self.folder_wants_digest if self.spec is None else self.spec.notify == "digest"
        return DigestKind.ENDED if wanted else None

    @property
    def was_accepted(self) -> bool:
        """Whether its videos were queued, whatever became of them. It then replaces older jobs."""
        return self.task_count > 0 and (self.state != State.PLANNED or self.queued_at is not None)

    @property
    def can_be_planned_again(self) -> bool:
        """Whether newer folder defaults may still change it."""
        return self.state == State.QUEUED and not self.begun

    def is_judged_later(self, now: datetime) -> bool:
        """Whether the guardrail did not answer, and is not to be asked again yet."""
        return self.not_judged is not None and now < self.not_judged.again_at

    @property
    def enhance_until(self) -> datetime | None:
        """Until when a busy language model is asked again; None if it is not busy."""
        if self.busy_since is None or self.spec is None:
            return None
        return self.busy_since + PATIENCE[self.spec.priority]

    def read_as(
        self, spec: JobSpec, warnings: tuple[Notice, ...], defaults: tuple[str, ...]
    ) -> Self:
        """Its files were read.

        Args:
            defaults: the versions of its folder defaults.
        """
        return self._with(spec=spec, warnings=warnings, defaults=defaults)

    def read_again(self, at: datetime) -> Self:
        """Its files are read again, because its folder defaults have changed."""
        if not self.can_be_planned_again:
            raise IllegalMove(f"job {self.job_id} is {self.state} and cannot be planned again")
        return self._with(updated_at=at)

    def announced(self, at: datetime) -> Self:
        """Its drop was announced, because its folder defaults have changed."""
        if not self.can_be_planned_again:
            raise IllegalMove(f"job {self.job_id} is {self.state} and cannot be planned again")
        return self._with(announced_at=at)

    def kept(self, defaults: tuple[str, ...], why: Notice) -> Self:
        """Its folder defaults have changed, and it stays as it was accepted.

        Args:
            defaults: the versions of the folder defaults that do not apply to it.
        """
        if self.state not in {State.QUEUED, State.RUNNING}:
            raise IllegalMove(f"job {self.job_id} is {self.state} and needs no defaults")
        warnings = tuple(dict.fromkeys((*self.warnings, why)))
        return self._with(defaults=defaults, warnings=warnings, announced_at=None, not_judged=None)

    def noticed(self, warnings: tuple[Notice, ...]) -> Self:
        """Its warnings are known. They replace those from reading."""
        return self._with(warnings=warnings)

    def being_read(self) -> Self:
        """It is read, and its prompts are being enhanced."""
        return self._to(State.WAITING, self.updated_at, waiting_for=(), found_empty=())

    def language_model_busy(self, at: datetime) -> Self:
        """The language model had too many requests, and is asked again later."""
        since = self.busy_since or at
        return self._to(self.state, at, busy_since=since, not_judged=None)

    def guardrail_unavailable(self, reason: str, at: datetime, again_at: datetime) -> Self:
        """The guardrail did not judge its texts.

        Args:
            reason: why not, in the words of Bedrock.
            again_at: when it is asked again.
        """
        since = self.not_judged.since if self.not_judged else at
        why = NotJudged(since=since, again_at=again_at, reason=reason)
        return self._to(self.state, at, not_judged=why)

    def waiting_for_references(
        self, references: tuple[str, ...], found_empty: tuple[str, ...]
    ) -> Self:
        """Some references were not uploaded yet.

        Args:
            references: their keys.
            found_empty: those of them that are there, but without content.
        """
        return self._to(
            State.WAITING, self.updated_at, waiting_for=references, found_empty=found_empty
        )

    def rejected(
        self,
        problems: tuple[Problem, ...],
        at: datetime,
        bad_reference: BadReference | None = None,
        *,
        more_problems: int = 0,
        folder_wants_digest: bool = False,
    ) -> Self:
        """It cannot be accepted.

        Args:
            bad_reference: the reference that is to blame, if one is.
            more_problems: how many problems are not among them.
            folder_wants_digest: for a spec that could not be read, whether its folder says so.
        """
        return self._to(
            State.REJECTED,
            at,
            problems=problems,
            more_problems=more_problems,
            bad_reference=bad_reference,
            folder_wants_digest=folder_wants_digest,
        )

    def tried_again(self, job_id: str) -> Self:
        """Its drop has become another job, because a bad reference has changed.

        Args:
            job_id: the id of the other job.
        """
        if self.state != State.REJECTED:
            raise IllegalMove(f"job {self.job_id} is {self.state} and cannot be tried again")
        return self._with(last_try=job_id)

    def accepted(self, tasks: int) -> Self:
        """Its tasks are in the queue."""
        return self._to(
            State.QUEUED,
            self.updated_at,
            task_count=tasks,
            open_tasks=tasks,
            queued_at=self.queued_at or self.updated_at,
            busy_since=None,
            not_judged=None,
            announced_at=None,
        )

    def planned(self, tasks: int) -> Self:
        """It is answered with what it would make."""
        return self._to(State.PLANNED, self.updated_at, task_count=tasks, open_tasks=0)

    def with_rows(self, dropped: tuple[str, ...], bad_rows: int) -> Self:
        """The good rows of a list were dropped.

        Args:
            dropped: the keys of their specs.
            bad_rows: how many rows cannot be used.
        """
        if self.state != State.WAITING:
            raise IllegalMove(f"job {self.job_id} is {self.state} and drops no rows")
        return self._with(dropped=dropped, bad_rows=bad_rows)

    def handed_on(self, dropped: tuple[str, ...], at: datetime) -> Self:
        """It makes no video itself.

        Args:
            dropped: the keys of the specs that were dropped because of it.
        """
        return self._to(State.HANDED_ON, at, dropped=dropped)

    def running(self, at: datetime) -> Self:
        """At least one of its tasks runs."""
        return self._to(State.RUNNING, at, begun=True)

    def queued_again(self, at: datetime, *, begun: bool) -> Self:
        """None of its tasks runs any more.

        Args:
            begun: whether an attempt was charged to one of them.
        """
        return self._to(State.QUEUED, at, begun=begun)

    def task_ended(self, state: State, warnings: tuple[Notice, ...], at: datetime) -> Self:
        """One of its tasks ended. If it was the last one, the job ends.

        Args:
            state: the state of the task: succeeded or failed.
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
        """Its spec was deleted or replaced."""
        return self._to(State.CANCELED, at, canceled_because=reason, open_tasks=0)


class TaskRef(Document):
    """Identifies a task."""

    job_id: str
    number: int


class Task(_Moving):
    """One video of a job."""

    task_id: str
    job_id: str
    number: int
    state: State
    spec: JobSpec
    """The resolved spec of this video."""
    enhancement: Enhancement
    folder: str
    """The folder of the drop, below jobs/."""
    references: tuple[KeptReference, ...] = Field(
        default=(), validation_alias=AliasChoices("references", "reference")
    )
    clip: Clip | None = None
    """Its clip, if the video is only finished."""
    queued_at: datetime
    queue_revision: int = 1
    """The revision of its entry in the queue."""
    attempts: int = 0
    """How many attempts were charged to it. An attempt without capacity is not charged."""
    attempt_id: str | None = None
    """The attempt that owns this task while it runs. A result of another attempt is stale."""
    percent: int = 0
    expected_seconds_left: float | None = None
    scene: int | None = None
    """While it runs: the scene that is being made, counted from 1."""
    scenes_kept: int = 0
    """For a failed task: how many scenes before the one that failed are published."""
    hold: Hold | None = None
    """While it is queued: why it does not run yet."""
    unpublished_because: str | None = None
    """Its video is finished. Why it is not published yet, as a part of a sentence."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counted_on: date | None = None
    """The day in whose usage it was counted when it started; None if it was not counted."""
    counted_seconds: float = 0.0
    """The GPU seconds that were counted then."""
    problem: Problem | None = None
    suspicion: int = 0
    """How probable it is that this task makes processing jobs end without a sign of life. Each such
    end adds 1, or `FIRST_IS_SUSPECT` to the task that would have been rendered first."""
    suspected_since: datetime | None = None
    """When the first of these processing jobs ended."""

    @field_validator("references", mode="before")
    @classmethod
    def _one_reference(cls, value: Any, info: ValidationInfo) -> Any:
        """In 0.1, a task had one reference at most, as the key of its copy."""
        if isinstance(value, str):
            ((field, _),) = references_of(info.data["spec"])
            return (KeptReference(field=field, key=value),)
        return tuple(KeptReference.model_validate(one) for one in value or ())

    @property
    def is_draft(self) -> bool:
        """Whether the spec wants a draft, of which a person may want the final."""
        return self.spec.preset == Preset.DRAFT

    @property
    def model(self) -> str:
        """Name of the model. `NO_MODEL` if the video is only finished."""
        return self.spec.model or NO_MODEL

    @property
    def parameters(self) -> Parameters:
        """What the worker gets to know about it."""
        return parameters_of(self.spec, self.clip)

    @property
    def ref(self) -> TaskRef:
        """The reference to this task."""
        return TaskRef(job_id=self.job_id, number=self.number)

    @property
    def lora(self) -> str:
        """Its LoRA and the scale of it, as one text. Empty without a LoRA."""
        spec = self.spec
        return f"{spec.lora} {spec.lora_scale:g}" if spec.lora else ""

    @property
    def mode(self) -> Mode:
        """The mode whose weights it needs. If its scenes have different modes, text to video."""
        modes = self.parameters.modes
        return modes[0] if len(modes) == 1 else Mode.TEXT_TO_VIDEO

    @property
    def with_image_model(self) -> bool:
        """Whether it also needs the weights of another folder, for scenes that start from an
        image."""
        return len({folder_of(self.model, mode) for mode in self.parameters.modes}) > 1

    @property
    def queue_entry(self) -> "QueueEntry":
        """Its entry in the queue."""
        parameters, work = self.parameters, work_by_mode(self.parameters)
        return QueueEntry(
            task=self.ref,
            task_id=self.task_id,
            model=self.model,
            mode=self.mode,
            with_image_model=self.with_image_model,
            preset=parameters.preset,
            priority=self.spec.priority,
            folder=self.folder,
            counted_on=self.counted_on,
            queued_at=self.queued_at,
            size_class=size_class_of(parameters),
            lora=self.lora,
            work=work_of(parameters),
            image_work=work.get(Mode.IMAGE_TO_VIDEO, 0.0) if len(work) > 1 else 0.0,
            writing_seconds=writing_seconds_of(parameters, self.spec.outputs),
            suspicion=self.suspicion,
        )

    def owned_by(self, attempt_id: str) -> bool:
        """Whether it runs in this attempt."""
        return self.state == State.RUNNING and self.attempt_id == attempt_id

    def _to(self, state: State, **changes: object) -> Self:
        if state not in _TASK_MOVES.get(self.state, frozenset()):
            raise IllegalMove(f"task {self.task_id} cannot go from {self.state} to {state}")
        return self._with(state=state, **changes)

    def planned_again(
        self,
        spec: JobSpec,
        enhancement: Enhancement,
        references: tuple[KeptReference, ...],
        clip: Clip | None,
        *,
        hold: Hold | None,
        rendering: bool,
    ) -> Self:
        """Newer folder defaults apply to it. It keeps its place in the queue.

        Args:
            clip: its clip, if the video is only finished now.
            rendering: whether it is still to be rendered.
        """
        if self.attempts:
            raise IllegalMove(f"task {self.task_id} was begun and cannot be planned again")
        same_key = (spec.priority, clip is None) == (self.spec.priority, self.clip is None)
        return self._to(
            State.QUEUED if rendering else State.PLANNED,
            spec=spec,
            enhancement=enhancement,
            references=references,
            clip=clip,
            hold=hold,
            queue_revision=self.queue_revision + 1 if same_key else 1,
        )

    def claimed(self, attempt_id: str, at: datetime) -> Self:
        """An attempt claimed it."""
        return self._to(
            State.RUNNING,
            attempts=self.attempts + 1,
            attempt_id=attempt_id,
            percent=0,
            scene=None,
            hold=None,
            started_at=at,
        )

    def counted(self, day: date, seconds: float) -> Self:
        """It is counted in its folder's usage of a day.

        Args:
            seconds: the GPU seconds that it is expected to take.
        """
        return self._with(counted_on=day, counted_seconds=seconds)

    def uncounted(self) -> Self:
        """It is no longer counted in its folder's usage, because nothing was rendered."""
        return self._with(counted_on=None, counted_seconds=0.0)

    def requeued(self, hold: Hold, *, charge: bool) -> Self:
        """Its attempt ended without a result for it.

        Args:
            hold: why it waits again.
            charge: whether the attempt counts as one of the task's attempts.
        """
        again = self._to(
            State.QUEUED,
            attempts=self.attempts - (not charge),
            attempt_id=None,
            percent=0,
            expected_seconds_left=None,
            scene=None,
            hold=hold,
            unpublished_because=None,
            started_at=None,
            queue_revision=1,
        )
        return again if charge else again.uncounted()

    def suspected(self, by: int, at: datetime) -> Self:
        """Its processing job ended without a sign of life.

        Args:
            by: how much the suspicion grows.
        """
        since = self.suspected_since or at
        return self._with(suspicion=self.suspicion + by, suspected_since=since)

    def held(self, hold: Hold) -> Self:
        """It stays in the queue for this reason."""
        if self.state != State.QUEUED:
            raise IllegalMove(f"task {self.task_id} is {self.state} and cannot be held")
        return self._with(hold=hold)

    def released(self, at: datetime) -> Self:
        """Without its reason to wait, if that was only until an earlier time."""
        return self._with(hold=None) if self.hold and self.hold.is_over(at) else self

    def progressed(
        self, percent: int, expected_seconds_left: float | None, scene: int | None = None
    ) -> Self:
        """The worker reported progress.

        Args:
            scene: the scene that is being made; None for a video that is not made of scenes.
        """
        if self.state != State.RUNNING:
            raise IllegalMove(f"task {self.task_id} is {self.state} and makes no progress")
        return self._with(percent=percent, expected_seconds_left=expected_seconds_left, scene=scene)

    def held_back(self, reason: str) -> Self:
        """Its video is finished, but cannot be published now.

        Args:
            reason: why, as a part of a sentence.
        """
        if self.state != State.RUNNING:
            raise IllegalMove(f"task {self.task_id} is {self.state} and has nothing to publish")
        return self._with(unpublished_because=reason, percent=100, expected_seconds_left=None)

    def succeeded(self, at: datetime) -> Self:
        """Its video is published."""
        return self._to(
            State.SUCCEEDED,
            finished_at=at,
            expected_seconds_left=None,
            percent=100,
            unpublished_because=None,
        )

    def failed(self, problem: Problem, at: datetime, scenes_kept: int = 0) -> Self:
        """It will get no video.

        Args:
            scenes_kept: how many scenes before the one that failed are published.
        """
        return self._to(
            State.FAILED,
            finished_at=at,
            expected_seconds_left=None,
            problem=problem,
            scenes_kept=scenes_kept,
        )

    def canceled(self, at: datetime) -> Self:
        """Its job was canceled."""
        return self._to(State.CANCELED, finished_at=at, expected_seconds_left=None, hold=None)


class QueueEntry(Document):
    """A queued task's place in the queue, with what planning needs to know about it.

    It exists exactly while the task is queued. It changes only together with its task, which knows
    its revision.
    """

    task: TaskRef
    task_id: str
    model: str
    mode: Mode
    with_image_model: bool = False
    """Whether it needs the weights for image to video, too, and they are in another folder."""
    preset: Preset = Preset.STANDARD
    priority: Priority
    folder: str
    counted_on: date | None = None
    """The day in whose usage an earlier attempt counted it. It is counted once a day."""
    queued_at: datetime
    size_class: int
    """Tasks of one class have similar sizes; see `spec/work.py`."""
    lora: str = ""
    """The LoRA and its scale, as one text. Empty without a LoRA."""
    work: float
    """How much there is to compute; see `spec/work.py`."""
    image_work: float = 0.0
    """How much of it is image to video, if not all of it is `mode`."""
    writing_seconds: float = 0.0
    """How long it takes to write the files; see `spec/work.py`."""
    suspicion: int = 0
    """That of the task. An attempt renders its most suspect task last."""

    @property
    def weights(self) -> tuple[tuple[str, Mode], ...]:
        """The model and the modes whose weights it needs."""
        modes = (self.mode, Mode.IMAGE_TO_VIDEO) if self.with_image_model else (self.mode,)
        return tuple((self.model, mode) for mode in modes)


class Waiting(Document):
    """A note that a job waits for a reference, or is being read, until a deadline."""

    job_id: str
    deadline: datetime


class Refused(Document):
    """A note that a drop was refused because of a reference."""

    job_id: str
    """The id of its first job."""


class Asked(Document):
    """A note that some spec asks for a file as its reference."""

    refused: bool = False
    """Whether a job was refused because of it. Its next version may be correct."""


class Lone(_Moving):
    """A note that no spec asks for a picture, a clip or a sound, and that its status says so.

    It is written before the status and removed after it, so a sweep finds every such status.
    """

    claimed_at: datetime | None = None
    """When a handler began to write the status."""
    told: bool = False
    """Whether the status was written."""

    def claimed(self, at: datetime) -> Self:
        """A handler will write the status."""
        if self.told:
            raise IllegalMove("its status was written")
        return self._with(claimed_at=at)

    def written(self) -> Self:
        """The status was written."""
        return self._with(told=True)


class AttemptState(StrEnum):
    """The state of an attempt."""

    CLAIMING = "claiming"
    """Its tasks are being claimed."""
    STARTING = "starting"
    """Its manifest is fixed, and the create call may have been made."""
    STARTED = "started"
    """SageMaker accepted its processing job."""
    RETURNING = "returning"
    """It cannot start now, and its tasks return to the queue."""
    REFUSED = "refused"
    """It can never start, and its tasks fail."""


_ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.CLAIMING: frozenset({AttemptState.STARTING}),
    # If a handler was killed, the next one moves it to the same state again.
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
    """That of its first task (`Task.mode`). The others may have other modes with the same model
    folder."""
    preset: Preset = Preset.STANDARD
    lora: str = ""
    """As in a queue entry."""
    tasks: tuple[TaskRef, ...]
    """While claiming, the tasks to claim. From `starting` on, the tasks of the manifest."""
    release: str
    """The release of the weights. A newer one does not change a processing job that was begun.
    Empty: it finishes clips, and needs none."""
    image_release: str = ""
    """The same for the second model folder, which has the weights for image to video. Empty: its
    tasks need one folder."""
    instance_type: str
    created_at: datetime
    updated_at: datetime
    manifest_sha256: str = ""
    interpolation: str = ""
    """The release of RIFE that interpolates. Empty: none, or nothing is to be interpolated."""
    hold: Hold | None = None
    """For the state returning: why the tasks have to wait."""
    refusal: str = ""
    """For the state refused: the message of SageMaker."""
    judged: bool = False
    """Whether its end was counted in the health of its model."""

    def _to(self, state: AttemptState, at: datetime, **changes: object) -> Self:
        if state not in _ATTEMPT_MOVES[self.state]:
            raise IllegalMove(f"attempt {self.attempt_id} cannot go from {self.state} to {state}")
        return self._with(state=state, updated_at=at, **changes)

    def taken_over(self, at: datetime) -> Self:
        """Another handler continues it."""
        return self._with(updated_at=at)

    def interpolating(self, release: str) -> Self:
        """The release of RIFE is fixed."""
        return self._with(interpolation=release)

    def starting(self, tasks: tuple[TaskRef, ...], manifest_sha256: str, at: datetime) -> Self:
        """Its manifest is fixed."""
        return self._to(AttemptState.STARTING, at, tasks=tasks, manifest_sha256=manifest_sha256)

    def started(self, at: datetime) -> Self:
        """SageMaker accepted its processing job."""
        return self._to(AttemptState.STARTED, at)

    def judged_once(self) -> Self:
        """Its end is counted in the health of its model."""
        return self._with(judged=True)

    def returning(self, hold: Hold, at: datetime) -> Self:
        """It cannot start now.

        Args:
            hold: why the tasks have to wait.
        """
        return self._to(AttemptState.RETURNING, at, hold=hold)

    def refused(self, refusal: str, at: datetime) -> Self:
        """It can never start.

        Args:
            refusal: the message of SageMaker.
        """
        return self._to(AttemptState.REFUSED, at, refusal=refusal)


# After this many ends in a row without a sign of life, a model is paused.
PAUSED_AFTER = 2
# How long each pause of a row is; the last value is repeated.
PAUSES = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))
# How much more suspect the first task of a processing job is than the others.
FIRST_IS_SUSPECT = 2


class Health(_Moving):
    """Whether processing jobs with one model show signs of life under one image and code.

    A sign of life is a result or a progress file. A processing job that ends without one says
    something about the deployment (image, weights, permissions) rather than about one task. So
    after two in a row the model is paused, and then one processing job with one task finds out
    whether the deployment works again.
    """

    silent_in_row: int = 0
    """How many processing jobs ended without a sign of life since the last one with a sign."""
    ending: Ending | None = None
    """How the last of them ended."""
    paused_until: datetime | None = None
    """While the model is paused: when it is tried again."""
    alive_at: datetime | None = None
    """When the last processing job with a sign of life ended."""

    def silent(self, how: Ending, at: datetime) -> Self:
        """A processing job ended without a sign of life."""
        row = self.silent_in_row + 1
        pauses = row - PAUSED_AFTER
        pause = PAUSES[min(pauses, len(PAUSES) - 1)] if pauses >= 0 else None
        until = at + pause if pause else None
        return self._with(silent_in_row=row, ending=how, paused_until=until)

    def alive(self, at: datetime) -> Self:
        """A processing job showed a sign of life."""
        return self._with(silent_in_row=0, ending=None, paused_until=None, alive_at=at)

    @property
    def hold(self) -> Hold | None:
        """Why tasks of the model have to wait, while it is paused."""
        if self.paused_until is None:
            return None
        return Hold(reason=HoldReason.MODEL_PAUSED, ending=self.ending, until=self.paused_until)


class Lease(Document):
    """The right of an attempt to one instance, with the kind of its tasks.

    The mode is that of its first task, and stands for the model folder.
    """

    attempt_id: str
    instance_type: str
    model: str
    mode: Mode
    with_image_model: bool = False
    """As in a queue entry."""
    preset: Preset = Preset.STANDARD
    size_class: int
    lora: str = ""
    """As in a queue entry."""
    ends_at: datetime
    """When the attempt is expected to end."""


class NoInstance(Document):
    """SageMaker had no instance of a type."""

    instance_type: str
    at: datetime


class Capacity(_Moving):
    """The leases, the instance types without an instance, and the folders' turns.

    This is one record, so two handlers cannot open attempts at the same time without a conflict.
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
            folders: the folder of each of its tasks, in the order of the tasks. These folders move
                to the end of the turns.
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
            shortage: set if SageMaker had no instance for it. None means that there was one, so
                its type is no longer skipped.
        """
        others = (n for n in self.without_instance if n.instance_type != instance_type)
        return self._with(
            leases=tuple(lease for lease in self.leases if lease.attempt_id != attempt_id),
            without_instance=(*others, shortage) if shortage else tuple(others),
        )


class Usage(_Moving):
    """How much a folder has started on one day."""

    day: date
    tasks: int = 0
    gpu_seconds: float = 0.0
    """Expected GPU seconds, because a task is counted before it is rendered."""

    def within(self, limits: DayLimits) -> bool:
        """Whether the limits allow this usage."""
        return limits.allow(videos=self.tasks, gpu_seconds=self.gpu_seconds)

    def plus(self, seconds: float) -> Self:
        """The usage with one more task that is expected to take `seconds` of GPU time."""
        return self._with(tasks=self.tasks + 1, gpu_seconds=self.gpu_seconds + seconds)

    def minus(self, seconds: float) -> Self:
        """The usage without a task that was counted with `seconds` of GPU time."""
        return self._with(
            tasks=max(0, self.tasks - 1), gpu_seconds=max(0.0, self.gpu_seconds - seconds)
        )


class NotedDefaults(Document):
    """What a `_defaults.yaml` says about more than one drop, so that nobody has to read it again.

    It is written when the file was dropped, and removed when the file was deleted.
    """

    version: str
    """The version of the file."""
    limits: DayLimits
    """The daily limits of its folder and of all folders below."""
    animate_images: bool | None
    """None if the file does not say it."""


class Rate(Document):
    """How long rendering took with one model, mode, preset and instance type."""

    model: str
    mode: Mode
    preset: Preset = Preset.STANDARD
    instance_type: str
    startup_seconds: float
    """From the opening of an attempt to its first task, without loading the weights."""
    loading_seconds: float
    seconds_per_work: float
    jobs: int
    """How many processing jobs this was learned from."""


class Learned(Document):
    """All learned rates."""

    rates: tuple[Rate, ...] = ()


class PathOwner(_Moving):
    """The newest job of a path. The status and the refusal at this path are about this job."""

    job_id: str
    modified_at: datetime
    live: str | None = None
    """The newest job of the path that was accepted. The videos at this path are from this job."""
    live_modified_at: datetime | None = None
    superseded: tuple[str, ...] = ()
    """Jobs that were accepted before that one, and have to be canceled."""

    def newest_is(self, job: Job) -> Self:
        """A drop of the path was read, and it is the newest."""
        return self._with(job_id=job.job_id, modified_at=job.source.modified_at)

    def live_is(self, job: Job, superseded: tuple[str, ...]) -> Self:
        """A job was accepted, and replaces earlier jobs.

        Args:
            superseded: the ids of the jobs that it replaces and that have not ended.
        """
        return self._with(
            live=job.job_id,
            live_modified_at=job.source.modified_at,
            superseded=tuple(dict.fromkeys(superseded)),
        )


class GalleryEntry(Document):
    """What the gallery shows of a path: the newest job there, without what only its page needs."""

    path: str
    job_id: str
    key: str
    """The key of its drop."""
    state: State
    dropped_at: datetime
    prompt: str
    """The beginning of it, as it was dropped."""
    tags: tuple[str, ...] = ()
    videos: int
    """How many videos it makes."""
    percent: int
    poster: str | None = None
    """Key of the poster of its first video that is published."""
    problem: str = ""
    """The beginning of what is wrong with it, if something is."""


class Family(Document):
    """The last accepted job of several paths whose videos may have equal names.

    "a" with several videos makes a-01.mp4, as "a-01" does. Each such job writes this record, so two
    of them cannot be accepted at the same time without a conflict.
    """

    job_id: str


class Used(Document):
    """A note that an image was the reference of a job, so it does not become a job itself."""

    job_id: str


class Looked(_Moving):
    """How far the sweeps have looked through the input bucket.

    A round goes once over the whole bucket, in the order of the keys. It may take several sweeps.
    """

    until: datetime
    """Every drop that is older than this has its job."""
    round_until: datetime | None = None
    """While a round is under way: what `until` becomes when the round is complete."""
    round_after: str = ""
    """The key that the round has reached. It continues with the next key."""
    repeats: bool = False
    """Whether the round announces older drops that still have no job again."""
    repeated_at: datetime | None = None
    """When the last round began that does so."""
    fills_gallery: bool = False
    """Whether the round adds the jobs to the gallery that ended before there was one."""
    gallery_filled: bool = False
    """Whether a whole round has done that, so that no other has to."""

    @property
    def under_way(self) -> bool:
        """Whether a round is under way."""
        return self.round_until is not None

    def began(self, until: datetime, *, repeats_at: datetime | None) -> Self:
        """A round begins.

        Args:
            until: it finds every drop that is older than this.
            repeats_at: the time now, if it announces older drops again.
        """
        if self.under_way:
            raise IllegalMove("the round before is not complete")
        repeated_at = repeats_at or self.repeated_at
        return self._with(
            round_until=until,
            repeats=repeats_at is not None,
            repeated_at=repeated_at,
            fills_gallery=not self.gallery_filled,
        )

    def passed(self, key: str, oldest_without_job: datetime | None) -> Self:
        """The round has reached a key.

        Args:
            oldest_without_job: when the oldest drop was uploaded that has no job yet, among those
                that were looked at since the last key.
        """
        if self.round_until is None:
            raise IllegalMove("no round is under way")
        until = min(self.round_until, oldest_without_job or self.round_until)
        return self._with(round_until=until, round_after=key)

    def gallery_missed_some(self) -> Self:
        """The round could not add some jobs to the gallery, so the next one tries it again."""
        return self._with(fills_gallery=False)

    def completed(self) -> Self:
        """The round has reached the end of the bucket."""
        if self.round_until is None:
            raise IllegalMove("no round is under way")
        until = max(self.until, self.round_until)
        filled = self.gallery_filled or self.fills_gallery
        return self._with(
            until=until,
            round_until=None,
            round_after="",
            fills_gallery=False,
            gallery_filled=filled,
        )


class Cursor(_Moving):
    """Where the next sweep continues to look through the records of a partition."""

    start: str = ""
    """The sort key to begin with. Empty for the first."""

    def at(self, start: str) -> Self:
        """The next sweep begins here."""
        return self._with(start=start)


class _Owed(_Moving):
    """A mail that is owed.

    A handler claims it before it sends the mail, so that two handlers do not both send it. If the
    handler is killed in between, or SNS does not answer, the sweep has it claimed and sent again.
    """

    claimed_at: datetime | None = None
    tries: int = 0
    """How often it was claimed, without the claims after which it was certainly not sent."""

    def claimed(self, at: datetime) -> Self:
        """A handler will send it."""
        return self._with(claimed_at=at, tries=self.tries + 1)

    def not_sent(self) -> Self:
        """It could not be sent. Another handler may try when the claim ends."""
        return self._with(tries=self.tries - 1)


class Letter(_Owed):
    """A note that a job has ended and is not settled yet. It is removed when the job is settled.

    Who claims it sends the event and the mail about the end, as far as they are still owed.
    """

    job_id: str
    event_sent: bool = False
    """Whether EventBridge has the event, so that a mail that fails does not repeat it."""
    people_know: bool = False
    """Whether nothing is owed to people any more, so that an event that fails repeats no mail."""

    def event_was_sent(self) -> Self:
        """EventBridge has the event."""
        return self._with(event_sent=True)

    def people_were_told(self) -> Self:
        """The mail was sent, a digest will list the job, or no mail is wanted."""
        return self._with(people_know=True)


class Collected(Document):
    """A note that a job has ended and is settled, and that a digest will tell of it."""

    job_id: str
    kind: DigestKind
    folder: str
    """The key of its folder, without a slash at the end."""
    at: datetime


class Digest(_Owed):
    """A mail about several jobs of a folder. It is removed when it was sent."""

    kind: DigestKind
    folder: str
    job_ids: tuple[str, ...] = ()

    def with_jobs(self, job_ids: tuple[str, ...]) -> Self:
        """It lists more jobs."""
        if self.claimed_at is not None:
            raise IllegalMove(f"the digest of {self.folder} may have been sent")
        return self._with(job_ids=(*self.job_ids, *job_ids))

    @property
    def digest_id(self) -> str:
        """Identifies the mail, so that a reader recognizes it if it is sent twice."""
        return hashlib.sha256("\n".join(self.job_ids).encode()).hexdigest()[:16]


class LastDigest(Document):
    """When a digest of a kind that is sent once a day was last made for a folder."""

    at: datetime
