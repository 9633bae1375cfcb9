"""The health of models: whether their processing jobs show signs of life.

Each end of a processing job is counted once, in one commit with its attempt. The key of a health
contains the image and the code. So a deployment that changes one of them begins without a pause.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol

from functions.log import Event, WithLog
from functions.settings import Settings, WithSettings
from functions.table.ledger import (
    NeedsLedgerAndClock,
    Put,
    RecordKey,
    WithLedger,
    attempt_key,
    health_key,
    retried,
)
from functions.table.records import PAUSED_AFTER, Attempt, Ending, Health


class NeedsForRead(WithLedger, WithSettings, Protocol):
    """What reading the health of models uses."""


class Needs(NeedsLedgerAndClock, WithSettings, WithLog, Protocol):
    """What counting an end uses."""


def health_of(ports: NeedsForRead, models: Iterable[str]) -> dict[str, Health]:
    """The health of each model with the current image and code, read in one call."""
    names = list(dict.fromkeys(models))
    found = ports.ledger.get_all([_key(ports.settings, name) for name in names])
    return {
        name: record.document if record else Health()
        for name, record in zip(names, found, strict=True)
    }


def count_end(ports: Needs, attempt: Attempt, how: Ending, *, alive: bool, tasks: int) -> Health:
    """Count the end of an attempt's processing job in the health of its model, once.

    Args:
        how: how it ended.
        alive: whether it showed a sign of life.
        tasks: how many of its tasks have to be rendered again; only for the log.

    Returns:
        The health after it.

    Raises:
        Conflict: the health kept changing.
    """
    key = _key(ports.settings, attempt.model)

    def count() -> Health:
        record = ports.ledger.get(key)
        before, revision = (record.document, record.revision) if record else (Health(), 0)
        ended = ports.ledger.get(attempt_key(attempt.attempt_id))
        if ended is None or ended.document.judged:
            return before
        after = before.alive(ports.now()) if alive else before.silent(how, ports.now())
        ports.ledger.commit(
            Put(key, after, revision),
            Put(ended.key, ended.document.judged_once(), ended.revision),
        )
        facts: dict[str, object] = {"model": attempt.model, "reason": how.detail}
        if not alive:
            ports.log(Event.SILENT_END, {"attempt_id": attempt.attempt_id, "tasks": tasks, **facts})
        if after.silent_in_row == PAUSED_AFTER:
            ports.log(Event.MODEL_PAUSED, facts)
        if before.paused_until and alive:
            ports.log(Event.MODEL_RESUMED, {"model": attempt.model})
        return after

    return retried(f"the health of {attempt.model}", count)


def _key(settings: Settings, model: str) -> RecordKey[Health]:
    deployed = f"{settings.image_uri}\n{settings.code_uri}"
    return health_key(model, hashlib.sha256(deployed.encode()).hexdigest()[:12])
