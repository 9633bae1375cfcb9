"""Builds the mail about several jobs of a folder, or about files in it that are no drops."""

from collections import Counter
from collections.abc import Iterable, Sequence

from contract.errors import one_line
from functions import s3_keys
from functions.replies import words
from functions.replies.mail import (
    LONGEST_LINK,
    LONGEST_TEXT_BYTES,
    Mail,
    bytes_of,
    console_link,
    folder_link,
    is_for_review,
    maybe_again,
    outcome,
    quoted,
    subject_of,
)
from functions.replies.status import problems_of
from functions.table.records import Digest, DigestKind, Job, State

# In this order, with their word for a number of jobs.
_WORDS = {
    "was refused": "refused",
    "has bad rows": "with bad rows",
    "failed": "failed",
    "needs your review": "to review",
    "was canceled": "canceled",
    "was planned": "planned",
    "is ready": "ready",
}
_MOST_NAMES = 10
_MOST_TAGS = 50
# Names and messages in a list are cut to this many characters.
_LONGEST_IN_LIST = 200


def digest_of(
    digest: Digest, jobs: Sequence[Job], *, output_bucket: str, region: str, again: bool = False
) -> Mail:
    """Build a digest.

    As in every mail, nothing that a person wrote can add a line to it or make it long.

    Args:
        jobs: the jobs that it lists.
        output_bucket: where everything is published.
        region: where the buckets are, for links to the console.
        again: whether SNS may have sent this mail already.
    """
    if digest.kind == DigestKind.NO_DROPS:
        ending, first = _no_drops_in_words(digest, len(jobs))
        parts = list(_by_advice(jobs))
    else:
        ending, first = _ended_in_words(digest, jobs)
        order = list(_WORDS)
        jobs = sorted(jobs, key=lambda job: (order.index(outcome(job)), job.source.key))
        parts = [_about(job, output_bucket, region) for job in jobs]
    links = _folders(jobs, output_bucket, region)
    lines = _as_many_as_fit(parts, LONGEST_TEXT_BYTES - bytes_of(links))
    tags = sorted({tag for job in jobs if job.spec for tag in job.spec.tags})[:_MOST_TAGS]
    return Mail(
        subject=subject_of(_name(digest), ending),
        body="\n".join([first, *maybe_again(again=again), "", *lines, *links]) + "\n",
        attributes={
            "status": tuple(sorted({job.state.value for job in jobs})),
            "digest_id": digest.digest_id,
            "path": one_line(s3_keys.parent(jobs[0].path)) + "/",
            **({"tags": tuple(tags)} if tags else {}),
        },
    )


def _name(digest: Digest) -> str:
    return digest.folder or "the top of the bucket"


def _ended_in_words(digest: Digest, jobs: Sequence[Job]) -> tuple[str, str]:
    """The end of the subject, and the first line."""
    counts = Counter(outcome(job) for job in jobs)
    parts = [f"{counts[said]} {word}" for said, word in _WORDS.items() if counts[said]]
    count = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
    return f": {', '.join(parts)}", f"{count} in {quoted(_name(digest))}: {', '.join(parts)}."


def _no_drops_in_words(digest: Digest, count: int) -> tuple[str, str]:
    """The end of the subject, and the first line."""
    files = "1 file that is no drop" if count == 1 else f"{count} files that are no drops"
    first = (
        f"{quoted(_name(digest))} has {files}, so nothing was made of "
        f"{'it' if count == 1 else 'them'}. At most one email a day says so about a folder."
    )
    return f" has {files}", first


def _about(job: Job, output_bucket: str, region: str) -> list[str]:
    """What a digest says about one job."""
    lines = [f"{quoted(job.source.key)} {outcome(job)}."]
    if job.state == State.FAILED:
        lines.append(f"{job.failed_tasks} of {words.videos(job.task_count)} could not be made.")
    problems = problems_of(job, ())
    for problem in problems[:1]:
        others = len(problems) - 1 + job.more_problems
        more = f" ({others} more)" if others else ""
        lines.append(f"{one_line(problem.sentence(), _LONGEST_IN_LIST)}  [{problem.code}]{more}")
    link = console_link(output_bucket, region, _where(job))
    return [*lines, *([link] if len(link) <= LONGEST_LINK else []), ""]


def _where(job: Job) -> str:
    """The key of what a person wants to see of a job first."""
    if job.state == State.REJECTED:
        return s3_keys.rejected(job.path)
    if job.state == State.FAILED:
        return s3_keys.failed(job.path)
    if is_for_review(job):
        return s3_keys.review(job.path)
    if job.state != State.SUCCEEDED:
        return s3_keys.status(job.path)
    if job.task_count > 1:
        return s3_keys.contact_sheet(job.path)
    return s3_keys.published(job.path, 1, 1).video


def _by_advice(jobs: Sequence[Job]) -> Iterable[list[str]]:
    """The files that are no drops, those with the same advice together."""
    names: dict[str, list[str]] = {}
    for job in sorted(jobs, key=lambda job: job.source.key):
        for problem in job.problems:
            names.setdefault(problem.hint, []).append(job.source.key)
    for hint, keys in names.items():
        shown = [one_line(key, _LONGEST_IN_LIST) for key in keys[:_MOST_NAMES]]
        more = [f"and {len(keys) - _MOST_NAMES} more"] if len(keys) > _MOST_NAMES else []
        yield [*shown, *more, quoted(hint), ""]


def _as_many_as_fit(parts: Sequence[list[str]], room: int) -> list[str]:
    """The lines of the first parts, as many as fit into `room` bytes."""
    kept: list[str] = []
    for number, part in enumerate(parts):
        room -= bytes_of(part)
        if room < 0:
            return [*kept, f"{len(parts) - number} more are in the folders below.", ""]
        kept += part
    return kept


def _folders(jobs: Sequence[Job], output_bucket: str, region: str) -> list[str]:
    """Links to the folders in which everything is."""
    keys = [s3_keys.parent(_where(job)) for job in jobs]
    links = (folder_link(output_bucket, region, key) for key in dict.fromkeys(keys))
    return [f"Folder: {link}" for link in links if len(link) <= LONGEST_LINK]
