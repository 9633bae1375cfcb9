"""result.json: reads and writes the result of each task, and says why a task failed."""

import errno
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from pydantic import ValidationError

from contract.errors import Code, Failure, Problem
from contract.manifest import Layout, Manifest, ManifestTask
from contract.outcome import (
    PUBLISHED_FILES,
    RESULT_FILE,
    Failed,
    Outcome,
    Rendered,
    scene_file,
)
from processing import files, made, progress


@dataclass(frozen=True)
class Reason:
    """Why a task failed. It is no exception, because one would keep the memory of all its callers.

    Args:
        problem: What the person is told.
        detail: The traceback.
    """

    problem: Problem
    detail: str


def now() -> datetime:
    """The time for `started_at` and `finished_at`."""
    return datetime.now(UTC)


def has_result(layout: Layout, manifest: Manifest, task: ManifestTask) -> bool:
    """Whether this attempt has already written the result of `task`.

    A result of an earlier attempt and an unreadable one do not count.
    """
    try:
        text = (layout.task_output(task.task_id) / RESULT_FILE).read_bytes()
        return Outcome.from_json(text).result.attempt_id == manifest.attempt_id
    except (OSError, ValidationError):
        return False


def write_success(layout: Layout, result: Rendered) -> None:
    """Write the result of a task whose files are all in place, and remove its kept scenes.

    Raises:
        OSError: The file cannot be written.
    """
    _write(layout, result)
    made.forget(layout.task_scenes(result.task_id))
    progress.emit("task-succeeded", task_id=result.task_id, seconds=result.seconds.model_dump())


def reason_of(error: Exception, scene: str = "") -> Reason:
    """Why a task failed.

    Args:
        error: What happened.
        scene: The scene in which it happened, as a message names it. Empty: it concerns the video.
    """
    problem = _problem(error)
    if scene:
        problem = problem.model_copy(update={"message": f"{scene}: {problem.message}"})
    return Reason(problem, "".join(traceback.format_exception(error)))


def write_failure(
    layout: Layout,
    manifest: Manifest,
    task: ManifestTask,
    *,
    started_at: datetime,
    error: Exception,
) -> None:
    """The same as `write_reason` for an exception."""
    write_reason(layout, manifest, task, started_at=started_at, reason=reason_of(error))


def write_reason(
    layout: Layout,
    manifest: Manifest,
    task: ManifestTask,
    *,
    started_at: datetime,
    reason: Reason,
    scene_clips: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Remove what `task` has written so far, and write that it failed.

    Args:
        layout: The worker's folders.
        manifest: The manifest that the task belongs to.
        task: The task that failed.
        started_at: When the worker started on it.
        reason: Why it failed. Its detail goes to stderr and into the result.
        scene_clips: The files of the scenes that are kept, in order: name to SHA-256.

    Raises:
        OSError: The result cannot be written.
    """
    folder = layout.task_output(task.task_id)
    # A failed task has no video. On a full disk, this also makes room for the result.
    files.remove_parts(folder)
    clips = (scene_file(number) for number, _ in enumerate(task.parameters.scenes, 1))
    for name in (*PUBLISHED_FILES, *clips):
        if name not in scene_clips:
            (folder / name).unlink(missing_ok=True)
    made.forget(layout.task_scenes(task.task_id))
    print(reason.detail, file=sys.stderr, flush=True)
    _write(
        layout,
        Failed(
            attempt_id=manifest.attempt_id,
            task_id=task.task_id,
            started_at=started_at,
            finished_at=now(),
            problem=reason.problem,
            detail=reason.detail,
            scene_clips_sha256=tuple(scene_clips.values()),
        ),
    )
    progress.emit(
        "task-failed",
        task_id=task.task_id,
        code=reason.problem.code,
        message=reason.problem.sentence(),
    )


def _problem(error: Exception) -> Problem:
    """What to tell the person about `error`."""
    if isinstance(error, Failure):
        return error.problems[0]
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Problem(
            code=Code.DISK_FULL,
            message="The disk of the worker was full before the video was written.",
            hint="Drop the spec again. If it fails again, ask your administrator to give the "
            "processing job a larger volume.",
        )
    return Problem(
        code=Code.RENDER_FAILED,
        message=f"Rendering failed with {type(error).__name__}.",
        hint="Drop the spec again. If it fails again, ask your administrator to read the log of "
        "the processing job.",
    )


def _write(layout: Layout, result: Rendered | Failed) -> None:
    files.write(
        layout.task_output(result.task_id) / RESULT_FILE,
        Outcome(result=result).to_json().encode(),
    )
