"""Builds rejected/<path>.txt: what is wrong with a drop, where, and how to fix it."""

from contract.errors import Code, one_line
from functions import s3_keys
from functions.table.records import Job

# Errors about the name of a drop, and not about its content.
_NAME = {Code.KEY_SUFFIX, Code.KEY_TOO_DEEP, Code.KEY_CHARACTER, Code.NAME_TAKEN}


def refusal_of(job: Job) -> str:
    """The text of rejected/<path>.txt for a rejected job."""
    defaults = s3_keys.kind_of(job.source.key) == s3_keys.Kind.DEFAULTS
    what = "cannot be used as folder defaults" if defaults else "was not turned into a video"
    lines = [f"{job.source.key} {what}.", ""]
    for problem in job.problems:
        place = problem.place
        where = [f"file {place.file}"] if place.file is not None else []
        where += [f"line {place.line}"] if place.line is not None else []
        where += [f"column {place.column}"] if place.column is not None else []
        where += [f"field {place.field}"] if place.field else []
        lines += [
            f"What:  {problem.message}",
            *([f"Where: {', '.join(where)}"] if where else []),
            f"Fix:   {problem.hint}",
            f"Code:  {problem.code}",
            "",
        ]
    lines.append(f"{_again(job)} Job {job.job_id}, {job.updated_at:%Y-%m-%d %H:%M:%S} UTC.")
    return "\n".join(one_line(line) for line in lines) + "\n"


def _again(job: Job) -> str:
    """What to do after everything is corrected."""
    if any(problem.code in _NAME for problem in job.problems):
        return "Upload the file again under a name that fits."
    blamed = {problem.place.file for problem in job.problems} - {None, job.source.key}
    if blamed:
        files = ", ".join(sorted(str(file) for file in blamed))
        return f"Correct {files}, and upload that and then {job.source.key} again."
    return "Correct the file and upload it again under the same name."
