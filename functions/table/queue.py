"""Reads the queue in a way that a long folder does not hide the others."""

from collections import Counter
from collections.abc import Collection
from typing import Protocol

from functions.ports import WithChance
from functions.spec.fields import Priority
from functions.table.ledger import PRIORITIES, WithLedger, queue_prefix
from functions.table.records import QueueEntry

# The queue is read in pages of at most _PAGE entries, and at most _PAGES pages of each priority.
_PAGE = 256
_PAGES = 16


class Needs(WithLedger, WithChance, Protocol):
    """What reading the queue uses."""


def waiting_line(ports: Needs, queue: str, need: int) -> list[QueueEntry]:
    """Read a whole queue, or if it is long, the oldest entries of each folder.

    Args:
        queue: one of `QUEUES`.
        need: how many tasks could be started. No more entries of any folder are needed.
    """
    page = max(_PAGE // 8, min(_PAGE, 2 * need))
    everything = ports.ledger.query(queue, QueueEntry, limit=page)
    if len(everything) < page:
        return [record.document for record in everything]
    return [entry for priority in PRIORITIES for entry in _part(ports, queue, priority, need, page)]


def _part(
    ports: Needs, queue: str, priority: Priority, need: int, size: int
) -> Collection[QueueEntry]:
    """Read the entries of one priority, one folder after the other.

    The rest of a folder is skipped once as many of its entries were read as could be needed. So a
    long folder does not hide the others. The reading begins at a random folder and continues from
    the first after the last. So each folder has its turn even if there are more folders than one
    call reads.
    """
    prefix = queue_prefix(priority)
    begin = f"{prefix}{ports.new_suffix()}"
    found: dict[str, QueueEntry] = {}
    of_folder: Counter[str] = Counter()
    at, is_round = begin, False
    for _ in range(min(_PAGES, 4 + need // size)):
        page = ports.ledger.query(queue, QueueEntry, prefix=prefix, start=at, limit=size)
        for record in page:
            if record.key.sort not in found:
                found[record.key.sort] = record.document
                of_folder[record.document.folder] += 1
        if len(page) < size:
            if is_round:
                break
            at, is_round = prefix, True
            continue
        last = page[-1]
        if is_round and last.key.sort >= begin:
            break
        folder = last.document.folder
        # With "!" at its end, the key comes directly after this entry. With "$" in place of "#", it
        # comes directly after all entries of this folder.
        at = last.key.sort + "!"
        if of_folder[folder] >= need:
            at = queue_prefix(priority, folder).removesuffix("#") + "$"
    return found.values()
