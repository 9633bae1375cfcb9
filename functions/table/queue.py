"""Reads the queue so that a long folder does not hide the others."""

from collections import Counter
from collections.abc import Collection

from functions.spec.fields import Priority
from functions.stages.ports import Ports
from functions.table.ledger import PRIORITIES, QUEUE, queue_prefix
from functions.table.records import QueueEntry

# The queue is read in pages, and of each priority at most so many.
_PAGE = 256
_PAGES = 16


def waiting_line(ports: Ports, need: int) -> list[QueueEntry]:
    """What waits: all of it, or of each folder at least the oldest ones that could be needed."""
    page = max(_PAGE // 8, min(_PAGE, 2 * need))
    everything = ports.ledger.query(QUEUE, QueueEntry, limit=page)
    if len(everything) < page:
        return [record.document for record in everything]
    return [entry for priority in PRIORITIES for entry in _part(ports, priority, need, page)]


def _part(ports: Ports, priority: Priority, need: int, size: int) -> Collection[QueueEntry]:
    """The part of the line with one priority, read round a ring of folders.

    A long folder is passed over once it has given what could be needed, so that the others are seen
    however long it is. With more folders than are read at once, chance decides where the reading
    begins, and so each has its turn.
    """
    ring = queue_prefix(priority)
    begin = f"{ring}{ports.new_suffix()}"
    found: dict[str, QueueEntry] = {}
    of_folder: Counter[str] = Counter()
    at, is_round = begin, False
    for _ in range(min(_PAGES, 4 + need // size)):
        page = ports.ledger.query(QUEUE, QueueEntry, prefix=ring, start=at, limit=size)
        for record in page:
            if record.key.sort not in found:
                found[record.key.sort] = record.document
                of_folder[record.document.folder] += 1
        if len(page) < size:
            if is_round:
                break
            at, is_round = ring, True
            continue
        last = page[-1]
        if is_round and last.key.sort >= begin:
            break
        folder = last.document.folder
        # "!" and "$" are the characters round "#": behind this entry, behind this folder.
        at = last.key.sort + "!"
        if of_folder[folder] >= need:
            at = queue_prefix(priority, folder).removesuffix("#") + "$"
    return found.values()
