"""Attempts and the leases on instances that they hold."""

from datetime import timedelta

from functions.ports import WithClock
from functions.table.ledger import (
    CAPACITY,
    Change,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    attempt_key,
    retried,
)
from functions.table.records import Attempt, AttemptState, Capacity, NoInstance

# Of all functions that move attempts, dispatch has the longest time limit, 120 s. So if an attempt
# has not moved for that long, its handler was killed.
TAKE_OVER_AFTER = timedelta(seconds=120)


def capacity(ports: WithLedger) -> tuple[Capacity, int]:
    """The record of the leases, and its revision (0 if there is no record yet)."""
    record = ports.ledger.get(CAPACITY)
    return (record.document, record.revision) if record else (Capacity(), 0)


def is_abandoned(ports: WithClock, attempt: Attempt) -> bool:
    """Whether an attempt's handler was killed before it noted that the processing job runs."""
    moving = attempt.state != AttemptState.STARTED
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def move_attempt(ports: WithLedger, record: Record[Attempt], moved: Attempt) -> Record[Attempt]:
    """Write an attempt after a move.

    Args:
        record: the attempt as it was read.
        moved: the attempt after the move.

    Raises:
        Conflict: another handler moved it.
    """
    ports.ledger.commit(Put(record.key, moved, record.revision))
    return Record(record.key, moved, record.revision + 1)


def release_lease(ports: NeedsLedgerAndClock, attempt: Attempt) -> None:
    """Give an attempt's lease back before the attempt itself is removed. Safe to call again.

    Raises:
        Conflict: the leases kept changing.
    """

    def release() -> None:
        held = ports.ledger.get(CAPACITY)
        if held is not None:
            released = held.document.released(attempt.attempt_id, attempt.instance_type, None)
            ports.ledger.commit(Put(CAPACITY, released, held.revision))

    retried(f"the lease of {attempt.attempt_id}", release)


def end_attempt(ports: NeedsLedgerAndClock, attempt_id: str, *, no_instance: bool = False) -> None:
    """Remove an attempt and its lease. Does nothing if the attempt was removed before.

    Args:
        no_instance: whether SageMaker had no instance of the attempt's type.

    Raises:
        Conflict: the leases kept changing.
    """

    def end() -> None:
        record = ports.ledger.get(attempt_key(attempt_id))
        if record is None:
            return
        instance_type = record.document.instance_type
        held = ports.ledger.get(CAPACITY)
        changes: list[Change] = [Remove(record.key, record.revision)]
        if held is not None:
            missing = NoInstance(instance_type=instance_type, at=ports.now())
            released = held.document.released(
                attempt_id, instance_type, missing if no_instance else None
            )
            changes.append(Put(CAPACITY, released, held.revision))
        ports.ledger.commit(*changes)

    retried(f"the lease of {attempt_id}", end)
