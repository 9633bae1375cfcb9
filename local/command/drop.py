"""`reeldrop drop`, `ls`, `status`, `cancel` and `open`: a drop folder from a terminal.

These commands do what `aws s3 cp`, `aws s3 rm` and a look into the output bucket do, and need the
same rights. They work with a deployment on AWS and with the drop folder of `reeldrop up`.
"""

import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from functions import s3_keys
from functions.replies.lone import LoneStatus
from functions.replies.status import Status
from functions.table.records import State
from local.command.account import DropBuckets
from local.command.job_files import belongings, fetch, starts_a_job
from local.command.jobs_folder import JobsFolder

_POLL_SECONDS = 0.5
_SLOW_POLL_SECONDS = 3.0
_FAST_FOR_SECONDS = 30.0
FIRST_STATUS_SECONDS = 120.0
"""So long no drop gets its first status before the waiting ends. On AWS, an event comes within
seconds, but hundreds of drops are accepted one after the other."""
_LINK_SECONDS = 3600
_GOOD = {State.SUCCEEDED, State.PLANNED, State.HANDED_ON}


class DropFailed(Exception):
    """What was asked for cannot be done. The message says why."""


@dataclass(frozen=True)
class Dropped:
    """A spec that was uploaded."""

    key: str
    path: str
    job_id: str
    """The id of the job that this upload becomes."""

    def is_about(self, status: Status) -> bool:
        """Whether a status is that of this drop, and not of an earlier or a later one."""
        # A job that was refused for its reference begins again under the next id.
        return status.job_id in {self.job_id, s3_keys.next_job_id(self.job_id)}


def drop(
    buckets: DropBuckets, files: Sequence[Path], to: str, console: Console
) -> tuple[Dropped, ...]:
    """Upload specs, each with its folder defaults and references.

    A reference is uploaded before its spec, so that no job waits for it. Folder defaults that are
    in the bucket already are left as they are, because queued jobs would be planned again.

    Args:
        files: specs, and folders whose specs are uploaded.
        to: the folder below jobs/ that they are uploaded to. Empty: jobs/ itself.
        console: where each upload is shown.

    Raises:
        DropFailed: a file does not exist, or is not a spec.
    """
    folder = to.strip("/").removeprefix(s3_keys.JOBS_PREFIX.rstrip("/")).strip("/")
    if ".." in folder.split("/"):
        raise DropFailed(f"--to {to} is not a folder below jobs/.")
    prefix = f"{s3_keys.JOBS_PREFIX}{folder}/" if folder else s3_keys.JOBS_PREFIX
    sent: set[str] = set()
    dropped = []
    for file in _specs(files):
        jobs = JobsFolder.around(file)
        key = jobs.key(file)
        for one, local_key in belongings(jobs, key):
            target = prefix + local_key.removeprefix(s3_keys.JOBS_PREFIX)
            if target not in sent and not _is_there(buckets, one, target):
                console.print(f"{one} -> {target}", markup=False, highlight=False)
                buckets.s3.upload_file(str(one), buckets.input_bucket, target)
            sent.add(target)
        target = prefix + key.removeprefix(s3_keys.JOBS_PREFIX)
        console.print(f"{file} -> {target}", markup=False, highlight=False)
        answer = buckets.s3.put_object(
            Bucket=buckets.input_bucket, Key=target, Body=file.read_bytes()
        )
        job_id = s3_keys.job_id(buckets.input_bucket, target, answer.get("VersionId", "null"))
        dropped.append(Dropped(target, s3_keys.path_of(target), job_id))
    return tuple(dropped)


def _specs(files: Sequence[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            inside = [one for one in sorted(file.rglob("*")) if one.is_file()]
            specs = [one for one in inside if _is_spec(one)]
            if not specs:
                raise DropFailed(f"There is no spec in the folder {file}.")
            yield from specs
        elif not file.is_file():
            raise DropFailed(f"There is no file {file}.")
        elif not starts_a_job(file):
            raise DropFailed(f"{file} is not a job spec. Dropped alone, it does not start a job.")
        else:
            yield file


def _is_spec(file: Path) -> bool:
    kind = s3_keys.kind_of(JobsFolder.around(file).key(file))
    return kind in {s3_keys.Kind.SPEC, s3_keys.Kind.LIST}


def _is_there(buckets: DropBuckets, file: Path, key: str) -> bool:
    """Whether the bucket has the same bytes under a key."""
    body = file.read_bytes()
    try:
        head = buckets.s3.head_object(Bucket=buckets.input_bucket, Key=key)
        if head["ContentLength"] != len(body):
            return False
        found = buckets.s3.get_object(Bucket=buckets.input_bucket, Key=key)
        return bool(found["Body"].read() == body)
    except ClientError:
        return False


def follow(
    buckets: DropBuckets, dropped: Sequence[Dropped], console: Console
) -> Iterator[tuple[Dropped, Status]]:
    """Show the progress of drops until each has ended. The rows of a list are followed, too.

    Yields:
        Each drop with its final status, in the order in which they end.

    Raises:
        DropFailed: a drop got no answer, or a newer one replaced it.
    """
    began = answered = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        left = {one: bars.add_task(f"{one.path}: dropped", total=100) for one in dropped}
        seen: set[Dropped] = set()
        while left:
            for one, bar in list(left.items()):
                status = _status_of(buckets, one, seen, time.monotonic() - answered)
                if status is None:
                    continue
                if one not in seen:
                    seen.add(one)
                    answered = time.monotonic()
                _show(bars, bar, status)
                if status.state.terminal:
                    del left[one]
                    for row in _rows(buckets, status):
                        left[row] = bars.add_task(f"{row.path}: dropped", total=100)
                    yield one, status
            waited = time.monotonic() - began
            if left:
                time.sleep(_POLL_SECONDS if waited < _FAST_FOR_SECONDS else _SLOW_POLL_SECONDS)


def _rows(buckets: DropBuckets, status: Status) -> Iterator[Dropped]:
    """The specs that were dropped for a list, and are still there."""
    for key in status.dropped:
        try:
            head = buckets.s3.head_object(Bucket=buckets.input_bucket, Key=key)
        except ClientError:
            continue
        job_id = s3_keys.job_id(buckets.input_bucket, key, head.get("VersionId", "null"))
        yield Dropped(key, s3_keys.path_of(key), job_id)


def _status_of(
    buckets: DropBuckets, dropped: Dropped, seen: set[Dropped], waited_seconds: float
) -> Status | None:
    """The status of a drop; None if there is none yet."""
    try:
        status = read_status(buckets, dropped.path)
    except DropFailed:
        status = None
    if status is not None and dropped.is_about(status):
        return status
    if status is not None and (dropped in seen or _is_replaced(buckets, dropped)):
        raise DropFailed(
            f"A newer file was dropped as {dropped.key}, and the status is about that one. See  "
            f"reeldrop status {dropped.path}"
        )
    if waited_seconds > FIRST_STATUS_SECONDS:
        raise DropFailed(
            f"No status of {dropped.path} came within {FIRST_STATUS_SECONDS:.0f} s. If it stays "
            "so, ask your administrator to run  reeldrop doctor."
        )
    return None


def _is_replaced(buckets: DropBuckets, dropped: Dropped) -> bool:
    """Whether the key of a drop has a newer version. Its own status may have come and gone."""
    try:
        head = buckets.s3.head_object(Bucket=buckets.input_bucket, Key=dropped.key)
    except ClientError:
        return False
    version = head.get("VersionId", "null")
    return s3_keys.job_id(buckets.input_bucket, dropped.key, version) != dropped.job_id


def _show(bars: Progress, bar: TaskID, status: Status) -> None:
    percent = sum(task.percent for task in status.tasks) / max(1, len(status.tasks))
    text = str(status.state) if status.state.terminal else status.message
    bars.update(bar, completed=percent, description=f"{status.path}: {text}")


def drop_and_wait(
    buckets: DropBuckets, dropped: Sequence[Dropped], out: Path, console: Console
) -> int:
    """Follow drops to their ends, and fetch what they made.

    Args:
        out: the folder for the files. The files of a drop are below it as in the bucket.

    Returns:
        0 if all have succeeded or were only planned, otherwise 1.

    Raises:
        DropFailed: see `follow`.
    """
    good = True
    for one, status in follow(buckets, dropped, console):
        good = good and status.state in _GOOD
        if status.state not in {State.SUCCEEDED, State.REJECTED}:
            console.print(f"{status.path}: {status.message}", markup=False, highlight=False)
        folder = out / Path(one.path).parent
        folder.mkdir(parents=True, exist_ok=True)
        for label, file in fetch(buckets.s3, buckets.output_bucket, status, folder):
            console.print(f"{label:<8} {file}", markup=False, highlight=False)
            if label == "refusal":
                console.print(file.read_text("utf-8"), markup=False, highlight=False)
        for warning in dict.fromkeys(warning.message for warning in status.warnings):
            console.print(f"note     {warning}", markup=False, highlight=False)
    return 0 if good else 1


def read_status(buckets: DropBuckets, path: str) -> Status:
    """The status of the newest drop of a path.

    Raises:
        DropFailed: there is none.
        ClientError: it cannot be read, for example because a right is missing.
    """
    try:
        found = buckets.s3.get_object(Bucket=buckets.output_bucket, Key=s3_keys.status(path))
        return Status.from_json(found["Body"].read())
    except buckets.s3.exceptions.NoSuchKey:
        raise DropFailed(f"There is no job {path}. See  reeldrop ls.") from None
    except ValueError:
        raise DropFailed(f"{path} is not a job: it is a file that no spec asks for.") from None


def path_named(text: str) -> str:
    """The path of a job, from what a person may write for it.

    Args:
        text: "bee", "bee.yaml", "jobs/team/bee.yaml", "status/bee.json" or "s3://bucket/jobs/bee".
    """
    if text.startswith("s3://"):
        text = text.removeprefix("s3://").partition("/")[2]
    for prefix in (s3_keys.STATUS_PREFIX, s3_keys.VIDEOS_PREFIX):
        if text.startswith(prefix):
            return text.removeprefix(prefix).rsplit(".", 1)[0]
    return s3_keys.path_of(s3_keys.JOBS_PREFIX + text.removeprefix(s3_keys.JOBS_PREFIX))


def show_status(buckets: DropBuckets, path: str, console: Console) -> None:
    """Print what the bucket says about a job.

    Raises:
        DropFailed: there is no such job.
    """
    status = read_status(buckets, path)
    lines = [f"{status.path}: {status.state}. {status.message}"]
    if status.expected.ends_at and not status.state.terminal:
        lines.append(f"expected  {status.expected.ends_at:%Y-%m-%d %H:%M} UTC")
    for number, task in enumerate(status.tasks, 1):
        what = f"s3://{buckets.output_bucket}/{task.video}" if task.video else str(task.state)
        why = task.problem.sentence() if task.problem else task.waiting_reason
        lines.append(f"{number:>2}  {what}" + (f"  {why}" if why else ""))
    lines += [f"note      {warning.message}" for warning in status.warnings]
    for line in dict.fromkeys(lines):
        console.print(line, markup=False, highlight=False)


def show_jobs(buckets: DropBuckets, below: str, most: int, console: Console) -> None:
    """Print the jobs of the drop folder, the newest first.

    Args:
        below: only jobs whose path begins like this.
        most: how many.
    """
    pages = buckets.s3.get_paginator("list_objects_v2").paginate(
        Bucket=buckets.output_bucket, Prefix=s3_keys.STATUS_PREFIX + below
    )
    found = [item for page in pages for item in page.get("Contents", ())]
    found.sort(key=lambda item: item["LastModified"], reverse=True)
    table = Table(box=None, pad_edge=False)
    for column in ("changed (UTC)", "state", "job", "what"):
        table.add_column(column, overflow="fold")
    for item in found[:most]:
        with suppress(ClientError, ValueError):  # it was removed meanwhile
            body = buckets.s3.get_object(Bucket=buckets.output_bucket, Key=item["Key"])["Body"]
            status = status_or_lone(body.read())
            changed = f"{item['LastModified']:%Y-%m-%d %H:%M}"
            table.add_row(changed, str(status.state), status.path, status.message)
    console.print(table)
    if len(found) > most:
        console.print(f"{len(found) - most} more; see  --most.", highlight=False)


def status_or_lone(body: bytes) -> Status | LoneStatus:
    """The status of a job, or of a picture or clip that no spec asks for."""
    try:
        return Status.from_json(body)
    except ValueError:
        return LoneStatus.from_json(body)


def cancel(buckets: DropBuckets, path: str, console: Console) -> None:
    """Delete the spec of a job, which cancels it.

    Raises:
        DropFailed: there is no such spec.
    """
    stem = s3_keys.JOBS_PREFIX + path
    keys = [stem + suffix for suffix in s3_keys.SPEC_SUFFIXES]
    if s3_keys.kind_of(stem) == s3_keys.Kind.REFERENCE:
        keys.append(stem)  # an image that is a job by itself
    there = [key for key in keys if _exists(buckets, key)]
    if not there:
        raise DropFailed(f"There is no spec of {path} in the drop folder.")
    for key in there:
        buckets.s3.delete_object(Bucket=buckets.input_bucket, Key=key)
        console.print(f"deleted {key}", markup=False, highlight=False)


def _exists(buckets: DropBuckets, key: str) -> bool:
    try:
        buckets.s3.head_object(Bucket=buckets.input_bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def open_videos(
    buckets: DropBuckets,
    path: str,
    console: Console,
    show: Callable[[str], object] | None = webbrowser.open,
) -> None:
    """Open the videos of a job in the browser, through links that work for an hour.

    Args:
        show: opens an address. None: the links are only printed.

    Raises:
        DropFailed: there is no such job, or it has no video.
    """
    status = read_status(buckets, path)
    videos = [task.video for task in status.tasks if task.video]
    if not videos:
        raise DropFailed(f"{path} has no video: {status.message}")
    for key in videos:
        link = buckets.s3.generate_presigned_url(
            "get_object",
            Params={"Bucket": buckets.output_bucket, "Key": key},
            ExpiresIn=_LINK_SECONDS,
        )
        console.print(link, markup=False, highlight=False, soft_wrap=True)
        if show is not None:
            show(link)
