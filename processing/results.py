"""result.json: reads and writes the result of each task, and says why a task failed."""

import errno
import sys
import traceback
from datetime import UTC, datetime

from pydantic import ValidationError

from contract.errors import Code, Failure, Problem
from contract.manifest import Layout, Manifest, ManifestTask
from contract.outcome import PUBLISHED_FILES, RESULT_FILE, Failed, Outcome, Rendered
from processing import files, progress


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
    """Write the result of a task whose files are all in place.

    Raises:
        OSError: The file cannot be written.
    """
    _write(layout, result)
    progress.emit("task-succeeded", task_id=result.task_id, seconds=result.seconds.model_dump())


def write_failure(
    layout: Layout,
    manifest: Manifest,
    task: ManifestTask,
    *,
    started_at: datetime,
    error: Exception,
) -> None:
    """Remove what `task` has written so far, and write that it failed.

    Args:
        layout: The worker's folders.
        manifest: The manifest that the task belongs to.
        task: The task that failed.
        started_at: When the worker started on it.
        error: Why it failed. Its traceback goes to stderr and into the result.

    Raises:
        OSError: The result cannot be written.
    """
    folder = layout.task_output(task.task_id)
    # A failed task has no video. On a full disk, this also makes room for the result.
    files.remove_parts(folder)
    for name in PUBLISHED_FILES:
        (folder / name).unlink(missing_ok=True)
    problem = _problem(error)
    detail = "".join(traceback.format_exception(error))
    print(detail, file=sys.stderr, flush=True)
    _write(
        layout,
        Failed(
            attempt_id=manifest.attempt_id,
            task_id=task.task_id,
            started_at=started_at,
            finished_at=now(),
            problem=problem,
            detail=detail,
        ),
    )
    progress.emit(
        "task-failed", task_id=task.task_id, code=problem.code, message=problem.sentence()
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
