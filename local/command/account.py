"""A deployment as the `reeldrop` command sees it: its names, and clients to reach it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from functions import s3_keys
from local.cloud.clients import client
from local.command.deployment import outputs_in

# An output of CloudFormation cannot be empty.
_NONE = "none"
_DEFAULT_STACK = "reeldrop"


class NoDeployment(Exception):
    """The deployment cannot be found. The message says how to name it."""


@dataclass(frozen=True)
class Account:
    """The names and settings of a deployment that commands need."""

    client: Callable[[str], Any]
    """Makes a boto3 client, by the name of the service."""
    input_bucket: str
    output_bucket: str
    work_bucket: str
    topic_arn: str
    job_prefix: str
    code_uri: str
    image_uri: str
    import_role_arn: str
    key_arn: str
    """The key that encrypts what the deployment stores. Empty: it has none of its own."""
    default_model: str
    instance_types: tuple[str, ...]
    finishing_instance_type: str
    enhancer_model_id: str
    """Empty: none."""
    guardrail_id: str
    """Empty: none."""
    guardrail_version: str
    lambda_concurrency: int

    @classmethod
    def found(cls, files: Sequence[Path], stack: str) -> Self:
        """Look into files with outputs of a deployment, or ask CloudFormation.

        Args:
            files: the first one that has the outputs of a drop folder is used.
            stack: the stack that CloudFormation is asked about, whatever the files say. Empty: only
                if no file has outputs, and then about the stack with the default name.

        Raises:
            NoDeployment: there is none.
        """
        known = (found for file in files if not stack for found in outputs_in(file))
        outputs = next((found for found in known if "WorkBucket" in found), None)
        if outputs is None:
            outputs = _outputs_of(stack or _DEFAULT_STACK)
        endpoint = outputs.get("Endpoint")

        def make(service: str) -> Any:
            return client(service, endpoint) if endpoint else _client(service)

        try:
            return cls(
                client=make,
                input_bucket=outputs["InputBucket"],
                output_bucket=outputs["OutputBucket"],
                work_bucket=outputs["WorkBucket"],
                topic_arn=outputs["TopicArn"],
                job_prefix=outputs["JobPrefix"],
                code_uri=outputs["CodeUri"],
                image_uri=outputs["ImageUri"],
                import_role_arn=outputs["ImportRoleArn"],
                key_arn=outputs["KeyArn"].removeprefix(_NONE),
                default_model=outputs["DefaultModel"],
                instance_types=tuple(outputs["InstanceTypes"].split(",")),
                finishing_instance_type=outputs["FinishingInstanceType"],
                enhancer_model_id=outputs["EnhancerModelId"].removeprefix(_NONE),
                guardrail_id=outputs["GuardrailId"].removeprefix(_NONE),
                guardrail_version=outputs["GuardrailVersion"].removeprefix(_NONE),
                lambda_concurrency=int(outputs["LambdaConcurrency"]),
            )
        except KeyError as error:
            raise NoDeployment(
                f"The deployment is older than this command: it has no output {error}. Deploy it "
                "again."
            ) from None


@dataclass(frozen=True)
class DropBuckets:
    """The buckets that people drop files into and read answers from."""

    s3: Any
    """A client."""
    input_bucket: str
    output_bucket: str

    @classmethod
    def found(cls, files: Sequence[Path], stack: str) -> Self:
        """Look into files with outputs of a deployment, or derive the names of the buckets.

        People who drop files may not ask CloudFormation. Everybody may ask who they are, and the
        names follow from the stack, the account and the region.

        Args:
            files: see `Account.found`.
            stack: the name of the stack, whatever the files say.

        Raises:
            NoDeployment: there are no credentials, or no region.
        """
        known = (found for file in files if not stack for found in outputs_in(file))
        outputs = next((found for found in known if "OutputBucket" in found), None)
        if outputs is not None:
            endpoint = outputs.get("Endpoint")
            s3 = client("s3", endpoint) if endpoint else _client("s3")
            return cls(s3, outputs["InputBucket"], outputs["OutputBucket"])
        try:
            s3, account = _client("s3"), _client("sts").get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            raise NoDeployment(
                f"AWS cannot be asked about the drop folder: {error}. Set credentials and a region "
                "as for the AWS CLI, or start  reeldrop up  for a drop folder on this machine."
            ) from None
        names = (
            s3_keys.bucket_name(stack or _DEFAULT_STACK, one, account, s3.meta.region_name)
            for one in ("input", "output")
        )
        return cls(s3, *names)


def _client(service: Any) -> Any:
    return boto3.client(service)


def _outputs_of(stack: str) -> dict[str, str]:
    try:
        stacks = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NoDeployment(
            f"No deployment was found. CloudFormation says about the stack {stack}: {error}. "
            "Name the stack with --stack, or a file with its outputs with --outputs."
        ) from None
    return {row["OutputKey"]: row["OutputValue"] for row in stacks[0].get("Outputs", ())}
