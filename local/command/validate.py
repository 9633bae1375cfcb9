"""`reeldrop validate FILE...`: checks job specs as the bucket would, without a cloud or a GPU.

The functions' own code reads the specs and the references. Only the prompt is not enhanced,
because that needs Bedrock.
"""

import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from contract.catalogue import NO_MODEL, Mode
from contract.document import Document
from contract.errors import Code, JobRejected, Notice, Place, Problem
from functions import s3_keys
from functions.adapters.child_reader import ChildReader
from functions.planning.estimate import Cost, Making, cost_by_type
from functions.ports import Missing
from functions.replies import json_lines, words
from functions.spec import drop_files, reference_notices, resolve
from functions.spec.clip import Clip
from functions.spec.expand import Wanted
from functions.spec.fields import (
    JobSpec,
    is_only_finished,
    kind_of_reference,
    parameters_of,
    references_of,
    scene_field,
)
from functions.spec.reader import Original, Picture
from functions.table.records import Learned
from local.command.jobs_folder import JobsFolder

# The default for the number of tasks in one processing job (stacks/config.py).
MAX_TASKS = 128


class FoundError(Document):
    """One error in a file."""

    code: Code
    message: str
    line: int | None
    column: int | None
    hint: str
    file: str | None
    """The key of the folder defaults that have the error, if it is not in the file itself."""


class Verdict(Document):
    """The result of checking one file."""

    file: str
    ok: bool
    errors: tuple[FoundError, ...]
    warnings: tuple[Notice, ...]
    tasks: tuple[JobSpec, ...]
    """The resolved specs, one for each video."""
    cost: Cost | None = None
    """The expected cost of all videos together."""

    def as_plain(self) -> dict[str, Any]:
        """Return this verdict as JSON values. Fields of the specs without a value are left out."""
        plain = self.model_dump(mode="json")
        plain["tasks"] = [task.model_dump(mode="json", exclude_none=True) for task in self.tasks]
        return plain


STDIN = Path("-")
_STDIN_NAME = "standard-input.yaml"
_CLIP_NOT_READ = "{} was not read, because that needs PyAV: pipx inject reeldrop 'reeldrop[clips]'"


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
    # The demo model renders on this machine, which costs nothing.
    free = {"demo", NO_MODEL} if default_model == "demo" else {"demo"}

    def type_for(mode: Mode) -> str:
        return finishing_instance_type if mode == Mode.FINISHING else instance_type

    for file, jobs in _opened(files):
        verdict, makings = _verdict(file, jobs, default_model)
        if any(making.model not in free for making in makings):
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


def _verdict(
    file: Path, jobs: JobsFolder, default_model: str
) -> tuple[Verdict, tuple[Making, ...]]:
    """The verdict, and the videos whose cost can be told."""
    warnings: tuple[Notice, ...] = ()
    try:
        reader, key = ChildReader(), jobs.key(file)
        if not jobs.has(key):
            raise JobRejected(_no_file(file))
        if s3_keys.kind_of(key) == s3_keys.Kind.DEFAULTS:
            layer = drop_files.defaults(jobs, reader, key)
            return _good(file, layer.parsed.warnings, ()), ()
        alone = drop_files.animates(jobs, reader, key)
        if s3_keys.kind_of(key) in {s3_keys.Kind.IGNORED, s3_keys.Kind.REFERENCE} and not alone:
            raise JobRejected(_no_spec(file))
        draft = drop_files.drafted(jobs, reader, key)
        # The job id and the default seed follow from the version that S3 gives to a drop. There is
        # no version here, so a default seed differs from the one that the bucket will use.
        job_id = s3_keys.job_id("", key, "")
        wanted = drop_files.videos(draft, default_model=default_model, job_id=job_id)
        originals, missing = _references(jobs, reader, key, wanted)
        warnings = (*draft.warnings, *missing)
        tasks: list[JobSpec] = []
        makings: list[Making] = []
        for one in wanted:
            picture = _first_picture(one.spec, originals)
            video = originals.get(("video", one.spec.video or ""))
            clip = video if is_only_finished(one.spec) and isinstance(video, Clip) else None
            spec = resolve.resolve(
                one, default_model=default_model, job_id=job_id, picture=picture, clip=clip
            ).model_copy(update={"matrix": None, "variations": 1})
            # A prompt that will be enhanced cannot be checked yet.
            unknown = [""] * len(resolve.prompts_of(spec))
            resolve.check_prompt(resolve.with_prompts(spec, unknown) if spec.enhance else spec, one)
            tasks.append(spec)
            if clip is not None or spec.model is not None:
                makings.append(Making.of(spec, clip))
        warnings += reference_notices.notices(
            (spec, {one[0]: originals[one] for one in references_of(spec) if one in originals})
            for spec in tasks
        )
        warnings += resolve.notices(tasks)
    except JobRejected as rejection:
        refused = Verdict(
            file=str(file),
            ok=False,
            errors=tuple(_error(p) for p in json_lines.rejection_in(file.name, rejection).problems),
            warnings=json_lines.notices_in(file.name, warnings),
            tasks=(),
        )
        return refused, ()
    return _good(file, warnings, tuple(tasks)), tuple(makings)


def _first_picture(spec: JobSpec, originals: Mapping[tuple[str, str], Original]) -> Picture | None:
    """The image that a video starts from; None without one."""
    starts = {"image", scene_field(0, "image")}
    found = [originals.get(one) for one in references_of(spec) if one[0] in starts]
    return next((one for one in found if isinstance(one, Picture)), None)


def _good(file: Path, warnings: tuple[Notice, ...], tasks: tuple[JobSpec, ...]) -> Verdict:
    warnings = json_lines.notices_in(file.name, warnings)
    return Verdict(file=str(file), ok=True, errors=(), warnings=warnings, tasks=tasks)


def _references(
    jobs: JobsFolder, reader: ChildReader, spec_key: str, wanted: tuple[Wanted, ...]
) -> tuple[dict[tuple[str, str], Original], tuple[Notice, ...]]:
    """Read the references.

    Returns:
        What was read, by the field that names it and what it says there, and a notice for each file
        that is missing or has another name.
    """
    originals: dict[tuple[str, str], Original] = {}
    notices = []
    for mention in drop_files.mentions(wanted):
        key = mention.key
        try:
            there = drop_files.located(jobs, spec_key, mention)
            if kind_of_reference(mention.field) != "image" and find_spec("av") is None:
                notices.append(Notice(code="clip-not-read", message=_CLIP_NOT_READ.format(there)))
                continue
            found = drop_files.reference(jobs, reader, mention, there)
        except Missing:
            message = f"{key} does not exist or is empty. The job would wait until it is uploaded."
            notices.append(Notice(code="reference-missing", message=message))
            continue
        originals[mention.field, mention.value] = found.original
        if notice := reference_notices.other_name(key, there):
            notices.append(notice)
    return originals, tuple(notices)


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
        hint="Check the name.",
        place=Place(),
    )


def _no_spec(file: Path) -> Problem:
    return Problem(
        code=Code.KEY_SUFFIX,
        message=f"{file} is not a job spec. Dropped alone, it does not start a job.",
        hint="Give a .yaml, .yml, .json or .txt file.",
        place=Place(),
    )
