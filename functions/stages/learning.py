"""Learns how long rendering takes, from the results of an ended processing job."""

import math
from collections.abc import Sequence
from typing import Protocol

from pydantic import ValidationError

from contract.errors import Transient
from contract.outcome import Outcome, Rendered
from functions import s3_keys
from functions.log import Event, WithLog
from functions.planning.estimate import with_samples
from functions.ports import Missing, WithFiles
from functions.settings import WithSettings
from functions.table.ledger import LEARNED, Put, WithLedger
from functions.table.records import Attempt, Learned, Task

# How many results of one processing job are read.
_SAMPLES = 4


class Needs(WithLedger, WithFiles, WithSettings, WithLog, Protocol):
    """What learning uses."""


def learn(ports: Needs, attempt: Attempt, tasks: Sequence[Task]) -> None:
    """Update the learned rates from the results of an ended processing job.

    This makes one commit for each processing job. If the commit fails, it is not tried again,
    because an estimate is not worth delaying a publication. If many processing jobs end at once,
    it is enough to learn from some of them.

    Args:
        tasks: the tasks of the attempt, in the order in which the worker renders them.
    """
    try:
        step = max(1, math.ceil(len(tasks) / _SAMPLES))
        found = [_rendered(ports, attempt, task) for task in tasks[::step]]
        samples = [rendered for rendered in found if rendered is not None]
        # Only the first task shows how long the start-up took.
        if not samples or found[0] is None:
            return
        record = ports.ledger.get(LEARNED)
        learned = with_samples(record.document if record else Learned(), attempt, samples)
        ports.ledger.commit(Put(LEARNED, learned, record.revision if record else 0))
    except (Transient, ConnectionError) as error:  # a conflict is transient too
        ports.log(Event.ESTIMATE_NOT_LEARNED, {"error": str(error)})


def _rendered(ports: Needs, attempt: Attempt, task: Task) -> Rendered | None:
    key = s3_keys.task_result(attempt.attempt_id, task.task_id)
    try:
        result = Outcome.from_json(ports.files.read(ports.settings.work_bucket, key)).result
    except (Missing, ValidationError):
        return None
    return result if isinstance(result, Rendered) else None
