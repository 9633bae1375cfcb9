"""Starts processing jobs: what waits is planned by functions/batching.py and launched here.

The order of steps makes every kill repairable. The lease and the attempt are committed together;
then its tasks are claimed, each together with the removal of its queue entry; then the set is
closed (`starting`, with the manifest's hash), and only then the create call is made, under the
attempt's id, which SageMaker accepts once. An attempt left behind is taken over by a later dispatch
and goes on where it stopped.
"""

import hashlib
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from enum import Enum, auto

from functions import allowance, answers, batching, cancel, estimate, keys, transitions
from functions.job import Attempt, Capacity, Learned, Lease, QueueEntry, Refusal, State, Task
from functions.ports import (
    CAPACITY,
    OPEN_ATTEMPTS,
    PRIORITIES,
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
    queue_prefix,
    task_key,
)
from functions.spec import Priority
from functions.transitions import RETRIES
from processing.contract.catalogue import MODELS
from processing.contract.errors import Code, Problem, Transient
from processing.contract.manifest import Manifest, ManifestTask

# A dispatch takes seconds, and no function of ours lives longer than this one's 120; an attempt
# that has not moved for that long has lost its handler.
TAKE_OVER_AFTER = timedelta(seconds=120)


# How long a type that had no instance for us is passed over: less than the time between two sweeps,
# each of which asks again.
PASSED_OVER_FOR = timedelta(minutes=4)
# The queue is read in pages, and of each priority at most so many.
_PAGE = 256
_PAGES = 16
# Folders whose turn is remembered, and held tasks that one dispatch tells so.
_FOLDERS = 64
_TOLD_TOGETHER = 32
# And so many are looked at: most were told when they were dropped.
_TOLD_AT_MOST = 128


class _Outrun(Exception):
    """Somebody else has changed the leases, or taken the tasks, since they were read."""


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
        _open_all(ports)
    except Exception as error:
        errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("not everything could be started", errors)


def _abandoned(ports: Ports, attempt: Attempt) -> bool:
    moving = attempt.state != "started"
    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER


def _open_all(ports: Ports) -> None:
    """Open attempts until there is nothing more to be opened now."""
    outrun = 0
    while outrun < RETRIES:
        try:
            if not _open_some(ports):
                return
        except _Outrun:
            outrun += 1
    raise Conflict("the lease on capacity is being fought over")


def _open_some(ports: Ports) -> bool:
    """Plan once and launch what is planned. False: there was nothing to be launched.

    Raises:
        _Outrun: the plan is out of date.
    """
    settings = ports.settings
    # First, because it says no most often: a wake-up while all is in use goes no further.
    record = ports.ledger.get(CAPACITY)
    capacity, revision = (record.document, record.revision) if record else (Capacity(), 0)
    free = settings.max_processing_jobs - len(capacity.leases)
    instance_type = _wanted(ports, capacity)
    if free <= 0 or instance_type is None:
        ports.tell("no-lease", {"free": free, "instance_type": instance_type})
        return False
    # More than the free instances could take: the share of those that come free is planned with.
    line = _line(ports, need=settings.max_processing_jobs * settings.max_tasks_per_job)
    if not line:
        return False
    plan = _plan(ports, capacity, free, instance_type, line)
    _tell_held(ports, plan.held)
    for job in plan.jobs:
        attempt = _attempt(ports, job, instance_type)
        capacity = _leased(capacity, attempt, job)
        opened = attempt_key(attempt.attempt_id)
        try:
            ports.ledger.commit(Put(CAPACITY, capacity, revision), Put(opened, attempt))
        except Conflict:
            raise _Outrun from None
        revision += 1
        launch = _launch(ports, Record(opened, attempt, 1))
        if launch == _Launch.NO_CAPACITY:
            break  # perhaps another type has instances
        if launch == _Launch.NOTHING_TO_CLAIM:
            raise _Outrun
    return bool(plan.jobs)


def _wanted(ports: Ports, capacity: Capacity) -> str | None:
    """The first instance type that was not refused a moment ago."""
    refused = {
        refusal.instance_type
        for refusal in capacity.refusals
        if ports.now() - refusal.at < PASSED_OVER_FOR
    }
    return next((t for t in ports.settings.instance_preferences if t not in refused), None)


def _line(ports: Ports, need: int) -> list[QueueEntry]:
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


def _plan(
    ports: Ports, capacity: Capacity, free: int, instance_type: str, line: Sequence[QueueEntry]
) -> batching.Plan:
    settings = ports.settings
    learned = estimate.read(ports)

    def expect(entry: QueueEntry) -> batching.Expected:
        rate = estimate.rate_of(learned, entry.model, entry.mode, instance_type)
        return batching.Expected(
            startup_seconds=rate.startup_seconds + rate.loading_seconds,
            render_seconds=rate.seconds_per_work * entry.work,
        )

    situation = batching.Situation(
        line=line,
        running={batching.kind_of(lease) for lease in capacity.leases},
        free=free,
        busy_until=[lease.ends_at for lease in capacity.leases],
        served=capacity.served,
        limits=allowance.of_all(settings),
        usages={
            folder: day.usage
            for folder, day in allowance.today(ports, (entry.folder for entry in line)).items()
        },
        max_tasks=settings.max_tasks_per_job,
        max_runtime_seconds=settings.max_runtime_seconds,
        now=ports.now(),
    )
    return batching.plan(situation, expect)


def _tell_held(ports: Ports, held: Sequence[QueueEntry]) -> None:
    """Let the status of held tasks say so: a courtesy, and at most so many at once."""
    reason = allowance.held(ports.now().date())
    for start in range(0, min(len(held), _TOLD_AT_MOST), _TOLD_TOGETHER):
        refs = [entry.task for entry in held[start : start + _TOLD_TOGETHER]]
        records = [r for r in ports.ledger.get_all([task_key(ref) for ref in refs]) if r]
        untold = [
            record
            for record in records
            if record.document.state == State.QUEUED and record.document.waiting_reason != reason
        ]
        if not untold:
            continue
        told = {"waiting_reason": reason}
        try:
            ports.ledger.commit(
                *(Put(r.key, r.document.model_copy(update=told), r.revision) for r in untold)
            )
        except Conflict:
            return
        ports.tell("held", {"tasks": len(untold)})
        for job_id in dict.fromkeys(record.document.job_id for record in untold):
            answers.publish_status(ports, job_id)
        return


def _attempt(ports: Ports, job: batching.Planned, instance_type: str) -> Attempt:
    now = ports.now()
    model, mode, _ = job.kind
    return Attempt(
        attempt_id=f"{ports.settings.job_prefix}-{now:%Y%m%d-%H%M%S}-{ports.new_suffix()}",
        state="claiming",
        model=model,
        mode=mode,
        tasks=tuple(entry.task for entry in job.entries),
        instance_type=instance_type,
        created_at=now,
        updated_at=now,
    )


def _leased(capacity: Capacity, attempt: Attempt, job: batching.Planned) -> Capacity:
    """With a lease for the attempt, and its folders at the end of the turn."""
    model, mode, size_class = job.kind
    lease = Lease(
        attempt_id=attempt.attempt_id,
        instance_type=attempt.instance_type,
        model=model,
        mode=mode,
        size_class=size_class,
        ends_at=attempt.created_at + timedelta(seconds=job.seconds),
    )
    latest_first = dict.fromkeys(entry.folder for entry in reversed(job.entries))
    served = [folder for folder in capacity.served if folder not in latest_first]
    return capacity.model_copy(
        update={
            "leases": (*capacity.leases, lease),
            "served": (*served, *reversed(latest_first))[-_FOLDERS:],
        }
    )


class _Launch(Enum):
    """What became of an attempt."""

    STARTED = auto()
    NOTHING_TO_CLAIM = auto()
    NO_CAPACITY = auto()
    REFUSED = auto()


def _launch(ports: Ports, record: Record[Attempt]) -> _Launch:
    """Bring an attempt from wherever it is to `started`, or end it."""
    attempt = record.document
    if attempt.state == "returning":
        _give_back(ports, attempt)
        return _Launch.NO_CAPACITY
    if attempt.state == "claiming":
        tasks = transitions.claim(ports, attempt, _seconds_of(ports, attempt))
        if not tasks:
            end(ports, attempt.attempt_id)
            return _Launch.NOTHING_TO_CLAIM
    else:
        # The create call may have been made: the manifest must be the same to the letter, also
        # when some of its tasks are done by now.
        records = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
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
        return _Launch.NO_CAPACITY
    except Refused as refusal:
        _fail(ports, record.document, str(refusal))
        return _Launch.REFUSED
    record = _move(ports, record, state="started")
    cancel.stop_if_idle(ports, record.document)
    ports.tell("started", {"attempt_id": attempt.attempt_id, "tasks": len(tasks)})
    for job_id in dict.fromkeys(task.job_id for task in tasks):
        answers.publish_status(ports, job_id)
    return _Launch.STARTED


def _seconds_of(ports: Ports, attempt: Attempt) -> Callable[[Task], float]:
    """How long a task is expected to take in this attempt."""
    learned: list[Learned] = []  # read when it is first needed: few folders have limits

    def seconds(task: Task) -> float:
        if not learned:
            learned.append(estimate.read(ports))
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
    allowance.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    end(ports, attempt.attempt_id, refused=attempt.reason)
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
    allowance.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    end(ports, attempt.attempt_id)


def end(ports: Ports, attempt_id: str, *, refused: str = "") -> None:
    """Close an attempt and give its lease back. Safe to repeat.

    Args:
        refused: why there was no instance of its type; empty: there was one.

    Raises:
        Conflict: the lease is being fought over.
    """
    for _ in range(RETRIES):
        record = ports.ledger.get(attempt_key(attempt_id))
        if record is None:
            return
        instance_type = record.document.instance_type
        capacity = ports.ledger.get(CAPACITY)
        changes: list[Change] = [Remove(record.key, record.revision)]
        if capacity is not None:
            old = capacity.document
            # Where one has ended, there is an instance again.
            refusals = [r for r in old.refusals if r.instance_type != instance_type]
            if refused:
                refusals.append(
                    Refusal(instance_type=instance_type, at=ports.now(), reason=refused)
                )
            leases = tuple(lease for lease in old.leases if lease.attempt_id != attempt_id)
            new = old.model_copy(update={"leases": leases, "refusals": tuple(refusals)})
            changes.append(Put(CAPACITY, new, capacity.revision))
        try:
            ports.ledger.commit(*changes)
        except Conflict:
            continue
        return
    raise Conflict(f"the lease of {attempt_id} is being fought over")
