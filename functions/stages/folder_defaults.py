"""Acts on folder defaults that were dropped, changed or deleted."""

from contract.errors import JobRejected
from functions import s3_keys
from functions.ports import Missing
from functions.replies import publish
from functions.spec import drop_files
from functions.spec.input_bucket import InputBucket
from functions.stages.ports import Ports
from functions.table.day_limits import set_limits
from functions.table.ledger import USAGE, usage_key
from functions.table.records import Usage


def defaults_changed(ports: Ports, inbox: InputBucket, key: str) -> None:
    """Note what the folder defaults say that were dropped or deleted, for all folders below that
    have had limits. The others hear of it with their next drop."""
    below = s3_keys.folder_of(key)
    folders = {below}
    for record in ports.ledger.query(USAGE, Usage, prefix=usage_key(below).sort):
        folders.add(record.key.sort.removeprefix(usage_key("").sort))
    for folder in sorted(folders):
        set_limits(ports, folder, drop_files.limits(inbox, ports.reader, folder))


def check_defaults(ports: Ports, inbox: InputBucket, key: str) -> JobRejected | None:
    """Look at folder defaults when they are dropped, not only when a job needs them.

    Returns what is wrong with them: they are taken in like a spec then, to be refused.
    """
    try:
        drop_files.defaults(inbox, ports.reader, key)
    except JobRejected as refusal:
        return refusal
    except Missing:
        pass
    defaults_changed(ports, inbox, key)
    publish.forget(ports, s3_keys.path_of(key))
    return None
