"""Publishes each video when the worker has finished it, and closes attempts that have ended.

A result counts only if it comes from the attempt that owns the task now. Publishing copies the
same bytes to the same keys, the sidecar last. After that the table is changed, in one commit with
the mail that is then owed. So each step can be repeated. If a handler is killed between two steps,
the next one completes the rest.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from pydantic import ValidationError

from contract.catalogue import MODELS
from contract.errors import Failure, TaskFailed, Transient
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    POSTER_FILE,
    RESULT_FILE,
    VIDEO_FILE,
    WEBM_FILE,
    Failed,
    Outcome,
    Progress,
    Rendered,
    VideoFacts,
    sample_file,
    scene_file,
)
from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import Missing, WithFiles, WithWake, keys_below
from functions.replies import problems, publish
from functions.replies.sidecar import sidecar_of
from functions.settings import WithSettings
from functions.spec.guardrail import MOST_PICTURES, GuardrailUnavailable, WithGuardrail
from functions.stages.judging import judges_pictures
from functions.stages.learning import learn
from functions.stages.renderer import WithRenderer
from functions.stages.signing import CannotSign, Result, Signed, WithSigner, signed_files
from functions.table.attempts import end_attempt
from functions.table.health import count_end
from functions.table.ledger import (
    Conflict,
    Put,
    Record,
    WithLedger,
    attempt_key,
    job_key,
    retried,
    task_key,
)
from functions.table.records import (
    FIRST_IS_SUSPECT,
    Attempt,
    Ending,
    FailureKind,
    Health,
    Hold,
    HoldReason,
    Job,
    State,
    Task,
    TaskRef,
)
from functions.table.tasks import (
    fail_owned_task,
    fail_task,
    owned_task,
    requeue_task,
    succeed_task,
)


class NeedsForResults(publish.Needs, WithGuardrail, WithSigner, WithLog, Protocol):
    """What publishing results uses."""


class Needs(NeedsForResults, WithRenderer, WithWake, Protocol):
    """What closing an attempt uses."""


# SageMaker uploads the files of a task within seconds of each other, in any order.
UPLOADED_WITHIN = timedelta(minutes=3)


class _NotUploaded(Transient):
    """A file of a result is not in S3 yet."""


class NeedsForFiles(WithLedger, WithFiles, WithSettings, WithLog, Protocol):
    """What checking and copying a result's files uses."""


def file_written(ports: NeedsForResults, key: str) -> None:
    """Act on a file that a worker wrote.

    Raises:
        Transient: try again later.
    """
    parts = s3_keys.parse_task_file(key)
    if parts is None:
        return
    if parts.file_name == RESULT_FILE:
        try:
            task_ended(ports, parts.attempt_id, parts.task_id)
        except _NotUploaded:
            if not _is_old(ports, key):
                raise
            # Trying it again and again would make the message a dead letter. Each sweep looks at
            # it, and the end of the processing job decides.
            ports.log(Event.RESULT_INCOMPLETE, {"task_id": parts.task_id})
    elif parts.file_name.startswith("progress-"):
        _progressed(ports, key)


def _is_old(ports: NeedsForResults, result: str) -> bool:
    """Whether a result was written so long ago that files which are missing may never come."""
    try:
        facts = ports.files.facts(ports.settings.work_bucket, result)
    except Missing:
        return True  # its event came, so it was deleted
    return ports.now() - facts.modified_at > UPLOADED_WITHIN


def _ref(task_id: str) -> TaskRef | None:
    job_id, _, number = task_id.rpartition("-")
    return TaskRef(job_id=job_id, number=int(number)) if job_id and number.isdigit() else None


def _progressed(ports: NeedsForResults, key: str) -> None:
    try:
        progress = Progress.from_json(ports.files.read(ports.settings.work_bucket, key))
    except (Missing, ValidationError) as error:
        ports.log(Event.PROGRESS_UNREADABLE, {"key": key, "error": str(error)})
        return
    ref = _ref(progress.task_id)
    record = ports.ledger.get(task_key(ref)) if ref else None
    if record is None or not record.document.owned_by(progress.attempt_id):
        return
    task = record.document
    if progress.percent < task.percent:
        return  # the event of a later progress file came first
    try:
        if progress.percent > task.percent:
            moved = task.progressed(
                progress.percent, progress.expected_seconds_left, progress.scene
            )
            ports.ledger.commit(Put(record.key, moved, record.revision))
    except Conflict:
        return  # another handler changed the task; the next progress file shows its progress
    publish.publish_status(ports, task.job_id)


def task_ended(
    ports: NeedsForResults, attempt_id: str, task_id: str, *, job_has_ended: bool = False
) -> None:
    """Publish a task's result, once.

    Args:
        job_has_ended: whether the processing job has ended. Then nothing more is uploaded, so a
            missing file will never come.

    Raises:
        Transient: the video is not uploaded yet, or the table kept changing.
    """
    ref = _ref(task_id)
    end = partial(_end_task, ports, ref, attempt_id, job_has_ended=job_has_ended)
    if ref is None or not retried(task_id, end):
        ports.log(Event.RESULT_OF_NO_TASK, {"task_id": task_id})
        return
    publish.settle(ports, ref.job_id)


def _end_task(
    ports: NeedsForResults, ref: TaskRef | None, attempt_id: str, *, job_has_ended: bool
) -> bool:
    """Publish a task's result and end the task. Returns whether there is such a task."""
    record = ports.ledger.get(task_key(ref)) if ref else None
    if record is None:
        return False
    task = record.document
    if not task.owned_by(attempt_id):
        ports.log(Event.RESULT_IS_STALE, {"task_id": task.task_id, "attempt_id": attempt_id})
        return True
    try:
        outcome = _outcome(ports, task, attempt_id)
        if isinstance(outcome, Failed):
            kept = _keep_scenes(ports, task, outcome, job_has_ended=job_has_ended)
            fail_task(ports, record, outcome.problem, kept)
            return True
        _verify(ports, task, attempt_id, outcome.files, job_has_ended=job_has_ended)
        _judge(ports, task, outcome)
        source = outcome.weights_source
        revision = source.revision if source else None
        result = Result(attempt_id, task, outcome.files, revision, outcome.source_type)
        _publish(ports, task, outcome, signed_files(ports, result))
    except CannotSign as error:
        _hold_back(ports, record, f"it cannot be signed: {error}")
        ports.log(Event.NOT_SIGNED, {"task_id": task.task_id, "reason": str(error)})
    except GuardrailUnavailable as error:
        _hold_back(ports, record, f"the guardrail does not answer: {error}")
        ports.log(Event.NOT_JUDGED, {"task_id": task.task_id, "reason": str(error)})
    except TaskFailed as failure:
        fail_task(ports, record, failure.problems[0])
    else:
        succeed_task(ports, record, outcome.warnings)
    return True


def _verify(
    ports: NeedsForFiles,
    task: Task,
    attempt_id: str,
    files: Mapping[str, str],
    *,
    job_has_ended: bool,
) -> None:
    """Check that files of a task are in S3 as the worker wrote them.

    Args:
        files: the SHA-256 of each, by its name.

    Raises:
        TaskFailed: the files are not what it wrote.
        Transient: a file is not uploaded yet.
    """
    for file_name, sha256 in files.items():
        key = s3_keys.task_file(attempt_id, task.task_id, file_name)
        found = None
        try:
            found = ports.files.sha256(ports.settings.work_bucket, key)
        except Missing:
            if not job_has_ended:
                raise _NotUploaded(f"{key} is not uploaded yet") from None
        if found != sha256:
            raise TaskFailed(problems.video_damaged(file_name))


def _keep_scenes(ports: NeedsForResults, task: Task, failed: Failed, *, job_has_ended: bool) -> int:
    """Publish the scenes before one that failed, each as a video of its own.

    If they cannot be published, the task fails for its own reason all the same.

    Returns:
        How many scenes are published.

    Raises:
        CannotSign, GuardrailUnavailable: they cannot be published now.
        Transient: a file is not uploaded yet.
    """
    clips = {scene_file(n): sha256 for n, sha256 in enumerate(failed.scene_clips_sha256, 1)}
    if not clips:
        return 0
    attempt_id = failed.attempt_id
    try:
        _verify(ports, task, attempt_id, clips, job_has_ended=job_has_ended)
        if judges_pictures(ports.settings):
            _judge_pictures(ports, task, _frames_of(ports, task, attempt_id, list(clips)))
    except Failure as failure:
        ports.log(Event.SCENES_NOT_KEPT, {"task_id": task.task_id, "reason": str(failure)})
        return 0
    signed = signed_files(ports, Result(attempt_id, task, clips))
    _copy_files(ports, task, attempt_id, clips, signed)
    return len(clips)


def _frames_of(
    ports: NeedsForResults, task: Task, attempt_id: str, clips: Sequence[str]
) -> list[bytes]:
    """Some frames of each of several clips, as many as the guardrail takes together.

    The samples of the worker are frames of the whole video, which was not made.
    """
    most = MOST_PICTURES // len(clips)
    found: list[bytes] = []
    for name in clips:
        key = s3_keys.task_file(attempt_id, task.task_id, name)
        frames = ports.reader.previews(ports.files.read(ports.settings.work_bucket, key), name)
        found += frames[:: max(1, math.ceil(len(frames) / most))]
    return found


def _judge(ports: NeedsForResults, task: Task, rendered: Rendered) -> None:
    """Have the guardrail judge frames of a finished video, before anybody can see it.

    Raises:
        TaskFailed: the guardrail blocks it.
        GuardrailUnavailable: there is no judgement.
    """
    if not judges_pictures(ports.settings):
        return
    count = len(rendered.samples_sha256)
    # A task that was started before there was a guardrail has no samples.
    names = [sample_file(number) for number in range(1, count + 1)] or [POSTER_FILE]
    keys = [s3_keys.task_file(rendered.attempt_id, task.task_id, name) for name in names]
    pictures = [ports.files.read(ports.settings.work_bucket, key) for key in keys]
    _judge_pictures(ports, task, pictures)


def _judge_pictures(ports: NeedsForResults, task: Task, pictures: Sequence[bytes]) -> None:
    judgement = ports.guardrail.judge_pictures(pictures)
    if judgement.blocked:
        raise TaskFailed(
            problems.video_blocked(judgement.reasons, prompted=task.spec.model is not None)
        )


def _hold_back(ports: NeedsForResults, record: Record[Task], reason: str) -> None:
    """Note why a finished video cannot be published now. The next sweep tries it again."""
    if record.document.unpublished_because != reason:
        ports.ledger.commit(Put(record.key, record.document.held_back(reason), record.revision))


def _outcome(ports: NeedsForFiles, task: Task, attempt_id: str) -> Rendered | Failed:
    """Read what the worker wrote about a task.

    Raises:
        TaskFailed: it cannot be read.
        Transient: there is no result yet.
    """
    key = s3_keys.task_result(attempt_id, task.task_id)
    try:
        outcome = Outcome.from_json(ports.files.read(ports.settings.work_bucket, key)).result
    except Missing:
        raise _NotUploaded(f"{task.task_id} has no result yet") from None
    except ValidationError as error:
        ports.log(Event.RESULT_UNREADABLE, {"task_id": task.task_id, "error": str(error)})
        raise TaskFailed(problems.result_invalid()) from None
    if isinstance(outcome, Failed):
        ports.log(Event.TASK_FAILED, {"task_id": task.task_id, "detail": outcome.detail})
    return outcome


def _publish(
    ports: NeedsForFiles, task: Task, rendered: Rendered, signed: Mapping[str, Signed]
) -> None:
    settings = ports.settings
    job, mark = _copy_files(ports, task, rendered.attempt_id, rendered.files, signed)
    clips = [scene_file(number) for number in range(1, len(rendered.scenes) + 1)]
    document = sidecar_of(
        job,
        task,
        rendered,
        _facts_of_video(rendered, signed.get(VIDEO_FILE)),
        {
            name: signed[name].sha256 if name in signed else rendered.files[name]
            for name in clips
            if name in rendered.files
        },
        bucket=settings.output_bucket,
        licence=MODELS[rendered.model].licence if rendered.model else None,
    )
    ports.files.write(
        settings.output_bucket,
        s3_keys.published(job.path, task.number, job.task_count).sidecar,
        document.to_json().encode(),
        "application/json",
        mark=mark,
    )


def _copy_files(
    ports: NeedsForFiles,
    task: Task,
    attempt_id: str,
    files: Iterable[str],
    signed: Mapping[str, Signed],
) -> tuple[Job, str]:
    """Copy files of a result to the output bucket.

    Args:
        files: their names. Those that are not for people are left out.
        signed: the signed files that are copied in the place of some.

    Returns:
        The job, and the mark by which a file tells from which result it is.
    """
    record = ports.ledger.get(job_key(task.job_id))
    assert record is not None  # tasks are committed together with their job
    job, settings = record.document, ports.settings
    at = s3_keys.published(job.path, task.number, job.task_count)
    # Two handlers may be here at the same time: one for the result, and one for the end of the job.
    # If the key of the deployment came or went between two of them, the later one is right.
    mark = f"{attempt_id} {task.task_id}{' signed' if signed else ''}"
    scenes = range(1, len(task.parameters.scenes) + 1)
    for file_name, key, content_type in (
        (VIDEO_FILE, at.video, "video/mp4"),
        (POSTER_FILE, at.poster, "image/jpeg"),
        (GIF_FILE, at.gif, "image/gif"),
        (H265_FILE, at.h265, "video/mp4"),
        (WEBM_FILE, at.webm, "video/webm"),
        *((scene_file(number), at.scene(number), "video/mp4") for number in scenes),
    ):
        if file_name not in files:
            continue
        source = s3_keys.task_file(attempt_id, task.task_id, file_name)
        if file_name in signed:
            source = signed[file_name].key
        ports.files.copy(
            (settings.work_bucket, source, None),
            (settings.output_bucket, key),
            content_type,
            mark=mark,
        )
    return job, mark


def _facts_of_video(rendered: Rendered, signed: Signed | None) -> VideoFacts:
    """The properties of the MP4 that is published."""
    if signed is None:
        return rendered.video
    return rendered.video.signed(signed.sha256, signed.size_bytes)


def attempt_ended(ports: Needs, attempt_id: str) -> None:
    """Act on an event that says that a processing job has ended, if SageMaker confirms it.

    The tasks that have a result are published. The others return to the queue for a new attempt,
    or fail if they have had all of their attempts.

    Raises:
        Transient: try again later.
    """
    record = ports.ledger.get(attempt_key(attempt_id))
    if record is None:
        return
    status = ports.renderer.status(attempt_id)
    if status is None or not status.state.ended:
        ports.log(Event.NOT_ENDED, {"attempt_id": attempt_id})
        return
    how = Ending(state=status.state, detail=status.detail, failure=status.failure)
    close_attempt(ports, record.document, how)


def close_attempt(ports: Needs, attempt: Attempt, how: Ending) -> None:
    """Publish or requeue each task of an ended processing job, then end its attempt.

    The worker renders its tasks in order, so the first task without a result was in work. Only that
    task is charged for the attempt. It may be the wrong one, because the worker writes the files of
    a task while it renders the next one. In its next attempt it is in work alone
    (`ManifestTask.interrupted`), so it is charged again only if it is the cause. No task is charged
    if SageMaker had no instance. If the processing job ended without a sign of life, the end says
    something about the deployment, and it is counted in the health of the model (table/health.py).

    While a video cannot be published, for example because the guardrail does not answer, the
    attempt stays open and keeps its place: nothing is rendered that could not be published either.

    Args:
        how: how the processing job ended.

    Raises:
        Transient: try again later.
    """
    no_instance = how.failure == FailureKind.NO_INSTANCE
    found = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
    tasks = [task.document for task in found if task is not None]
    owned = [task.ref for task in tasks if task.owned_by(attempt.attempt_id)]
    written = _written(ports, attempt)
    silent = not written and not no_instance and how.state is not None
    health = Health()
    if written or (silent and owned):
        health = count_end(ports, attempt, how, alive=bool(written), tasks=len(owned))
    in_work = None if no_instance else _in_work(attempt, tasks, written)
    end = _End(how, written, in_work, silent, health)
    for ref in owned:
        task = owned_task(ports, attempt.attempt_id, ref)
        if task is not None:
            _close_task(ports, attempt, task.document, end)
            publish.settle(ports, ref.job_id)
    if any(owned_task(ports, attempt.attempt_id, ref) for ref in owned):
        return  # a video cannot be published now; each sweep comes here again
    end_attempt(ports, attempt.attempt_id, no_instance=no_instance)
    ports.log(Event.ATTEMPT_ENDED, {"attempt_id": attempt.attempt_id, **_facts(how)})
    ports.wake()
    learn(ports, attempt, tasks)


@dataclass(frozen=True)
class _End:
    """What is known about the end of a processing job."""

    how: Ending
    written: frozenset[str]
    """The keys of all files that it wrote."""
    in_work: TaskRef | None
    """The task that is charged for it."""
    silent: bool
    """Whether it ended without a sign of life, although it had an instance."""
    health: Health
    """The health of the model after it."""


def _close_task(ports: Needs, attempt: Attempt, task: Task, end: _End) -> None:
    charge = task.ref == end.in_work
    if s3_keys.task_result(attempt.attempt_id, task.task_id) in end.written:
        task_ended(ports, attempt.attempt_id, task.task_id, job_has_ended=True)
    elif end.silent:
        _close_suspect(ports, attempt, task, end, FIRST_IS_SUSPECT if charge else 1)
    elif charge and task.attempts >= ports.settings.max_attempts:
        fail_owned_task(ports, attempt, task.ref, problems.worker_stopped(task.attempts, end.how))
    else:
        hold = Hold(reason=HoldReason.NEW_ATTEMPT, ending=end.how)
        requeue_task(ports, attempt, task.ref, charge=charge, hold=hold)
        ports.log(Event.NEW_ATTEMPT, {"task_id": task.task_id, **_facts(end.how)})


def _close_suspect(ports: Needs, attempt: Attempt, task: Task, end: _End, suspicion: int) -> None:
    """Return a task of a processing job without a sign of life to the queue.

    It fails only if the deployment is known to work: if it has been the first task of enough such
    processing jobs, and one with other tasks has shown a sign of life since the first of them.
    """
    tried = (task.suspicion + suspicion) // FIRST_IS_SUSPECT
    alive_at, since = end.health.alive_at, task.suspected_since
    if tried >= ports.settings.max_attempts and alive_at and since and alive_at > since:
        fail_owned_task(ports, attempt, task.ref, problems.worker_stopped(tried, end.how))
        return
    hold = end.health.hold or Hold(reason=HoldReason.NEW_ATTEMPT, ending=end.how)
    requeue_task(ports, attempt, task.ref, charge=False, hold=hold, suspicion=suspicion)


def _facts(how: Ending) -> dict[str, object]:
    return {"state": how.state.value if how.state else None, "reason": how.detail}


def results_waiting(ports: NeedsForResults, attempt: Attempt) -> None:
    """Publish the results of a running processing job whose events did not come.

    Results that are not complete yet are left out.

    Raises:
        Transient: try again later.
    """
    tasks = ports.ledger.get_all([task_key(ref) for ref in attempt.tasks])
    running = [t.document for t in tasks if t and t.document.owned_by(attempt.attempt_id)]
    written = _written(ports, attempt)
    for task in running:
        if s3_keys.task_result(attempt.attempt_id, task.task_id) in written:
            with suppress(_NotUploaded):
                task_ended(ports, attempt.attempt_id, task.task_id)


def _written(ports: NeedsForFiles, attempt: Attempt) -> frozenset[str]:
    """The keys of all files that a processing job has written so far.

    One listing is cheaper than a call for each task.
    """
    prefix = s3_keys.attempt_outputs(attempt.attempt_id)
    return frozenset(keys_below(ports, ports.settings.work_bucket, prefix))


def _in_work(attempt: Attempt, tasks: Sequence[Task], written: frozenset[str]) -> TaskRef | None:
    """The first task without a result.

    The answer does not change when a handler runs again, because a published task still counts as
    one with a result.
    """
    for task in tasks:
        done = task.state == State.SUCCEEDED and task.attempt_id == attempt.attempt_id
        result = s3_keys.task_result(attempt.attempt_id, task.task_id)
        if not done and result not in written:
            return task.ref
    return None
