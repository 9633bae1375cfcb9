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

from functions import answers, keys
from functions.job import Attempt, Capacity, Job, QueueEntry, State, Task, TaskRef
from functions.ports import (
    OPEN_ATTEMPTS,
    QUEUE,
    TASKS,
    Change,
    Conflict,
    NameTaken,
    NoCapacity,
    Ports,
    ProcessingJob,
    Put,
    Record,
    Remove,
    attempt_key,
    capacity_key,
    job_key,
    queue_key,
    task_key,
)
from functions.submit import entry_of, ref_of
from processing.contract.catalogue import MODELS
from processing.contract.errors import Transient
from processing.contract.manifest import Manifest, ManifestTask

# A dispatch takes seconds; an attempt that has not moved for this long has lost its handler.
TAKE_OVER_AFTER = timedelta(seconds=120)
_RETRIES = 8


def dispatch(ports: Ports) -> None:
    """Start what can be started.

    Raises:
        Transient: AWS asked to try again later; whatever was begun is taken up again then.
    """
    for record in ports.ledger.query(OPEN_ATTEMPTS, Attempt):
        if _abandoned(ports, record.document):
            touched = record.document.model_copy(update={"updated_at": ports.now()})
            try:
                ports.ledger.commit(Put(record.key, touched, record.revision))
            except Conflict:
                continue
            ports.tell("attempt-taken-over", {"attempt_id": touched.attempt_id})
            if not _launch(ports, Record(record.key, touched, record.revision + 1)):
                return
    while (attempt := _open(ports)) is not None:
        if not _launch(ports, attempt):
            return


def _abandoned(ports: Ports, attempt: Attempt) -> bool:
    moving = attempt.state in {"claiming", "starting"}
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def _open(ports: Ports) -> Record[Attempt] | None:
    """Take a lease and open an attempt for the tasks at the head of the queue."""
    settings = ports.settings
    for _ in range(_RETRIES):
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
    if attempt.state == "claiming":
        tasks = _claim(ports, attempt)
        if not tasks:
            end(ports, attempt.attempt_id)
            return True
    else:
        # The create call may have been made: the manifest must be the same to the letter, also
        # when some of its tasks are done by now.
        tasks = _tasks(ports, attempt)
    manifest = Manifest(
        attempt_id=attempt.attempt_id,
        model=attempt.model,
        mode=attempt.mode,
        tasks=tuple(
            ManifestTask(
                task_id=task.task_id,
                parameters=task.parameters,
                image=_file_name(task) if task.image else None,
            )
            for task in tasks
        ),
    )
    body = manifest.to_json().encode()
    digest = hashlib.sha256(body).hexdigest()
    record = _move(ports, record, "starting", digest, tasks)

    settings = ports.settings
    work = settings.work_bucket
    for task in tasks:
        if task.image:
            target = keys.attempt_reference(attempt.attempt_id, _file_name(task))
            ports.files.copy((work, task.image, None), (work, target), "application/octet-stream")
    ports.files.write(work, keys.attempt_manifest(attempt.attempt_id), body, "application/json")
    folder = MODELS[attempt.model].weights[attempt.mode].folder
    job = ProcessingJob(
        attempt_id=attempt.attempt_id,
        manifest_sha256=digest,
        input_uri=f"s3://{work}/{keys.attempt_input(attempt.attempt_id)}",
        model_uri=f"s3://{work}/{keys.model(folder)}",
        output_uri=f"s3://{work}/{keys.attempt_output(attempt.attempt_id)}",
    )
    try:
        ports.renderer.start(job)
    except (NameTaken, NoCapacity) as refusal:
        # Perhaps the create call of an earlier handler arrived and its answer did not: then the
        # name is taken, or that very job uses up the quota.
        status = ports.renderer.status(attempt.attempt_id)
        if status is None and isinstance(refusal, NoCapacity):
            give_back(ports, attempt, str(refusal))
            end(ports, attempt.attempt_id)
            ports.tell("no-capacity", {"attempt_id": attempt.attempt_id, "reason": str(refusal)})
            return False
        if status is None:
            raise Transient(f"{attempt.attempt_id} is taken and not yet described") from refusal
        if status.manifest_sha256 != digest:
            raise RuntimeError(f"{attempt.attempt_id} exists with another manifest") from refusal
        ports.tell("adopted", {"attempt_id": attempt.attempt_id})
    _move(ports, record, "started", digest, tasks)
    ports.tell("started", {"attempt_id": attempt.attempt_id, "tasks": len(tasks)})
    for job_id in dict.fromkeys(task.job_id for task in tasks):
        answers.publish_status(ports, job_id)
    return True


def _file_name(task: Task) -> str:
    assert task.image is not None
    return f"{task.task_id}-image{posixpath.splitext(task.image)[1]}"


def _move(
    ports: Ports, record: Record[Attempt], state: str, digest: str, tasks: list[Task]
) -> Record[Attempt]:
    moved = record.document.model_copy(
        update={
            "state": state,
            "manifest_sha256": digest,
            "tasks": tuple(ref_of(task) for task in tasks),
            "updated_at": ports.now(),
        }
    )
    ports.ledger.commit(Put(record.key, moved, record.revision))
    return Record(record.key, moved, record.revision + 1)


def _tasks(ports: Ports, attempt: Attempt) -> list[Task]:
    records = [ports.ledger.get(task_key(ref)) for ref in attempt.tasks]
    return [record.document for record in records if record is not None]


def _claim(ports: Ports, attempt: Attempt) -> list[Task]:
    """The tasks that this attempt owns, after taking those that it still may take."""
    claims = [_claim_one(ports, attempt, ref) for ref in attempt.tasks]
    return [task for task in claims if task is not None]


def _claim_one(ports: Ports, attempt: Attempt, ref: TaskRef) -> Task | None:
    for _ in range(_RETRIES):
        record = ports.ledger.get(task_key(ref))
        if record is None:
            return None
        task = record.document
        if task.state == State.RUNNING and task.attempt_id == attempt.attempt_id:
            return task
        entry = ports.ledger.get(queue_key(task))
        job = ports.ledger.get(job_key(task.job_id))
        if task.state != State.QUEUED or entry is None or job is None:
            return None
        taken = task.model_copy(
            update={
                "state": State.RUNNING,
                "attempts": task.attempts + 1,
                "attempt_id": attempt.attempt_id,
                "percent": 0,
                "waiting_reason": None,
                "started_at": ports.now(),
            }
        )
        try:
            ports.ledger.commit(
                Put(record.key, taken, record.revision),
                Remove(entry.key, entry.revision),
                *_job_state(ports, job, State.RUNNING),
            )
        except Conflict:
            continue  # perhaps it was ours: a handler that was taken over may still be claiming
        return taken
    return None


def give_back(ports: Ports, attempt: Attempt, reason: str) -> None:
    """Return the attempt's tasks to their places in the queue, the attempt unspent."""
    for ref in attempt.tasks:
        for _ in range(_RETRIES):
            record = ports.ledger.get(task_key(ref))
            if record is None or record.document.attempt_id != attempt.attempt_id:
                break
            task = record.document
            if task.state != State.RUNNING:
                break
            try:
                requeue(ports, record, attempts=task.attempts - 1, reason=reason)
                break
            except Conflict:
                continue
        answers.publish_status(ports, ref.job_id)


def requeue(ports: Ports, record: Record[Task], *, attempts: int, reason: str) -> None:
    """Put a running task back to its place in the queue.

    Raises:
        Conflict: the task or its job changed meanwhile.
    """
    task = record.document.model_copy(
        update={
            "state": State.QUEUED,
            "attempts": attempts,
            "attempt_id": None,
            "percent": 0,
            "expected_seconds_left": None,
            "waiting_reason": reason,
        }
    )
    job = ports.ledger.get(job_key(task.job_id))
    assert job is not None  # tasks are committed together with their job
    others = ports.ledger.query(job.key.partition, Task, prefix=TASKS)
    running = any(
        other.document.state == State.RUNNING and other.key != record.key for other in others
    )
    ports.ledger.commit(
        Put(record.key, task, record.revision),
        Put(queue_key(task), entry_of(task)),
        *_job_state(ports, job, State.RUNNING if running else State.QUEUED),
    )


def _job_state(ports: Ports, job: Record[Job], state: State) -> list[Change]:
    if job.document.state == state or job.document.state.terminal:
        return []
    moved = job.document.model_copy(update={"state": state, "updated_at": ports.now()})
    return [Put(job.key, moved, job.revision)]


def end(ports: Ports, attempt_id: str) -> None:
    """Close an attempt and give its lease back. Safe to repeat."""
    for _ in range(_RETRIES):
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
            return
        except Conflict:
            continue
    raise Conflict(f"the lease of {attempt_id} is being fought over")
