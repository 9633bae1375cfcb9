"""Acts on folder defaults that were dropped, changed or deleted."""

from typing import Protocol

from contract.errors import JobRejected
from functions import s3_keys
from functions.ports import Missing, WithFiles
from functions.replies import publish
from functions.settings import WithSettings
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.spec.reader import WithReader
from functions.table.day_limits import set_limits
from functions.table.ledger import USAGE, NeedsLedgerAndClock, usage_key
from functions.table.records import Usage


class Needs(NeedsLedgerAndClock, WithFiles, WithSettings, WithReader, Protocol):
    """What acting on folder defaults uses."""


def changed(ports: Needs, drop: InputBucket, key: str) -> None:
    """Update the daily limits of all folders below folder defaults that were dropped or deleted.

    Only folders that have had limits before are updated. The others get them with their next drop.

    Raises:
        Conflict: a folder's usage kept changing.
    """
    below = s3_keys.folder_of(key)
    folders = {below}
    for record in ports.ledger.query(USAGE, Usage, prefix=usage_key(below).sort):
        folders.add(record.key.sort.removeprefix(usage_key("").sort))
    for folder in sorted(folders):
        set_limits(ports, folder, drop_files.limits(drop, ports.reader, folder))
    publish.forget(ports, s3_keys.path_of(key))


def check(ports: Needs, drop: InputBucket, key: str) -> JobRejected | None:
    """Check folder defaults when they are dropped, and not only when a job needs them.

    Returns:
        What is wrong with them, or None. The caller makes a rejected job of wrong defaults, so that
        the person who dropped them gets an answer.
    """
    try:
        drop_files.defaults(drop, ports.reader, key)
    except JobRejected as refusal:
        return refusal
    except Missing:
        pass
    changed(ports, drop, key)
    return None
