"""Deploys a synthesised cloud assembly (`cdk.out`) to the embedded cloud, without node."""

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
from pydantic import Field

from local.cloud.clients import ACCOUNT, REGION, client
from local.cloud.external_document import ExternalDocument

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "30"
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_POLL_SECONDS = 0.1
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can store


class DeployFailed(Exception):
    """A stack could not be deployed. The message has the events of the resources that failed."""


class _Source(ExternalDocument):
    path: str
    packaging: Literal["zip", "file"]


class _Destination(ExternalDocument):
    bucket_name: str = Field(alias="bucketName")
    object_key: str = Field(alias="objectKey")


class _Asset(ExternalDocument):
    source: _Source
    destinations: dict[str, _Destination]


class _Assets(ExternalDocument):
    files: dict[str, _Asset] = Field(default_factory=dict)


class _Properties(ExternalDocument):
    template_file: str | None = Field(default=None, alias="templateFile")
    template_url: str | None = Field(default=None, alias="stackTemplateAssetObjectUrl")
    stack_name: str | None = Field(default=None, alias="stackName")
    parameters: dict[str, str] = Field(default_factory=dict)
    file: str | None = None


class _Artifact(ExternalDocument):
    type_: str = Field(alias="type")
    properties: _Properties = _Properties()
    dependencies: tuple[str, ...] = ()


class _Manifest(ExternalDocument):
    artifacts: dict[str, _Artifact] = Field(default_factory=dict)


@dataclass(frozen=True)
class _Stack:
    name: str
    template: Path
    template_url: str | None
    parameters: dict[str, str]


def deploy(assembly: Path, endpoint: str, *, deadline_seconds: float = 120) -> dict[str, str]:
    """Deploy every stack of the assembly, in the order of their dependencies.

    Args:
        assembly: a folder with a manifest.json that `cdk synth` or `app.synth()` wrote.
        endpoint: the URL of the embedded cloud.
        deadline_seconds: the maximum time for each stack.

    Returns:
        The outputs of all stacks, by name.

    Raises:
        DeployFailed: a stack failed or took too long.
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


def zipped(folder: Path) -> bytes:
    """Zip a folder. The bytes depend only on names, contents and the executable bit."""
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
    # The key is the hash of the content, so an object that exists is the right one.
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
    if status == "ROLLBACK_COMPLETE":  # the creation failed; only the name is left
        cloudformation.delete_stack(StackName=stack.name)
        _wait(cloudformation, stack.name, {"DELETE_COMPLETE", None}, deadline_seconds)
        status = None
    if status is None or status == "DELETE_COMPLETE":
        cloudformation.create_stack(**_arguments(stack, endpoint))
    elif not _is_deployed(cloudformation, stack):
        cloudformation.update_stack(**_arguments(stack, endpoint))
    done: set[str | None] = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    _wait(cloudformation, stack.name, done, deadline_seconds)
    description = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    return {row["OutputKey"]: row["OutputValue"] for row in description.get("Outputs", ())}


def _arguments(stack: _Stack, endpoint: str) -> dict[str, Any]:
    if stack.template_url is None:
        template = {"TemplateBody": stack.template.read_text()}
    else:
        # A template in the request may have at most 51,200 bytes, and ours can be larger.
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
    """Return whether the stack has this template.

    CloudFormation refuses an update that changes nothing.
    """
    body = cloudformation.get_template(StackName=stack.name, TemplateStage="Original")[
        "TemplateBody"
    ]
    deployed = json.loads(body) if isinstance(body, str) else body
    return bool(deployed == json.loads(stack.template.read_bytes()))


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # CloudFormation's answer for a stack that does not exist. Our names are valid.
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return str(stacks[0]["StackStatus"]) if stacks else None


def _wait(cloudformation: Any, name: str, wanted: set[str | None], deadline_seconds: float) -> None:
    deadline = time.monotonic() + deadline_seconds
    while True:
        status = _status(cloudformation, name)
        if status in wanted:
            return
        if status is None or not status.endswith("_IN_PROGRESS"):
            raise DeployFailed(f"the stack {name} is {status}{_failures(cloudformation, name)}")
        if time.monotonic() > deadline:
            message = f"the stack {name} is still {status} after {deadline_seconds:g} s"
            raise DeployFailed(message + _failures(cloudformation, name))
        time.sleep(_POLL_SECONDS)


def _failures(cloudformation: Any, name: str) -> str:
    """Return the events of the resources that failed, the oldest first, one per line."""
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
