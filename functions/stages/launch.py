"""Launches an attempt: claims its tasks and starts its processing job, or ends the attempt."""

import hashlib
import posixpath
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from contract.catalogue import MODELS, Mode
from contract.errors import Transient
from contract.manifest import Manifest, ManifestTask
from contract.model_folder import RIFE
from contract.timeline import timeline_of
from functions import s3_keys
from functions.log import Event, WithLog
from functions.planning import estimate
from functions.ports import Missing, WithFiles, keys_below
from functions.replies import problems, publish
from functions.settings import WithSettings
from functions.spec.fields import scene_field
from functions.stages import cancel, weights
from functions.stages.judging import judges_pictures
from functions.stages.newer_defaults import CurrentDefaults
from functions.stages.renderer import (
    CannotStart,
    NameTaken,
    NoQuota,
    ProcessingJob,
    StartDenied,
    StartThrottled,
    WithRenderer,
)
from functions.table import day_limits
from functions.table.attempts import end_attempt, move_attempt, release_lease
from functions.table.ledger import Record, WithLedger, task_key
from functions.table.rates import learned_rates
from functions.table.records import (
    Attempt,
    AttemptState,
    Hold,
    HoldReason,
    KeptReference,
    Learned,
    State,
    Task,
)
from functions.table.tasks import claim_tasks, fail_owned_task, requeue_task

# SageMaker's message is cut to this many characters in a status.
_LONGEST_DETAIL = 400


class Needs(publish.Needs, WithLog, WithRenderer, Protocol):
    """What launching an attempt uses."""


class NeedsForCreate(WithFiles, WithSettings, WithLog, WithRenderer, Protocol):
    """What creating a processing job uses."""


class Launch(Enum):
    """What became of an attempt that was launched."""

    STARTED = auto()
    """Its processing job runs."""
    NOTHING_TO_CLAIM = auto()
    """None of its tasks was still queued."""
    NO_CAPACITY = auto()
    """It cannot start now, and its tasks are back in the queue."""
    REFUSED = auto()
    """SageMaker refused its processing job, or its references are gone. Its tasks failed."""


def launch(ports: Needs, record: Record[Attempt], current: CurrentDefaults) -> Launch:
    """Bring an attempt from any state to `started`, or end it.

    Args:
        current: the folder defaults. A task to which newer ones apply is not claimed.

    Raises:
        Transient: try again later.
    """
    attempt = record.document
    if attempt.state == AttemptState.RETURNING:
        _give_back(ports, attempt)
        return Launch.NO_CAPACITY
    if attempt.state == AttemptState.REFUSED:
        _fail(ports, attempt)
        return Launch.REFUSED
    if attempt.state == AttemptState.CLAIMING:
        seconds_of = _seconds_of(ports, attempt)
        claimed = claim_tasks(ports, attempt, seconds_of, current.allow_claim)
        tasks = _with_references(ports, attempt, claimed)
        if not tasks:
            end_attempt(ports, attempt.attempt_id)
            return Launch.REFUSED if claimed else Launch.NOTHING_TO_CLAIM
        attempt = attempt.interpolating(_interpolation(ports, tasks))
    else:
        # The create call may have been made. So the manifest must be the same, byte for byte, even
        # if some of its tasks have ended since.
        records = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
        tasks = [task.document for task in records if task is not None]
    body = _manifest(attempt, tasks, samples=judges_pictures(ports.settings)).to_json().encode()
    refs = tuple(task.ref for task in tasks)
    fixed = attempt.starting(refs, hashlib.sha256(body).hexdigest(), ports.now())
    record = move_attempt(ports, record, fixed)
    try:
        _create(ports, record.document, body)
    except (NoQuota, StartDenied, StartThrottled) as not_now:
        # This is written before any task returns to the queue. After it no handler may make the
        # create call.
        hold = _hold(attempt, not_now)
        record = move_attempt(ports, record, record.document.returning(hold, ports.now()))
        _give_back(ports, record.document)
        event = Event.START_DENIED if isinstance(not_now, StartDenied) else Event.NO_CAPACITY
        ports.log(event, {"attempt_id": attempt.attempt_id, **hold.model_dump(mode="json")})
        return Launch.NO_CAPACITY
    except CannotStart as refusal:
        refused = record.document.refused(str(refusal), ports.now())
        _fail(ports, move_attempt(ports, record, refused).document)
        return Launch.REFUSED
    record = move_attempt(ports, record, record.document.started(ports.now()))
    cancel.stop_if_idle(ports, record.document)
    ids = [task.task_id for task in tasks]
    ports.log(Event.STARTED, {"attempt_id": attempt.attempt_id, "task_ids": ids})
    for job_id in dict.fromkeys(task.job_id for task in tasks):
        publish.publish_status(ports, job_id)
    return Launch.STARTED


def _seconds_of(ports: WithLedger, attempt: Attempt) -> Callable[[Task], float]:
    """How many GPU seconds a task is expected to take in this attempt."""
    learned: list[Learned] = []  # read only when needed, because few folders have limits

    def seconds(task: Task) -> float:
        if not learned:
            learned.append(learned_rates(ports))
        return estimate.of_task(
            learned[0],
            task.parameters,
            task.model,
            attempt.instance_type,
            outputs=task.spec.outputs,
        ).render_seconds

    return seconds


def _interpolation(ports: weights.Needs, tasks: Sequence[Task]) -> str:
    """The release of RIFE, if a task interpolates frames and there is one."""
    needed = any(timeline_of(task.parameters).interpolated_frames for task in tasks)
    return weights.interpolation(ports) if needed else ""


def _manifest(attempt: Attempt, tasks: Sequence[Task], *, samples: bool) -> Manifest:
    return Manifest(
        attempt_id=attempt.attempt_id,
        model=attempt.model,
        mode=attempt.mode,
        tasks=tuple(
            ManifestTask(
                task_id=task.task_id,
                parameters=task.parameters,
                image=_file_name(attempt, task, "image"),
                video=_file_name(attempt, task, "video"),
                audio=_file_name(attempt, task, "audio"),
                scene_images=tuple(
                    _file_name(attempt, task, scene_field(index, "image"))
                    for index in range(len(task.parameters.scenes))
                ),
                scene_clips="scenes" in task.spec.outputs,
                gif="gif" in task.spec.outputs,
                h265="h265" in task.spec.outputs,
                webm="webm" in task.spec.outputs,
                prompt_in_file=task.spec.prompt_in_file,
                samples=samples,
                # The claim for this attempt is counted, too.
                interrupted=task.attempts > 1,
            )
            for task in tasks
        ),
    )


def _with_references(ports: Needs, attempt: Attempt, tasks: list[Task]) -> list[Task]:
    """Copy the references of an attempt to its input. A task whose reference is gone fails alone.

    Returns:
        The tasks that can be rendered.
    """
    copied = any(task.references or task.parameters.lora for task in tasks)
    if len(tasks) == len(attempt.tasks) and not copied:
        return tasks
    gone = [(task, problems.lora_gone(task)) for task in _copy_lora(ports, attempt, tasks)]
    if not gone:
        gone = [
            (task, problems.reference_gone(task, reference))
            for task, reference in _copy_references(ports, attempt, tasks)
        ]
    for task, problem in gone:
        fail_owned_task(ports, attempt, task.ref, problem)
    # An earlier handler may have been killed after it failed some.
    records = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
    failed = [
        record.document
        for record in records
        if record
        and record.document.state == State.FAILED
        and record.document.attempt_id == attempt.attempt_id
    ]
    day_limits.give_back_ended(ports, attempt.attempt_id, [task.ref for task in failed])
    for job_id in dict.fromkeys(task.job_id for task in failed):
        publish.settle(ports, job_id)
    lost = [task for task, _ in gone]
    return [task for task in tasks if task not in lost]


def _copy_lora(ports: NeedsForCreate, attempt: Attempt, tasks: Sequence[Task]) -> Sequence[Task]:
    """Copy the LoRA of an attempt to its input, if its tasks have one.

    Returns:
        The tasks whose LoRA is gone: all or none, because all tasks of an attempt have the same.
    """
    name = tasks[0].parameters.lora if tasks else None
    if name is None:
        return ()
    work, target = ports.settings.work_bucket, s3_keys.attempt_lora(attempt.attempt_id)
    try:
        ports.files.copy(
            (work, s3_keys.lora(name), None), (work, target), "application/octet-stream"
        )
    except Missing:
        return tasks
    return ()


def _copy_references(
    ports: NeedsForCreate, attempt: Attempt, tasks: Sequence[Task]
) -> list[tuple[Task, KeptReference]]:
    """Copy the references that are not there yet, from another task or from an earlier handler
    that was killed.

    Returns:
        The tasks of which a reference is gone, and that reference.
    """
    work = ports.settings.work_bucket
    prefix = s3_keys.attempt_references(attempt.attempt_id)
    there = set(keys_below(ports, work, prefix))
    gone: list[tuple[Task, KeptReference]] = []
    for task in tasks:
        for reference in task.references:
            target = s3_keys.attempt_reference(attempt.attempt_id, reference.key)
            if target in there:
                continue
            source = (work, reference.key, None)
            try:
                ports.files.copy(source, (work, target), "application/octet-stream")
            except Missing:
                gone.append((task, reference))
                break
            there.add(target)
    return gone


def _create(ports: NeedsForCreate, attempt: Attempt, body: bytes) -> None:
    """Write the manifest that the processing job reads, and create the job if it does not exist.

    Args:
        body: the manifest.

    Raises:
        NoQuota: it does not exist, and the quota is used up.
        StartDenied: it does not exist, and an administrator has to correct something first.
        StartThrottled: it does not exist, and there were too many requests.
        CannotStart: it does not exist, and SageMaker refuses the request for good.
    """
    work = ports.settings.work_bucket
    ports.files.write(work, s3_keys.attempt_manifest(attempt.attempt_id), body, "application/json")
    interpolation = s3_keys.model_release(RIFE, attempt.interpolation)
    image_model_uri = None
    if attempt.image_release:
        image_model_uri = _model_uri(ports, attempt, Mode.IMAGE_TO_VIDEO, attempt.image_release)
    try:
        ports.renderer.start(
            ProcessingJob(
                attempt_id=attempt.attempt_id,
                instance_type=attempt.instance_type,
                manifest_sha256=attempt.manifest_sha256,
                input_uri=f"s3://{work}/{s3_keys.attempt_input(attempt.attempt_id)}",
                model_uri=_model_uri(ports, attempt, attempt.mode, attempt.release),
                output_uri=f"s3://{work}/{s3_keys.attempt_output(attempt.attempt_id)}",
                interpolation_uri=f"s3://{work}/{interpolation}" if attempt.interpolation else None,
                image_model_uri=image_model_uri,
            )
        )
    except (NameTaken, NoQuota, CannotStart, StartDenied, StartThrottled) as refusal:
        # An earlier handler may have made the create call and lost the answer. Then the name is
        # taken, or that processing job itself uses up the quota.
        status = ports.renderer.status(attempt.attempt_id)
        if status is None and isinstance(refusal, NameTaken):
            raise Transient(f"{attempt.attempt_id} exists but has no status yet") from refusal
        if status is None:
            raise
        if status.manifest_sha256 != attempt.manifest_sha256:
            raise RuntimeError(f"{attempt.attempt_id} exists with another manifest") from refusal
        ports.log(Event.ADOPTED, {"attempt_id": attempt.attempt_id})


def _model_uri(ports: WithSettings, attempt: Attempt, mode: Mode, release: str) -> str | None:
    """Where the weights for a mode are. None: it needs none."""
    if mode == Mode.FINISHING:
        return None
    folder = MODELS[attempt.model].weights[mode].folder
    return f"s3://{ports.settings.work_bucket}/{s3_keys.model_release(folder, release)}"


def _file_name(attempt: Attempt, task: Task, field: str) -> str | None:
    """The name of a task's reference in the input of an attempt.

    Args:
        field: the field of the spec that names the reference; None is returned if none is there.
    """
    for reference in task.references:
        if reference.field == field:
            key = s3_keys.attempt_reference(attempt.attempt_id, reference.key)
            return posixpath.basename(key)
    return None


def _give_back(ports: Needs, attempt: Attempt) -> None:
    """Return the attempt's tasks to their places in the queue without a charge, and end it."""
    hold = attempt.hold
    assert hold is not None  # it is written together with the state
    for ref in attempt.tasks:
        requeue_task(ports, attempt, ref, charge=False, hold=hold)
    day_limits.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    end_attempt(ports, attempt.attempt_id, no_instance=True)
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        publish.publish_status(ports, job_id)


def _fail(ports: Needs, attempt: Attempt) -> None:
    """Fail the tasks of an attempt whose processing job can never be created, and end the attempt.

    The lease is given back before the notifications are sent, so that other drops do not wait for
    them. The attempt is removed last, so that if this handler is killed, the next one sends the
    notifications that are missing.
    """
    facts = {"attempt_id": attempt.attempt_id, "reason": attempt.refusal}
    ports.log(Event.START_REFUSED, dict(facts))
    problem = problems.start_refused(attempt.refusal)
    for ref in attempt.tasks:
        fail_owned_task(ports, attempt, ref, problem)
    day_limits.give_back_ended(ports, attempt.attempt_id, attempt.tasks)
    release_lease(ports, attempt)
    for job_id in dict.fromkeys(ref.job_id for ref in attempt.tasks):
        publish.settle(ports, job_id)
    end_attempt(ports, attempt.attempt_id)


def _hold(attempt: Attempt, not_now: NoQuota | StartDenied | StartThrottled) -> Hold:
    """Why an attempt cannot start now, as the reason for its tasks to wait."""
    if isinstance(not_now, StartDenied):
        return Hold(reason=HoldReason.START_DENIED, detail=str(not_now)[:_LONGEST_DETAIL])
    if isinstance(not_now, StartThrottled):
        return Hold(reason=HoldReason.THROTTLED)
    return Hold(
        reason=HoldReason.NO_CAPACITY,
        instance_type=attempt.instance_type,
        detail=str(not_now)[:_LONGEST_DETAIL],
    )
