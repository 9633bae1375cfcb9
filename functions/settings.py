"""The settings of a deployment, passed to the functions as environment variables.

`stacks` builds one `Settings` and sets its variables on every function, and the functions read them
back. Both directions are in this module, so that the names of the variables always agree.
"""

from collections.abc import Mapping
from typing import Protocol, Self

from contract.catalogue import Mode
from contract.document import Document

_PREFIX = "REELDROP_"


class Settings(Document):
    """Names of the deployed resources, and limits."""

    input_bucket: str
    output_bucket: str
    work_bucket: str
    table_name: str
    topic_arn: str
    event_bus_name: str
    """The bus for events about the ends of jobs."""
    drops_queue_url: str
    dispatch_queue_url: str
    key_arn: str
    """The key of KMS that encrypts what is stored. Empty: each service uses its own."""

    subnet_ids: str
    """Where processing jobs run, separated by commas. Empty: in no network of the account."""
    security_group_id: str
    """Their security group. Empty with `subnet_ids`."""

    job_prefix: str
    """Beginning of the name of each processing job: at most 22 letters, digits and dashes."""
    image_uri: str
    code_uri: str
    """S3 URI of the zip that the container runs."""
    role_arn: str
    instance_types: str
    """Separated by commas. A later type is tried when the earlier ones are not available."""
    finishing_instance_type: str
    """The one that finishes clips, for which no model is needed."""
    volume_gb: int
    max_processing_jobs: int
    """Maximum number at the same time, all instance types together. As many more may finish
    clips."""
    max_tasks_per_job: int
    max_tasks_per_folder_day: int
    """0: no limit. The day of this limit and of the next one begins at midnight UTC."""
    max_gpu_minutes_per_folder_day: int
    max_attempts: int
    max_runtime_seconds: int

    default_model: str
    enhancer_model_id: str
    """Bedrock model or inference profile. Empty: prompts are not enhanced."""
    guardrail_id: str
    """The guardrail of Bedrock that judges what is dropped and what is made of it. Empty: none."""
    guardrail_version: str
    guardrail_pictures: bool
    """Whether it judges images and videos, too."""
    signing_key: str
    """The ARN of the key of KMS that signs videos (Content Credentials). Empty: none does."""
    reference_deadline_seconds: int
    link_seconds: int
    """How long the link in a mail should work. It stops earlier if the credentials of the role that
    signed it expire."""

    @property
    def instance_preferences(self) -> tuple[str, ...]:
        """The instance types, in the order in which they are tried."""
        return tuple(self.instance_types.split(","))

    def instance_types_for(self, mode: Mode) -> tuple[str, ...]:
        """The instance types for a mode, in the order in which they are tried."""
        finishes = mode == Mode.FINISHING
        return (self.finishing_instance_type,) if finishes else self.instance_preferences

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that `to_environment` made.

        Raises:
            pydantic.ValidationError: a setting is missing or malformed.
        """
        return cls.model_validate_strings(
            {
                name: environment[_PREFIX + name.upper()]
                for name in cls.model_fields
                if _PREFIX + name.upper() in environment
            }
        )

    def to_environment(self) -> dict[str, str]:
        """The environment variables to set for a function."""
        return {_PREFIX + name.upper(): str(value) for name, value in self}


class WithSettings(Protocol):
    """Knows the settings of the deployment."""

    @property
    def settings(self) -> Settings:
        """The settings."""
