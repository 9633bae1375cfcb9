"""Starts processing jobs: plans what waits (planning/batching.py) and launches it (launch.py).

Every kill can be repaired because of the order of steps. The lease and the attempt are committed
together. Then the attempt's tasks are claimed, each together with the removal of its queue entry.
Then the set is closed (`starting`, with the manifest's hash). Only then is the create call made,
under the attempt's id, which SageMaker accepts once. A later dispatch takes over an attempt that
was left behind and goes on where it stopped.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from functions.log import Event, WithLog
from functions.planning import batching, estimate
from functions.ports import WithChance, WithClock
from functions.replies import publish
from functions.settings import WithSettings
from functions.stages.launch import Launch, launch
from functions.stages.launch import Needs as NeedsForLaunch
from functions.table import day_limits
from functions.table.attempts import capacity as read_capacity
from functions.table.attempts import is_abandoned, move_attempt
from functions.table.ledger import (
    CAPACITY,
    OPEN_ATTEMPTS,
    RETRIES,
    Conflict,
    Put,
    Record,
    attempt_key,
    task_key,
)
from functions.table.queue import waiting_line
from functions.table.rates import learned_rates
from functions.table.records import (
    Attempt,
    AttemptState,
    Capacity,
    Lease,
    QueueEntry,
    State,
)

# How long a type that had no instance is passed over. It is less than the time between two sweeps,
# so each sweep asks again.
PASSED_OVER_FOR = timedelta(minutes=4)
# Held tasks whose status is updated in one dispatch, and how many are looked at for that: most
# were noted when they were dropped.
_NOTED_TOGETHER = 32
_NOTED_AT_MOST = 128


class Needs(NeedsForLaunch, WithChance, Protocol):
    """What a dispatch uses."""


class NeedsForNote(publish.NeedsForStatus, WithLog, Protocol):
    """What noting held tasks uses."""


class NeedsForAttempt(WithClock, WithChance, WithSettings, Protocol):
    """What naming an attempt uses."""


class _Outrun(Exception):
    """Another dispatch changed the leases, or claimed the tasks, since they were read."""


def dispatch(ports: Needs) -> None:
    """Start what can be started. An attempt that cannot go on does not keep others from starting.

    Raises:
        Exception: what went wrong, or an ExceptionGroup of several things. A later dispatch takes
            over what was begun.
    """
    errors: list[Exception] = []
    for record in ports.ledger.query(OPEN_ATTEMPTS, Attempt):
        if not is_abandoned(ports, record.document):
            continue
        try:
            taken = move_attempt(ports, record, record.document.taken_over(ports.now()))
            ports.log(Event.ATTEMPT_TAKEN_OVER, {"attempt_id": taken.document.attempt_id})
            launch(ports, taken)
        except Exception as error:
            errors.append(error)
    try:
        _open_all(ports)
    except Exception as error:
        errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("not everything could be started", errors)


def _open_all(ports: Needs) -> None:
    """Open attempts until there is nothing more to open now."""
    outrun = 0
    while outrun < RETRIES:
        try:
            if not _open_some(ports):
                return
        except _Outrun:
            outrun += 1
    raise Conflict("the leases on instances kept changing")


def _open_some(ports: Needs) -> bool:
    """Plan once and launch what is planned. Returns False if there was nothing to launch.

    Raises:
        _Outrun: the plan is out of date.
    """
    settings = ports.settings
    # Capacity is read first because it is what is missing most often: then nothing else is read.
    capacity, revision = read_capacity(ports)
    free = settings.max_processing_jobs - len(capacity.leases)
    instance_type = _wanted(ports, capacity)
    if free <= 0 or instance_type is None:
        ports.log(Event.NO_LEASE, {"free": free, "instance_type": instance_type})
        return False
    # The plan leaves their share to instances that come free later, so it has to see more than
    # what the free instances could take.
    line = waiting_line(ports, need=settings.max_processing_jobs * settings.max_tasks_per_job)
    if not line:
        return False
    plan = _plan(ports, capacity, free, instance_type, line)
    _note_held(ports, plan.held)
    for job in plan.jobs:
        attempt = _new_attempt(ports, job, instance_type)
        folders = tuple(entry.folder for entry in job.entries)
        capacity = capacity.leased(_lease(attempt, job), folders)
        opened = attempt_key(attempt.attempt_id)
        try:
            ports.ledger.commit(Put(CAPACITY, capacity, revision), Put(opened, attempt))
        except Conflict:
            raise _Outrun from None
        revision += 1
        became = launch(ports, Record(opened, attempt, 1))
        if became == Launch.NO_CAPACITY:
            break  # another type may have instances
        if became == Launch.NOTHING_TO_CLAIM:
            raise _Outrun
    return bool(plan.jobs)


class NeedsForChoice(WithClock, WithSettings, Protocol):
    """What choosing an instance type uses."""


def _wanted(ports: NeedsForChoice, capacity: Capacity) -> str | None:
    """The first instance type that has not just been found to have no instance."""
    passed_over = {
        missing.instance_type
        for missing in capacity.without_instance
        if ports.now() - missing.at < PASSED_OVER_FOR
    }
    return next((t for t in ports.settings.instance_preferences if t not in passed_over), None)


def _plan(
    ports: day_limits.Needs,
    capacity: Capacity,
    free: int,
    instance_type: str,
    line: Sequence[QueueEntry],
) -> batching.Plan:
    settings = ports.settings
    learned = learned_rates(ports)

    def expect(entry: QueueEntry) -> batching.Expected:
        rate = estimate.rate_of(learned, entry.model, entry.mode, instance_type)
        return batching.Expected(
            startup_seconds=rate.startup_seconds + rate.loading_seconds,
            render_seconds=rate.seconds_per_work * entry.work,
        )

    days = day_limits.today(ports, (entry.folder for entry in line))
    situation = batching.Situation(
        line=line,
        running={batching.kind_of(lease) for lease in capacity.leases},
        free=free,
        busy_until=[lease.ends_at for lease in capacity.leases],
        served=capacity.served,
        limits=day_limits.of_all(settings),
        usages={folder: day.usage for folder, day in days.items()},
        max_tasks=settings.max_tasks_per_job,
        max_runtime_seconds=settings.max_runtime_seconds,
        now=ports.now(),
    )
    return batching.plan(situation, expect)


def _note_held(ports: NeedsForNote, held: Sequence[QueueEntry]) -> None:
    """Put the reason into the status of held tasks: only so many at once, because it can wait."""
    hold = day_limits.held(ports.now().date())
    for start in range(0, min(len(held), _NOTED_AT_MOST), _NOTED_TOGETHER):
        refs = [entry.task for entry in held[start : start + _NOTED_TOGETHER]]
        records = [r for r in ports.ledger.get_all([task_key(ref) for ref in refs]) if r]
        unnoted = [
            record
            for record in records
            if record.document.state == State.QUEUED and record.document.hold != hold
        ]
        if not unnoted:
            continue
        try:
            ports.ledger.commit(*(Put(r.key, r.document.held(hold), r.revision) for r in unnoted))
        except Conflict:
            return
        ports.log(Event.HELD, {"tasks": len(unnoted)})
        for job_id in dict.fromkeys(record.document.job_id for record in unnoted):
            publish.publish_status(ports, job_id)
        return


def _new_attempt(ports: NeedsForAttempt, job: batching.Planned, instance_type: str) -> Attempt:
    now = ports.now()
    model, mode, _ = job.kind
    return Attempt(
        attempt_id=f"{ports.settings.job_prefix}-{now:%Y%m%d-%H%M%S}-{ports.new_suffix()}",
        state=AttemptState.CLAIMING,
        model=model,
        mode=mode,
        tasks=tuple(entry.task for entry in job.entries),
        instance_type=instance_type,
        created_at=now,
        updated_at=now,
    )


def _lease(attempt: Attempt, job: batching.Planned) -> Lease:
    return Lease(
        attempt_id=attempt.attempt_id,
        instance_type=attempt.instance_type,
        model=attempt.model,
        mode=attempt.mode,
        size_class=job.kind[2],
        ends_at=attempt.created_at + timedelta(seconds=job.seconds),
    )
