"""The choices of a deployment, as typed settings.

Each field is a CDK context value: in cdk.json, or `cdk deploy -c notify_email=me@example.org`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import aws_cdk as cdk
from pydantic import Field, model_validator

from contract.catalogue import MODELS
from contract.document import Document
from contract.instance_types import FAMILIES, FINISHING_TYPES, verdict

_INSTANCE_TYPE = rf"ml\.({'|'.join(FAMILIES)})\.[a-z0-9]+"
InstanceTypes = Annotated[str, Field(pattern=f"^{_INSTANCE_TYPE}(,{_INSTANCE_TYPE}){{0,4}}$")]
_FINISHING_TYPES = "|".join(FINISHING_TYPES).replace(".", r"\.")
# SageMaker takes images from ECR only.
IMAGE_URI = (
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/(?P<repository>[a-z0-9._/-]+)([:@][A-Za-z0-9._:-]+)?"
)
KEY_ARN = r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+"
KeyArn = Annotated[str, Field(pattern=f"^{KEY_ARN}$")]
_ADDRESS = r"[^\s,@]+@[^\s,@]+\.[^\s,@]+"
Addresses = Annotated[str, Field(pattern=f"^({_ADDRESS}(,{_ADDRESS})*)?$")]

# In an API destination of EventBridge, an asterisk is the place of a parameter, so none is allowed.
_HTTPS_URL = (
    r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?"
    r"(/(%[0-9A-Fa-f]{2}|[A-Za-z0-9/._~!$&'()+,;=:@?-])*)?"
)
_SECRET_NAME = r"^[A-Za-z0-9/_+=.@-]*$"


# One call of dispatch is enough for all wake-ups that are in the queue, but Lambda wants 2.
_DISPATCHES = 2
# A person who looks at the studio makes a call or two at a time.
_FOR_STUDIO = 2
_LEAST_WITH_STUDIO = 9


class ConcurrentCalls(NamedTuple):
    """How many calls of each function may run at the same time."""

    submit: int
    dispatch: int
    finish: int


class Config(Document):
    """The choices of one deployment."""

    stack_name: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9]){0,19}$", max_length=20)] = (
        "reeldrop"
    )
    """The names of the processing jobs begin with it, and metrics have it as their dimension. So
    several deployments in one account do not mix."""
    notify_email: Addresses = ""
    """Email addresses for notifications about jobs, separated by commas. The owner of each has to
    confirm once. Empty: none."""
    alarm_email: Addresses = ""
    """Email addresses for alarms, likewise. Empty: those of `notify_email`."""

    webhook_url: Annotated[str, Field(pattern=f"^({_HTTPS_URL})?$", max_length=2048)] = ""
    """Where each event about the end of a job is sent, too. Empty: nowhere."""
    webhook_secret: Annotated[str, Field(pattern=_SECRET_NAME)] = ""
    """Name of the secret in Secrets Manager that such a request has as its header x-api-key."""
    slack_secret: Annotated[str, Field(pattern=_SECRET_NAME)] = ""
    """Name of the secret whose value is the URL of an incoming webhook of Slack. Its channel gets a
    line about the end of each job. Empty: none does."""

    default_model: Annotated[str, Field(pattern=f"^({'|'.join(MODELS)})$".replace(".", r"\."))] = (
        "cogvideox-5b"
    )
    """The models have different licences: see contract/catalogue.py."""
    enhancer_model_id: Annotated[
        str, Field(pattern=r"^(|auto|[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9a-z]+)*)$")
    ] = "auto"
    """Bedrock model or inference profile that enhances prompts. "auto": the one of
    stacks/enhancer.py that fits the region. Empty: prompts are not changed."""

    guardrail_id: Annotated[str, Field(pattern=r"^[a-z0-9]*$", max_length=64)] = ""
    """Guardrail of Bedrock in this account and region that judges all prompts. Empty: none."""
    guardrail_version: Annotated[str, Field(pattern=r"^(|[1-9][0-9]{0,7}|DRAFT)$")] = ""
    """Its version, such as 1. DRAFT is whatever was saved last."""
    guardrail_pictures: bool = True
    """Whether it also judges images, clips and finished videos. Guardrails judge pictures only in
    some regions."""

    signing_key: Annotated[str, Field(pattern=f"^({KEY_ARN})?$")] = ""
    """Key of KMS (ECC_NIST_P256, for signing) that signs all videos, which adds Content Credentials
    to them (docs/decisions/0031-content-credentials.md). Empty: none does."""
    signing_certificates: str = ""
    """Path of a file (PEM): the certificate of that key, followed by those that vouch for it."""

    instance_types: InstanceTypes = "ml.g6e.xlarge"
    """Separated by commas. A later type is used when the earlier ones are not available."""
    finishing_instance_type: Annotated[str, Field(pattern=f"^({_FINISHING_TYPES})$")] = (
        "ml.c5.2xlarge"
    )
    """The type that finishes clips, for which no model and no GPU is needed."""
    image_uri: Annotated[str, Field(pattern=rf"^({IMAGE_URI})?$")] = ""
    """Container image in ECR, with Python 3.12 and PyTorch. Empty: AWS's own image."""
    volume_gb: Annotated[int, Field(ge=30, le=1000)] = 100
    max_processing_jobs: Annotated[int, Field(ge=1, le=100)] = 1
    """How many run at the same time, counting all instance types together. As many more may finish
    clips."""
    max_tasks_per_job: Annotated[int, Field(ge=1, le=128)] = 128
    """Most videos in one processing job. With 128, the start-up adds only seconds to each video."""
    max_tasks_per_folder_day: Annotated[int, Field(ge=0)] = 200
    """Videos of one folder that are started in a day (UTC). The others wait. 0: no limit."""
    max_gpu_minutes_per_folder_day: Annotated[int, Field(ge=0)] = 600
    """The same limit in expected minutes of rendering. docs/cost.md says what that costs."""
    monthly_budget_usd: Annotated[int, Field(ge=0)] = 0
    """What the whole account may cost in a month, in US dollars. Alarms tell when the costs come
    near it. Nothing is stopped. 0: no budget."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    max_runtime_seconds: Annotated[int, Field(ge=60, le=777_600)] = 10 * 3600

    reference_deadline_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 60
    link_hours: Annotated[int, Field(ge=1, le=168)] = 12
    archive_videos_after_days: Annotated[int, Field(ge=0)] = 0
    """After how many days videos move to a cheaper storage class (Glacier Instant Retrieval), from
    which they can still be read at once. 0: never."""
    delete_videos_after_days: Annotated[int, Field(ge=0)] = 0
    """After how many days videos are deleted. 0: never."""
    lambda_concurrency: Annotated[int, Field(ge=7)] = 10
    """How many calls of functions the account runs at the same time, or the part of this quota that
    this deployment may use. New accounts have 10."""
    keep_data: bool = True
    """Whether the buckets and the table outlive the stack."""

    customer_key: bool | KeyArn = False
    """Whether a key of the account's own encrypts what is stored (docs/decisions/0022-keys.md)."""

    vpc: bool = False
    """Whether the functions and processing jobs run in a private network without a way to the
    internet. An import of weights runs outside of it, because it downloads them."""

    studio: bool = False
    """Whether there is a page in the browser for the drop folder (docs/operations.md)."""
    studio_allowed_ips: str = ""
    """Ranges of addresses that may open the studio, such as 192.0.2.0/24, separated by commas.
    Empty: all. People still have to sign in."""

    code: Literal["aws", "embedded"] = "aws"
    """What goes into the zips. "aws": our code and the packages that it needs on AWS. "embedded":
    only our code, because the embedded cloud runs it with packages that are already installed."""

    @model_validator(mode="after")
    def _archive_before_delete(self) -> Self:
        if 0 < self.delete_videos_after_days <= self.archive_videos_after_days:
            raise ValueError(
                "delete_videos_after_days must be more than archive_videos_after_days, or 0"
            )
        return self

    @model_validator(mode="after")
    def _webhook_has_a_secret(self) -> Self:
        if bool(self.webhook_url) != bool(self.webhook_secret):
            raise ValueError("webhook_url and webhook_secret belong together: set both or neither")
        return self

    @model_validator(mode="after")
    def _guardrail_has_a_version(self) -> Self:
        if bool(self.guardrail_id) != bool(self.guardrail_version):
            raise ValueError(
                "guardrail_id and guardrail_version belong together: set both or neither"
            )
        return self

    @model_validator(mode="after")
    def _signing_key_has_certificates(self) -> Self:
        if bool(self.signing_key) != bool(self.signing_certificates):
            raise ValueError(
                "signing_key and signing_certificates belong together: set both or neither"
            )
        if self.signing_key:
            path = Path(self.signing_certificates)
            if not path.is_file() or "-----BEGIN CERTIFICATE-----" not in path.read_text():
                raise ValueError(f"{path} is no file with certificates (PEM)")
        return self

    @model_validator(mode="after")
    def _studio_can_be_reached(self) -> Self:
        if self.studio and self.lambda_concurrency < _LEAST_WITH_STUDIO:
            raise ValueError(f"the studio needs lambda_concurrency of {_LEAST_WITH_STUDIO} or more")
        for addresses in filter(None, self.studio_allowed_ips.split(",")):
            try:
                ip_network(addresses)
            except ValueError as error:
                raise ValueError(f"studio_allowed_ips: {error}") from None
        return self

    @model_validator(mode="after")
    def _model_runs_on_all_types(self) -> Self:
        for instance_type in self.instance_types.split(","):
            refused = verdict(self.default_model, instance_type).refused
            if refused:
                raise ValueError(f"{instance_type} cannot run {self.default_model}: {refused}")
        return self

    @property
    def alarm_addresses(self) -> str:
        """The email addresses that alarms are sent to."""
        return self.alarm_email or self.notify_email

    @property
    def job_prefix(self) -> str:
        """The beginning of the names of the processing jobs.

        No stack name contains two dashes in a row. So no other deployment has this beginning, even
        if the name of its stack begins with this one's.
        """
        return f"{self.stack_name}--"

    @property
    def concurrent_calls(self) -> ConcurrentCalls:
        """How many calls the queues may make at the same time. One more is left for the sweep.

        A call beyond the quota is refused, and its message loses one of its tries. So all calls
        together stay within the quota. Lambda's least value for a queue is 2.
        """
        rest = self.lambda_concurrency - _DISPATCHES - 1 - (_FOR_STUDIO if self.studio else 0)
        finish = min(20, max(2, rest // 3))
        return ConcurrentCalls(min(50, rest - finish), _DISPATCHES, finish)

    @classmethod
    def from_context(cls, scope: cdk.App) -> Self:
        """Read the configuration from the context of an app.

        Raises:
            pydantic.ValidationError: a context value is not allowed.
        """
        values = {name: scope.node.try_get_context(name) for name in cls.model_fields}
        # Values given with `-c` are always text, so the validation may convert types.
        return cls.model_validate({k: v for k, v in values.items() if v is not None}, strict=False)
