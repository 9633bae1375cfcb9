"""Brings an attempt from the claim of its tasks to a running processing job, or ends it."""

import hashlib
import posixpath
from collections.abc import Callable
from enum import Enum, auto

from contract.catalogue import MODELS
from contract.errors import Code, Problem, Transient
from contract.manifest import Manifest, ManifestTask
from functions import s3_keys
from functions.planning import estimate
from functions.ports import Missing
from functions.replies import publish
from functions.stages import cancel
from functions.stages.ports import Ports
from functions.stages.renderer import CannotStart, NameTaken, NoQuota, ProcessingJob
from functions.table import day_limits
from functions.table.attempts import end_attempt, move_attempt
from functions.table.ledger import Record, task_key
from functions.table.rates import learned_rates
from functions.table.records import Attempt, Learned, Task
from functions.table.tasks import claim_tasks, fail_task, ref_of, requeue_task


class Launch(Enum):
    """What became of an attempt."""

    STARTED = auto()
    NOTHING_TO_CLAIM = auto()
    NO_CAPACITY = auto()
    REFUSED = auto()


def launch(ports: Ports, record: Record[Attempt]) -> Launch:
    """Bring an attempt from wherever it is to `started`, or end it."""
    attempt = record.document
    if attempt.state == "returning":
        _give_back(ports, attempt)
        return Launch.NO_CAPACITY
    if attempt.state == "claiming":
        tasks = claim_tasks(ports, attempt, _seconds_of(ports, attempt))
        if not tasks:
            end_attempt(ports, attempt.attempt_id)
            return Launch.NOTHING_TO_CLAIM
    else:
        # The create call may have been made: the manifest must be the same to the letter, also
        # when some of its tasks are done by now.
        records = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
        tasks = [task.document for task in records if task is not None]
    body = _manifest(attempt, tasks).to_json().encode()
    record = move_attempt(
        ports,
        record,
        state="starting",
        manifest_sha256=hashlib.sha256(body).hexdigest(),
        tasks=tuple(ref_of(task) for task in tasks),
    )
    try:
        _create(ports, record.document, tasks, body)
    except NoQuota as full:
        # Noted before any task goes back: from here on nobody may make the create call.
        record = move_attempt(ports, record, state="returning", reason=str(full))
        _give_back(ports, record.document)
        ports.tell("no-capacity", {"attempt_id": attempt.attempt_id, "reason": str(full)})
        return Launch.NO_CAPACITY
    except CannotStart as refusal:
        _fail(ports, record.document, str(refusal))
        return Launch.REFUSED
    record = move_attempt(ports, record, state="started")
    cancel.stop_if_idle(ports, record.document)
    ports.tell("started", {"attempt_id": attempt.attempt_id, "tasks": len(tasks)})
    for job_id in dict.fromkeys(task.job_id for task in tasks):
        publish.status(ports, job_id)
    return Launch.STARTED


def _seconds_of(ports: Ports, attempt: Attempt) -> Callable[[Task], float]:
    """How long a task is expected to take in this attempt."""
    learned: list[Learned] = []  # read when it is first needed: few folders have limits

    def seconds(task: Task) -> float:
        if not learned:
            learned.append(learned_rates(ports))
        return estimate.of_task(
            learned[0], task.parameters, task.model, attempt.instance_type
        ).render_seconds

    return seconds


def _manifest(attempt: Attempt, tasks: list[Task]) -> Manifest:
    return Manifest(
        attempt_id=attempt.attempt_id,
        model=attempt.model,
        mode=attempt.mode,
        tasks=tuple(
            ManifestTask(
                task_id=task.task_id,
                parameters=task.parameters,
                **_reference(task),
                gif="gif" in task.spec.outputs,
            )
            for task in tasks
        ),
    )


def _create(ports: Ports, attempt: Attempt, tasks: list[Task], body: bytes) -> None:
    """Write what the processing job reads, and create it, or find that it was created.

    Raises:
        NoCapacity: it does not exist and cannot now.
        Refused: it cannot be created as it is.
    """
    work = ports.settings.work_bucket
    try:
        for task in tasks:
            if task.reference:
                target = s3_keys.attempt_reference(attempt.attempt_id, _file_name(task))
                ports.files.copy(
                    (work, task.reference, None), (work, target), "application/octet-stream"
                )
    except Missing as gone:
        raise CannotStart(f"a reference that was kept is gone: {gone}") from gone
    ports.files.write(work, s3_keys.attempt_manifest(attempt.attempt_id), body, "application/json")
    folder = MODELS[attempt.model].weights[attempt.mode].folder
    try:
        ports.renderer.start(
            ProcessingJob(
                attempt_id=attempt.attempt_id,
                instance_type=attempt.instance_type,
                manifest_sha256=attempt.manifest_sha256,
                input_uri=f"s3://{work}/{s3_keys.attempt_input(attempt.attempt_id)}",
                model_uri=f"s3://{work}/{s3_keys.model(folder)}",
                output_uri=f"s3://{work}/{s3_keys.attempt_output(attempt.attempt_id)}",
            )
        )
    except (NameTaken, NoQuota, CannotStart) as refusal:
        # Perhaps the create call of an earlier handler arrived and its answer did not: then the
        # name is taken, or that very job uses up the quota.
        status = ports.renderer.status(attempt.attempt_id)
        if status is None and isinstance(refusal, NameTaken):
            raise Transient(f"{attempt.attempt_id} is taken and not yet described") from refusal
        if status is None:
            raise
        if status.manifest_sha256 != attempt.manifest_sha256:
            raise RuntimeError(f"{attempt.attempt_id} exists with another manifest") from refusal
        ports.tell("adopted", {"attempt_id": attempt.attempt_id})


def _reference(task: Task) -> dict[str, str]:
    """The reference as the manifest names it."""
    if task.reference is None:
        return {}
    return {"video" if task.spec.video is not None else "image": _file_name(task)}


def _file_name(task: Task) -> str:
    assert task.reference is not None
    return f"{task.task_id}{posixpath.splitext(task.reference)[1]}"


def _give_back(ports: Ports, attempt: Attempt) -> None:
    """Return the attempt's tasks to their places in the queue, the attempt unspent, and end it."""
    for ref in attempt.tasks:
        requeue_task(ports, attempt, ref, charge=False, reason=attempt.reason)
    day_limits.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    end_attempt(ports, attempt.attempt_id, refused=attempt.reason)
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        publish.status(ports, job_id)


def _fail(ports: Ports, attempt: Attempt, reason: str) -> None:
    """Fail the tasks of an attempt whose processing job can never be created, and end it."""
    ports.tell("start-refused", {"attempt_id": attempt.attempt_id, "reason": reason})
    problem = Problem(
        code=Code.START_REFUSED,
        message=f"The rendering could not be started: {reason[:400]}",
        hint="Whoever runs this reeldrop has to mend that; then drop the file again.",
    )
    for ref in attempt.tasks:
        fail_task(ports, attempt, ref, problem)
        publish.settle(ports, ref.job_id)
    day_limits.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    end_attempt(ports, attempt.attempt_id)
