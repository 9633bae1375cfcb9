"""Starts processing jobs: what waits is planned by functions/batching.py and launched here.

The order of steps makes every kill repairable. The lease and the attempt are committed together;
then its tasks are claimed, each together with the removal of its queue entry; then the set is
closed (`starting`, with the manifest's hash), and only then the create call is made, under the
attempt's id, which SageMaker accepts once. An attempt left behind is taken over by a later dispatch
and goes on where it stopped.
"""

from collections.abc import Sequence
from datetime import timedelta

from functions.planning import batching, estimate
from functions.replies import publish
from functions.stages.launch import Launch, launch
from functions.stages.ports import Ports
from functions.table import day_limits
from functions.table.attempts import is_abandoned, leased, new_attempt
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
from functions.table.records import Attempt, Capacity, QueueEntry, State

# How long a type that had no instance for us is passed over: less than the time between two sweeps,
# each of which asks again.
PASSED_OVER_FOR = timedelta(minutes=4)
_TOLD_TOGETHER = 32
# And so many are looked at: most were told when they were dropped.
_TOLD_AT_MOST = 128


class _Outrun(Exception):
    """Somebody else has changed the leases, or taken the tasks, since they were read."""


def dispatch(ports: Ports) -> None:
    """Start what can be started. An attempt that cannot go on does not keep others from starting.

    Raises:
        Exception: what went wrong, or an ExceptionGroup of it; what was begun is taken up later.
    """
    errors: list[Exception] = []
    for record in ports.ledger.query(OPEN_ATTEMPTS, Attempt):
        if not is_abandoned(ports, record.document):
            continue
        touched = record.document.model_copy(update={"updated_at": ports.now()})
        try:
            ports.ledger.commit(Put(record.key, touched, record.revision))
            ports.tell("attempt-taken-over", {"attempt_id": touched.attempt_id})
            launch(ports, Record(record.key, touched, record.revision + 1))
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


def _open_all(ports: Ports) -> None:
    """Open attempts until there is nothing more to be opened now."""
    outrun = 0
    while outrun < RETRIES:
        try:
            if not _open_some(ports):
                return
        except _Outrun:
            outrun += 1
    raise Conflict("the lease on capacity is being fought over")


def _open_some(ports: Ports) -> bool:
    """Plan once and launch what is planned. False: there was nothing to be launched.

    Raises:
        _Outrun: the plan is out of date.
    """
    settings = ports.settings
    # First, because it says no most often: a wake-up while all is in use goes no further.
    record = ports.ledger.get(CAPACITY)
    capacity, revision = (record.document, record.revision) if record else (Capacity(), 0)
    free = settings.max_processing_jobs - len(capacity.leases)
    instance_type = _wanted(ports, capacity)
    if free <= 0 or instance_type is None:
        ports.tell("no-lease", {"free": free, "instance_type": instance_type})
        return False
    # More than the free instances could take: the share of those that come free is planned with.
    line = waiting_line(ports, need=settings.max_processing_jobs * settings.max_tasks_per_job)
    if not line:
        return False
    plan = _plan(ports, capacity, free, instance_type, line)
    _tell_held(ports, plan.held)
    for job in plan.jobs:
        attempt = new_attempt(ports, job, instance_type)
        capacity = leased(capacity, attempt, job)
        opened = attempt_key(attempt.attempt_id)
        try:
            ports.ledger.commit(Put(CAPACITY, capacity, revision), Put(opened, attempt))
        except Conflict:
            raise _Outrun from None
        revision += 1
        became = launch(ports, Record(opened, attempt, 1))
        if became == Launch.NO_CAPACITY:
            break  # perhaps another type has instances
        if became == Launch.NOTHING_TO_CLAIM:
            raise _Outrun
    return bool(plan.jobs)


def _wanted(ports: Ports, capacity: Capacity) -> str | None:
    """The first instance type that was not refused a moment ago."""
    refused = {
        refusal.instance_type
        for refusal in capacity.refusals
        if ports.now() - refusal.at < PASSED_OVER_FOR
    }
    return next((t for t in ports.settings.instance_preferences if t not in refused), None)


def _plan(
    ports: Ports, capacity: Capacity, free: int, instance_type: str, line: Sequence[QueueEntry]
) -> batching.Plan:
    settings = ports.settings
    learned = learned_rates(ports)

    def expect(entry: QueueEntry) -> batching.Expected:
        rate = estimate.rate_of(learned, entry.model, entry.mode, instance_type)
        return batching.Expected(
            startup_seconds=rate.startup_seconds + rate.loading_seconds,
            render_seconds=rate.seconds_per_work * entry.work,
        )

    situation = batching.Situation(
        line=line,
        running={batching.kind_of(lease) for lease in capacity.leases},
        free=free,
        busy_until=[lease.ends_at for lease in capacity.leases],
        served=capacity.served,
        limits=day_limits.of_all(settings),
        usages={
            folder: day.usage
            for folder, day in day_limits.today(ports, (entry.folder for entry in line)).items()
        },
        max_tasks=settings.max_tasks_per_job,
        max_runtime_seconds=settings.max_runtime_seconds,
        now=ports.now(),
    )
    return batching.plan(situation, expect)


def _tell_held(ports: Ports, held: Sequence[QueueEntry]) -> None:
    """Let the status of held tasks say so: a courtesy, and at most so many at once."""
    reason = day_limits.held(ports.now().date())
    for start in range(0, min(len(held), _TOLD_AT_MOST), _TOLD_TOGETHER):
        refs = [entry.task for entry in held[start : start + _TOLD_TOGETHER]]
        records = [r for r in ports.ledger.get_all([task_key(ref) for ref in refs]) if r]
        untold = [
            record
            for record in records
            if record.document.state == State.QUEUED and record.document.waiting_reason != reason
        ]
        if not untold:
            continue
        told = {"waiting_reason": reason}
        try:
            ports.ledger.commit(
                *(Put(r.key, r.document.model_copy(update=told), r.revision) for r in untold)
            )
        except Conflict:
            return
        ports.tell("held", {"tasks": len(untold)})
        for job_id in dict.fromkeys(record.document.job_id for record in untold):
            publish.status(ports, job_id)
        return
