"""What a deployment decides, as the environment of the functions.

`stacks` builds one `Settings` and hands it to every function; a function reads it back. Both
directions are here, so the names cannot drift.
"""

from collections.abc import Mapping
from typing import Self

from contract.document import Document

_PREFIX = "REELDROP_"


class Settings(Document):
    """Names of the deployed parts, and limits."""

    input_bucket: str
    output_bucket: str
    work_bucket: str
    table_name: str
    topic_arn: str
    dispatch_queue_url: str

    job_prefix: str
    """Begins the name of each processing job; at most 20 letters, digits and dashes."""
    image_uri: str
    code_uri: str
    """S3 URI of the zip that the container runs."""
    role_arn: str
    instance_types: str
    """With commas between them; a later one is tried when the earlier ones are not to be had."""
    volume_gb: int
    max_processing_jobs: int
    """At once, of all instance types together."""
    max_tasks_per_job: int
    max_tasks_per_folder_day: int
    """0: no limit. This and the next count from midnight UTC."""
    max_gpu_minutes_per_folder_day: int
    max_attempts: int
    max_runtime_seconds: int

    default_model: str
    enhancer_model_id: str
    """Bedrock model or inference profile; empty: prompts are used as they are."""
    reference_deadline_seconds: int
    link_seconds: int
    """How long the link in a mail is meant to work; it may die sooner with the signing role."""

    @property
    def instance_preferences(self) -> tuple[str, ...]:
        """The instance types, the most wanted first."""
        return tuple(self.instance_types.split(","))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what `to_environment` made.

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
        """The variables to set for a function."""
        return {_PREFIX + name.upper(): str(value) for name, value in self}
