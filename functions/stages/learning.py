"""Learns from the results of an ended processing job how long rendering takes."""

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

# Results of one processing job that are read to learn from.
_SAMPLES = 4


class Needs(WithLedger, WithFiles, WithSettings, WithLog, Protocol):
    """What learning uses."""


def learn(ports: Needs, attempt: Attempt, tasks: Sequence[Task]) -> None:
    """Update the learned rates from the results of an ended processing job, if that works now.

    It is one commit a processing job and is not tried again. An estimate is not worth delaying a
    publication for, and when many processing jobs end at once, some of them are enough.

    Args:
        tasks: the tasks of the attempt, in the order in which the worker took them.
    """
    try:
        step = max(1, math.ceil(len(tasks) / _SAMPLES))
        found = [_rendered(ports, attempt, task) for task in tasks[::step]]
        samples = [rendered for rendered in found if rendered is not None]
        # The start-up time is known from the start of the first task only.
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
