"""Tells people about pictures, clips and sounds that no spec asks for.

A reference usually comes some seconds before or after its spec. So only the sweep writes these
statuses, and only about files that have been there for a while.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from contract.errors import one_line
from functions import s3_keys
from functions.ports import Missing
from functions.replies import publish
from functions.replies.lone import lone_status, spec_keys
from functions.table.ledger import Conflict, Put, Record, Remove, lone_key, owner_key
from functions.table.records import Lone
from functions.table.references import is_asked

GRACE = timedelta(minutes=10)
# None of our functions runs for longer than five minutes (stacks/).
_WRITTEN_WITHIN = timedelta(minutes=6)


class Needs(publish.NeedsForStatus, Protocol):
    """What telling about lone references uses."""


def can_be_told(reference: str) -> bool:
    """Whether a spec could ask for a file of this name."""
    return s3_keys.can_be_waited_for(reference) and one_line(reference) == reference


def settle_all(ports: Needs, references: Iterable[str]) -> None:
    """Remove the statuses of files that are no longer lone.

    Args:
        references: the keys of files that a spec asks for now, or that were deleted.
    """
    for record in ports.ledger.get_all([lone_key(reference) for reference in references]):
        if record is not None:
            settle(ports, record)


def settle(ports: Needs, record: Record[Lone]) -> None:
    """Write the status of a file that may be lone, or remove it. Safe to call again."""
    reference, lone = record.key.sort, record.document
    if not _is_lone(ports, reference):
        _forget(ports, record)
    elif not lone.told and not _is_being_written(ports, lone):
        _tell(ports, record)


def _is_lone(ports: Needs, reference: str) -> bool:
    if is_asked(ports, reference) or _has_job(ports, reference):
        return False
    try:
        return ports.files.facts(ports.settings.input_bucket, reference).size_bytes > 0
    except Missing:
        return False


def _has_job(ports: Needs, key: str) -> bool:
    """Whether the status at the path of a file is about a job."""
    return ports.ledger.get(owner_key(s3_keys.path_of(key))) is not None


def _is_being_written(ports: Needs, lone: Lone) -> bool:
    """Whether another handler may be about to write the status."""
    at = lone.claimed_at
    return at is not None and not lone.told and ports.now() - at < _WRITTEN_WITHIN


def _tell(ports: Needs, record: Record[Lone]) -> None:
    reference = record.key.sort
    free = (key for key in spec_keys(reference) if not _has_job(ports, key))
    if (spec_key := next(free, None)) is None:
        return
    claimed = record.document.claimed(ports.now())
    with suppress(Conflict):  # another handler writes or removes it
        ports.ledger.commit(Put(record.key, claimed, record.revision))
        document = lone_status(reference, spec_key, ports.settings.default_model)
        ports.files.write(
            ports.settings.output_bucket,
            s3_keys.status(document.path),
            document.to_json().encode(),
            "application/json",
        )
        ports.ledger.commit(Put(record.key, claimed.written(), record.revision + 1))


def _forget(ports: Needs, record: Record[Lone]) -> None:
    """Remove the status, and then the note, unless another handler may still write the status."""
    reference = record.key.sort
    if record.document.claimed_at is not None and not _has_job(ports, reference):
        path = s3_keys.path_of(reference)
        ports.files.remove(ports.settings.output_bucket, s3_keys.status(path))
    if not _is_being_written(ports, record.document):
        with suppress(Conflict):
            ports.ledger.commit(Remove(record.key, record.revision))
