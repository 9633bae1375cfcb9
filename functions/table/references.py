"""Which drops were refused because of a reference, and which references are asked for."""

from collections.abc import Iterable, Iterator, Sequence

from functions import s3_keys
from functions.table.jobs import last_try
from functions.table.ledger import (
    REFUSED,
    Change,
    Put,
    Record,
    WithLedger,
    asked_key,
    job_key,
    lone_key,
    refused_key,
    waiting_prefix,
)
from functions.table.records import Asked, Job, Lone, Refused, State


def note_asked(ports: WithLedger, references: Iterable[str]) -> None:
    """Note that some spec asks for these files. From then on they are not lone.

    Args:
        references: their keys.

    Raises:
        Conflict: another handler has noted one of them.
    """
    keys = list(dict.fromkeys(asked_key(reference) for reference in references))
    records = ports.ledger.get_all(keys)
    new = [key for key, record in zip(keys, records, strict=True) if record is None]
    if new:
        ports.ledger.commit(*(Put(key, Asked()) for key in new))


def is_asked(ports: WithLedger, reference: str) -> bool:
    """Whether some spec asks for a file, or has asked for it."""
    return ports.ledger.get(asked_key(reference)) is not None


def note_lone(ports: WithLedger, references: Sequence[str]) -> None:
    """Note files that no spec asks for.

    Args:
        references: their keys, at most 100.

    Raises:
        Conflict: another sweep has noted one of them.
    """
    keys = [lone_key(reference) for reference in references]
    records = ports.ledger.get_all(keys) if keys else []
    new = [key for key, record in zip(keys, records, strict=True) if record is None]
    if new:
        ports.ledger.commit(*(Put(key, Lone()) for key in new))


def note_refused(ports: WithLedger, job: Job) -> list[Change]:
    """The changes that note that a rejected job is to be tried again when its reference changes."""
    if job.bad_reference is None:
        return []
    reference, source = job.bad_reference.key, job.source
    first = s3_keys.job_id(source.bucket, source.key, source.version)
    changes: list[Change] = []
    asked = ports.ledger.get(asked_key(reference))
    if asked is None or not asked.document.refused:
        revision = asked.revision if asked else 0
        changes.append(Put(asked_key(reference), Asked(refused=True), revision))
    if ports.ledger.get(refused_key(reference, first)) is None:
        changes.append(Put(refused_key(reference, first), Refused(job_id=first)))
    return changes


def refused_for(ports: WithLedger, reference: str) -> Iterator[tuple[Record[Refused], Job | None]]:
    """The notes about the drops that were refused because of a reference.

    Args:
        reference: the key of the file. The specs may name one that is alike.

    Yields:
        The note, and the job if it is still refused because of this reference.
    """
    prefix = waiting_prefix(reference)
    for note in ports.ledger.query(REFUSED, Refused, prefix=prefix):
        record = last_try(ports, ports.ledger.get(job_key(note.document.job_id)))
        job = record.document if record else None
        bad = job.bad_reference if job is not None and job.state == State.REJECTED else None
        if job is None or bad is None or waiting_prefix(bad.key) != prefix:
            yield note, None
        elif s3_keys.may_mean(job.source.key, bad.key, reference):
            yield note, job
