"""An AWS in memory with a simulated clock, in which handlers interleave, are killed and run again.

At every call of a port another handler may continue, the handler may be killed (before the call, or
after it and before its answer arrives), and AWS may ask to try again later. One seed decides which
of these happens. The stages are the real ones.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from greenlet import getcurrent, greenlet

from contract.catalogue import Mode, folder_of
from contract.document import Document
from contract.errors import JobRejected, Transient
from functions import s3_keys
from functions.ports import Missing, Page, Throttled
from functions.replies.job_ended import JobEnded
from functions.replies.post import MaybeSent
from functions.replies.sidecar import Sidecar
from functions.spec import drop_files, resolve
from functions.spec.fields import JobSpec, kind_of_reference
from functions.spec.guardrail import GuardrailUnavailable, Judgement
from functions.spec.input_bucket import InputBucket
from functions.spec.language_model import Answer, LanguageModelBusy, LanguageModelUnavailable
from functions.stages.cancel import deleted
from functions.stages.dispatch import dispatch
from functions.stages.finish import attempt_ended, file_written
from functions.stages.ports import Ports
from functions.stages.renderer import (
    CannotStart,
    NameTaken,
    NoQuota,
    ProcessingJob,
    StartDenied,
    StartThrottled,
)
from functions.stages.signing import CannotSign, Claim
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table import day_limits
from functions.table.health import health_of
from functions.table.ledger import (
    COLLECTED,
    DEFAULTS,
    DIGESTS,
    HEALTH,
    OUTBOX,
    QUEUE,
    TASKS,
    WAITING,
    Change,
    Conflict,
    D,
    Put,
    attempt_key,
    job_key,
    usage_key,
)
from functions.table.records import (
    PAUSED_AFTER,
    PAUSES,
    Collected,
    Digest,
    DigestKind,
    Health,
    Job,
    Letter,
    QueueEntry,
    State,
    Task,
    Usage,
    Waiting,
)
from tests.fakes import FakeLedger, FakeRenderer, World
from tests.simulation import checks, lifecycle
from tests.simulation.checks import Violated
from tests.simulation.rights import Rights, deployed, needs_of
from tests.simulation.time_limits import (
    NO_ANSWER_SECONDS,
    THROTTLED_SECONDS,
    Stopwatch,
    timeouts_seconds,
)

SWEEP_EVERY_SECONDS = 300
VISIBILITY_SECONDS = 70
MAX_RECEIVES = 10
SLOW_SECONDS = 45
# If a function that was called asynchronously fails, Lambda calls it again so often.
ASYNCHRONOUS_RETRIES = 2
# How far apart the clocks of two handlers may be.
_SKEW = timedelta(seconds=60)


class Killed(BaseException):
    """A handler is killed at this point."""


class _Cancelled(Conflict):
    """DynamoDB canceled a commit although all revisions are current."""


def _throttling(what: str) -> Exception:
    """What an adapter raises if AWS throttles a call at each of its tries.

    Args:
        what: port and method.
    """
    if what == "language_model.converse":
        return LanguageModelUnavailable("ThrottlingException: Rate exceeded")
    if what.startswith("guardrail."):
        return GuardrailUnavailable("ThrottlingException: Rate exceeded")
    if what == "signer.sign":
        return CannotSign("ThrottlingException: Rate exceeded")
    kind = StartThrottled if what == "renderer.start" else Throttled
    return kind(f"{what} was throttled")


@dataclass
class Faults:
    """The probability of each fault, from 0 to 1. Faults happen until `until_seconds`."""

    duplicate_event: float = 0
    lose_event: float = 0
    late_event: float = 0
    kill: float = 0
    """For each handler: that it is killed at one of its calls."""
    throttle: float = 0
    """For each call of a port: that AWS asks to try again later."""
    outage_of: str = ""
    """AWS throttles every call of this port, or every start of a function ("lambda")."""
    outage_from_seconds: float = 0
    outage_seconds: float = 0
    lambda_throttled: float = 0
    """For each start of a function: that Lambda throttles it."""
    lose_answer: float = 0
    """For each call that changes something: that it takes effect and its answer is lost."""
    conflict: float = 0
    """For each commit: that DynamoDB cancels it because of another transaction."""
    dead_letters: frozenset[str] = frozenset()
    """The functions whose messages may end in their dead-letter queues. Only faults may lead there;
    a message that the code itself fails to handle is a violation for every function."""
    lose_acknowledgement: float = 0
    no_quota: float = 0
    """For each create call: that the quota is used up."""
    start_refused: float = 0
    """For each create call: SageMaker refuses it for good."""
    start_denied: float = 0
    """For each create call: that a right is missing."""
    start_throttled: float = 0
    """For each create call: that there are too many requests."""
    worker_dies: float = 0
    """For each task of a processing job: that the job ends before this task is done."""
    result_after_end: float = 0
    """For each job that ended early: that a result arrives when a new attempt may be running."""
    image_broken: float = 0
    """For each processing job: that it ends before it renders anything."""
    capacity_error: float = 0
    """For each processing job: that SageMaker has no instance for it."""
    task_fails: float = 0
    video_missing: float = 0
    video_cut: float = 0
    result_before_video: float = 0
    result_garbage: float = 0
    early_ending: float = 0
    slow_listing: float = 0
    """For each listing of the whole input bucket, which the sweep does: that it takes
    `SLOW_SECONDS`."""
    shown_again: float = 0
    """For each handler: that its message is delivered to another handler while it runs."""
    clock_skew_seconds: float = 0
    """How far the clock of a handler may be wrong. This does not end at `until_seconds`."""
    language_model: float = 0
    language_model_busy: float = 0
    cannot_sign: float = 0
    """For each file to sign: that KMS lacks a right, or the key does not exist."""
    guardrail: float = 0
    post: float = 0
    bus: float = 0
    until_seconds: float = 3600

    @classmethod
    def some(cls, rng: random.Random) -> "Faults":
        """Choose a few faults with different probabilities."""
        chosen = rng.sample(_KINDS, rng.randint(0, 6))
        faults = cls()
        for name in chosen:
            setattr(faults, name, rng.choice((0.05, 0.2, 0.5)) * _RARER.get(name, 1))
        faults.clock_skew_seconds = rng.choice((0, 0, 30))
        if rng.random() < 0.2:
            faults.outage_of = rng.choice(SERVICES)
            faults.outage_from_seconds = rng.uniform(0, 2000)
            faults.outage_seconds = rng.choice((120, 1200, 6 * 3600))
        if {"throttle", "lambda_throttled"} & set(chosen) or faults.outage_of:
            faults.dead_letters = ANY_FUNCTION
        return faults

    @property
    def end_seconds(self) -> float:
        """When the last fault ends."""
        return max(self.until_seconds, self.outage_from_seconds + self.outage_seconds)


SERVICES = (
    "ledger", "files", "renderer", "reader", "language_model", "guardrail", "post", "bus",
    "announce", "wake", "lambda",
)  # fmt: skip
ANY_FUNCTION = frozenset(("submit", "dispatch", "finish"))
_KINDS = [
    f.name
    for f in fields(Faults)
    if f.type is float
    and f.default == 0
    and not f.name.startswith("outage_")
    and f.name not in {"clock_skew_seconds", "cannot_sign"}  # the stories have it
]
# Only these may make a task fail. All others only delay it.
_FAILING = (
    "start_refused", "worker_dies", "image_broken", "task_fails", "video_missing", "video_cut",
    "result_garbage",
)  # fmt: skip
# How much rarer these are, because they happen to each call. A call fails only if all tries of the
# adapter fail.
_RARER = {"throttle": 0.1, "lose_answer": 0.1, "conflict": 0.5}
# What these calls change stays changed if their answer is lost.
_CHANGING = {
    "ledger.commit", "files.write", "files.upload", "files.copy", "files.remove", "renderer.start",
    "renderer.stop", "post.send", "bus.put", "announce", "wake",
}  # fmt: skip


class WatchedLedger(FakeLedger):
    """A table that checks each commit against the order of states and the daily limits."""

    def __init__(self, simulation: "Simulation") -> None:
        super().__init__()
        self._simulation = simulation
        self._limits_changed_at: datetime | None = None

    def commit(self, *changes: Change) -> None:
        before = {
            (change.key.partition, change.key.sort): self.get(change.key) for change in changes
        }
        if self._simulation.happens("conflict"):
            raise _Cancelled("another transaction changes one of these items")
        super().commit(*changes)
        self._check_digests(changes)
        if any(change.key.partition == DEFAULTS for change in changes):
            self._limits_changed_at = self._simulation.clock()
        self._check_judged(changes)
        for change in changes:
            old = before[(change.key.partition, change.key.sort)]
            if old is None or not isinstance(old.document, Job | Task):
                continue
            if not isinstance(change, Put):
                self._check_removal(old.document)
                continue
            new = change.document
            assert isinstance(new, Job | Task)
            if old.document.state.terminal and new.state != old.document.state:
                raise Violated(f"{change.key}: {old.document.state} became {new.state}")
            if new.state == State.QUEUED and isinstance(old.document, Task):
                self._check_return(old.document)
            # A new attempt of a counted task starts even if the limit is lower now.
            if isinstance(new, Job) and new.begun and not getattr(old.document, "begun", False):
                self._simulation.check_folder_defaults(new)
            if isinstance(new, Task) and new.counted_on != getattr(old.document, "counted_on", 0):
                self._check_day(new)

    def _check_digests(self, changes: tuple[Change, ...]) -> None:
        """Files of a folder that are no drops may make one mail a day."""
        simulation = self._simulation
        for change in changes:
            if change.revision or not isinstance(change, Put):
                continue
            made = change.document
            if isinstance(made, Digest) and made.kind == DigestKind.NO_DROPS:
                now, last = simulation.clock(), simulation.digest_made.get(made.folder)
                if last is not None and now - last < timedelta(days=1) - _SKEW:
                    raise Violated(f"two digests about no drops in '{made.folder}' within a day")
                simulation.digest_made[made.folder] = now

    def _check_judged(self, changes: tuple[Change, ...]) -> None:
        """If there is a guardrail, a task may have only texts and images that it allows."""
        if not self._simulation.settings.guardrail_id:
            return
        for change in changes:
            task = change.document if isinstance(change, Put) else None
            if isinstance(task, Task):
                if task.state == State.SUCCEEDED:
                    self._check_video_judged(task)
                if task.scenes_kept:
                    self._check_scenes_judged(task)
                prompts = [text for _, text in resolve.prompts_of(task.spec)]
                texts = {text for text in (*prompts, task.spec.negative_prompt) if text}
                if bad := texts - self._simulation.guardrail.allowed:
                    raise Violated(f"the guardrail did not allow {bad} of {task.task_id}")
                for reference in task.references:
                    if kind_of_reference(reference.field) == "image":
                        self._check_picture_judged(reference.key)

    def _check_video_judged(self, task: Task) -> None:
        simulation = self._simulation
        if not simulation.guardrail.allowed_pictures.issuperset(
            simulation.samples_of(task.task_id)
        ):
            raise Violated(f"the guardrail did not allow the video of {task.task_id}")

    def _check_scenes_judged(self, task: Task) -> None:
        simulation = self._simulation
        for number in range(1, task.scenes_kept + 1):
            clip = simulation.clip_of(task.task_id, number)
            seen = simulation.reader.previews(clip, "scene.mp4")
            if not simulation.guardrail.allowed_pictures.issuperset(seen):
                raise Violated(f"the guardrail did not allow scene {number} of {task.task_id}")

    def _check_picture_judged(self, key: str) -> None:
        simulation = self._simulation
        png = simulation.files.read(simulation.settings.work_bucket, key)
        # The guardrail saw the preview of the original, which is that of the copy, too.
        if simulation.reader.image(png, key).preview not in simulation.guardrail.allowed_pictures:
            raise Violated(f"the guardrail did not allow {key}")

    def _check_removal(self, document: Job | Task) -> None:
        """If a job is planned again before anything has begun, it may have fewer tasks."""
        begun = isinstance(document, Job) or document.attempts > 0
        if begun or document.state != State.QUEUED:
            raise Violated(f"{document} was removed")

    def _check_return(self, task: Task) -> None:
        """A task may return to the queue only if no processing job renders it any more."""
        if task.state == State.RUNNING and task.attempt_id in self._simulation.running():
            raise Violated(f"{task.task_id} returned to the queue although {task.attempt_id} runs")

    def _check_day(self, task: Task) -> None:
        if task.counted_on is None:
            return
        usage = self.get(usage_key(task.folder))
        assert usage is not None  # the task was counted in it
        counted = [
            other
            for other in self._simulation.documents(Task)
            if other.folder == task.folder and other.counted_on == task.counted_on
        ]
        seconds = sum(other.counted_seconds for other in counted)
        true = Usage(day=task.counted_on, tasks=len(counted), gpu_seconds=seconds)
        limits = day_limits.of_all(self._simulation.settings)
        # A claim may have read the limits just before another handler changed them.
        if self._simulation.clock() != self._limits_changed_at:
            limits = day_limits.limits_of(self._simulation.plain, [task.folder])[task.folder]
        if not true.within(limits):
            raise Violated(f"'{task.folder}' has started {true}")


class WatchedRenderer(FakeRenderer):
    """Checks that no task is in two running processing jobs, and that not too many jobs run."""

    def __init__(self, simulation: "Simulation") -> None:
        super().__init__()
        self._simulation = simulation

    def stop(self, attempt_id: str) -> None:
        running = self.status(attempt_id)
        super().stop(attempt_id)
        if running is not None and not running.state.ended:
            simulation = self._simulation
            simulation.event("finish", lambda ports: attempt_ended(ports, attempt_id))

    def _perhaps_refuse(self, job: ProcessingJob) -> None:
        simulation = self._simulation
        if simulation.happens("no_quota"):
            raise NoQuota(job.instance_type)
        if simulation.happens("start_refused") and self.status(job.attempt_id) is None:
            raise CannotStart("could not find the image")
        if simulation.happens("start_denied"):
            raise StartDenied("AccessDeniedException: not authorized to perform iam:PassRole")
        if simulation.happens("start_throttled"):
            raise StartThrottled("ThrottlingException: Rate exceeded")

    def _check_weights(self, job: ProcessingJob) -> None:
        """The processing job gets the weights for everything that its tasks need."""
        manifest = self._simulation.manifest(job.attempt_id)
        uris = f"{job.model_uri} {job.image_model_uri}"
        for task in manifest.tasks:
            for mode in task.parameters.modes:
                folder = folder_of(manifest.model, mode)
                # A clip that is only finished needs none.
                if folder is not None and s3_keys.model_folder(folder) not in uris:
                    raise Violated(f"{job.attempt_id} has no weights for {mode}")

    def start(self, job: ProcessingJob) -> None:
        simulation = self._simulation
        self._perhaps_refuse(job)
        super().start(job)
        self._check_references(job.attempt_id)
        self._check_weights(job)
        mine = {task.task_id for task in simulation.manifest(job.attempt_id).tasks}
        running = simulation.running()
        for task in simulation.documents(Task):
            if task.task_id in mine and task.model != simulation.manifest(job.attempt_id).model:
                raise Violated(f"{job.attempt_id} has another model than {task.task_id}")
            owned = task.state.terminal or task.attempt_id == job.attempt_id
            if task.task_id in mine and not owned:
                raise Violated(f"{job.attempt_id} renders {task.task_id}, which it does not own")
        for other in running:
            if other != job.attempt_id:
                theirs = {task.task_id for task in simulation.manifest(other).tasks}
                if mine & theirs:
                    raise Violated(f"{mine & theirs} run in {other} and {job.attempt_id}")
        finish = [one for one in running if simulation.manifest(one).mode == Mode.FINISHING]
        most = simulation.settings.max_processing_jobs
        if len(finish) > most or len(running) - len(finish) > most:
            raise Violated(
                f"{len(running)} processing jobs run, {len(finish)} of them finish clips"
            )
        self._check_pause(job)
        simulation.accepted[job.attempt_id] += 1
        simulation.rendered[job.attempt_id] = mine
        simulation.work(job.attempt_id)
        if simulation.happens("lose_acknowledgement"):
            # The adapter tries again, and SageMaker answers that the name is taken, or not at all.
            if simulation.rng.random() < 0.2:
                raise NameTaken(job.attempt_id)
            raise Transient("the acknowledgement was lost")

    def _check_references(self, attempt_id: str) -> None:
        """The files that a manifest names are there."""
        simulation = self._simulation
        prefix = s3_keys.attempt_references(attempt_id)
        for task in simulation.manifest(attempt_id).tasks:
            for name in filter(None, (task.image, task.video, task.audio)):
                if not simulation.files.exists(simulation.settings.work_bucket, prefix + name):
                    raise Violated(f"{name} of {task.task_id} is not in the input of {attempt_id}")

    def _check_pause(self, job: ProcessingJob) -> None:
        """An attempt that was opened while its model was paused may have one task."""
        simulation = self._simulation
        attempt = simulation.ledger.get(attempt_key(job.attempt_id))
        assert attempt is not None
        health = health_of(simulation.plain, [attempt.document.model])[attempt.document.model]
        if health.paused_until is None:
            return
        pause = PAUSES[min(health.silent_in_row - PAUSED_AFTER, len(PAUSES) - 1)]
        opened_in_it = attempt.document.created_at > health.paused_until - pause + _SKEW
        if opened_in_it and len(attempt.document.tasks) > 1:
            raise Violated(f"{job.attempt_id} tries a paused model with several tasks")


def _not_a_violation(error: BaseException) -> None:
    """Raise an error again, unless it is one that a stage may raise. A stage may group errors."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _not_a_violation(inner)
    elif not isinstance(error, Killed | Transient | ConnectionError):
        raise error


def _is_conflict(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_conflict(inner) for inner in error.exceptions)
    return isinstance(error, Conflict)


def _settings(spec: JobSpec) -> tuple[object, ...]:
    """What does not depend on the prompt, on a picture or on a clip."""
    fps = spec.fps if spec.model else None
    return spec.model, spec.num_inference_steps, fps, spec.seed


class _Watched:
    """A port whose methods are wrapped when they are first called."""

    def __init__(
        self, name: str, port: object, wrap: Callable[[str, Callable[..., Any]], Any]
    ) -> None:
        self._name, self._port, self._wrap = name, port, wrap

    def __getattr__(self, method: str) -> Any:
        wrapped = self._wrap(f"{self._name}.{method}", getattr(self._port, method))
        self.__dict__[method] = wrapped
        return wrapped


@dataclass
class Handler:
    """A run of a function."""

    name: str
    work: Callable[[Ports], None]
    receives: int = 0
    sent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The mails that this run has sent and has not noted as sent yet: the sort key of the letter or
    the digest, and the jobs that the mail is about."""
    put: set[str] = field(default_factory=set)
    """The jobs whose events this run has put on the bus and has not noted as sent yet."""
    fault: bool = False
    """Whether a fault happened to this run."""
    own_failures: list[str] = field(default_factory=list)
    """The errors of the runs that failed although no fault happened to them."""

    @property
    def of_aws(self) -> bool:
        """Whether this is something that AWS does, and not a run of a function."""
        return self.name in {"world", "schedule"}

    @property
    def function(self) -> str:
        """The function that runs: "sweep again" is a run of the sweep, too."""
        return self.name.partition(" ")[0]


@dataclass
class Simulation(World):
    """The simulated cloud. `seed` decides everything; `kill_at` adds a kill at that call, and so
    does `is_killed_at`, which is asked with the place of each call until the first kill."""

    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    kill_at: int | None = None
    is_killed_at: Callable[[int], bool] | None = None
    startup_seconds: float = 240
    render_seconds: float = 90
    sweep_every_seconds: float = SWEEP_EVERY_SECONDS
    """In a story of months, fewer sweeps do the same."""
    listed_together: int = 3
    """How many objects one call lists: fewer than in S3, so that few objects need several calls."""
    tasks_may_fail: bool = False
    """Whether a story breaks something without a fault."""
    nothing_runs_in: tuple[str, ...] = ()
    """The beginnings of the keys of specs of which nothing may be started."""
    at_once: int = 4
    """How many handlers run at the same time at most."""

    # what was seen

    accepted: Counter[str] = field(default_factory=Counter, init=False)
    rendered: dict[str, set[str]] = field(default_factory=dict, init=False)
    """The ids of the tasks of each processing job."""
    ended_at: dict[str, datetime] = field(default_factory=dict, init=False)
    ends: list[tuple[datetime, str, bool]] = field(default_factory=list, init=False)
    """The ends of processing jobs: when, the model, and whether it showed no sign of life."""
    published: dict[str, set[str]] = field(default_factory=dict, init=False)
    """The attempts whose sidecar was published, by task id."""
    mails: Counter[str] = field(default_factory=Counter, init=False)
    unnoted_mails: Counter[str] = field(default_factory=Counter, init=False)
    """How many handlers sent a job's mail and were kept from removing the letter by a kill or
    by an error of AWS. SNS cannot send exactly once, so each of them allows one more mail."""
    events: dict[str, list[JobEnded]] = field(default_factory=dict, init=False)
    """The events about each job that EventBridge has taken."""
    unnoted_events: Counter[str] = field(default_factory=Counter, init=False)
    """The same as `unnoted_mails`, for events."""
    digest_made: dict[str, datetime] = field(default_factory=dict, init=False)
    """When the last digest about files that are no drops was made, by folder."""
    dead_letters: list[Handler] = field(default_factory=list, init=False)
    failed_sweeps: list[tuple[float, str]] = field(default_factory=list, init=False)
    """When a sweep ended with an error although no fault happened to it, and the error."""
    timed_out: Counter[str] = field(default_factory=Counter, init=False)
    """How often each function was killed because it ran longer than its timeout."""
    dropped: list[tuple[str, str]] = field(default_factory=list, init=False)
    """Key and version of every drop."""
    keys_deleted: set[str] = field(default_factory=set, init=False)
    publications: list[tuple[datetime, str]] = field(default_factory=list, init=False)
    """When a sidecar was published, and the id of its job."""
    messages: list[tuple[str, Callable[[Ports], None]]] = field(default_factory=list, init=False)
    """All messages that were sent, including the lost ones."""
    calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rng = random.Random(self.seed)
        self.tasks_may_fail |= any(getattr(self.faults, fault) for fault in _FAILING)
        self.rights = Rights(deployed())
        self.ledger = WatchedLedger(self)
        self.renderer = WatchedRenderer(self)
        self.start = self.clock()
        self._heap: list[tuple[float, int, Handler]] = []
        self._order = itertools.count()
        self.plain = super().ports
        self._functions_files = self._files_of_a_function()
        self._functions_post = self._post()
        self._functions_bus = self._bus()
        self._hub = getcurrent()
        self._interleaved = False
        self.at(self.sweep_every_seconds, Handler("schedule", self._start_sweep))
        self.at(86_400, Handler("schedule", self._expire))

    # time

    @property
    def now_seconds(self) -> float:
        """Seconds since the simulation began."""
        return (self.clock() - self.start).total_seconds()

    def at(self, seconds: float, handler: Handler) -> None:
        """Run a handler at a time, in seconds since the simulation began."""
        heapq.heappush(self._heap, (seconds, next(self._order), handler))

    def soon(self, name: str, work: Callable[[Ports], None], after_seconds: float = 0.2) -> None:
        """Send a message. It is delivered at least once, and perhaps out of order."""
        copies = 1 + (self.rng.randint(1, 4) if self.happens("duplicate_event") else 0)
        for _ in range(copies):
            late = self.rng.uniform(0, 900) if self.happens("late_event") else 0
            self.at(self.now_seconds + after_seconds + late, Handler(name, work))

    def event(self, name: str, work: Callable[[Ports], None], after_seconds: float = 0.5) -> None:
        """Send an event. It may also be lost."""
        self.messages.append((name, work))
        if not self.happens("lose_event"):
            self.soon(name, work, after_seconds)

    def happens(self, fault: str) -> bool:
        """Decide whether a fault happens now."""
        likely: float = getattr(self.faults, fault)
        if not likely or self.now_seconds > self.faults.until_seconds:
            return False
        return self.rng.random() < likely

    @property
    def calm_at(self) -> datetime:
        """When the last fault ends."""
        return self.start + timedelta(seconds=self.faults.end_seconds)

    @property
    def has_faults(self) -> bool:
        """Whether any fault may happen."""
        none = Faults(until_seconds=self.faults.until_seconds)
        return self.kill_at is not None or self.faults != none

    def is_away(self, service: str) -> bool:
        """Whether AWS throttles all calls of a service now."""
        faults = self.faults
        since = self.now_seconds - faults.outage_from_seconds
        return service == faults.outage_of and 0 <= since < faults.outage_seconds

    # what people do

    def person_drops(
        self,
        key: str,
        body: bytes | str = "prompt: a bee\n",
        *,
        is_job: bool = False,
        locked: bool = False,
    ) -> None:
        """Upload a file, and send the event about it.

        Args:
            is_job: whether it must become a job although it is no spec.
            locked: whether it is encrypted with a key that the functions may not use.
        """
        self.files.write("input", key, body if isinstance(body, bytes) else body.encode(), "x")
        if locked:
            self.files.lock("input", key)
        self._came(key, is_job=is_job)

    def _came(self, key: str, *, is_job: bool = False) -> None:
        """Send the event about the current version of a file."""
        version = self.files.facts("input", key).version
        kinds = {s3_keys.Kind.SPEC, s3_keys.Kind.LIST, s3_keys.Kind.APPROVAL}
        if is_job or s3_keys.kind_of(key) in kinds:
            self.dropped.append((key, version))
        self.event("submit", lambda ports: submit(ports, "input", key, version))

    def person_deletes(self, key: str) -> None:
        """Delete a file, and send the event about it."""
        self.files.remove("input", key)
        self.keys_deleted.add(key)
        self.event("submit", lambda ports: deleted(ports, "input", key))

    # what AWS does

    def _start_sweep(self, _ports: Ports) -> None:
        self.at(self.now_seconds, Handler("sweep", sweep))
        self.at(self.now_seconds + self.sweep_every_seconds, Handler("schedule", self._start_sweep))

    def _expire(self, _ports: Ports) -> None:
        """Let S3 apply its lifecycle rules, once a day."""
        self.at(self.now_seconds + 86_400, Handler("schedule", self._expire))
        for bucket, key in lifecycle.expire(self.files, self.clock()):
            if bucket == "input":
                self.event("submit", partial(deleted, bucket="input", key=key))

    # what the worker does

    def work(self, attempt_id: str) -> None:
        """Schedule what a processing job will do after SageMaker has accepted it."""
        at = self.now_seconds + self.startup_seconds * self.rng.uniform(0.8, 1.2)
        if self.happens("capacity_error"):
            self._plan_end(attempt_id, at, "Failed", "CapacityError: no instances")
            return
        if self.happens("image_broken"):
            self._plan_end(attempt_id, at, "Failed", "AlgorithmError: ImportError: no torch")
            return
        for task in self.manifest(attempt_id).tasks:
            at += self.render_seconds * self.rng.uniform(0.8, 1.2)
            if self.happens("worker_dies"):
                self._plan_end(attempt_id, at, "Failed", "the machine went away")
                if self.happens("result_after_end"):
                    late = at + self.rng.uniform(10, 600)
                    self._at_plain(late, partial(self._task_done, attempt_id, task))
                return
            self._at_plain(at, partial(self._task_done, attempt_id, task))
        if self.happens("early_ending"):
            self.at(at - 10, Handler("finish", lambda ports: attempt_ended(ports, attempt_id)))
        self._plan_end(attempt_id, at + 5, "Completed", "")

    def _at_plain(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule something that is not done by our functions. It cannot be killed."""
        self.at(seconds, Handler("world", lambda _ports: action()))

    def _task_done(self, attempt_id: str, task: Any) -> None:
        if self.renderer.jobs[attempt_id][1] == "Stopped":
            return
        key = s3_keys.task_result(attempt_id, task.task_id)
        video = s3_keys.task_file(attempt_id, task.task_id, "video.mp4")
        at_scene = self.rng.randint(1, max(1, len(task.parameters.scenes)))
        self.write_result(attempt_id, task, fail=self.happens("task_fails"), at_scene=at_scene)
        if self.happens("result_garbage"):
            self.files.write("work", key, b"{", "application/json")
        elif ("work", video) in self.files.objects:
            if self.happens("video_missing"):
                del self.files.objects[("work", video)]
            elif self.happens("video_cut"):
                self.files.write("work", video, b"m", "video/mp4")
            elif self.happens("result_before_video"):
                body = self.files.objects.pop(("work", video))
                self._at_plain(
                    self.now_seconds + 4,
                    lambda: self.files.objects.__setitem__(("work", video), body),
                )
        self.event("finish", lambda ports: file_written(ports, key))

    def _plan_end(self, attempt_id: str, at: float, status: str, reason: str) -> None:
        def end() -> None:
            if self.renderer.jobs[attempt_id][1] != "InProgress":
                return  # it was stopped before
            self.renderer.end(attempt_id, status, reason)
            self.ended_at[attempt_id] = self.clock()
            if "CapacityError" not in reason:
                outputs = s3_keys.attempt_outputs(attempt_id)
                silent = not any(key.startswith(outputs) for _, key in self.files.objects)
                self.ends.append((self.clock(), self.manifest(attempt_id).model, silent))
            self.event("finish", lambda ports: attempt_ended(ports, attempt_id))

        self._at_plain(at, end)

    # the functions

    def _announce_drop(self, key: str, version: str | None, *, delay_seconds: int = 0) -> None:
        work = partial(submit, bucket="input", key=key, version=version)
        self.soon("submit", work, delay_seconds or 0.2)

    def _wake_up(self, *, delay_seconds: int = 0) -> None:
        self.wakes += 1
        self.soon("dispatch", dispatch, delay_seconds or 0.2)

    def run(self, horizon_seconds: float = 86_400) -> None:
        """Run until only sweeps are left to do after the faults have ended, or until the horizon.

        A sweep counts twice: when it is scheduled, and when it runs.
        """
        idle_sweeps = 0
        while self._heap and self.now_seconds < horizon_seconds:
            self._step()
            only_sweeps = all(h.name in {"sweep", "schedule"} for _, _, h in self._heap)
            calm = self.now_seconds > self.faults.end_seconds
            idle_sweeps = idle_sweeps + 1 if only_sweeps and calm else 0
            # A reference that never comes keeps a job waiting for its whole deadline.
            patience = 40 if self.ledger.query(WAITING, Waiting, limit=1) else 4
            if self.ledger.query(OUTBOX, Letter, limit=1):
                patience = 60  # a mail that may have been sent is sent again after hours
            digests = bool(self.ledger.query(DIGESTS, Digest, limit=1))
            if digests or self.ledger.query(COLLECTED, Collected, limit=1):
                # Files that are no drops are reported once a day, and a sender may be killed then.
                # A sweep and its start are two steps.
                patience = 2 * 36 * 3600 // int(self.sweep_every_seconds)
            if day_limits.today(
                self.plain,
                [entry.document.folder for entry in self.ledger.query(QUEUE, QueueEntry, limit=1)],
            ):
                patience = (
                    24 * 3600 // int(self.sweep_every_seconds)
                )  # held tasks start after midnight
            if any(r.document.paused_until for r in self.ledger.query(HEALTH, Health)):
                patience = (
                    24 * 3600 // int(self.sweep_every_seconds)
                )  # the longest pause of a model
            if self.dead_letters or self.faults.outage_of:
                patience = max(patience, 30)  # older drops are announced once in an hour
            if idle_sweeps > patience and self.now_seconds > self.faults.end_seconds + 1000:
                return

    def run_for(self, seconds: float) -> None:
        """Run everything that is due within that time, then move the clock to its end."""
        until = self.now_seconds + seconds
        while self._heap and self._heap[0][0] <= until:
            self._step()
        self.clock.at = max(self.clock.at, self.start + timedelta(seconds=until))

    def _step(self) -> None:
        """Run the handlers that are due within the same quarter of a second, interleaved."""
        first = self._heap[0][0]
        due: list[Handler] = []
        while self._heap and self._heap[0][0] <= first + 0.25 and len(due) < self.at_once:
            due.append(heapq.heappop(self._heap)[2])
        self.clock.at = max(self.clock.at, self.start + timedelta(seconds=first))
        due = [handler for handler in due if self._starts(handler)]
        for handler in list(due):
            if handler.function in ANY_FUNCTION and self.happens("shown_again"):
                due.append(Handler(handler.name, handler.work, handler.receives + 1))
        self._together(due)

    def _starts(self, handler: Handler) -> bool:
        """Whether Lambda starts a function now. If not, the message returns to its queue."""
        if handler.of_aws or not (self.is_away("lambda") or self.happens("lambda_throttled")):
            return True
        if handler.function == "sweep":
            # The schedule calls it asynchronously, and Lambda tries again for hours. Then several
            # sweeps may run at the same time.
            handler.fault = True
            self.at(self.now_seconds + 60, handler)
        else:
            self._again(handler)
        return False

    def _together(self, due: list[Handler]) -> None:
        """Run handlers, and switch between them at the calls of their ports."""
        self._hub = getcurrent()
        running: list[tuple[greenlet, Handler, Ports]] = []
        for handler in due:
            dies_at = self.rng.randint(1, 60) if self.happens("kill") else None
            if _is_spared(handler):
                dies_at = None
            ports = self._watched_ports(handler, dies_at)
            running.append((greenlet(handler.work), handler, ports))
        started: set[int] = set()
        while running:
            # The last handler runs to its end without switching.
            self._interleaved = len(running) > 1
            index = self.rng.randrange(len(running)) if self._interleaved else 0
            runner, handler, ports = running[index]
            try:
                if id(runner) in started:
                    runner.switch()
                else:
                    started.add(id(runner))
                    runner.switch(ports)
            except Violated:
                raise
            except (Killed, Transient, ConnectionError, ExceptionGroup) as error:
                _not_a_violation(error)
                self._failed(handler, error)
            if runner.dead:
                running.pop(index)

    def _failed(self, handler: Handler, error: BaseException) -> None:
        """A run of a function failed. It is repeated as AWS would do it."""
        if not isinstance(error, Conflict):  # after a conflict, the letter can still be removed
            self.unnoted_mails.update(job_id for told in handler.sent.values() for job_id in told)
        handler.sent = {}
        self._event_unnoted(handler)
        if not handler.fault:
            handler.own_failures.append(repr(error))
            # Sweeps that run at the same time may conflict. They rarely do so twice.
            if handler.function == "sweep" and not _is_conflict(error):
                self.failed_sweeps.append((self.now_seconds, repr(error)))
        handler.fault = False
        if handler.function != "sweep":
            self._again(handler)
            return
        handler.receives += 1
        if handler.receives <= ASYNCHRONOUS_RETRIES:
            self.at(self.now_seconds + 60 * handler.receives, handler)

    def _event_unnoted(self, handler: Handler) -> None:
        """A run does not know, or could not note, that EventBridge has an event."""
        self.unnoted_events.update(handler.put)
        handler.put = set()

    def _again(self, handler: Handler) -> None:
        """A message returns to its queue, or goes to the dead-letter queue."""
        handler.receives += 1
        if handler.receives >= MAX_RECEIVES:
            self.dead_letters.append(handler)
        else:
            self.at(self.now_seconds + VISIBILITY_SECONDS, handler)

    def ports_of(self, function: str) -> Ports:
        """The ports of a function with its permissions, for a caller that is not killed."""
        caller = Handler(function, lambda _ports: None)
        return self._watched_ports(caller, None, can_be_killed=False)

    def _time_out(self, handler: Handler) -> None:
        self.timed_out[handler.function] += 1
        raise Killed(f"{handler.name} ran longer than its timeout")

    def _count_sent(self, handler: Handler, what: str, args: tuple[Any, ...]) -> None:
        """Count an event or a mail that was sent, and see when its letter or digest says so."""
        if what == "bus.put":
            event = JobEnded.from_json(args[0])
            self._check_event(event)
            self.events.setdefault(event.job_id, []).append(event)
            handler.put.add(event.job_id)
        if what == "post.send":
            sort, job_ids = self._told(args[2])
            self.mails.update(job_ids)
            handler.sent[sort] = job_ids
        if what == "ledger.commit":
            for change in args:
                handler.sent.pop(change.key.sort, None)
                handler.put.discard(change.key.sort)

    def _check_event(self, event: JobEnded) -> None:
        """An event says what the table says, and all that it names is there."""
        job = self.ledger.get(job_key(event.job_id))
        if job is None or job.document.state != event.state:
            raise Violated(f"an event says that {event.job_id} is {event.state}")
        for video in event.videos:
            for key in filter(None, (video.video, video.poster, video.sidecar)):
                if not self.files.exists(event.output_bucket, key):
                    raise Violated(f"an event names {key}, which is not there")

    def _told(self, attributes: dict[str, str]) -> tuple[str, tuple[str, ...]]:
        """The sort key of the letter or the digest of a mail, and the jobs that it is about."""
        if "digest_id" not in attributes:
            return attributes["job_id"], (attributes["job_id"],)
        (digest,) = (
            record
            for record in self.ledger.query(DIGESTS, Digest)
            if record.document.digest_id == attributes["digest_id"]
        )
        return digest.key.sort, digest.document.job_ids

    def _call(
        self,
        handler: Handler,
        time: Stopwatch,
        what: str,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Make a call of a port for a handler, with the faults that any call may have."""
        if self.is_away(what.partition(".")[0]) or self.happens("throttle"):
            handler.fault = True
            time.wait(THROTTLED_SECONDS)
            raise _throttling(what)
        try:
            answer = call(*args, **kwargs)
        except Transient as error:
            # A conflict is no fault, unless DynamoDB reports one that there was not.
            handler.fault |= type(error) is not Conflict
            raise
        self._count_sent(handler, what, args)
        of_sweep = handler.function == "sweep" and what == "files.page"
        if of_sweep and args[0] == "input" and self.happens("slow_listing"):
            time.wait(SLOW_SECONDS)
        if what in _CHANGING and self.happens("lose_answer") and not _is_spared(handler):
            handler.fault = True
            if what == "bus.put":
                self._event_unnoted(handler)
            time.wait(NO_ANSWER_SECONDS)
            lost = MaybeSent if what == "post.send" else Transient
            raise lost(f"the answer to {what} was lost")
        return answer

    def _perhaps_kill_here(self, function: str, what: str, before: set[str]) -> None:
        """Ask whether to kill a handler at this call.

        Args:
            function: that of the handler.
            what: the call.
            before: the different calls that the handler made before; this one is added.
        """
        if self.is_killed_at is None or self.kill_at is not None:
            return
        if self.is_killed_at(hash((function, what, frozenset(before)))):
            self.kill_at = self.calls
        before.add(what)

    def _watched_ports(
        self, handler: Handler, dies_at: int | None, *, can_be_killed: bool = True
    ) -> Ports:
        """The ports of a handler, with a point for switches and kills before and after each call.

        Args:
            dies_at: the point at which the handler is killed.
            can_be_killed: whether its calls count for `kill_at`.
        """
        if handler.of_aws:
            return self.plain
        calls = 0
        before: set[str] = set()
        time = Stopwatch(timeouts_seconds()[handler.function], partial(self._time_out, handler))
        skew = self.faults.clock_skew_seconds
        off = timedelta(seconds=self.rng.uniform(-skew, skew) if skew else 0)

        def point(what: str) -> None:
            nonlocal calls
            if can_be_killed:
                calls += 1
                self.calls += 1
                self._perhaps_kill_here(handler.function, what, before)
                if calls == dies_at or self.calls == self.kill_at:
                    handler.fault = True
                    raise Killed(what)
            if self._interleaved and getcurrent() is not self._hub:
                self._hub.switch()

        def watched(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                self.rights.check(handler.function, needs_of(what, args, kwargs))
                point(f"before {what}")
                answer = self._call(handler, time, what, call, args, kwargs)
                time.spend(what, answer)
                point(f"after {what}")
                return answer

            return wrapped

        def watch(name: str, port: object) -> Any:
            return _Watched(name, port, watched)

        return Ports(
            settings=self.settings,
            region="us-east-1",
            ledger=watch("ledger", self.ledger),
            files=watch("files", self._functions_files),
            renderer=watch("renderer", self.renderer),
            reader=watch("reader", self.reader),
            language_model=watch("language_model", self),
            guardrail=watch("guardrail", self),
            signer=watch("signer", self),
            post=watch("post", self._functions_post),
            bus=watch("bus", self._functions_bus),
            announce=watched("announce", self._announce_drop),
            wake=watched("wake", self._wake_up),
            now=lambda: self.clock() + off + timedelta(seconds=time.used_seconds),
            new_suffix=self.plain.new_suffix,
            log=lambda _event, _facts: None,
        )

    # ports with faults of their own

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """The language model, which may be unavailable."""
        if self.happens("language_model"):
            raise LanguageModelUnavailable("ModelErrorException")
        if self.happens("language_model_busy"):
            raise LanguageModelBusy("ThrottlingException")
        return self.language_model.converse(system, user, max_tokens)

    def judge(self, text: str) -> Judgement:
        """The guardrail, which may lack a right, or not exist."""
        if self.happens("guardrail"):
            raise GuardrailUnavailable("AccessDeniedException: not authorized")
        return self.guardrail.judge(text)

    def judge_pictures(self, pictures: Sequence[bytes]) -> Judgement:
        """The guardrail, asked about pictures."""
        if self.happens("guardrail"):
            raise GuardrailUnavailable("AccessDeniedException: not authorized")
        return self.guardrail.judge_pictures(pictures)

    def sign(self, source: Path, target: Path, claim: Claim, clip: Path | None = None) -> None:
        """The signer, which may lack a right."""
        if self.happens("cannot_sign"):
            raise CannotSign("AccessDeniedException: not authorized to perform kms:Sign")
        self.signer.sign(source, target, claim, clip)

    def _post(self) -> object:
        simulation = self

        class Post:
            def send(self, subject: str, body: str, attributes: Any) -> None:
                if simulation.happens("post"):
                    raise Transient("SNS is away")
                simulation.post.send(subject, body, attributes)

        return Post()

    def _bus(self) -> object:
        simulation = self

        class Bus:
            def put(self, detail: str) -> None:
                if simulation.happens("bus"):
                    raise Transient("EventBridge does not take events")
                simulation.bus.put(detail)

        return Bus()

    def _files_of_a_function(self) -> object:
        simulation = self
        files = self.files

        class Files:
            facts, read, copy = files.facts, files.read, files.copy
            remove, sha256, link = files.remove, files.sha256, files.link
            facts_after, versions = files.facts_after, files.versions
            download, upload = files.download, files.upload

            @staticmethod
            def page(bucket: str, prefix: str, after: str = "") -> Page:
                return simulation.files.page(bucket, prefix, after, simulation.listed_together)

            @staticmethod
            def write(
                bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
            ) -> None:
                if key.startswith(s3_keys.VIDEOS_PREFIX) and key.endswith(".json"):
                    written = Sidecar.from_json(body)
                    simulation.published.setdefault(written.task_id, set()).add(written.attempt_id)
                    simulation.publications.append((simulation.clock(), written.job_id))
                before = files.objects.get((bucket, key), [])[-1:]
                files.write(bucket, key, body, content_type, mark=mark)
                if bucket == "input" and files.objects[bucket, key][-1:] != before:
                    simulation._came(key)

        return Files

    # what must hold

    def documents(self, kind: type[D]) -> list[D]:
        """All documents of a type: jobs or tasks."""
        prefixes: dict[type[Document], str] = {Job: "JOB", Task: "TASK#"}
        prefix = prefixes[kind]
        return [
            kind.from_json(body)
            for (_, sort), (_, body) in self.ledger.items.items()
            if sort.startswith(prefix)
        ]

    def check_folder_defaults(self, job: Job) -> None:
        """A job that begins must be as its spec and its folder defaults say now, or say why not."""
        files, key, job_id = self.files, job.source.key, job.job_id
        if key.startswith(self.nothing_runs_in):
            raise Violated(f"{job_id} started")
        if any(notice.code == "newer-defaults" for notice in job.warnings):
            return
        found = (files.objects.get(("input", place), []) for place in s3_keys.defaults_of(key))
        changed = [versions[-1].at for versions in found if versions]
        # The handler may have looked just before the last change.
        if any(self.clock() - at < timedelta(seconds=2) for at in changed):
            return
        drop = InputBucket(self.plain, "input")
        try:
            drop.use(key, job.source.version)
            draft = drop_files.drafted(drop, self.reader, key)
        except Missing:
            return  # this version has expired
        except JobRejected as error:
            raise Violated(f"{job_id} started without saying: {error}") from error
        model = self.settings.default_model
        wanted = drop_files.videos(draft, default_model=model, job_id=job_id)
        made = [resolve.resolve(one, default_model=model, job_id=job_id) for one in wanted]
        found_tasks = self.ledger.query(job_key(job_id).partition, Task, prefix=TASKS)
        tasks = [record.document.spec for record in found_tasks]
        if draft.spec != job.spec or [*map(_settings, made)] != [*map(_settings, tasks)]:
            raise Violated(f"{job_id} started although its folder defaults had changed")

    def check(self) -> None:
        """Check what must hold at the end.

        Raises:
            Violated: the message says what is wrong.
        """
        checks.check(self)


def _is_spared(handler: Handler) -> bool:
    """Whether no handler is killed, and no answer is lost, by chance.

    In thousands of runs, chance alone would make all ten tries of some message fail.
    """
    return handler.receives >= MAX_RECEIVES - 2
