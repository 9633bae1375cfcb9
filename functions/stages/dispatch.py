"""Starts processing jobs. Plans attempts (planning/batching.py) and launches them (launch.py).

The steps have an order that lets a later dispatch continue after a kill at any point. First the
lease and the attempt are committed together. Then the attempt's tasks are claimed, each together
with the removal of its queue entry. Then the set of tasks is fixed: the attempt moves to
`starting`, with the hash of its manifest. Only then is the create call made. It has the attempt's
id as its name, and SageMaker accepts a name once. A later dispatch takes over an attempt whose
handler was killed, and continues it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from contract.catalogue import Mode
from contract.instance_types import gpus
from functions import s3_keys
from functions.log import Event, WithLog
from functions.planning import batching, estimate
from functions.ports import WithAnnounce, WithChance, WithClock, WithWake
from functions.replies import publish
from functions.settings import WithSettings
from functions.stages import newer_defaults, weights
from functions.stages.launch import Launch, launch
from functions.stages.launch import Needs as NeedsForLaunch
from functions.stages.newer_defaults import ANNOUNCE_EVERY, CurrentDefaults
from functions.stages.uploads import QUIET_AFTER, Uploads
from functions.table import day_limits
from functions.table.attempts import capacity as read_capacity
from functions.table.attempts import is_abandoned, move_attempt
from functions.table.health import health_of
from functions.table.ledger import (
    CAPACITY,
    FINISHING_QUEUE,
    OPEN_ATTEMPTS,
    QUEUES,
    RETRIES,
    Conflict,
    Put,
    Record,
    attempt_key,
    job_key,
    queue_of,
    task_key,
)
from functions.table.queue import waiting_line
from functions.table.rates import learned_rates
from functions.table.records import (
    Attempt,
    AttemptState,
    Capacity,
    Hold,
    Job,
    Lease,
    QueueEntry,
    State,
    TaskRef,
)

# How long an instance type is skipped after there was no instance of it. It is less than the time
# between two sweeps, so the dispatch after each sweep asks again.
PASSED_OVER_FOR = timedelta(minutes=4)
# How many held tasks are updated in one dispatch, and how many are read to find them. Most tasks
# have their reason since they were dropped.
_NOTED_TOGETHER = 32
_NOTED_AT_MOST = 128


class Needs(NeedsForLaunch, WithAnnounce, WithChance, WithWake, Protocol):
    """What a dispatch uses."""


class NeedsForNote(publish.NeedsForStatus, WithLog, Protocol):
    """What noting the reason of held tasks uses."""


class NeedsForAttempt(WithClock, WithChance, WithSettings, Protocol):
    """What naming an attempt uses."""


class _Outrun(Exception):
    """Another dispatch changed the leases, or claimed the tasks, since they were read."""


def dispatch(ports: Needs) -> None:
    """Take over abandoned attempts and open new ones. An error in one does not stop the others.

    Raises:
        Exception: the error, or an ExceptionGroup if there were several. A later dispatch takes
            over the attempts that were begun.
    """
    errors: list[Exception] = []
    for record in ports.ledger.query(OPEN_ATTEMPTS, Attempt):
        if not is_abandoned(ports, record.document):
            continue
        try:
            taken = move_attempt(ports, record, record.document.taken_over(ports.now()))
            ports.log(Event.ATTEMPT_TAKEN_OVER, {"attempt_id": taken.document.attempt_id})
            launch(ports, taken, CurrentDefaults(ports, ports.settings.input_bucket))
        except Exception as error:
            errors.append(error)
    seen = _Seen(ports)
    for queue in QUEUES:
        try:
            _open_all(ports, queue, seen)
        except Exception as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("not every attempt could be started", errors)


def _open_all(ports: Needs, queue: str, seen: "_Seen") -> None:
    """Open attempts for a queue until there are no more to open now.

    Raises:
        Conflict: other dispatches changed the leases too often.
    """
    outrun = 0
    while outrun < RETRIES:
        try:
            if not _open_some(ports, queue, seen):
                return
        except _Outrun:
            outrun += 1
    raise Conflict("the leases on instances kept changing")


class _Seen:
    """What one dispatch has seen in the input bucket, and the tasks that it does not start."""

    def __init__(self, ports: Needs) -> None:
        self._ports = ports
        self.defaults = CurrentDefaults(ports, ports.settings.input_bucket)
        self._uploads = Uploads(ports)
        self._left_out: set[TaskRef] = set()
        self._folders_left_out: set[str] = set()
        self._wakes = False

    def ready(self, line: Sequence[QueueEntry]) -> list[QueueEntry]:
        """The tasks near which no file is being uploaded, less those that were left out before."""
        line = [
            entry
            for entry in line
            if entry.task not in self._left_out and entry.folder not in self._folders_left_out
        ]
        waiting = self._uploads.continue_near(line)
        if waiting and not self._wakes:
            self._wakes = True
            self._ports.wake(delay_seconds=math.ceil(QUIET_AFTER.total_seconds()))
            self._ports.log(Event.UPLOADS_CONTINUE, {"tasks": len(waiting)})
        self._left_out |= waiting
        return [entry for entry in line if entry.task not in waiting]

    def leaves_out(self, plan: batching.Plan, line: Sequence[QueueEntry]) -> bool:
        """Leave out the planned tasks to which newer folder defaults apply, and announce them.

        Soon after the change, the whole folder is left out, so that a processing job does not start
        with the few tasks that were planned again first.

        Returns whether there are any. Then the plan is out of date.
        """
        changed = self._changed(entry for attempt in plan.attempts for entry in attempt.entries)
        if not changed:
            return False
        folders = {s3_keys.folder_of(record.document.source.key) for record in changed}
        changed = self._changed(entry for entry in line if entry.folder in folders)
        newer_defaults.act_on(self._ports, changed, self.defaults)
        jobs = {record.document.job_id: record.document for record in changed}
        self._left_out |= {entry.task for entry in line if entry.task.job_id in jobs}
        for job in jobs.values():
            changed_at = self.defaults.changed_at(job)
            if changed_at and self._ports.now() - changed_at < ANNOUNCE_EVERY:
                self._folders_left_out.add(s3_keys.folder_of(job.source.key))
        return True

    def _changed(self, entries: Iterable[QueueEntry]) -> list[Record[Job]]:
        """The jobs of queued tasks to which newer folder defaults apply."""
        ids = dict.fromkeys(entry.task.job_id for entry in entries)
        found = self._ports.ledger.get_all([job_key(job_id) for job_id in ids])
        return [r for r in found if r is not None and not self.defaults.allow_claim(r.document)]


def _open_some(ports: Needs, queue: str, seen: _Seen) -> bool:
    """Plan once and launch the planned attempts. Returns False if none was planned.

    Each queue has leases of its own, so that neither waits for the instances of the other.

    Raises:
        _Outrun: the plan is out of date.
    """
    settings = ports.settings
    # Capacity is read first. If no instance is free, which is common, nothing else has to be read.
    capacity, revision = read_capacity(ports)
    leases = tuple(one for one in capacity.leases if queue_of(one.mode) == queue)
    own = Capacity(leases=leases, served=capacity.served)
    free = settings.max_processing_jobs - len(own.leases)
    instance_type = _wanted(ports, capacity, queue)
    if free <= 0 or instance_type is None:
        ports.log(Event.NO_LEASE, {"free": free, "instance_type": instance_type})
        return False
    # The plan leaves a share to instances that will be free later, so it has to see more tasks than
    # the free instances could take.
    need = settings.max_processing_jobs * settings.max_tasks_per_job
    line = seen.ready(waiting_line(ports, queue, need))
    if not line:
        return False
    releases = weights.releases(ports, {kind for entry in line for kind in entry.weights})
    without = [entry for entry in line if not releases.keys() >= set(entry.weights)]
    line = [entry for entry in line if releases.keys() >= set(entry.weights)]
    health = health_of(ports, (entry.model for entry in line))
    paused = {model: found.hold for model, found in health.items() if found.hold}
    plan = _plan(ports, own, free, instance_type, line, paused)
    if seen.leaves_out(plan, line):
        return True
    limit = day_limits.held(ports.now().date())
    held = [(entry, limit) for entry in plan.over_limit]
    held += [(entry, paused[entry.model]) for entry in plan.paused]
    held += [(entry, weights.hold(entry.model)) for entry in without]
    _note_held(ports, held)
    for planned in plan.attempts:
        chosen = [releases[kind] for kind in planned.entries[0].weights]
        attempt = _new_attempt(ports, planned, instance_type, chosen)
        folders = tuple(entry.folder for entry in planned.entries)
        capacity = capacity.leased(_lease(attempt, planned), folders)
        opened = attempt_key(attempt.attempt_id)
        try:
            ports.ledger.commit(Put(CAPACITY, capacity, revision), Put(opened, attempt))
        except Conflict:
            raise _Outrun from None
        revision += 1
        became = launch(ports, Record(opened, attempt, 1), seen.defaults)
        if became == Launch.NO_CAPACITY:
            break  # another type may have instances
        if became == Launch.NOTHING_TO_CLAIM:
            raise _Outrun
    return bool(plan.attempts)


class NeedsForChoice(WithClock, WithSettings, Protocol):
    """What choosing an instance type uses."""


def _wanted(ports: NeedsForChoice, capacity: Capacity, queue: str) -> str | None:
    """The first preferred instance type that did not just lack an instance; None if all did."""
    passed_over = {
        missing.instance_type
        for missing in capacity.without_instance
        if ports.now() - missing.at < PASSED_OVER_FOR
    }
    finishes = queue == FINISHING_QUEUE
    types = ports.settings.instance_types_for(Mode.FINISHING if finishes else Mode.TEXT_TO_VIDEO)
    return next((one for one in types if one not in passed_over), None)


def _plan(
    ports: day_limits.Needs,
    capacity: Capacity,
    free: int,
    instance_type: str,
    line: Sequence[QueueEntry],
    paused: Mapping[str, Hold],
) -> batching.Plan:
    settings = ports.settings
    learned = learned_rates(ports)

    def expect(entry: QueueEntry) -> batching.Expected:
        return estimate.expected(learned, entry, instance_type)

    situation = batching.Situation(
        line=line,
        running={batching.kind_of(lease) for lease in capacity.leases},
        free=free,
        busy_until=[lease.ends_at for lease in capacity.leases],
        served=capacity.served,
        days=day_limits.today(ports, (entry.folder for entry in line)),
        paused={model: hold.until for model, hold in paused.items() if hold.until},
        max_tasks=settings.max_tasks_per_job,
        max_runtime_seconds=settings.max_runtime_seconds,
        now=ports.now(),
        gpus=gpus(instance_type),
    )
    return batching.plan(situation, expect)


def _note_held(ports: NeedsForNote, held: Sequence[tuple[QueueEntry, Hold]]) -> None:
    """Note in held tasks, and in their status, why they wait.

    One call updates only some of them. The next dispatch updates more, because this can wait.
    """
    for start in range(0, min(len(held), _NOTED_AT_MOST), _NOTED_TOGETHER):
        some = held[start : start + _NOTED_TOGETHER]
        records = ports.ledger.get_all([task_key(entry.task) for entry, _ in some])
        unnoted = [
            Put(record.key, record.document.held(hold), record.revision)
            for record, (_, hold) in zip(records, some, strict=True)
            if record and record.document.state == State.QUEUED and record.document.hold != hold
        ]
        if not unnoted:
            continue
        try:
            ports.ledger.commit(*unnoted)
        except Conflict:
            return
        ports.log(Event.HELD, {"tasks": len(unnoted)})
        for job_id in dict.fromkeys(put.document.job_id for put in unnoted):
            publish.publish_status(ports, job_id)
        return


def _new_attempt(
    ports: NeedsForAttempt,
    planned: batching.PlannedAttempt,
    instance_type: str,
    releases: Sequence[str],
) -> Attempt:
    """An attempt for planned tasks.

    Args:
        releases: those of the weights that the tasks need, one for each model folder.
    """
    now, (release, *of_images) = ports.now(), releases
    return Attempt(
        attempt_id=f"{ports.settings.job_prefix}{now:%Y%m%d-%H%M%S}-{ports.new_suffix()}",
        state=AttemptState.CLAIMING,
        model=planned.kind.model,
        mode=planned.entries[0].mode,
        preset=planned.kind.preset,
        lora=planned.kind.lora,
        tasks=tuple(entry.task for entry in planned.entries),
        release=release,
        image_release="".join(of_images),
        instance_type=instance_type,
        created_at=now,
        updated_at=now,
    )


def _lease(attempt: Attempt, planned: batching.PlannedAttempt) -> Lease:
    return Lease(
        attempt_id=attempt.attempt_id,
        instance_type=attempt.instance_type,
        model=attempt.model,
        mode=attempt.mode,
        with_image_model=planned.kind.with_image_model,
        preset=planned.kind.preset,
        size_class=planned.kind.size_class,
        lora=planned.kind.lora,
        ends_at=attempt.created_at + timedelta(seconds=planned.seconds),
    )
