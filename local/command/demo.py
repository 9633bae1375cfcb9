"""`make demo`: one job, from `aws s3 cp` to the mail, on the embedded cloud."""

import os
import re
import shutil
import subprocess
import sys
import time
from email import policy
from email.parser import BytesParser
from pathlib import Path

from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import State
from local.cloud.clients import OWNER, REGION
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from local.command.job_files import belongings, drafted, fetch, starts_a_job
from local.command.jobs_folder import JobsFolder

_POLL_SECONDS = 0.2
_MAIL_SECONDS = 120
_FIRST_STATUS_SECONDS = 30


class DemoFailed(Exception):
    """The demo could not be run, or the drop got no answer. The message has the reason."""


def demo(home: Path, spec: Path, out: Path, console: Console) -> int:
    """Drop a spec with its references and fetch the results.

    Args:
        home: the folder for state.
        spec: the file to drop.
        out: the folder for the video, its sidecar and the mail.
        console: where progress is shown.

    Returns:
        0 if the job succeeded or was only planned, 1 if it was refused or failed.

    Raises:
        DemoFailed: the file does not exist or is not a job spec, or the drop got no answer.
        CloudFailed: the embedded cloud did not start or did not stop.
        DeployFailed: a stack could not be deployed.
        SynthesisFailed: the stacks could not be synthesised.
    """
    if not spec.is_file():
        raise DemoFailed(f"There is no file {spec}. Samples are in samples/.")
    if not starts_a_job(spec):
        raise DemoFailed(f"{spec} is not a job spec. Dropped alone, it does not start a job.")
    if s3_keys.kind_of(JobsFolder.around(spec).key(spec)) == s3_keys.Kind.LIST:
        raise DemoFailed(
            f"{spec} is a list, and the demo makes one job. Run  reeldrop up  and, in another "
            f"terminal,  reeldrop drop {spec} --wait"
        )
    _remove_leftovers(home)
    state = home / "demo" / str(os.getpid())
    try:
        with console.status("Building the stacks and the demo model (kept for the next run)"):
            make_ready(home)
        with EmbeddedCloud(state) as cloud:
            with console.status("Deploying the stacks"):
                folder = open_drop_folder(home, cloud)
            console.print(f"The embedded cloud answers at {folder.endpoint}", highlight=False)
            return _run(spec, out, cloud, folder, console)
    finally:
        if state.exists():
            shutil.rmtree(state)


def _run(spec: Path, out: Path, cloud: EmbeddedCloud, folder: DropFolder, console: Console) -> int:
    jobs = JobsFolder.around(spec)
    key = jobs.key(spec)
    draft = drafted(jobs, key)
    for file, target in (*belongings(jobs, key), (spec, key)):
        _copy(file, f"s3://{folder.input_bucket}/{target}", folder, console)
    status = _follow(cloud, folder, s3_keys.path_of(key), console)
    out.mkdir(parents=True, exist_ok=True)
    if status.state not in {State.SUCCEEDED, State.REJECTED}:
        console.print(f"{status.state}: {status.message}", markup=False, highlight=False)
    for label, file in fetch(cloud.client("s3"), folder.output_bucket, status, out):
        console.print(f"{label:<8} {file}", markup=False, highlight=False)
        if label == "refusal":
            console.print(file.read_text(), markup=False, highlight=False)
    # The mail comes last, so that a missing mail does not keep back the other files.
    if draft is None or draft.spec.notify is True:
        mail = _mail(cloud, out / f"{spec.stem}.eml")
        subject = BytesParser(policy=policy.default).parsebytes(mail.read_bytes())["Subject"]
        console.print(f"mail     {mail}   ({subject})", markup=False, highlight=False)
    else:
        notify = str(draft.spec.notify).lower()
        console.print(f"mail     none, because notify is {notify}", markup=False, highlight=False)
    for warning in dict.fromkeys(w.message for w in status.warnings):
        console.print(f"note     {warning}", markup=False, highlight=False)
    return 0 if status.state in {State.SUCCEEDED, State.PLANNED} else 1


def _copy(file: Path, target: str, folder: DropFolder, console: Console) -> None:
    """Upload a file with `aws s3 cp` of the AWS CLI.

    Raises:
        DemoFailed: the command failed.
    """
    console.print(f"$ aws s3 cp {file} {target}", markup=False, highlight=False)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "aws"),
            *("--endpoint-url", folder.endpoint, "s3", "cp", "--only-show-errors"),
            *(str(file), target),
        ],
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", ""),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
            "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        # Ctrl-C must reach only this process, or the AWS CLI would print a traceback.
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoFailed(f"aws s3 cp ended with {done.returncode}")


def _follow(cloud: EmbeddedCloud, folder: DropFolder, path: str, console: Console) -> Status:
    """Show the live status until it is final, and return the final status.

    Raises:
        DemoFailed: no status came in time.
    """
    s3 = cloud.client("s3")
    started = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as bar:
        shown = bar.add_task("Dropped", total=100)
        while True:
            try:
                body = s3.get_object(Bucket=folder.output_bucket, Key=s3_keys.status(path))["Body"]
                status = Status.from_json(body.read())
            except ClientError:
                if time.monotonic() - started > _FIRST_STATUS_SECONDS:
                    raise DemoFailed(
                        f"No status came within {_FIRST_STATUS_SECONDS} s. "
                        f"The end of the cloud's log:\n{cloud.log_tail()}"
                    ) from None
            else:
                percent = sum(task.percent for task in status.tasks) / max(1, len(status.tasks))
                text = status.message if not status.state.terminal else str(status.state)
                bar.update(shown, completed=percent, description=text)
                if status.state.terminal:
                    return status
            time.sleep(_POLL_SECONDS)


def _mail(cloud: EmbeddedCloud, to: Path) -> Path:
    deadline = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < deadline:
        mails = sorted((cloud.state / "outbox").glob("*.eml"))
        if mails:
            shutil.copy(mails[-1], to)
            return to
        time.sleep(_POLL_SECONDS)
    raise DemoFailed(
        f"No mail came within {_MAIL_SECONDS} s. The end of the cloud's log:\n{cloud.log_tail()}"
    )


def _remove_leftovers(home: Path) -> None:
    """Remove the state of earlier demos that were killed."""
    for folder in (home / "demo").glob("*"):
        if re.fullmatch(r"\d+", folder.name) and not _is_running(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
