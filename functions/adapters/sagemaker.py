"""Processing jobs, in SageMaker."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from contract.instance_types import has_own_disk
from contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT, INTERPOLATION_INPUT
from contract.outcome import MACHINE_VARIABLE
from functions.adapters.errors import CONFIG, code_of, message_of, translated
from functions.ports import Missing, Throttled
from functions.settings import Settings
from functions.stages.renderer import (
    CannotStart,
    NameTaken,
    NoQuota,
    ProcessingJob,
    ProcessingStatus,
    StartDenied,
    StartThrottled,
)
from functions.table.records import FailureKind, ProcessingState

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


_NO_INSTANCE = "CapacityError"
EMPTY = "SageMaker gave no reason"
_MANIFEST_SHA256 = "REELDROP_MANIFEST_SHA256"


def processing_request(job: ProcessingJob, settings: Settings) -> dict[str, Any]:
    """The CreateProcessingJob request.

    Prompts are in the manifest, because an environment value may have 256 characters at most.
    SageMaker uploads outputs while the job runs, so each video is in S3 soon after it is done.
    """
    code = f"{CONTAINER_ROOT}/code/{settings.code_uri.rpartition('/')[2]}"
    inputs = [
        _input("code", settings.code_uri),
        _input("input", job.input_uri),
        *([_input("model", job.model_uri)] if job.model_uri else []),
    ]
    if job.image_model_uri is not None:
        inputs.append(_input("image-model", job.image_model_uri))
    if job.interpolation_uri is not None:
        inputs.append(_input(INTERPOLATION_INPUT, job.interpolation_uri))
    return {
        "ProcessingJobName": job.attempt_id,
        "RoleArn": settings.role_arn,
        "AppSpecification": {
            "ImageUri": settings.image_uri,
            "ContainerEntrypoint": ["python3", code],
            "ContainerArguments": ["--root", CONTAINER_ROOT, "--message", CONTAINER_MESSAGE],
        },
        "Environment": {
            _MANIFEST_SHA256: job.manifest_sha256,
            MACHINE_VARIABLE: job.instance_type,
        },
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": _outputs(job, settings),
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": job.instance_type,
                "VolumeSizeInGB": settings.volume_gb,
                **_volume_key(job, settings),
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_runtime_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True, **_network(settings)},
    }


def _input(name: str, uri: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{CONTAINER_ROOT}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


def _outputs(job: ProcessingJob, settings: Settings) -> dict[str, Any]:
    """Where outputs are uploaded to, and under which key.

    Without a key in the request, SageMaker takes that of S3 and not that of the bucket.
    """
    output = {
        "OutputName": "output",
        "S3Output": {
            "S3Uri": job.output_uri,
            "LocalPath": f"{CONTAINER_ROOT}/output",
            "S3UploadMode": "Continuous",
        },
    }
    return {"Outputs": [output], **({"KmsKeyId": settings.key_arn} if settings.key_arn else {})}


def _volume_key(job: ProcessingJob, settings: Settings) -> dict[str, str]:
    """The key for the disk. SageMaker refuses one for types that encrypt their own disk."""
    if not settings.key_arn or has_own_disk(job.instance_type):
        return {}
    return {"VolumeKmsKeyId": settings.key_arn}


def _network(settings: Settings) -> dict[str, Any]:
    """Through which network SageMaker copies inputs and outputs. The container itself has none."""
    if not settings.subnet_ids:
        return {}
    return {
        "VpcConfig": {
            "Subnets": settings.subnet_ids.split(","),
            "SecurityGroupIds": [settings.security_group_id],
        }
    }


class SageMakerRenderer:
    """Processing jobs, in SageMaker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "SageMakerClient":
        return boto3.client("sagemaker", config=CONFIG)

    def start(self, job: ProcessingJob) -> None:
        """See `Renderer.start`."""
        try:
            with translated():
                self._client.create_processing_job(**processing_request(job, self._settings))
        except Throttled as error:
            raise StartThrottled(str(error)) from error
        except ClientError as error:
            if code_of(error) == "ResourceInUse":
                raise NameTaken(job.attempt_id) from error
            if code_of(error) == "ResourceLimitExceeded":
                raise NoQuota(message_of(error)) from error
            if code_of(error) == "ValidationException":
                raise CannotStart(message_of(error) or EMPTY) from error
            raise StartDenied(f"{code_of(error)}: {message_of(error) or EMPTY}") from error

    def stop(self, attempt_id: str) -> None:
        """See `Renderer.stop`."""
        try:
            with translated():
                self._client.stop_processing_job(ProcessingJobName=attempt_id)
        except Missing:
            return
        except ClientError as error:
            # The processing job does not exist, or it has ended.
            if code_of(error) not in {"ResourceNotFound", "ValidationException"}:
                raise

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        """See `Renderer.status`."""
        try:
            with translated():
                answer = self._client.describe_processing_job(ProcessingJobName=attempt_id)
        except Missing:
            return None
        except ClientError as error:
            # SageMaker answers with either code when there is no job of this name.
            if code_of(error) in {"ResourceNotFound", "ValidationException"}:
                return None
            raise
        detail = answer.get("ExitMessage") or answer.get("FailureReason") or ""
        state = ProcessingState(answer["ProcessingJobStatus"])
        return ProcessingStatus(
            state=state,
            detail=detail,
            failure=failure_of(detail) if state == ProcessingState.FAILED else None,
            manifest_sha256=answer.get("Environment", {}).get(_MANIFEST_SHA256, ""),
        )


def failure_of(detail: str) -> FailureKind:
    """Why a processing job failed.

    Args:
        detail: its exit message or failure reason. The reason begins with
            "CapacityError" if SageMaker had no instance.
    """
    return FailureKind.NO_INSTANCE if _NO_INSTANCE in detail else FailureKind.OTHER
