"""`reeldrop validate FILE…`: what the bucket would answer to a drop, without a cloud or a GPU.

The code that reads specs and references is that of the functions. Only the prompt is not enhanced,
because that needs Bedrock.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from contract.document import Document
from contract.errors import Code, JobRejected, Notice, Place, Problem
from functions import s3_keys
from functions.adapters.child_reader import ChildReader
from functions.planning.estimate import Cost, cost_on
from functions.ports import Missing
from functions.replies.status import cost_words
from functions.spec import drop_files, resolve
from functions.spec.expand import Wanted
from functions.spec.fields import JobSpec
from functions.spec.reader import Picture
from functions.table.records import Learned
from local.command.jobs_folder import JobsFolder

# What a deployment puts into one processing job unless it is told otherwise (stacks/config.py).
MAX_TASKS = 128


class FoundError(Document):
    """One thing that is wrong with a file."""

    code: Code
    message: str
    line: int | None
    column: int | None
    hint: str
    file: str | None
    """Key of the folder defaults that are to blame, if they are."""


class Verdict(Document):
    """What there is to say of one file."""

    file: str
    ok: bool
    errors: tuple[FoundError, ...]
    warnings: tuple[Notice, ...]
    tasks: tuple[JobSpec, ...]
    """Resolved, one for each video."""
    cost: Cost | None = None
    """What they are expected to take, all together."""

    def as_plain(self) -> dict[str, Any]:
        """This verdict as plain values, without fields that have none."""
        plain = self.model_dump(mode="json")
        plain["tasks"] = [task.model_dump(mode="json", exclude_none=True) for task in self.tasks]
        return plain


def validate(
    files: Sequence[Path], *, default_model: str, instance_type: str = "ml.g6e.xlarge"
) -> list[Verdict]:
    """Look at each file as a drop. Costs are those of an instance type that has learned nothing."""
    verdicts = [_verdict(file, default_model) for file in files]
    return [
        verdict.model_copy(
            update={"cost": cost_on(Learned(), verdict.tasks, instance_type, tasks=MAX_TASKS)}
        )
        if verdict.tasks
        else verdict
        for verdict in verdicts
    ]


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print verdicts for a person."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for verdict in verdicts:
        for error in verdict.errors:
            blamed = error.file or verdict.file
            at = ":".join(str(n) for n in (blamed, error.line, error.column) if n is not None)
            say(f"{at}: {error.message}")
            say(f"    {error.hint}  [{error.code}]")
        if verdict.ok:
            count = len(verdict.tasks)
            planned = any(t.dry_run or t.enhance == "review" for t in verdict.tasks)
            only = ", which this spec only plans" if planned else ""
            say(f"{verdict.file}: good, {count} video{'' if count == 1 else 's'}{only}")
        if verdict.cost is not None:
            say(f"  {cost_words(verdict.cost)}")
        for number, task in enumerate(verdict.tasks, 1):
            say(
                f"  {number:>2}  {task.model}, {task.height} x {task.width} (height x width), "
                f"{task.num_frames} frames at {task.fps} fps, {task.num_inference_steps} steps, "
                f"guidance {task.guidance_scale:g}, seed {task.seed}"
            )
        for warning in verdict.warnings:
            say(f"  note: {warning.message}")


def _verdict(file: Path, default_model: str) -> Verdict:
    warnings: tuple[Notice, ...] = ()
    try:
        if not file.is_file():
            raise JobRejected(_no_file(file))
        inbox, reader = JobsFolder.around(file), ChildReader()
        key = inbox.key(file)
        if s3_keys.kind_of(key) == s3_keys.Kind.DEFAULTS:
            layer = drop_files.defaults(inbox, reader, key)
            return _good(file, layer.parsed.warnings, ())
        alone = drop_files.animates(inbox, reader, key)
        if s3_keys.kind_of(key) in {s3_keys.Kind.IGNORED, s3_keys.Kind.REFERENCE} and not alone:
            raise JobRejected(_no_spec(file))
        draft = drop_files.drafted(inbox, reader, key)
        # A job's id follows from the version that S3 gives it; here the key stands for it, so a
        # seed that is left open is another one than it will be.
        job_id = s3_keys.job_id("", key, "")
        wanted = drop_files.videos(draft, default_model=default_model, job_id=job_id)
        pictures, waits = _references(inbox, reader, wanted)
        warnings = (*draft.warnings, *waits)
        tasks = []
        for one in wanted:
            picture = pictures.get(one.spec.image or "")
            spec = resolve.resolve(
                one, default_model=default_model, job_id=job_id, picture=picture
            ).model_copy(update={"matrix": None, "variations": 1})
            # A prompt that is enhanced will be another one.
            resolve.check_prompt(
                spec.model_copy(update={"prompt": ""} if spec.enhance else {}), one
            )
            tasks.append(spec)
        warnings += resolve.notices(spec for spec in tasks if not spec.enhance)
    except JobRejected as rejection:
        return Verdict(
            file=str(file),
            ok=False,
            errors=tuple(_error(problem) for problem in rejection.problems),
            warnings=warnings,
            tasks=(),
        )
    return _good(file, warnings, tuple(tasks))


def _good(file: Path, warnings: tuple[Notice, ...], tasks: tuple[JobSpec, ...]) -> Verdict:
    return Verdict(file=str(file), ok=True, errors=(), warnings=warnings, tasks=tasks)


def _references(
    inbox: JobsFolder, reader: ChildReader, wanted: tuple[Wanted, ...]
) -> tuple[dict[str, Picture], tuple[Notice, ...]]:
    """The images by the name that specs have for them, and what is not there yet."""
    pictures: dict[str, Picture] = {}
    waits = []
    for one, field, key in drop_files.references(wanted):
        try:
            there = drop_files.located(inbox, key)
            found = drop_files.reference(inbox, reader, one, field, there)
        except Missing:
            message = f"{key} is not there: the job would wait for it to be uploaded."
            waits.append(Notice(code="reference-missing", message=message))
            continue
        if found.picture is not None:
            pictures[getattr(one.spec, field)] = found.picture
    return pictures, tuple(waits)


def _error(problem: Problem) -> FoundError:
    return FoundError(
        code=problem.code,
        message=problem.message,
        line=problem.place.line,
        column=problem.place.column,
        hint=problem.hint,
        file=problem.place.file,
    )


def _no_file(file: Path) -> Problem:
    return Problem(
        code=Code.KEY_SUFFIX,
        message=f"There is no file {file}.",
        hint="Check its name.",
        place=Place(),
    )


def _no_spec(file: Path) -> Problem:
    return Problem(
        code=Code.KEY_SUFFIX,
        message=f"{file} is not a job spec; dropped alone it starts nothing.",
        hint="Name a .yaml, .yml, .json or .txt file.",
        place=Place(),
    )
