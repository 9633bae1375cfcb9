"""The events that start the functions, as EventBridge patterns, and their parsed forms.

Also the pattern of the event that the functions send to other systems.

The entries of an array in a pattern are alternatives, so a prefix and a suffix cannot be combined.
Patterns select by prefix or wildcard, and the code decides with `s3_keys.kind_of`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from functions import s3_keys
from functions.replies import bus

OBJECT_CREATED = "Object Created"
OBJECT_DELETED = "Object Deleted"
PROCESSING_CHANGED = "SageMaker Processing Job State Change"


def drops(input_bucket: str) -> dict[str, Any]:
    """Pattern: anything created or deleted in the input bucket.

    Specs beside jobs/ are answered, too.
    """
    return {
        "source": ["aws.s3"],
        "detail-type": [OBJECT_CREATED, OBJECT_DELETED],
        "detail": {
            "bucket": {"name": [input_bucket]},
        },
    }


def results(work_bucket: str) -> dict[str, Any]:
    """Pattern: progress and results that a worker wrote."""
    return {
        "source": ["aws.s3"],
        "detail-type": [OBJECT_CREATED],
        "detail": {
            "bucket": {"name": [work_bucket]},
            "object": {"key": [{"wildcard": f"{s3_keys.ATTEMPTS_PREFIX}*/output/*/*.json"}]},
        },
    }


def endings(job_prefix: str) -> dict[str, Any]:
    """Pattern: a processing job of this deployment has ended, in any way."""
    return {
        "source": ["aws.sagemaker"],
        "detail-type": [PROCESSING_CHANGED],
        "detail": {
            "ProcessingJobName": [{"prefix": job_prefix}],
            "ProcessingJobStatus": ["Completed", "Failed", "Stopped"],
        },
    }


def ended_jobs() -> dict[str, Any]:
    """Pattern: a job has ended. Such events are on the bus of the deployment, for other systems."""
    return {"source": [bus.SOURCE], "detail-type": [bus.DETAIL_TYPE]}


class _Event(BaseModel):
    """AWS defines the events, so fields that are not read here may come and go."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Bucket(_Event):
    name: str


class _Object(_Event):
    key: str
    version_id: str | None = Field(default=None, alias="version-id")


class _ObjectDetail(_Event):
    bucket: _Bucket
    object: _Object


class ObjectCreated(_Event):
    """An object was created. Keys are raw here, not URL-encoded."""

    detail_type: Literal["Object Created"] = Field(alias="detail-type")
    detail: _ObjectDetail


class ObjectDeleted(_Event):
    """An object was deleted, or in a bucket with versions got a delete marker."""

    detail_type: Literal["Object Deleted"] = Field(alias="detail-type")
    detail: _ObjectDetail


class _ProcessingDetail(_Event):
    processing_job_name: str = Field(alias="ProcessingJobName")
    processing_job_status: str = Field(alias="ProcessingJobStatus")


class ProcessingChanged(_Event):
    """A processing job changed its state."""

    detail_type: Literal["SageMaker Processing Job State Change"] = Field(alias="detail-type")
    detail: _ProcessingDetail
