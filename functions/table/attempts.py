"""Attempts and the leases on instances that they hold."""

from datetime import timedelta

from functions.planning import batching
from functions.stages.ports import Ports
from functions.table.ledger import (
    CAPACITY,
    RETRIES,
    Change,
    Conflict,
    Put,
    Record,
    Remove,
    attempt_key,
)
from functions.table.records import Attempt, Capacity, Lease, NoInstance

# A dispatch takes seconds, and no function of ours lives longer than this one's 120; an attempt
# that has not moved for that long has lost its handler.
TAKE_OVER_AFTER = timedelta(seconds=120)
# Folders whose turn is remembered, and held tasks that one dispatch tells so.
_FOLDERS = 64


def is_abandoned(ports: Ports, attempt: Attempt) -> bool:
    moving = attempt.state != "started"
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def new_attempt(ports: Ports, job: batching.Planned, instance_type: str) -> Attempt:
    now = ports.now()
    model, mode, _ = job.kind
    return Attempt(
        attempt_id=f"{ports.settings.job_prefix}-{now:%Y%m%d-%H%M%S}-{ports.new_suffix()}",
        state="claiming",
        model=model,
        mode=mode,
        tasks=tuple(entry.task for entry in job.entries),
        instance_type=instance_type,
        created_at=now,
        updated_at=now,
    )


def leased(capacity: Capacity, attempt: Attempt, job: batching.Planned) -> Capacity:
    """With a lease for the attempt, and its folders at the end of the turn."""
    model, mode, size_class = job.kind
    lease = Lease(
        attempt_id=attempt.attempt_id,
        instance_type=attempt.instance_type,
        model=model,
        mode=mode,
        size_class=size_class,
        ends_at=attempt.created_at + timedelta(seconds=job.seconds),
    )
    latest_first = dict.fromkeys(entry.folder for entry in reversed(job.entries))
    served = [folder for folder in capacity.served if folder not in latest_first]
    return capacity.model_copy(
        update={
            "leases": (*capacity.leases, lease),
            "served": (*served, *reversed(latest_first))[-_FOLDERS:],
        }
    )


def move_attempt(ports: Ports, record: Record[Attempt], **changed: object) -> Record[Attempt]:
    moved = record.document.model_copy(update={**changed, "updated_at": ports.now()})
    ports.ledger.commit(Put(record.key, moved, record.revision))
    return Record(record.key, moved, record.revision + 1)


def end_attempt(ports: Ports, attempt_id: str, *, refused: str = "") -> None:
    """Close an attempt and give its lease back. Safe to repeat.

    Args:
        refused: why there was no instance of its type; empty: there was one.

    Raises:
        Conflict: the lease is being fought over.
    """
    for _ in range(RETRIES):
        record = ports.ledger.get(attempt_key(attempt_id))
        if record is None:
            return
        instance_type = record.document.instance_type
        capacity = ports.ledger.get(CAPACITY)
        changes: list[Change] = [Remove(record.key, record.revision)]
        if capacity is not None:
            old = capacity.document
            # Where one has ended, there is an instance again.
            refusals = [r for r in old.refusals if r.instance_type != instance_type]
            if refused:
                refusals.append(
                    NoInstance(instance_type=instance_type, at=ports.now(), reason=refused)
                )
            leases = tuple(lease for lease in old.leases if lease.attempt_id != attempt_id)
            new = old.model_copy(update={"leases": leases, "refusals": tuple(refusals)})
            changes.append(Put(CAPACITY, new, capacity.revision))
        try:
            ports.ledger.commit(*changes)
        except Conflict:
            continue
        return
    raise Conflict(f"the lease of {attempt_id} is being fought over")
