"""Forecasts for status, plans and mail: when a job will probably end, and what it will cost.

A forecast is computed from finished processing jobs (`planning/estimate.py`), the current leases
and the place in the queue. Forecasts are only shown. No decision depends on them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from contract.document import Document
from contract.instance_types import gpus
from functions.planning import batching, estimate
from functions.planning.estimate import Cost, Making, cost
from functions.settings import WithSettings
from functions.spec.fields import mode_of
from functions.table.attempts import capacity
from functions.table.ledger import NeedsLedgerAndClock, queue_of
from functions.table.rates import learned_rates
from functions.table.records import Lease, QueueEntry, State, Task

# How many queue entries are read. A place after them is not shown.
LOOKED_AT = 50


class Needs(NeedsLedgerAndClock, WithSettings, Protocol):
    """What a forecast reads."""


class Forecast(Document):
    """What is expected of a job. A field is None if it cannot be forecast."""

    queue_position: int | None = None
    """The place of its first queued video, counted from 1."""
    ends_at: datetime | None = None
    cost: Cost | None = None


def forecast(ports: Needs, tasks: Sequence[Task]) -> Forecast:
    """Forecast the tasks of a job that have not ended, or are only planned."""
    asked = [t for t in tasks if not t.state.terminal or t.state == State.PLANNED]
    if not asked:
        return Forecast()
    learned = learned_rates(ports)
    price = cost(learned, [Making.of(task.spec, task.clip) for task in asked], ports.settings)
    if all(task.state == State.PLANNED for task in asked):
        return Forecast(cost=price)
    leases = capacity(ports)[0].leases
    queued = {task.task_id: mode_of(task.spec) for task in asked if task.state == State.QUEUED}
    running = _running_ends_at(ports, asked, leases)
    if not queued:
        return Forecast(ends_at=running, cost=price)
    # The few jobs with videos in both queues are told about the queue of the first one.
    mode = next(iter(queued.values()))
    queue = queue_of(mode)
    leases = tuple(lease for lease in leases if queue_of(lease.mode) == queue)
    entries = ports.ledger.query(queue, QueueEntry, limit=LOOKED_AT)
    if len(entries) == LOOKED_AT or any(t.hold and t.hold.holds(ports.now()) for t in asked):
        return Forecast(cost=price)  # its place is not shown, or it will not run soon
    order = batching.in_order([entry.document for entry in entries], ())
    places = [n for n, entry in enumerate(order) if entry.task_id in queued]
    if not places:
        return Forecast(cost=price)
    instance_type = ports.settings.instance_types_for(mode)[0]
    each = [estimate.expected(learned, entry, instance_type) for entry in order]
    jobs = ports.settings.max_processing_jobs
    free_at = ports.now()
    if len(leases) >= jobs:
        free_at = max(free_at, min(lease.ends_at for lease in leases))
    at_once = min(jobs * gpus(instance_type), places[-1] + 1)
    work = sum(one.render_seconds for one in each[: places[-1] + 1]) / at_once
    ends_at = free_at + timedelta(seconds=each[places[0]].startup_seconds + work)
    return Forecast(
        queue_position=places[0] + 1,
        ends_at=max(filter(None, (ends_at, running))),
        cost=price,
    )


def _running_ends_at(
    ports: Needs, tasks: Sequence[Task], leases: Sequence[Lease]
) -> datetime | None:
    """When the last running task will end, according to its worker or else to its lease."""
    ends = {lease.attempt_id: lease.ends_at for lease in leases}
    found = []
    for task in tasks:
        if task.state != State.RUNNING:
            continue
        if task.expected_seconds_left is not None:
            found.append(ports.now() + timedelta(seconds=task.expected_seconds_left))
        elif task.attempt_id in ends:
            found.append(ends[task.attempt_id])
    return max(found, default=None)
