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

# A dispatch takes seconds, and its function is stopped after 120 s, the longest time of all that
# move attempts. So an attempt that has not moved for that long has lost its handler.
TAKE_OVER_AFTER = timedelta(seconds=120)


def capacity(ports: WithLedger) -> tuple[Capacity, int]:
    """Who holds instances, and the revision of that record (0: there is none yet)."""
    record = ports.ledger.get(CAPACITY)
    return (record.document, record.revision) if record else (Capacity(), 0)


def is_abandoned(ports: WithClock, attempt: Attempt) -> bool:
    """Whether an attempt's handler was killed before its processing job was created."""
    moving = attempt.state != AttemptState.STARTED
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def move_attempt(ports: WithLedger, record: Record[Attempt], moved: Attempt) -> Record[Attempt]:
    """Write an attempt after a move.

    Raises:
        Conflict: somebody else moved it.
    """
    ports.ledger.commit(Put(record.key, moved, record.revision))
    return Record(record.key, moved, record.revision + 1)


def release_lease(ports: NeedsLedgerAndClock, attempt: Attempt) -> None:
    """Give an attempt's lease back while the attempt is still being ended. Safe to repeat.

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
    """Close an attempt and give its lease back. Calling it again does nothing.

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
