"""`reeldrop validate FILE...`: checks job specs as the bucket would, without a cloud or a GPU.

The functions' own code reads the specs and the references. Only the prompt is not enhanced,
because that needs Bedrock.
"""

import posixpath
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from contract.catalogue import Mode
from functions import s3_keys
from functions.adapters.child_reader import ChildReader
from functions.planning.estimate import cost_by_type
from functions.replies import words
from functions.replies.verdict import Verdict, costs_something, verdict_of
from functions.spec.fields import JobSpec, parameters_of
from functions.table.records import Learned
from local.command.jobs_folder import JobsFolder

# The default for the number of tasks in one processing job (stacks/config.py).
MAX_TASKS = 128


STDIN = Path("-")
_STDIN_NAME = "standard-input.yaml"


def validate(
    files: Sequence[Path],
    *,
    default_model: str,
    instance_type: str = "ml.g6e.xlarge",
    finishing_instance_type: str = "ml.c5.2xlarge",
) -> list[Verdict]:
    """Check each file as if it had been dropped.

    Args:
        files: the files to check, folders whose specs are checked, or `-` for standard input.
        default_model: the default model of the deployment.
        instance_type: the instance type that costs are estimated for, without any measured rates.
        finishing_instance_type: the same for clips that are only finished.

    Returns:
        One verdict for each file, in the same order.
    """
    verdicts = []

    def type_for(mode: Mode) -> str:
        return finishing_instance_type if mode == Mode.FINISHING else instance_type

    for file, jobs in _opened(files):
        verdict, makings = verdict_of(
            jobs, ChildReader(), jobs.key(file), name=str(file), default_model=default_model
        )
        if costs_something(makings, default_model):
            cost = cost_by_type(Learned(), makings, type_for, tasks=MAX_TASKS)
            verdict = verdict.model_copy(update={"cost": cost})
        verdicts.append(verdict)
    return verdicts


def _opened(files: Sequence[Path]) -> Iterator[tuple[Path, JobsFolder]]:
    """Each file to check, with the folder that stands for jobs/."""
    for file in files:
        if file == STDIN:
            here = JobsFolder.around(Path.cwd() / _STDIN_NAME)
            key = here.key(Path.cwd() / _STDIN_NAME)
            yield Path(_STDIN_NAME), JobsFolder(here.root, {key: sys.stdin.buffer.read()})
        elif file.is_dir():
            inside = JobsFolder.around(file.resolve() / "any")
            for found in sorted(file.rglob("*")):
                kind = s3_keys.kind_of(inside.key(found))
                if found.is_file() and kind not in {s3_keys.Kind.IGNORED, s3_keys.Kind.REFERENCE}:
                    yield found, inside
        else:
            yield file, JobsFolder.around(file)


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print verdicts for a person."""

    def show_line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    for verdict in verdicts:
        for error in verdict.errors:
            place = (error.file or verdict.file, error.line, error.column)
            at = ":".join(str(part) for part in place if part is not None)
            show_line(f"{at}: {error.message}")
            show_line(f"    {error.hint}  [{error.code}]")
        if verdict.tasks and not verdict.ok:
            good = words.videos(len(verdict.tasks))
            show_line(f"{verdict.file}: its other rows are good, {good}")
        if verdict.ok:
            count = len(verdict.tasks)
            planned = any(t.dry_run or t.enhance == "review" for t in verdict.tasks)
            only = ", but this spec asks only for a plan" if planned else ""
            show_line(f"{verdict.file}: good, {count} video{'' if count == 1 else 's'}{only}")
        if verdict.cost is not None:
            show_line(f"  {words.cost(verdict.cost)}")
        for number, task in enumerate(verdict.tasks, 1):
            show_line(f"  {number:>2}  {_in_words(task)}")
        for warning in verdict.warnings:
            show_line(f"  note: {warning.message}")


def _in_words(task: JobSpec) -> str:
    if task.model is None:
        length = "" if task.fps is None else f" at {task.fps} fps"
        return f"{posixpath.basename(task.video or '')}, finished{length}, without a model"
    return (
        f"{task.model}, {task.height} x {task.width} (height x width), "
        f"{words.length(parameters_of(task))}, {task.num_inference_steps} steps, "
        f"guidance {task.guidance_scale:g}, seed {task.seed}"
    )
