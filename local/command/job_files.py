"""What belongs to a job on this machine: what is uploaded with a spec, and what is fetched."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract.errors import JobRejected
from functions import s3_keys
from functions.adapters.child_reader import ChildReader
from functions.ports import Missing
from functions.replies.status import Status
from functions.spec import drop_files
from functions.spec.expand import Wanted, expand
from functions.spec.folder_defaults import Draft
from functions.spec.lists import read_list
from functions.table.records import State
from local.command.jobs_folder import JobsFolder


def starts_a_job(file: Path) -> bool:
    """Whether a file becomes a job when it is dropped."""
    jobs = JobsFolder.around(file)
    key = jobs.key(file)
    if s3_keys.kind_of(key) in {s3_keys.Kind.IGNORED, s3_keys.Kind.DEFAULTS}:
        return False
    return s3_keys.kind_of(key) != s3_keys.Kind.REFERENCE or drop_files.animates(
        jobs, ChildReader(), key
    )


def drafted(jobs: JobsFolder, key: str) -> Draft | None:
    """Read a spec with its folder defaults, or return None if it cannot be read.

    Its errors are not shown here, because the bucket answers with them.
    """
    try:
        return drop_files.drafted(jobs, ChildReader(), key)
    except JobRejected:
        return None


def belongings(jobs: JobsFolder, key: str) -> Iterator[tuple[Path, str]]:
    """The existing folder defaults and references of a spec or a list, with their keys."""
    of = s3_keys.row_spec(key, "1") if s3_keys.kind_of(key) == s3_keys.Kind.LIST else key
    for defaults in s3_keys.defaults_of(of):
        with suppress(Missing):
            yield jobs.file(defaults), defaults
    try:
        wanted = _wanted(jobs, key)
    except JobRejected:
        return  # the bucket answers with what is wrong
    for reference in dict.fromkeys(one.key for one in drop_files.mentions(wanted)):
        if reference == key:
            continue  # an image that was dropped alone is its own reference
        with suppress(Missing):
            yield jobs.file(reference), reference


def _wanted(jobs: JobsFolder, key: str) -> tuple[Wanted, ...]:
    """The videos of a spec, or of the good rows of a list."""
    if s3_keys.kind_of(key) != s3_keys.Kind.LIST:
        return expand(drop_files.drafted(jobs, ChildReader(), key))
    found = read_list(jobs, ChildReader(), key, default_model=None)
    return tuple(one for row in found.good for one in row.wanted)


def fetch(s3: Any, bucket: str, status: Status, out: Path) -> Iterator[tuple[str, Path]]:
    """Download what an ended job has published.

    Args:
        s3: a client.
        bucket: the output bucket.
        status: the final status.
        out: an existing folder.

    Yields:
        What each file is, and the file.
    """

    def fetched(key: str) -> Path:
        to = out / s3_keys.name_of(key)
        s3.download_file(bucket, key, str(to))
        return to

    if status.state == State.REJECTED:
        yield "refusal", fetched(s3_keys.rejected(status.path))
    if status.state == State.PLANNED:
        with suppress(ClientError):  # only if the spec asked for a review
            yield "review", fetched(s3_keys.review(status.path))
    made = [number for number, task in enumerate(status.tasks, 1) if task.video]
    for number in made:
        published = s3_keys.published(status.path, number, len(status.tasks))
        for label, key in (
            ("video", published.video),
            ("sidecar", published.sidecar),
            ("poster", published.poster),
            ("gif", published.gif),
            ("h265", published.h265),
            ("webm", published.webm),
        ):
            with suppress(ClientError):  # the last three exist only if the spec asked for them
                yield label, fetched(key)
    for key in (key for task in status.tasks for key in task.scene_files):
        with suppress(ClientError):  # somebody deleted it
            yield "scene", fetched(key)
    if len(made) > 1:
        with suppress(ClientError):  # there is none if a poster was deleted
            yield "sheet", fetched(s3_keys.contact_sheet(status.path))
