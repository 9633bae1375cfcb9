"""Models of a CreateProcessingJob request and of the record that SageMaker keeps of a job.

Members that we do not interpret (VpcConfig, ExperimentConfig, …) are kept, so that
DescribeProcessingJob returns them.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from contract.instance_types import has_own_disk

_SECONDS_PER_DAY = 86_400


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="allow", alias_generator=to_pascal, populate_by_name=True
    )

    def to_api(self) -> dict[str, Any]:
        """Return the members that were given, under the names that the API uses."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class S3Input(_Part):
    """S3 objects that are copied into the container before the program starts."""

    s3_uri: Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")]
    local_path: str
    s3_data_type: Literal["S3Prefix"] = "S3Prefix"
    s3_input_mode: Literal["File"] = "File"


class Input(_Part):
    """One input with its name."""

    input_name: str
    s3_input: S3Input


class UploadMode(StrEnum):
    """When the files of an output are uploaded."""

    CONTINUOUS = "Continuous"
    END_OF_JOB = "EndOfJob"


class S3Output(_Part):
    """A folder of the container that is uploaded to S3."""

    s3_uri: Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")]
    local_path: str
    s3_upload_mode: UploadMode


class Output(_Part):
    """One output with its name."""

    output_name: str
    s3_output: S3Output


class OutputConfig(_Part):
    """All outputs of a job."""

    outputs: tuple[Output, ...] = ()


class Preference(_Part):
    """An acceptable instance type, with the number of instances."""

    instance_type: str
    instance_count: int = 1


class Cluster(_Part):
    """The requested instances: one instance type, or several in the order of preference."""

    instance_type: str | None = None
    instance_count: int = 1
    instance_preferences: tuple[Preference, ...] = ()
    volume_kms_key_id: str | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.instance_type) == bool(self.instance_preferences):
            raise ValueError("Specify either InstanceType or InstancePreferences.")
        own_disk = any(has_own_disk(one.instance_type) for one in self.preferences)
        if self.volume_kms_key_id and own_disk:
            raise ValueError(
                "VolumeKmsKeyId cannot be specified when using an instance type with local storage."
            )
        return self

    @property
    def preferences(self) -> tuple[Preference, ...]:
        """The acceptable instance types, the preferred one first."""
        if self.instance_type:
            return (
                Preference(instance_type=self.instance_type, instance_count=self.instance_count),
            )
        return self.instance_preferences


class Resources(_Part):
    """The level between the request and the cluster."""

    cluster_config: Cluster


class AppSpecification(_Part):
    """The program. The image is not pulled; its entry point runs directly on this machine."""

    image_uri: str
    container_entrypoint: Annotated[tuple[str, ...], Field(min_length=1)]
    container_arguments: tuple[str, ...] = ()


class StoppingCondition(_Part):
    """The maximum run time of the job."""

    max_runtime_in_seconds: int = _SECONDS_PER_DAY


class NetworkConfig(_Part):
    """Whether the container has no network."""

    enable_network_isolation: bool = False


class Tag(_Part):
    """A tag of a job."""

    key: str
    value: str


class JobRequest(_Part):
    """The parameters of CreateProcessingJob."""

    processing_job_name: str
    role_arn: str
    app_specification: AppSpecification
    processing_resources: Resources
    processing_inputs: tuple[Input, ...] = ()
    processing_output_config: OutputConfig = OutputConfig()
    stopping_condition: StoppingCondition = StoppingCondition()
    network_config: NetworkConfig = NetworkConfig()
    environment: dict[str, str] = Field(default_factory=dict)
    tags: tuple[Tag, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [item.input_name for item in self.processing_inputs]
        local_paths = [item.s3_input.local_path for item in self.processing_inputs]
        outputs = [item.output_name for item in self.processing_output_config.outputs]
        for what, values in (
            ("InputName", names),
            ("LocalPath", local_paths),
            ("OutputName", outputs),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must be unique within a processing job.")
        for local_path in [
            *local_paths,
            *(item.s3_output.local_path for item in self.processing_output_config.outputs),
        ]:
            if not local_path.startswith("/opt/ml/processing/") or ".." in local_path.split("/"):
                raise ValueError(f"LocalPath must be below /opt/ml/processing: {local_path}")
        return self


class Status(StrEnum):
    """The status of a processing job, ProcessingJobStatus in the API."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, so that its status never changes again."""
        return self not in {Status.IN_PROGRESS, Status.STOPPING}


class JobRecord(BaseModel):
    """What SageMaker keeps of a job, without an end. Times are in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    request: JobRequest
    arn: str
    instance_type: str
    instance_count: int
    status: Status
    created_at: float
    modified_at: float
    started_at: float | None = None
    ended_at: float | None = None
    failure_reason: str | None = None
    exit_message: str | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.request.processing_job_name

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeProcessingJob."""
        given = self.request.to_api()
        given.pop("Tags", None)
        return given | self._facts(milliseconds=False)

    def summary(self) -> dict[str, Any]:
        """Return the job as one summary of ListProcessingJobs."""
        return {"ProcessingJobName": self.name, **self._facts(milliseconds=False)}

    def event_detail(self) -> dict[str, Any]:
        """Return the detail of a state-change event.

        As in AWS, it has no environment, no tags and no exit message.
        """
        kept = {
            "ProcessingInputs",
            "ProcessingOutputConfig",
            "ProcessingJobName",
            "ProcessingResources",
            "StoppingCondition",
            "AppSpecification",
            "NetworkConfig",
            "RoleArn",
        }
        given = {name: part for name, part in self.request.to_api().items() if name in kept}
        facts = self._facts(milliseconds=True)
        facts.pop("ExitMessage", None)
        return given | facts

    def _facts(self, *, milliseconds: bool) -> dict[str, Any]:
        def time(seconds: float | None) -> float | int | None:
            return int(seconds * 1000) if seconds is not None and milliseconds else seconds

        facts = {
            "ProcessingJobArn": self.arn,
            "ProcessingJobStatus": self.status.value,
            "CreationTime": time(self.created_at),
            "LastModifiedTime": time(self.modified_at),
            "ProcessingStartTime": time(self.started_at),
            "ProcessingEndTime": time(self.ended_at),
            "FailureReason": self.failure_reason,
            "ExitMessage": self.exit_message,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}
