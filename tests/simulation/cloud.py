"""An AWS in memory with a simulated clock, in which handlers interleave, are killed and run again.

At every call of a port another handler may continue, the handler may be killed (before the call, or
after it and before its answer arrives), and AWS may ask to try again later. One seed decides which
of these happens. The stages are the real ones.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

from contract.document import Document
from contract.errors import Transient
from functions import s3_keys
from functions.ports import Throttled
from functions.replies.sidecar import Sidecar
from functions.replies.status import Status
from functions.spec.language_model import Answer, LanguageModelUnavailable
from functions.stages.cancel import deleted
from functions.stages.dispatch import dispatch
from functions.stages.finish import attempt_ended, file_written
from functions.stages.ports import Ports
from functions.stages.renderer import CannotStart, NoQuota, ProcessingJob, StartDenied
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table import day_limits
from functions.table.health import health_of
from functions.table.ledger import (
    CAPACITY,
    DEFAULTS,
    HEALTH,
    OPEN_ATTEMPTS,
    OUTBOX,
    QUEUE,
    WAITING,
    Change,
    D,
    Put,
    attempt_key,
    job_key,
    owner_key,
    usage_key,
)
from functions.table.paths import is_newest
from functions.table.records import (
    PAUSED_AFTER,
    PAUSES,
    Attempt,
    CancelReason,
    Capacity,
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
from tests.simulation.rights import Rights, deployed, needs_of
from tests.simulation.time_limits import Stopwatch, timeouts_seconds

SWEEP_EVERY_SECONDS = 300
VISIBILITY_SECONDS = 70
MAX_RECEIVES = 10
# How far apart the clocks of two handlers may be.
_SKEW = timedelta(seconds=60)


class Killed(BaseException):
    """A handler is killed at this point."""


class Violated(AssertionError):
    """Something happened that must never happen."""


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
    shown_again: float = 0
    """For each handler: that its message is delivered to another handler while it runs."""
    clock_skew_seconds: float = 0
    """How far the clock of a handler may be wrong. This does not end at `until_seconds`."""
    language_model: float = 0
    post: float = 0
    until_seconds: float = 3600

    @classmethod
    def some(cls, rng: random.Random) -> "Faults":
        """Choose a few faults with different probabilities."""
        chosen = rng.sample(_KINDS, rng.randint(0, 6))
        faults = cls(**{name: rng.choice((0.05, 0.2, 0.5)) for name in chosen})
        faults.clock_skew_seconds = rng.choice((0, 0, 30))
        return faults


_KINDS = [f.name for f in fields(Faults) if f.name not in {"until_seconds", "clock_skew_seconds"}]


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
        super().commit(*changes)
        if any(change.key.partition == DEFAULTS for change in changes):
            self._limits_changed_at = self._simulation.clock()
        for change in changes:
            old = before[(change.key.partition, change.key.sort)]
            if old is None or not isinstance(old.document, Job | Task):
                continue
            if not isinstance(change, Put):
                raise Violated(f"{change.key} was removed")
            new = change.document
            assert isinstance(new, Job | Task)
            if old.document.state.terminal and new.state != old.document.state:
                raise Violated(f"{change.key}: {old.document.state} became {new.state}")
            # A new attempt of a counted task starts even if the limit is lower now.
            if isinstance(new, Task) and new.counted_on != getattr(old.document, "counted_on", 0):
                self._check_day(new)

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
            raise Throttled("ThrottlingException: Rate exceeded")

    def start(self, job: ProcessingJob) -> None:
        simulation = self._simulation
        self._perhaps_refuse(job)
        super().start(job)
        mine = {task.task_id for task in simulation.manifest(job.attempt_id).tasks}
        running = simulation.running()
        for task in simulation.documents(Task):
            owned = task.state.terminal or task.attempt_id == job.attempt_id
            if task.task_id in mine and not owned:
                raise Violated(f"{job.attempt_id} renders {task.task_id}, which it does not own")
        for other in running:
            if other != job.attempt_id:
                theirs = {task.task_id for task in simulation.manifest(other).tasks}
                if mine & theirs:
                    raise Violated(f"{mine & theirs} run in {other} and {job.attempt_id}")
        if len(running) > simulation.settings.max_processing_jobs:
            raise Violated(f"{len(running)} processing jobs run")
        self._check_pause(job)
        simulation.accepted[job.attempt_id] += 1
        simulation.work(job.attempt_id)
        if simulation.happens("lose_acknowledgement"):
            raise Transient("the acknowledgement was lost")

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
    elif not isinstance(error, Transient | ConnectionError):
        raise error


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
    sent: set[str] = field(default_factory=set)
    """Jobs whose mail this run has sent and whose letter it has not removed yet."""

    @property
    def function(self) -> str:
        """The function that runs: "sweep again" is a run of the sweep, too."""
        return self.name.partition(" ")[0]


@dataclass
class Simulation(World):
    """The simulated cloud. `seed` decides everything; `kill_at` adds a kill at that call."""

    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    kill_at: int | None = None
    startup_seconds: float = 240
    render_seconds: float = 90

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rng = random.Random(self.seed)
        self.rights = Rights(deployed())
        self.ledger = WatchedLedger(self)
        self.renderer = WatchedRenderer(self)
        self.accepted: Counter[str] = Counter()
        self.ended_at: dict[str, datetime] = {}
        self.ends: list[tuple[datetime, str, bool]] = []
        """The ends of processing jobs: when, the model, and whether it showed no sign of life."""
        self.published: dict[str, set[str]] = {}
        """The attempts whose sidecar was published, by task id."""
        self.mails: Counter[str] = Counter()
        self.unnoted_mails: Counter[str] = Counter()
        """How many handlers were killed between sending a job's mail and removing the letter.
        SNS cannot send exactly once, so each of them allows one more mail."""
        self.dead_letters: list[str] = []
        self.timed_out: Counter[str] = Counter()
        """How often each function was killed because it ran longer than its timeout."""
        self.dropped: list[tuple[str, str]] = []
        """Key and version of every drop."""
        self.deleted: set[str] = set()
        self.messages: list[tuple[str, Callable[[Ports], None]]] = []
        """All messages that were sent, including the lost ones."""
        self.calls = 0
        self.calls_before_calm = 0
        """The number of calls until the faults ended."""
        self._start = self.clock()
        self._heap: list[tuple[float, int, Handler]] = []
        self._order = itertools.count()
        self.plain = super().ports
        self._functions_files = self._files_of_a_function()
        self._functions_post = self._post()
        self._hub = getcurrent()
        self._interleaved = False
        self.at(SWEEP_EVERY_SECONDS, Handler("sweep", self._sweep))

    # time

    @property
    def now_seconds(self) -> float:
        """Seconds since the simulation began."""
        return (self.clock() - self._start).total_seconds()

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

    # what people do

    def person_drops(self, key: str, body: bytes | str = "prompt: a bee\n") -> None:
        """Upload a file, and send the event about it."""
        self.files.write("input", key, body if isinstance(body, bytes) else body.encode(), "x")
        version = self.files.facts("input", key).version
        if s3_keys.kind_of(key) == s3_keys.Kind.SPEC:
            self.dropped.append((key, version))
        self.event("submit", lambda ports: submit(ports, "input", key, version))

    def person_deletes(self, key: str) -> None:
        """Delete a file, and send the event about it."""
        self.files.remove("input", key)
        self.deleted.add(key)
        self.event("submit", lambda ports: deleted(ports, "input", key))

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
        self.write_result(attempt_id, task, fail=self.happens("task_fails"))
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

    def _sweep(self, ports: Ports) -> None:
        self.at(self.now_seconds + SWEEP_EVERY_SECONDS, Handler("sweep", self._sweep))
        sweep(ports)

    def _wake_up(self) -> None:
        self.wakes += 1
        self.soon("dispatch", dispatch)

    def run(self, horizon_seconds: float = 86_400) -> None:
        """Run until only sweeps are left to do, or until the horizon."""
        idle_sweeps = 0
        while self._heap and self.now_seconds < horizon_seconds:
            self._step()
            only_sweeps = all(handler.name == "sweep" for _, _, handler in self._heap)
            idle_sweeps = idle_sweeps + 1 if only_sweeps else 0
            # A reference that never comes keeps a job waiting for its whole deadline.
            patience = 40 if self.ledger.query(WAITING, Waiting, limit=1) else 4
            if day_limits.today(
                self.plain,
                [entry.document.folder for entry in self.ledger.query(QUEUE, QueueEntry, limit=1)],
            ):
                patience = 24 * 3600 // SWEEP_EVERY_SECONDS  # held tasks start after midnight
            if any(r.document.paused_until for r in self.ledger.query(HEALTH, Health)):
                patience = 24 * 3600 // SWEEP_EVERY_SECONDS  # the longest pause of a model
            if idle_sweeps > patience and self.now_seconds > self.faults.until_seconds + 1000:
                return

    def run_for(self, seconds: float) -> None:
        """Run everything that is due within that time, then move the clock to its end."""
        until = self.now_seconds + seconds
        while self._heap and self._heap[0][0] <= until:
            self._step()
        self.clock.at = max(self.clock.at, self._start + timedelta(seconds=until))

    def _step(self) -> None:
        """Run the handlers that are due within the same quarter of a second, interleaved."""
        first = self._heap[0][0]
        due: list[Handler] = []
        while self._heap and self._heap[0][0] <= first + 0.25 and len(due) < 4:
            due.append(heapq.heappop(self._heap)[2])
        self.clock.at = max(self.clock.at, self._start + timedelta(seconds=first))
        if first <= self.faults.until_seconds:
            self.calls_before_calm = self.calls
        for handler in list(due):
            if handler.name not in {"sweep", "world"} and self.happens("shown_again"):
                due.append(Handler(handler.name, handler.work, handler.receives + 1))
        self._together(due)

    def _together(self, due: list[Handler]) -> None:
        """Run handlers, and switch between them at the calls of their ports."""
        self._hub = getcurrent()
        running: list[tuple[greenlet, Handler, Ports]] = []
        for handler in due:
            dies_at = self.rng.randint(1, 60) if self.happens("kill") else None
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
            except Killed:
                self._again(handler)
            except Violated:
                raise
            except (Transient, ConnectionError, ExceptionGroup) as error:
                _not_a_violation(error)
                self._again(handler)
            if runner.dead:
                running.pop(index)

    def _again(self, handler: Handler) -> None:
        self.unnoted_mails.update(handler.sent)
        handler.sent = set()
        if handler.name in {"sweep", "world"}:
            return
        handler.receives += 1
        if handler.receives >= MAX_RECEIVES:
            self.dead_letters.append(handler.name)
        else:
            self.at(self.now_seconds + VISIBILITY_SECONDS, handler)

    def ports_of(self, function: str) -> Ports:
        """The ports of a function with its permissions, for a caller that is not killed."""
        return self._watched_ports(Handler(function, lambda _ports: None), None)

    def _time_out(self, handler: Handler) -> None:
        self.timed_out[handler.function] += 1
        raise Killed(f"{handler.name} ran longer than its timeout")

    def _count_mails(self, handler: Handler, what: str, args: tuple[Any, ...]) -> None:
        """Count a mail that was sent, and note when a letter was removed."""
        if what == "post.send":
            job_id = str(args[2]["job_id"])
            self.mails[job_id] += 1
            handler.sent.add(job_id)
        if what == "ledger.commit":
            handler.sent -= {change.key.sort for change in args}

    def _watched_ports(self, handler: Handler, dies_at: int | None) -> Ports:
        """The ports of a handler, with a point for switches and kills before and after each call.

        Args:
            dies_at: the point at which the handler is killed.
        """
        if handler.name == "world":
            return self.plain
        calls = 0
        time = Stopwatch(timeouts_seconds()[handler.function], partial(self._time_out, handler))
        skew = self.faults.clock_skew_seconds
        off = timedelta(seconds=self.rng.uniform(-skew, skew) if skew else 0)

        def point(what: str) -> None:
            nonlocal calls
            calls += 1
            self.calls += 1
            if calls == dies_at or self.calls == self.kill_at:
                raise Killed(what)
            if self._interleaved and getcurrent() is not self._hub:
                self._hub.switch()

        def watched(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                self.rights.check(handler.function, needs_of(what, args, kwargs))
                point(f"before {what}")
                if self.happens("throttle"):
                    raise Transient(f"{what} was throttled")
                answer = call(*args, **kwargs)
                self._count_mails(handler, what, args)
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
            reader=_Watched("reader", self.reader, time.timed),
            language_model=watch("language_model", self),
            post=watch("post", self._functions_post),
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
            raise LanguageModelUnavailable("ThrottlingException")
        return self.language_model.converse(system, user, max_tokens)

    def _post(self) -> object:
        simulation = self

        class Post:
            def send(self, subject: str, body: str, attributes: Any) -> None:
                if simulation.happens("post"):
                    raise Transient("SNS is away")
                simulation.post.send(subject, body, attributes)

        return Post()

    def _files_of_a_function(self) -> object:
        simulation = self
        files = self.files

        class Files:
            facts, read, copy = files.facts, files.read, files.copy
            remove, sha256, link = files.remove, files.sha256, files.link
            versions = files.versions

            @staticmethod
            def listed(bucket: str, prefix: str) -> list[Any]:
                return list(files.listed(bucket, prefix))

            @staticmethod
            def write(
                bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
            ) -> None:
                if key.startswith(s3_keys.VIDEOS_PREFIX) and key.endswith(".json"):
                    written = Sidecar.from_json(body)
                    simulation.published.setdefault(written.task_id, set()).add(written.attempt_id)
                files.write(bucket, key, body, content_type, mark=mark)

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

    def check(self) -> None:
        """Check that nothing was lost, done twice or left over.

        Raises:
            Violated: the message says what is wrong.
        """
        jobs: dict[str, Job] = {job.job_id: job for job in self.documents(Job)}
        self._check_drops(jobs)
        self._check_once(jobs)
        self._check_nothing_left()

    def _check_drops(self, jobs: dict[str, Job]) -> None:
        answered: set[str] = set()
        accepted: set[str] = set()
        for key, version in reversed(self.dropped):  # the newest first
            job = jobs.get(s3_keys.job_id("input", key, version))
            if job is None:
                there = [listed.version for listed in self.files.versions("input", key)]
                if version in there and key not in accepted:
                    raise Violated(f"{key} ({version}) was lost")
                continue
            if not job.state.terminal:
                raise Violated(f"{job.job_id} is still {job.state}")
            if job.canceled_because == CancelReason.SUPERSEDED and key not in accepted:
                raise Violated(f"{key} ({version}) was replaced, but not by a newer version")
            if key not in answered and not is_newest(self.plain, job):
                raise Violated(f"the status of {key} is not about its newest version, {version}")
            answered.add(key)
            if job.was_accepted:
                accepted.add(key)
            self._check_status(job)

    def _check_status(self, job: Job) -> None:
        newest = self.ledger.get(owner_key(job.path))
        if newest is None or newest.document.job_id != job.job_id:
            return
        status = Status.from_json(self.files.read("output", s3_keys.status(job.path)))
        if (status.job_id, status.state) != (job.job_id, job.state):
            raise Violated(f"{job.path} is {job.state}, but its status says {status.state}")
        refused = ("output", s3_keys.rejected(job.path)) in self.files.objects
        if refused != (job.state == State.REJECTED):
            raise Violated(f"{job.path} is {job.state}, and has a refusal: {refused}")
        explained = ("output", s3_keys.failed(job.path)) in self.files.objects
        if explained != (job.state == State.FAILED):
            raise Violated(f"{job.path} is {job.state}, and a text about a failure: {explained}")

    def _check_once(self, jobs: dict[str, Job]) -> None:
        for job_id, job in jobs.items():
            # There is no mail about a version that was replaced.
            least = 0 if job.canceled_because == CancelReason.SUPERSEDED else 1
            least = least if job.wants_mail else 0
            if not least <= self.mails[job_id] <= least + self.unnoted_mails[job_id]:
                raise Violated(f"{self.mails[job_id]} mails about {job_id} ({job.state})")
        for task in self.documents(Task):
            attempts = self.published.get(task.task_id, set())
            if len(attempts) > 1:
                raise Violated(f"{task.task_id} was published by {attempts}")
            if task.attempts > self.settings.max_attempts:
                raise Violated(f"{task.task_id} had {task.attempts} attempts")
            if task.state == State.SUCCEEDED:
                self._check_video(jobs[task.job_id], task)
        for name, count in self.accepted.items():
            if count > 1:
                raise Violated(f"{name} was created {count} times")
        self._check_silent_ends()

    def _check_silent_ends(self) -> None:
        """A model whose processing jobs keep ending without a sign of life is paused.

        Two ends begin a pause, and two more processing jobs find out in a day whether it is over.
        Those that were started together with the first two cannot know of it.
        """
        most = PAUSED_AFTER + 2 + self.settings.max_processing_jobs
        row: dict[str, list[datetime]] = {}
        for at, model, silent in sorted(self.ends):
            ends = row.setdefault(model, [])
            ends[:] = [end for end in (*ends, at) if at - end < timedelta(days=1)] if silent else []
            if len(ends) > most:
                raise Violated(f"{len(ends)} processing jobs in a day rendered nothing ({model})")

    def _check_nothing_left(self) -> None:
        for partition, kind in (
            (QUEUE, QueueEntry), (WAITING, Waiting), (OPEN_ATTEMPTS, Attempt), (OUTBOX, Letter),
        ):  # fmt: skip
            left = self.ledger.query(partition, kind)
            if left:
                raise Violated(f"{partition} still has {[record.key.sort for record in left]}")
        copies = [k for _, k in self.files.objects if k.startswith(s3_keys.REFERENCES_PREFIX)]
        if copies:
            raise Violated(f"the work bucket still has {copies}")
        for record in self.ledger.query(CAPACITY.partition, Capacity):
            if record.document.leases:
                raise Violated(f"there are still leases: {record.document.leases}")

    def _check_video(self, job: Job, task: Task) -> None:
        at = s3_keys.published(job.path, task.number, job.task_count)
        sidecar = Sidecar.from_json(self.files.read("output", at.sidecar))
        if sidecar.job_id != job.job_id:
            other = self.ledger.get(job_key(sidecar.job_id))
            assert other is not None
            if other.document.path != job.path and job.source.key not in self.deleted:
                raise Violated(f"{at.video} of {job.path} was replaced by {other.document.path}")
            return  # a newer version of the same key was published there later
        if sidecar.attempt_id != task.attempt_id:
            raise Violated(f"{at.video} is not from {task.attempt_id}, which owns its task")
        for key in at:
            marks = [v.mark for v in self.files.objects.get(("output", key), [])]
            if len(set(marks)) < len(marks):
                raise Violated(f"{key} was published twice: {marks}")
        if self.files.sha256("output", at.video) != sidecar.video.sha256:
            raise Violated(f"the hash of {at.video} is not the one in its sidecar")
