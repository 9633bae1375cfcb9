"""Deploying a synthesised cloud assembly (`cdk.out`) to the embedded cloud, without node."""

import json
import stat
import time
import zipfile
from dataclasses import dataclass
from graphlib import TopologicalSorter
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field

from local.cloud.clients import ACCOUNT, REGION, client
from local.cloud.mail import queue_url

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "30"
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_POLL_SECONDS = 0.1
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


class DeployFailed(Exception):
    """A stack did not get where it should; the message has the events of what failed."""


class _Edge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Source(_Edge):
    path: str
    packaging: Literal["zip", "file"]


class _Destination(_Edge):
    bucket_name: str = Field(alias="bucketName")
    object_key: str = Field(alias="objectKey")


class _Asset(_Edge):
    source: _Source
    destinations: dict[str, _Destination]


class _Assets(_Edge):
    files: dict[str, _Asset] = {}


class _Properties(_Edge):
    template_file: str | None = Field(default=None, alias="templateFile")
    template_url: str | None = Field(default=None, alias="stackTemplateAssetObjectUrl")
    stack_name: str | None = Field(default=None, alias="stackName")
    parameters: dict[str, str] = {}
    file: str | None = None


class _Artifact(_Edge):
    type_: str = Field(alias="type")
    properties: _Properties = _Properties()
    dependencies: tuple[str, ...] = ()


class _Manifest(_Edge):
    artifacts: dict[str, _Artifact] = {}


@dataclass(frozen=True)
class _Stack:
    name: str
    template: Path
    template_url: str | None
    parameters: dict[str, str]


def deploy(assembly: Path, endpoint: str, *, deadline_seconds: float = 120) -> dict[str, str]:
    """Deploy every stack of the assembly, in the order of their dependencies.

    Arguments:
        assembly: a folder with manifest.json, as `cdk synth` or `app.synth()` writes it.
        endpoint: the embedded cloud's.
        deadline_seconds: for each stack.

    Returns:
        The outputs of all stacks, by name.

    Raises:
        DeployFailed: a stack failed, or took too long.
    """
    manifest = _Manifest.model_validate_json((assembly / "manifest.json").read_bytes())
    client("ssm", endpoint).put_parameter(
        Name=BOOTSTRAP_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String", Overwrite=True
    )
    _upload_assets(assembly, manifest, client("s3", endpoint))
    outputs: dict[str, str] = {}
    for stack in _stacks(assembly, manifest):
        outputs |= _deploy_stack(stack, endpoint, deadline_seconds)
    return outputs


def subscribe_mail(endpoint: str, topic_arn: str) -> None:
    """Let what a topic publishes become files in the outbox. Twice is as once."""
    sqs = client("sqs", endpoint)
    answer = sqs.get_queue_attributes(QueueUrl=queue_url(sqs), AttributeNames=["QueueArn"])
    client("sns", endpoint).subscribe(
        TopicArn=topic_arn, Protocol="sqs", Endpoint=answer["Attributes"]["QueueArn"]
    )


def zipped(folder: Path) -> bytes:
    """The folder as a zip that depends on names, contents and the executable bit only."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            is_executable = path.stat().st_mode & stat.S_IXUSR
            entry.external_attr = (stat.S_IFREG | (0o755 if is_executable else 0o644)) << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=1)
    return content.getvalue()


# Assets


def _upload_assets(assembly: Path, manifest: _Manifest, s3: Any) -> None:
    for artifact in manifest.artifacts.values():
        if artifact.type_ != "cdk:asset-manifest" or artifact.properties.file is None:
            continue
        assets = _Assets.model_validate_json((assembly / artifact.properties.file).read_bytes())
        for asset in assets.files.values():
            for destination in asset.destinations.values():
                _upload_asset(assembly / asset.source.path, asset.source.packaging, destination, s3)


def _upload_asset(
    path: Path, packaging: Literal["zip", "file"], destination: _Destination, s3: Any
) -> None:
    bucket = _substituted(destination.bucket_name)
    key = _substituted(destination.object_key)
    if not _exists(s3.head_bucket, Bucket=bucket):
        s3.create_bucket(Bucket=bucket)
    # The key is the hash of the content: what is there is right.
    if not _exists(s3.head_object, Bucket=bucket, Key=key):
        content = zipped(path) if packaging == "zip" and path.is_dir() else path.read_bytes()
        s3.put_object(Bucket=bucket, Key=key, Body=content)


def _exists(head: Any, **arguments: str) -> bool:
    try:
        head(**arguments)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _substituted(text: str) -> str:
    values = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


# Stacks


def _stacks(assembly: Path, manifest: _Manifest) -> list[_Stack]:
    order = TopologicalSorter(
        {name: artifact.dependencies for name, artifact in manifest.artifacts.items()}
    ).static_order()
    stacks = []
    for name in order:
        artifact = manifest.artifacts.get(name)
        if artifact is None or artifact.type_ != "aws:cloudformation:stack":
            continue
        properties = artifact.properties
        if properties.template_file is None:
            raise DeployFailed(f"the stack {name} has no template")
        stacks.append(
            _Stack(
                name=properties.stack_name or name,
                template=assembly / properties.template_file,
                template_url=properties.template_url,
                parameters=properties.parameters,
            )
        )
    return stacks


def _deploy_stack(stack: _Stack, endpoint: str, deadline_seconds: float) -> dict[str, str]:
    cloudformation = client("cloudformation", endpoint, read_timeout_seconds=deadline_seconds)
    status = _status(cloudformation, stack.name)
    if status == "ROLLBACK_COMPLETE":  # a first try that failed: nothing but a name
        cloudformation.delete_stack(StackName=stack.name)
        _wait(cloudformation, stack.name, {"DELETE_COMPLETE", None}, deadline_seconds)
        status = None
    if status is None or status == "DELETE_COMPLETE":
        cloudformation.create_stack(**_arguments(stack, endpoint))
    elif not _is_deployed(cloudformation, stack):
        cloudformation.update_stack(**_arguments(stack, endpoint))
    good: set[str | None] = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    _wait(cloudformation, stack.name, good, deadline_seconds)
    description = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    return {row["OutputKey"]: row["OutputValue"] for row in description.get("Outputs", ())}


def _arguments(stack: _Stack, endpoint: str) -> dict[str, Any]:
    if stack.template_url is None:
        template = {"TemplateBody": stack.template.read_text()}
    else:
        # The body of a request may have 51,200 bytes; a template is soon larger.
        where = _substituted(stack.template_url).removeprefix("s3://")
        template = {"TemplateURL": f"{endpoint}/{where}"}
    return {
        "StackName": stack.name,
        "Capabilities": _CAPABILITIES,
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": _substituted(value)}
            for name, value in stack.parameters.items()
        ],
        **template,
    }


def _is_deployed(cloudformation: Any, stack: _Stack) -> bool:
    """Whether the stack has this template already: CloudFormation refuses to change nothing."""
    body = cloudformation.get_template(StackName=stack.name, TemplateStage="Original")[
        "TemplateBody"
    ]
    deployed = json.loads(body) if isinstance(body, str) else body
    return bool(deployed == json.loads(stack.template.read_bytes()))


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # What CloudFormation says for a stack that is not there; our names are valid.
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return str(stacks[0]["StackStatus"]) if stacks else None


def _wait(cloudformation: Any, name: str, good: set[str | None], deadline_seconds: float) -> None:
    deadline = time.monotonic() + deadline_seconds
    while True:
        status = _status(cloudformation, name)
        if status in good:
            return
        if status is None or not status.endswith("_IN_PROGRESS"):
            raise DeployFailed(f"the stack {name} is {status}{_failures(cloudformation, name)}")
        if time.monotonic() > deadline:
            late = f"the stack {name} is still {status} after {deadline_seconds:g} s"
            raise DeployFailed(late + _failures(cloudformation, name))
        time.sleep(_POLL_SECONDS)


def _failures(cloudformation: Any, name: str) -> str:
    """The events of the resources that failed, the first one first, one a line."""
    try:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
        events = [event for page in pages for event in page["StackEvents"]]
    except ClientError:
        return ""
    lines = [
        f"\n  {event['LogicalResourceId']} ({event['ResourceType']}): "
        f"{event['ResourceStatus']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    return "".join(lines)
