"""Learns from the results of an ended processing job how long rendering takes."""

import math
from collections.abc import Sequence

from pydantic import ValidationError

from contract.errors import Transient
from contract.outcome import Outcome, Rendered
from functions import s3_keys
from functions.planning.estimate import with_samples
from functions.ports import Missing
from functions.stages.ports import Ports
from functions.table.ledger import LEARNED, Put
from functions.table.records import Attempt, Learned, Task

# Results of one job that are read to learn from.
_SAMPLES = 4


def learn(ports: Ports, attempt: Attempt, tasks: Sequence[Task]) -> None:
    """Take over what the results of an ended processing job show, if that can be done now.

    It is one commit a job and is not tried again: an estimate is a courtesy and may keep nothing
    from being published, and of many jobs that end at once some are enough.
    """
    try:
        step = max(1, math.ceil(len(tasks) / _SAMPLES))
        found = [_rendered(ports, attempt, task) for task in tasks[::step]]
        samples = [rendered for rendered in found if rendered is not None]
        # The first task's start tells of the start-up: without it nothing is sure.
        if not samples or found[0] is None:
            return
        record = ports.ledger.get(LEARNED)
        learned = with_samples(record.document if record else Learned(), attempt, samples)
        ports.ledger.commit(Put(LEARNED, learned, record.revision if record else 0))
    except (Transient, ConnectionError) as error:  # conflicts are transient too
        ports.tell("estimate-not-learned", {"error": str(error)})


def _rendered(ports: Ports, attempt: Attempt, task: Task) -> Rendered | None:
    key = s3_keys.task_result(attempt.attempt_id, task.task_id)
    try:
        result = Outcome.from_json(ports.files.read(ports.settings.work_bucket, key)).result
    except (Missing, ValidationError):
        return None
    return result if isinstance(result, Rendered) else None
