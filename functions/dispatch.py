"""Starts processing jobs: when there is capacity, all compatible queued tasks go into one.

The order of steps makes every kill repairable. The lease and the attempt are committed together;
then tasks are claimed one by one, each together with the removal of its queue entry; then the
set is closed (`starting`, with the manifest's hash), and only then the create call is made, under
the attempt's id, which SageMaker accepts once. An attempt left behind is taken over by a later
dispatch and goes on where it stopped.
"""

import hashlib
import posixpath
from datetime import timedelta

from functions import answers, cancel, keys, transitions
from functions.job import Attempt, Capacity, QueueEntry, Task
from functions.ports import (
    OPEN_ATTEMPTS,
    QUEUE,
    Change,
    Conflict,
    Missing,
    NameTaken,
    NoCapacity,
    Ports,
    ProcessingJob,
    Put,
    Record,
    Refused,
    Remove,
    attempt_key,
    capacity_key,
    task_key,
)
from functions.transitions import RETRIES
from processing.contract.catalogue import MODELS
from processing.contract.errors import Code, Problem, Transient
from processing.contract.manifest import Manifest, ManifestTask

# A dispatch takes seconds, and no function of ours lives longer than this one's 120; an attempt
# that has not moved for that long has lost its handler.
TAKE_OVER_AFTER = timedelta(seconds=120)


def dispatch(ports: Ports) -> None:
    """Start what can be started. An attempt that cannot go on does not keep others from starting.

    Raises:
        Exception: what went wrong, or an ExceptionGroup of it; what was begun is taken up later.
    """
    errors: list[Exception] = []
    for record in ports.ledger.query(OPEN_ATTEMPTS, Attempt):
        if not _abandoned(ports, record.document):
            continue
        touched = record.document.model_copy(update={"updated_at": ports.now()})
        try:
            ports.ledger.commit(Put(record.key, touched, record.revision))
            ports.tell("attempt-taken-over", {"attempt_id": touched.attempt_id})
            _launch(ports, Record(record.key, touched, record.revision + 1))
        except Exception as error:
            errors.append(error)
    try:
        while (attempt := _open(ports)) is not None:
            if not _launch(ports, attempt):
                break
    except Exception as error:
        errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("not everything could be started", errors)


def _abandoned(ports: Ports, attempt: Attempt) -> bool:
    moving = attempt.state != "started"
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def _open(ports: Ports) -> Record[Attempt] | None:
    """Take a lease and open an attempt for the tasks at the head of the queue."""
    settings = ports.settings
    for _ in range(RETRIES):
        # Compatible tasks may stand behind others, so look further than one manifest.
        entries = ports.ledger.query(QUEUE, QueueEntry, limit=4 * settings.max_tasks_per_job)
        if not entries:
            return None
        capacity = ports.ledger.get(capacity_key(settings.instance_type))
        leases = capacity.document.leases if capacity else ()
        if len(leases) >= settings.max_processing_jobs:
            ports.tell("no-lease", {"queued_at_least": len(entries), "held": len(leases)})
            return None
        first = entries[0].document
        tasks = [
            entry.document.task
            for entry in entries
            if (entry.document.model, entry.document.mode) == (first.model, first.mode)
        ][: settings.max_tasks_per_job]
        now = ports.now()
        attempt = Attempt(
            attempt_id=f"{settings.job_prefix}-{now:%Y%m%d-%H%M%S}-{ports.new_suffix()}",
            state="claiming",
            model=first.model,
            mode=first.mode,
            tasks=tuple(tasks),
            instance_type=settings.instance_type,
            created_at=now,
            updated_at=now,
        )
        try:
            ports.ledger.commit(
                Put(
                    capacity_key(settings.instance_type),
                    Capacity(leases=(*leases, attempt.attempt_id)),
                    capacity.revision if capacity else 0,
                ),
                Put(attempt_key(attempt.attempt_id), attempt),
            )
        except Conflict:
            continue
        return Record(attempt_key(attempt.attempt_id), attempt, 1)
    raise Conflict("the lease on capacity is being fought over")


def _launch(ports: Ports, record: Record[Attempt]) -> bool:
    """Bring an attempt from wherever it is to `started`. False: no capacity, stop for now."""
    attempt = record.document
    if attempt.state == "returning":
        _give_back(ports, attempt)
        return False
    if attempt.state == "claiming":
        claims = [transitions.claim(ports, attempt, ref) for ref in attempt.tasks]
        tasks = [task for task in claims if task is not None]
        if not tasks:
            end(ports, attempt.attempt_id)
            return True
    else:
        # The create call may have been made: the manifest must be the same to the letter, also
        # when some of its tasks are done by now.
        records = [ports.ledger.get(task_key(ref)) for ref in attempt.tasks]
        tasks = [task.document for task in records if task is not None]
    body = _manifest(attempt, tasks).to_json().encode()
    record = _move(
        ports,
        record,
        state="starting",
        manifest_sha256=hashlib.sha256(body).hexdigest(),
        tasks=tuple(transitions.ref_of(task) for task in tasks),
    )
    try:
        _create(ports, record.document, tasks, body)
    except NoCapacity as full:
        # Noted before any task goes back: from here on nobody may make the create call.
        record = _move(ports, record, state="returning", reason=str(full))
        _give_back(ports, record.document)
        ports.tell("no-capacity", {"attempt_id": attempt.attempt_id, "reason": str(full)})
        return False
    except Refused as refusal:
        _fail(ports, record.document, str(refusal))
        return True
    record = _move(ports, record, state="started")
    cancel.stop_if_idle(ports, record.document)
    ports.tell("started", {"attempt_id": attempt.attempt_id, "tasks": len(tasks)})
    for job_id in dict.fromkeys(task.job_id for task in tasks):
        answers.publish_status(ports, job_id)
    return True


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
                target = keys.attempt_reference(attempt.attempt_id, _file_name(task))
                ports.files.copy(
                    (work, task.reference, None), (work, target), "application/octet-stream"
                )
    except Missing as gone:
        raise Refused(f"a reference that was kept is gone: {gone}") from gone
    ports.files.write(work, keys.attempt_manifest(attempt.attempt_id), body, "application/json")
    folder = MODELS[attempt.model].weights[attempt.mode].folder
    try:
        ports.renderer.start(
            ProcessingJob(
                attempt_id=attempt.attempt_id,
                instance_type=attempt.instance_type,
                manifest_sha256=attempt.manifest_sha256,
                input_uri=f"s3://{work}/{keys.attempt_input(attempt.attempt_id)}",
                model_uri=f"s3://{work}/{keys.model(folder)}",
                output_uri=f"s3://{work}/{keys.attempt_output(attempt.attempt_id)}",
            )
        )
    except (NameTaken, NoCapacity, Refused) as refusal:
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


def _move(ports: Ports, record: Record[Attempt], **changed: object) -> Record[Attempt]:
    moved = record.document.model_copy(update={**changed, "updated_at": ports.now()})
    ports.ledger.commit(Put(record.key, moved, record.revision))
    return Record(record.key, moved, record.revision + 1)


def _give_back(ports: Ports, attempt: Attempt) -> None:
    """Return the attempt's tasks to their places in the queue, the attempt unspent, and end it."""
    for ref in attempt.tasks:
        transitions.requeue(ports, attempt, ref, charge=False, reason=attempt.reason)
    end(ports, attempt.attempt_id)
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        answers.publish_status(ports, job_id)


def _fail(ports: Ports, attempt: Attempt, reason: str) -> None:
    """Fail the tasks of an attempt whose processing job can never be created, and end it."""
    ports.tell("start-refused", {"attempt_id": attempt.attempt_id, "reason": reason})
    problem = Problem(
        code=Code.START_REFUSED,
        message=f"The rendering could not be started: {reason[:400]}",
        hint="Whoever runs this reeldrop has to mend that; then drop the file again.",
    )
    for ref in attempt.tasks:
        transitions.fail(ports, attempt, ref, problem)
        answers.settle(ports, ref.job_id)
    end(ports, attempt.attempt_id)


def end(ports: Ports, attempt_id: str) -> None:
    """Close an attempt and give its lease back. Safe to repeat.

    Raises:
        Conflict: the lease is being fought over.
    """
    for _ in range(RETRIES):
        record = ports.ledger.get(attempt_key(attempt_id))
        if record is None:
            return
        capacity = ports.ledger.get(capacity_key(record.document.instance_type))
        changes: list[Change] = [Remove(record.key, record.revision)]
        if capacity is not None and attempt_id in capacity.document.leases:
            leases = tuple(a for a in capacity.document.leases if a != attempt_id)
            changes.append(Put(capacity.key, Capacity(leases=leases), capacity.revision))
        try:
            ports.ledger.commit(*changes)
        except Conflict:
            continue
        return
    raise Conflict(f"the lease of {attempt_id} is being fought over")
