"""Notices that somebody is still uploading files, so that tasks do not start before the last one.

One upload of many files may bring folder defaults after specs to which they apply. So a task that
was just queued waits while files arrive near it, but not for long. A drop that comes alone starts
at once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from functions import s3_keys
from functions.ports import Listed, WithClock, WithFiles
from functions.settings import WithSettings
from functions.table.ledger import WithLedger, job_key, task_key
from functions.table.records import QueueEntry, TaskRef

QUIET_AFTER = timedelta(seconds=5)
"""When no file has arrived for this long, the upload is complete. Several files are uploaded at a
time, so this is long even if each of them takes some seconds."""
WAIT_AT_MOST = timedelta(minutes=1)
"""A task that was queued longer ago starts although files arrive."""
# From this many new jobs in a folder on, nobody has to look at each of them.
_MANY = 10


class Needs(WithLedger, WithClock, WithFiles, WithSettings, Protocol):
    """What looking for uploads uses."""


class Uploads:
    """What was uploaded in the last seconds. Each folder at the top of jobs/ is listed once."""

    def __init__(self, ports: Needs) -> None:
        self._ports = ports
        self._recent: dict[str, frozenset[str]] = {}

    def continue_near(self, line: Sequence[QueueEntry]) -> set[TaskRef]:
        """The tasks near which other jobs were just queued, or other files still arrive.

        Their own spec and references do not count.

        Args:
            line: queued tasks.
        """
        now = self._ports.now()
        young: dict[str, list[QueueEntry]] = {}
        for entry in line:
            if now - entry.queued_at < WAIT_AT_MOST:
                young.setdefault(_top(entry.folder), []).append(entry)
        found: set[TaskRef] = set()
        for top, entries in young.items():
            fresh = {e.task.job_id for e in entries if now - e.queued_at < QUIET_AFTER}
            alone = [entry for entry in entries if not fresh - {entry.task.job_id}]
            found |= {entry.task for entry in entries if fresh - {entry.task.job_id}}
            if alone and (recent := self._recent_in(top, alone[0])):
                found |= self._with_others(alone, recent)
        return found

    def _with_others(self, entries: Sequence[QueueEntry], recent: frozenset[str]) -> set[TaskRef]:
        """Those of the tasks to which not all of the recent files belong."""
        if len({entry.task.job_id for entry in entries}) >= _MANY:
            return {entry.task for entry in entries}
        ledger, refs = self._ports.ledger, [entry.task for entry in entries]
        jobs = ledger.get_all([job_key(ref.job_id) for ref in refs])
        tasks = ledger.get_all([task_key(ref) for ref in refs])
        own: dict[str, set[str]] = {}
        for job, task in zip(jobs, tasks, strict=True):
            if job is None or task is None:
                continue
            mine = own.setdefault(job.document.job_id, {job.document.source.key})
            kept = {reference.key for reference in task.document.references}
            job_id = job.document.job_id
            mine |= {key for key in recent if s3_keys.kept_reference(job_id, key) in kept}
        return {ref for ref in refs if recent - own.get(ref.job_id, set())}

    def _recent_in(self, top: str, entry: QueueEntry) -> frozenset[str]:
        """The files in a folder, or in one below, that were uploaded in the last seconds.

        Of a folder with many files, only the first thousand are seen, and those that follow the
        spec of the task. Programs upload the files of a folder in the order of their names.
        """
        if top not in self._recent:
            bucket, prefix = self._ports.settings.input_bucket, f"{s3_keys.JOBS_PREFIX}{top}"
            page = self._ports.files.page(bucket, prefix)
            listed = set(page.objects)
            job = self._ports.ledger.get(job_key(entry.task.job_id)) if page.more else None
            if job is not None:
                after = job.document.source.key
                listed |= set(self._ports.files.page(bucket, prefix, after).objects)
            self._recent[top] = frozenset(one.key for one in listed if self._is_recent(one))
        return self._recent[top]

    def _is_recent(self, listed: Listed) -> bool:
        age = self._ports.now() - listed.modified_at
        return age < QUIET_AFTER and s3_keys.kind_of(listed.key) != s3_keys.Kind.IGNORED


def _top(folder: str) -> str:
    """The folder at the top of jobs/ in which a folder is, with a slash; empty for jobs/ itself."""
    return f"{folder.partition('/')[0]}/" if folder else ""
