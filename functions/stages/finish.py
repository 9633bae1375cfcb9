"""Publishes what the worker finished, as it finishes, and closes attempts that have ended.

A result counts only if it comes from the attempt that owns the task now. Publishing is a copy of
the same bytes to the same keys, the sidecar last; the table is changed after that, together with
the mail that is then owed. So each step can be repeated, and a kill between two of them is mended
by whoever comes next.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from contract.catalogue import MODELS
from contract.errors import Code, Problem, TaskFailed, Transient
from contract.outcome import (
    GIF_FILE,
    POSTER_FILE,
    RESULT_FILE,
    VIDEO_FILE,
    Outcome,
    Progress,
    Rendered,
)
from functions import s3_keys
from functions.ports import Missing
from functions.replies import publish
from functions.replies.sidecar import sidecar_of
from functions.stages.learning import learn
from functions.stages.ports import Ports
from functions.table.attempts import end_attempt
from functions.table.ledger import RETRIES, Conflict, Put, Record, attempt_key, job_key, task_key
from functions.table.records import Attempt, State, Task, TaskRef
from functions.table.tasks import close_task, fail_task, is_owned, owned_task, ref_of, requeue_task

# How SageMaker begins the reason of a job that failed because there was no machine for it.
NO_INSTANCE = "CapacityError"


def file_written(ports: Ports, key: str) -> None:
    """Act on a file that a worker wrote.

    Raises:
        Transient: try again later.
    """
    parts = s3_keys.parse_task_file(key)
    if parts is None:
        return
    if parts.file_name == RESULT_FILE:
        task_ended(ports, parts.attempt_id, parts.task_id)
    elif parts.file_name.startswith("progress-"):
        _progressed(ports, key)


def _ref(task_id: str) -> TaskRef | None:
    job_id, _, number = task_id.rpartition("-")
    return TaskRef(job_id=job_id, number=int(number)) if job_id and number.isdigit() else None


def _progressed(ports: Ports, key: str) -> None:
    try:
        progress = Progress.from_json(ports.files.read(ports.settings.work_bucket, key))
    except (Missing, ValidationError) as error:
        ports.tell("progress-unreadable", {"key": key, "error": str(error)})
        return
    ref = _ref(progress.task_id)
    record = ports.ledger.get(task_key(ref)) if ref else None
    if record is None:
        return
    task = record.document
    if task.attempt_id != progress.attempt_id or task.state != State.RUNNING:
        return
    if progress.percent < task.percent:
        return  # an event that was overtaken
    moved = task.model_copy(
        update={
            "percent": progress.percent,
            "expected_seconds_left": progress.expected_seconds_left,
        }
    )
    try:
        if progress.percent > task.percent:
            ports.ledger.commit(Put(record.key, moved, record.revision))
    except Conflict:
        return  # progress is a courtesy: the next one will do
    publish.status(ports, task.job_id)


def task_ended(ports: Ports, attempt_id: str, task_id: str, *, job_has_ended: bool = False) -> None:
    """Publish a task's result, once.

    Args:
        job_has_ended: nothing more will be uploaded, so a file that is not there never comes.

    Raises:
        Transient: the result is there but its video is not yet, or the table is being fought over.
    """
    ref = _ref(task_id)
    if ref is None:
        ports.tell("result-of-no-task", {"task_id": task_id})
        return
    for _ in range(RETRIES):
        record = ports.ledger.get(task_key(ref))
        if record is None:
            ports.tell("result-of-no-task", {"task_id": task_id})
            return
        task = record.document
        if task.state != State.RUNNING or task.attempt_id != attempt_id:
            ports.tell("result-is-stale", {"task_id": task_id, "attempt_id": attempt_id})
            break
        try:
            try:
                rendered = _verified(ports, task, attempt_id, job_has_ended)
                _publish(ports, record, rendered)
                close_task(ports, record, State.SUCCEEDED, warnings=rendered.warnings)
            except TaskFailed as failure:
                close_task(ports, record, State.FAILED, problem=failure.problems[0])
            break
        except Conflict:
            continue
    else:
        raise Conflict(f"{task_id} is being fought over")
    publish.settle(ports, ref.job_id)


def _verified(ports: Ports, task: Task, attempt_id: str, job_has_ended: bool) -> Rendered:
    """The worker's result, once its files are in S3 as the worker wrote them.

    Raises:
        TaskFailed: the worker says so, or the files are not what it says.
        Transient: a file is not there yet.
    """
    work = ports.settings.work_bucket
    try:
        body = ports.files.read(work, s3_keys.task_result(attempt_id, task.task_id))
        outcome = Outcome.from_json(body).result
    except Missing:
        raise Transient(f"no result of {task.task_id}") from None
    except ValidationError as error:
        ports.tell("result-unreadable", {"task_id": task.task_id, "error": str(error)})
        raise TaskFailed(
            Problem(
                code=Code.RESULT_INVALID,
                message="The renderer's result cannot be read.",
                hint="Whoever runs this reeldrop finds more in the log. Drop the file again.",
            )
        ) from None
    if not isinstance(outcome, Rendered):
        ports.tell("task-failed", {"task_id": task.task_id, "detail": outcome.detail})
        raise TaskFailed(outcome.problem)
    files = {VIDEO_FILE: outcome.video.sha256, POSTER_FILE: outcome.poster_sha256}
    if outcome.gif_sha256 is not None:
        files[GIF_FILE] = outcome.gif_sha256
    for file_name, sha256 in files.items():
        key = s3_keys.task_file(attempt_id, task.task_id, file_name)
        found = None
        try:
            found = ports.files.sha256(work, key)
        except Missing:
            if not job_has_ended:
                # The order in which SageMaker uploads files is not promised.
                raise Transient(f"{key} is not there yet") from None
        if found != sha256:
            raise TaskFailed(
                Problem(
                    code=Code.VIDEO_DAMAGED,
                    message=f"The file {file_name} is not what the renderer wrote.",
                    hint="Drop the file again.",
                )
            )
    return outcome


def _publish(ports: Ports, record: Record[Task], rendered: Rendered) -> None:
    task = record.document
    job = ports.ledger.get(job_key(task.job_id))
    assert job is not None  # tasks are committed together with their job
    settings = ports.settings
    at = s3_keys.published(job.document.path, task.number, job.document.task_count)
    files = [(VIDEO_FILE, at.video, "video/mp4"), (POSTER_FILE, at.poster, "image/jpeg")]
    if rendered.gif_sha256 is not None:
        files.append((GIF_FILE, at.gif, "image/gif"))
    for file_name, key, content_type in files:
        source = s3_keys.task_file(rendered.attempt_id, task.task_id, file_name)
        ports.files.copy(
            (settings.work_bucket, source, None), (settings.output_bucket, key), content_type
        )
    document = sidecar_of(
        job.document,
        task,
        rendered,
        bucket=settings.output_bucket,
        licence=MODELS[rendered.model].licence,
    )
    ports.files.write(
        settings.output_bucket, at.sidecar, document.to_json().encode(), "application/json"
    )


def attempt_ended(ports: Ports, attempt_id: str) -> None:
    """Act on a processing job that is said to have ended.

    Every task of it that has a result is published; the others get a new attempt, or fail when
    they have had all of theirs.

    Raises:
        Transient: try again later.
    """
    record = ports.ledger.get(attempt_key(attempt_id))
    if record is None:
        return
    status = ports.renderer.status(attempt_id)
    if status is None or not status.ended:
        ports.tell("not-ended", {"attempt_id": attempt_id})
        return
    reason = f"the processing job {status.status.lower()}"
    if status.reason:
        reason += f": {status.reason}"
    close_attempt(ports, record, reason)


def close_attempt(ports: Ports, record: Record[Attempt], reason: str) -> None:
    """Publish or give a new attempt to each task of an ended processing job, then end it.

    The worker takes its tasks in order, so the first one without a result is the one that was
    being rendered: only that one's attempt counts. None counts when no machine was to be had.
    """
    attempt = record.document
    found = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
    tasks = [task.document for task in found if task is not None]
    in_work = None if NO_INSTANCE in reason else _in_work(ports, attempt, tasks)
    for ref in (ref_of(t) for t in tasks if is_owned(t, attempt)):
        task = owned_task(ports, attempt, ref)
        if task is None:
            continue
        if _has_result(ports, attempt, task.document):
            task_ended(ports, attempt.attempt_id, task.document.task_id, job_has_ended=True)
        elif ref == in_work and task.document.attempts >= ports.settings.max_attempts:
            _give_up(ports, attempt, task.document, reason)
        else:
            charge = ref == in_work
            requeue_task(ports, attempt, ref, charge=charge, reason=f"new attempt: {reason}")
            ports.tell("new-attempt", {"task_id": task.document.task_id, "reason": reason})
        publish.settle(ports, ref.job_id)
    end_attempt(ports, attempt.attempt_id, refused=reason if NO_INSTANCE in reason else "")
    ports.tell("attempt-ended", {"attempt_id": attempt.attempt_id, "reason": reason})
    ports.wake()
    learn(ports, attempt, tasks)


def results_waiting(ports: Ports, attempt: Attempt) -> None:
    """Publish the results of a running processing job whose events did not come.

    Raises:
        Transient: try again later.
    """
    tasks = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
    running = [t.document for t in tasks if t and is_owned(t.document, attempt)]
    # A listing and not a look at each: there are many tasks, and this is asked every few minutes.
    prefix = f"{s3_keys.attempt_output(attempt.attempt_id)}/"
    there = {found.key for found in ports.files.listed(ports.settings.work_bucket, prefix)}
    for task in running:
        if s3_keys.task_result(attempt.attempt_id, task.task_id) in there:
            task_ended(ports, attempt.attempt_id, task.task_id)


def _has_result(ports: Ports, attempt: Attempt, task: Task) -> bool:
    key = s3_keys.task_result(attempt.attempt_id, task.task_id)
    try:
        ports.files.facts(ports.settings.work_bucket, key)
    except Missing:
        return False
    return True


def _in_work(ports: Ports, attempt: Attempt, tasks: Sequence[Task]) -> TaskRef | None:
    """The first task without a result; the same one whenever this is asked again."""
    for task in tasks:
        done = task.state == State.SUCCEEDED and task.attempt_id == attempt.attempt_id
        if not done and not _has_result(ports, attempt, task):
            return ref_of(task)
    return None


def _give_up(ports: Ports, attempt: Attempt, task: Task, reason: str) -> None:
    problem = Problem(
        code=Code.WORKER_STOPPED,
        message=f"Rendering was tried {task.attempts} times and stopped each time; "
        f"the last time {reason[:400]}.",
        hint="Drop the file again later; whoever runs this reeldrop finds more in the log.",
    )
    fail_task(ports, attempt, ref_of(task), problem)
