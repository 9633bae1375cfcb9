"""What a deployment may choose, as typed settings.

Each field is a CDK context value: in cdk.json, or `cdk deploy -c notify_email=me@example.org`.
"""

from typing import Annotated, Literal, Self

import aws_cdk as cdk
from pydantic import Field

from contract.catalogue import MODELS
from contract.document import Document

# GPU types that SageMaker offers for processing jobs (November 2026).
_INSTANCE_TYPE = r"ml\.(g4dn|g5|g6|g6e|g7|g7e|p5)\.[a-z0-9]+"
InstanceTypes = Annotated[str, Field(pattern=f"^{_INSTANCE_TYPE}(,{_INSTANCE_TYPE}){{0,4}}$")]


class Config(Document):
    """The choices of one deployment."""

    stack_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")] = "reeldrop"
    """Also begins the name of each processing job."""
    notify_email: str = ""
    """Address that is told of every job; it has to confirm once. Empty: nobody yet."""
    alarm_email: str = ""
    """Address that is told when something is stuck in a dead-letter queue."""

    default_model: Annotated[str, Field(pattern=f"^({'|'.join(MODELS)})$".replace(".", r"\."))] = (
        "cogvideox-5b"
    )
    """Mind its licence: see contract/catalogue.py."""
    enhancer_model_id: str = "us.amazon.nova-2-lite-v1:0"
    """Bedrock model or inference profile that enhances prompts. Empty: prompts stay as they are."""

    instance_types: InstanceTypes = "ml.g6e.xlarge"
    """With commas between them: a later one is tried when the earlier ones are not to be had."""
    image_uri: str = ""
    """Container image with Python 3.12 and PyTorch. Empty: AWS's own for the region."""
    volume_gb: Annotated[int, Field(ge=30, le=1000)] = 100
    max_processing_jobs: Annotated[int, Field(ge=1, le=100)] = 1
    """At once, of all instance types together."""
    max_tasks_per_job: Annotated[int, Field(ge=1, le=128)] = 128
    """Together with the runtime: enough that a start-up is seconds for each video."""
    max_tasks_per_folder_day: Annotated[int, Field(ge=0)] = 0
    """Videos that a folder may have started in a day (UTC); what is over it waits. 0: no limit."""
    max_gpu_minutes_per_folder_day: Annotated[int, Field(ge=0)] = 0
    """The same in expected minutes of rendering."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    max_runtime_seconds: Annotated[int, Field(ge=60, le=777_600)] = 10 * 3600

    reference_deadline_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 60
    link_hours: Annotated[int, Field(ge=1, le=168)] = 12
    keep_data: bool = True
    """Whether the buckets and the table outlive the stack."""

    code: Literal["aws", "embedded"] = "aws"
    """Which code goes into the zips: with packages for AWS's machines, or ours alone, for the
    embedded cloud, which runs functions and worker under its own interpreter."""

    @classmethod
    def from_context(cls, scope: cdk.App) -> Self:
        """The configuration of an app.

        Raises:
            pydantic.ValidationError: a context value is not possible.
        """
        values = {name: scope.node.try_get_context(name) for name in cls.model_fields}
        # `-c` gives text whatever the field's type is, hence not strict.
        return cls.model_validate({k: v for k, v in values.items() if v is not None}, strict=False)
