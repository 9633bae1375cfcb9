"""Makes digests of the ended jobs that were collected, when they are due.

A digest of ended jobs is due when nothing of their folder is queued or running any more, and after
`AT_THE_LATEST`. One about files that are no drops is due once a day. Only the sweep makes digests.
"""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from functions import s3_keys
from functions.replies import outbox
from functions.table.ledger import (
    COLLECTED,
    OPEN_ATTEMPTS,
    PRIORITIES,
    QUEUES,
    Change,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    collected_prefix,
    digest_key,
    last_digest_key,
    queue_prefix,
    task_key,
)
from functions.table.records import (
    Attempt,
    Collected,
    Digest,
    DigestKind,
    LastDigest,
    QueueEntry,
    State,
)

# Somebody who uploads a folder is not done while something ended less than this ago.
QUIET = timedelta(minutes=2)
AT_THE_LATEST = timedelta(hours=1)
# A digest about files that are no drops comes at most once in this time.
A_DAY = timedelta(days=1)
# A digest lists this many jobs at most. Another digest lists the others.
MOST_JOBS = 500
# A commit makes at most 100 changes. One of them is the digest, and one notes its time.
_TOGETHER = 98


def make_if_due(ports: outbox.Needs, kind: DigestKind, folder: str) -> None:
    """Make and send the digest of a folder, if it is due.

    If there is still one to be sent, the next one waits for it.
    """
    key = digest_key(kind, folder)
    if ports.ledger.get(key) is not None:
        return
    found = ports.ledger.query(
        COLLECTED, Collected, prefix=collected_prefix(kind, folder), limit=MOST_JOBS
    )
    if not found or not _is_due(ports, kind, folder, found):
        return
    digest, revision = Digest(kind=kind, folder=folder), 0
    last_key = last_digest_key(kind, folder)
    last = ports.ledger.get(last_key)
    note = Put(last_key, LastDigest(at=ports.now()), last.revision if last else 0)
    first: list[Change] = [note] if kind == DigestKind.NO_DROPS else []
    with suppress(Conflict):  # another sweep makes it at the same time
        for start in range(0, len(found), _TOGETHER):
            some = found[start : start + _TOGETHER]
            digest = digest.with_jobs(tuple(one.document.job_id for one in some))
            removed = [Remove(one.key, one.revision) for one in some]
            ports.ledger.commit(Put(key, digest, revision), *removed, *first)
            revision, first = revision + 1, []
        outbox.deliver_digest(ports, Record(key, digest, revision))


def _is_due(
    ports: NeedsLedgerAndClock, kind: DigestKind, folder: str, found: Sequence[Record[Collected]]
) -> bool:
    times, now = [one.document.at for one in found], ports.now()
    if now - min(times) < AT_THE_LATEST and now - max(times) < QUIET:
        return False
    if kind == DigestKind.NO_DROPS:
        last = ports.ledger.get(last_digest_key(kind, folder))
        return last is None or now - last.document.at >= A_DAY
    whole = now - min(times) >= AT_THE_LATEST or len(found) == MOST_JOBS
    return whole or not _is_busy(ports, s3_keys.folder_of(f"{folder}/"))


def _is_busy(ports: WithLedger, folder: str) -> bool:
    """Whether a task of a folder is queued or runs.

    Args:
        folder: relative to jobs/.
    """
    for queue, priority in itertools.product(QUEUES, PRIORITIES):
        if ports.ledger.query(queue, QueueEntry, prefix=queue_prefix(priority, folder), limit=1):
            return True
    attempts = ports.ledger.query(OPEN_ATTEMPTS, Attempt)
    refs = [ref for attempt in attempts for ref in attempt.document.tasks]
    tasks = ports.ledger.get_all([task_key(ref) for ref in refs])
    running = (task.document for task in tasks if task is not None)
    return any(task.folder == folder and task.state == State.RUNNING for task in running)
