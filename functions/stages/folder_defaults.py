"""Acts on folder defaults that were dropped, changed or deleted.

A job reads its folder defaults from the bucket. The table notes only what concerns more than one
drop, once for each `_defaults.yaml`. So the work for a change does not grow with the number of
folders below it.
"""

from dataclasses import dataclass
from typing import Protocol

from contract.errors import JobRejected
from functions import s3_keys
from functions.ports import Missing, WithFiles
from functions.replies import publish
from functions.settings import WithSettings
from functions.spec import drop_files
from functions.spec.fields import FolderDefaults
from functions.spec.folder_defaults import DayLimits, limits_in
from functions.spec.input_bucket import InputBucket
from functions.spec.reader import WithReader
from functions.stages import newer_defaults
from functions.table.ledger import (
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    defaults_key,
    retried,
)
from functions.table.records import NotedDefaults


class Needs(NeedsLedgerAndClock, WithFiles, WithSettings, WithReader, Protocol):
    """What noting folder defaults uses."""


class NeedsForChange(newer_defaults.Needs, WithReader, Protocol):
    """What acting on folder defaults that were dropped or deleted uses."""


@dataclass(frozen=True)
class Wrong:
    """Folder defaults that have an error."""

    drop: InputBucket
    """The bucket with the version that was read."""
    refusal: JobRejected


def changed(ports: NeedsForChange, bucket: str, key: str) -> Wrong | None:
    """Act on folder defaults that were dropped or deleted.

    Returns:
        What is wrong with them, or None. The caller makes a rejected job of wrong defaults, so that
        the person who dropped them gets an answer.

    Raises:
        Conflict: what is noted about them kept changing.
    """
    wrong = _note(ports, bucket, key)
    newer_defaults.changed(ports, bucket, key)
    if wrong is None:
        publish.forget(ports, s3_keys.path_of(key))
    return wrong


def note_all(ports: Needs, drop: InputBucket, key: str) -> None:
    """Note the folder defaults that apply to a drop, if their events have not come yet.

    Args:
        drop: the bucket from which the drop and its folder defaults were read.
        key: the key of the drop.
    """
    places = s3_keys.defaults_of(key)
    records = ports.ledger.get_all([defaults_key(place) for place in places])
    for place, record in zip(places, records, strict=True):
        noted = record.document.version if record else None
        if drop.version_of(place) != noted:
            _note(ports, drop.bucket, place)


def _note(ports: Needs, bucket: str, key: str) -> Wrong | None:
    """Note what the folder defaults at a key say, or that they are gone. Wrong ones change nothing.

    The file is read after the record. So if two handlers do this at the same time, the one that
    commits last has also read last.
    """

    def note() -> Wrong | None:
        record = ports.ledger.get(defaults_key(key))
        drop = InputBucket(ports, bucket)
        try:
            layer = drop_files.defaults(drop, ports.reader, key)
        except Missing:
            if record is not None:
                # First, because without the record no sweep would come back to it.
                publish.forget(ports, s3_keys.path_of(key))
                ports.ledger.commit(Remove(record.key, record.revision))
            return None
        except JobRejected as refusal:
            if record is None:
                _put(ports, None, key, _UNUSABLE)
            return Wrong(drop, refusal)
        assert isinstance(layer.spec, FolderDefaults)
        _put(ports, record, key, _noted(layer.spec, drop.facts(key).version))
        return None

    return retried(f"the defaults at {key}", note)


# It lets the sweep notice that wrong folder defaults were deleted. No version is like its own, so a
# refusal that is still owed is not taken for given.
_UNUSABLE = NotedDefaults(version="", limits=DayLimits(), animate_images=None)


def _noted(defaults: FolderDefaults, version: str) -> NotedDefaults:
    said = "animate_images" in defaults.model_fields_set
    return NotedDefaults(
        version=version,
        limits=limits_in(defaults),
        animate_images=defaults.animate_images if said else None,
    )


def _put(
    ports: Needs, record: Record[NotedDefaults] | None, key: str, document: NotedDefaults
) -> None:
    if record is None:
        ports.ledger.commit(Put(defaults_key(key), document))
    elif record.document != document:
        ports.ledger.commit(Put(record.key, document, record.revision))
