"""Builds rejected/<path>.txt and failed/<path>.txt: what is wrong, where, and how to fix it."""

from collections.abc import Collection, Iterable, Sequence

from contract.errors import Code, Problem, one_line
from functions import s3_keys
from functions.replies import words
from functions.replies.status import scene_keys
from functions.table.records import Job, State, Task

# Errors about the name of a drop, and not about its content.
_NAME = {
    Code.KEY_SUFFIX, Code.KEY_TOO_DEEP, Code.KEY_CHARACTER, Code.NAME_TAKEN, Code.APPROVE_NAME,
}  # fmt: skip


def refusal_of(job: Job) -> str:
    """The text of rejected/<path>.txt for a rejected job."""
    kind, what = s3_keys.kind_of(job.source.key), "was not turned into a video"
    if kind == s3_keys.Kind.DEFAULTS:
        what = "cannot be used as folder defaults"
    elif kind == s3_keys.Kind.APPROVAL:
        what = "approves nothing"
    lines = [f"{job.source.key} {what}."]
    if job.bad_rows:
        lines = [f"{words.rows_of(job.bad_rows)} of {job.source.key} cannot be used."]
    lines += [*words.dropped_rows(job), "", *_told(job, job.problems)]
    if job.more_problems:
        lines += [f"{words.more_problems(job.more_problems)} not listed here.", ""]
    lines.append(f"{_again(job)} {_signed(job)}")
    return "\n".join(one_line(line) for line in lines) + "\n"


def failure_of(job: Job, tasks: Sequence[Task]) -> str:
    """The text of failed/<path>.txt for a failed job.

    Args:
        tasks: all tasks of the job, by number.
    """
    made = sum(task.state == State.SUCCEEDED for task in tasks)
    lines = [f"{job.source.key}: {made} of {words.videos(len(tasks))} could be made.", ""]
    numbers: dict[Problem, list[str]] = {}
    for task in tasks:
        if task.problem is not None:
            numbers.setdefault(task.problem, []).append(str(task.number))
    for problem, which in numbers.items():
        lines += [f"Video {', '.join(which)}:"] if len(tasks) > 1 else []
        lines += _told(job, [problem])
    kept = [words.scenes_kept(scene_keys(job, task)) for task in tasks if task.scenes_kept]
    lines += [*kept, ""] if kept else []
    lines.append(_signed(job))
    return "\n".join(one_line(line) for line in lines) + "\n"


def _signed(job: Job) -> str:
    return f"Job {job.job_id}, {job.updated_at:%Y-%m-%d %H:%M:%S} UTC."


def _told(job: Job, problems: Iterable[Problem]) -> list[str]:
    lines = []
    for problem in problems:
        place, unit = problem.place, words.unit_of(job, problem)
        where = [f"file {place.file}"] if place.file is not None else []
        where += [f"{unit} {place.line}"] if place.line is not None else []
        where += [f"column {place.column}"] if place.column is not None else []
        where += [f"field {place.field}"] if place.field else []
        lines += [
            f"What:  {problem.message}",
            *([f"Where: {', '.join(where)}"] if where else []),
            f"Fix:   {problem.hint}",
            f"Code:  {problem.code}",
            "",
        ]
    return lines


def _again(job: Job) -> str:
    """What to do after everything is corrected."""
    codes = {problem.code for problem in job.problems}
    if Code.KEY_PLACE in codes:
        return "Delete this file when you have uploaded it again in the right place."
    is_approval = s3_keys.kind_of(job.source.key) == s3_keys.Kind.APPROVAL
    if is_approval and Code.APPROVE_NAME not in codes:
        return "Until then, nothing is made of it."
    if codes & _NAME and not job.bad_rows:
        return "Upload the file again under a name that fits."
    return _again_corrected(job, codes)


def _again_corrected(job: Job, codes: Collection[Code]) -> str:
    blamed = {problem.place.file for problem in job.problems} - {None, job.source.key}
    if job.bad_rows and any(problem.place.file is None for problem in job.problems):
        files = "".join(f"{file} and " for file in sorted(map(str, blamed)))
        then = f"these rows. Upload {files}then" if files else "these rows and upload"
        return f"Correct {files}{then} the list again under the same name."
    if job.bad_reference is not None:
        return (
            f"Upload a corrected {job.bad_reference.key} under the same name. This job then begins "
            "again by itself. Or correct this file and upload it again."
        )
    if blamed:
        files = ", ".join(sorted(str(file) for file in blamed))
        return f"Correct {files}, and upload that and then {job.source.key} again."
    if Code.FILE_ENCRYPTED in codes:
        return "Upload the same file again under the same name."
    return "Correct the file and upload it again under the same name."
