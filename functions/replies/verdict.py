"""Says about a spec what the bucket would say, without making a job of it.

`reeldrop validate` asks this about files on a disk, and the studio about text that nobody has
dropped yet. Only the prompt is not enhanced, because that needs Bedrock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from contract.catalogue import NO_MODEL
from contract.document import Document
from contract.errors import Code, JobRejected, Notice, Place, Problem
from functions import s3_keys
from functions.planning.estimate import Cost, Making
from functions.ports import Missing
from functions.replies import json_lines, words
from functions.spec import drop_files, reference_notices, resolve
from functions.spec.clip import Clip
from functions.spec.drop_files import DropFiles
from functions.spec.expand import Wanted
from functions.spec.fields import (
    JobSpec,
    is_only_finished,
    kind_of_reference,
    references_of,
    scene_field,
)
from functions.spec.lists import in_row, read_list, together
from functions.spec.reader import Original, Picture, Reader

_CLIP_NOT_READ = "{} was not read, because that needs PyAV: pipx inject reeldrop 'reeldrop[clips]'"


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
    """The resolved specs, one for each video. Of a list with bad rows, those of the good ones."""
    cost: Cost | None = None
    """The expected cost of all videos together."""

    def as_plain(self) -> dict[str, Any]:
        """Return this verdict as JSON values. Fields of the specs without a value are left out."""
        plain = self.model_dump(mode="json")
        plain["tasks"] = [task.model_dump(mode="json", exclude_none=True) for task in self.tasks]
        return plain


def costs_something(makings: Sequence[Making], default_model: str) -> bool:
    """Whether videos cost something. The demo model renders where its user is."""
    free = {"demo", NO_MODEL} if default_model == "demo" else {"demo"}
    return any(making.model not in free for making in makings)


def verdict_of(
    files: DropFiles, reader: Reader, key: str, *, name: str, default_model: str
) -> tuple[Verdict, tuple[Making, ...]]:
    """Check a file as if it had been dropped.

    Args:
        files: the drop folder, with the file in it.
        reader: parses the specs and decodes the references.
        key: the key of the file.
        name: what the file is called in the verdict.
        default_model: the default model of the deployment.

    Returns:
        The verdict, and the videos whose cost can be told.
    """
    checking = _Checking(files, reader, key, default_model)
    try:
        if not _is_there(files, key):
            raise JobRejected(_no_file(name))
        checking.check(name)
    except JobRejected as rejection:
        checking.problems += rejection.problems
        checking.more += rejection.more
        checking.tasks, checking.makings = [], []
    return checking.verdict(name), tuple(checking.makings)


@dataclass
class _Checking:
    """A file while it is checked."""

    files: DropFiles
    reader: Reader
    key: str
    default_model: str
    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    """How many further problems are not among them."""
    warnings: list[Notice] = field(default_factory=list)
    tasks: list[JobSpec] = field(default_factory=list)
    makings: list[Making] = field(default_factory=list)

    def check(self, name: str) -> None:
        """Check everything.

        Raises:
            JobRejected: nothing can be made of the file.
        """
        files, reader, key = self.files, self.reader, self.key
        kind = s3_keys.kind_of(key)
        if kind == s3_keys.Kind.DEFAULTS:
            self.warnings += drop_files.defaults(files, reader, key).parsed.warnings
        elif kind == s3_keys.Kind.LIST:
            found = read_list(files, reader, key, default_model=self.default_model)
            self.problems += found.problems
            self.more += found.more_problems
            self.warnings += found.warnings
            for row in found.good:
                try:
                    self._check_videos(row.wanted)
                except JobRejected as rejection:
                    self.problems += (in_row(one, row.number) for one in rejection.problems)
            self.problems = [*together(self.problems)]
        else:
            model = self.default_model
            self._check_videos(_wanted(files, reader, key, name, model, self.warnings))

    def _check_videos(self, wanted: tuple[Wanted, ...]) -> None:
        # The job id and the default seed follow from the version that S3 gives to a drop. There is
        # no version here, so a default seed differs from the one that the bucket will use.
        job_id = s3_keys.job_id("", self.key, "")
        originals, missing = _references(self.files, self.reader, self.key, wanted)
        self.warnings += missing
        made = [_resolved(one, originals, self.default_model, job_id) for one in wanted]
        tasks = [spec for spec, _ in made]
        self.warnings += reference_notices.notices(
            (spec, {one[0]: originals[one] for one in references_of(spec) if one in originals})
            for spec in tasks
        )
        self.warnings += resolve.notices(tasks)
        self.tasks += tasks
        self.makings += [making for _, making in made if making]

    def verdict(self, name: str) -> Verdict:
        """What was found."""
        rejection = json_lines.rejection_in(self.key, JobRejected(*self.problems))
        if self.more:
            message = f"{words.more_problems(self.more)} not listed."
            self.warnings.append(Notice(code="more-problems", message=message))
        return Verdict(
            file=name,
            ok=not self.problems,
            errors=tuple(_error(one) for one in rejection.problems),
            warnings=json_lines.notices_in(self.key, self.warnings),
            tasks=tuple(self.tasks),
        )


def _wanted(
    files: DropFiles,
    reader: Reader,
    key: str,
    name: str,
    default_model: str,
    said: list[Notice],
) -> tuple[Wanted, ...]:
    """The videos that a spec asks for.

    Args:
        said: gets the warnings.
    """
    alone = drop_files.animates(files, reader, key)
    if s3_keys.kind_of(key) in {s3_keys.Kind.IGNORED, s3_keys.Kind.REFERENCE} and not alone:
        raise JobRejected(_no_spec(name))
    draft = drop_files.drafted(files, reader, key)
    job_id = s3_keys.job_id("", key, "")
    wanted = drop_files.videos(draft, default_model=default_model, job_id=job_id)
    said += draft.warnings
    return wanted


def _resolved(
    one: Wanted,
    originals: dict[tuple[str, str], Original],
    default_model: str,
    job_id: str,
) -> tuple[JobSpec, Making | None]:
    """The resolved spec of a video, and what its cost depends on, if that is known."""
    picture = _first_picture(one.spec, originals)
    video = originals.get(("video", one.spec.video or ""))
    clip = video if is_only_finished(one.spec) and isinstance(video, Clip) else None
    spec = resolve.resolve(
        one, default_model=default_model, job_id=job_id, picture=picture, clip=clip
    )
    spec = spec.model_copy(update={"matrix": None, "variations": 1})
    # A prompt that will be enhanced cannot be checked yet.
    unknown = [""] * len(resolve.prompts_of(spec))
    resolve.check_prompt(resolve.with_prompts(spec, unknown) if spec.enhance else spec, one)
    is_known = clip is not None or spec.model is not None
    return spec, Making.of(spec, clip) if is_known else None


def _first_picture(spec: JobSpec, originals: Mapping[tuple[str, str], Original]) -> Picture | None:
    """The image that a video starts from; None without one."""
    starts = {"image", scene_field(0, "image")}
    found = [originals.get(one) for one in references_of(spec) if one[0] in starts]
    return next((one for one in found if isinstance(one, Picture)), None)


def _is_there(files: DropFiles, key: str) -> bool:
    try:
        files.size_bytes(key)
    except Missing:
        return False
    return True


def _references(
    files: DropFiles, reader: Reader, spec_key: str, wanted: tuple[Wanted, ...]
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
            there = drop_files.located(files, spec_key, mention)
            if kind_of_reference(mention.field) != "image" and find_spec("av") is None:
                notices.append(Notice(code="clip-not-read", message=_CLIP_NOT_READ.format(there)))
                continue
            found = drop_files.reference(files, reader, mention, there)
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


def _no_file(name: str) -> Problem:
    return Problem(
        code=Code.KEY_SUFFIX,
        message=f"There is no file {name}.",
        hint="Check the name.",
        place=Place(),
    )


def _no_spec(name: str) -> Problem:
    return Problem(
        code=Code.KEY_SUFFIX,
        message=f"{name} is not a job spec. Dropped alone, it does not start a job.",
        hint="Give a .yaml, .yml, .json or .txt file, or a list: .csv, .tsv or .jsonl.",
        place=Place(),
    )
