"""The ports of the use cases, answered by AWS. The only module that imports boto3, and the only
one that looks at AWS's error codes.

Clients are made at first use: a function that only dispatches never loads Bedrock.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.ports import (
    Answer,
    Change,
    Conflict,
    D,
    FileFacts,
    LanguageModelUnavailable,
    Listed,
    Missing,
    NameTaken,
    NoCapacity,
    Ports,
    ProcessingJob,
    ProcessingStatus,
    Put,
    Record,
    RecordKey,
    Refused,
)
from functions.reading.reader import ChildReader
from functions.settings import Settings
from processing.contract.errors import Transient
from processing.contract.manifest import CONTAINER_MESSAGE, CONTAINER_ROOT
from processing.contract.outcome import MACHINE_VARIABLE

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_bedrock_runtime.type_defs import ContentBlockTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# Client-side retries with jitter; what is left after them is for the queue to repeat. All tries of
# one call fit into the shortest function's 60 seconds, or it would die before it can say so.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10
)
# A language model takes seconds, and a person waits.
_BEDROCK_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=15
)
# After a time-out SNS may have sent the mail all the same: no second try at once.
_SNS_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=15)
# Virtual style: then botocore names the region's own host also in signed links, which work nowhere
# else in regions that are newer than the global one. (A loopback endpoint stays in path style.)
_S3_CONFIG = _CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))

_TRANSIENT = {
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
# What DynamoDB takes in one call.
_GET_AT_MOST = 100
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _message(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Message", "")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn the errors that mean 'again later' and 'not there' into ours; pass on the others."""
    try:
        yield
    except ClientError as error:
        if _code(error) in _TRANSIENT:
            raise Transient(str(error)) from error
        if _code(error) in _GONE:
            raise Missing(str(error)) from error
        raise
    except BotoCoreError as error:  # connection refused, timed out, cut off
        raise Transient(str(error)) from error


class DynamoLedger:
    """The table, in DynamoDB: `pk`, `sk`, `revision` and the document as JSON."""

    def __init__(self, table_name: str) -> None:
        self._table = table_name

    @cached_property
    def _client(self) -> "DynamoDBClient":
        return boto3.client("dynamodb", config=_CONFIG)

    def get(self, key: RecordKey[D]) -> Record[D] | None:
        """See `Ledger.get`."""
        with _errors():
            answer = self._client.get_item(
                TableName=self._table,
                Key={"pk": {"S": key.partition}, "sk": {"S": key.sort}},
                ConsistentRead=True,
            )
        return _record(answer["Item"], key.kind) if "Item" in answer else None

    def get_all(self, keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        """See `Ledger.get_all`."""
        wanted = dict.fromkeys((key.partition, key.sort) for key in keys)
        left = [{"pk": {"S": partition}, "sk": {"S": sort}} for partition, sort in wanted]
        found: dict[tuple[str, str], Any] = {}
        while left:
            asked, left = left[:_GET_AT_MOST], left[_GET_AT_MOST:]
            with _errors():
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": asked, "ConsistentRead": True}}
                )
            for item in answer["Responses"].get(self._table, []):
                found[item["pk"]["S"], item["sk"]["S"]] = item
            unread: Any = answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"]
            if len(unread) == len(asked):
                raise Transient("DynamoDB read none of the items that were asked for")
            left += unread
        items = [(key, found.get((key.partition, key.sort))) for key in keys]
        return [_record(item, key.kind) if item else None for key, item in items]

    def query(
        self,
        partition: str,
        kind: type[D],
        *,
        prefix: str = "",
        start: str = "",
        limit: int | None = None,
    ) -> list[Record[D]]:
        """See `Ledger.query`."""
        condition = "pk = :pk"
        values: dict[str, Any] = {":pk": {"S": partition}}
        if start:
            condition += " AND sk BETWEEN :start AND :last"
            values[":start"] = {"S": start}
            values[":last"] = {"S": prefix + "\U0010ffff"}
        elif prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        arguments: dict[str, Any] = {"Limit": limit} if limit else {}
        found: list[Record[D]] = []
        while True:
            with _errors():
                page = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ConsistentRead=True,
                    **arguments,
                )
            found += [_record(item, kind) for item in page["Items"]]
            if "LastEvaluatedKey" not in page or (limit and len(found) >= limit):
                return found[:limit]
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def commit(self, *changes: Change) -> None:
        """See `Ledger.commit`.

        Always a transaction, also for a single change: botocore sends a token with it, so a
        repetition after a lost acknowledgement is not mistaken for a conflict.
        """
        try:
            with _errors():
                self._client.transact_write_items(
                    TransactItems=[self._change(change) for change in changes]
                )
        except ClientError as error:
            if _code(error) == "TransactionCanceledException":
                reasons = {
                    reason.get("Code") for reason in error.response.get("CancellationReasons", [])
                }
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise Conflict(str(error)) from error
                if reasons & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
                    raise Transient(str(error)) from error
            raise

    def _change(self, change: Change) -> Any:
        key = {"pk": {"S": change.key.partition}, "sk": {"S": change.key.sort}}
        condition: dict[str, Any] = {"TableName": self._table}
        if change.revision:
            condition["ConditionExpression"] = "revision = :revision"
            condition["ExpressionAttributeValues"] = {":revision": {"N": str(change.revision)}}
        else:
            condition["ConditionExpression"] = "attribute_not_exists(pk)"
        if isinstance(change, Put):
            item = {
                **key,
                "revision": {"N": str(change.revision + 1)},
                "document": {"S": change.document.model_dump_json()},
            }
            return {"Put": {**condition, "Item": item}}
        return {"Delete": {**condition, "Key": key}}


def _record(item: Mapping[str, Any], kind: type[D]) -> Record[D]:
    key = RecordKey(item["pk"]["S"], item["sk"]["S"], kind)
    return Record(key, kind.from_json(item["document"]["S"]), int(item["revision"]["N"]))


def _versioned(version: str | None) -> dict[str, Any]:
    return {"VersionId": version} if version else {}


class S3Files:
    """Files, in S3."""

    @cached_property
    def _client(self) -> "S3Client":
        return boto3.client("s3", config=_S3_CONFIG)

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """See `Files.facts`."""
        with _errors():
            answer = self._client.head_object(Bucket=bucket, Key=key, **_versioned(version))
        found = answer.get("VersionId")
        versioned = bool(found and found != "null")
        return FileFacts(
            version=found if found and versioned else answer["ETag"].strip('"'),
            versioned=versioned,
            size_bytes=answer["ContentLength"],
            modified_at=answer["LastModified"],
        )

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        """See `Files.read`."""
        part: dict[str, Any] = {"Range": f"bytes=0-{first_bytes - 1}"} if first_bytes else {}
        with _errors():
            answer = self._client.get_object(Bucket=bucket, Key=key, **_versioned(version), **part)
            return answer["Body"].read()

    def write(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """See `Files.write`."""
        with _errors():
            self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)

    def copy(
        self, source: tuple[str, str, str | None], target: tuple[str, str], content_type: str
    ) -> None:
        """See `Files.copy`."""
        bucket, key, version = source
        copied: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        if version:
            copied["VersionId"] = version
        with _errors():
            self._client.copy_object(
                Bucket=target[0],
                Key=target[1],
                CopySource=copied,
                ContentType=content_type,
                MetadataDirective="REPLACE",
                # Copying tags would need rights that nothing else needs.
                TaggingDirective="REPLACE",
            )

    def remove(self, bucket: str, key: str) -> None:
        """See `Files.remove`."""
        try:
            self.facts(bucket, key)
        except Missing:
            return  # a delete marker for nothing would be left otherwise
        with _errors():
            self._client.delete_object(Bucket=bucket, Key=key)

    def sha256(self, bucket: str, key: str) -> str:
        """See `Files.sha256`."""
        digest = sha256()
        with _errors():
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            for chunk in body.iter_chunks(1024 * 1024):
                digest.update(chunk)
        return digest.hexdigest()

    def listed(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `Files.listed`."""
        with _errors():
            for page in self._client.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Prefix=prefix
            ):
                for item in page.get("Versions", []):
                    if not item["IsLatest"]:
                        continue
                    versioned = item["VersionId"] != "null"
                    yield Listed(
                        key=item["Key"],
                        modified_at=item["LastModified"],
                        version=item["VersionId"] if versioned else item["ETag"].strip('"'),
                        versioned=versioned,
                    )

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """See `Files.link`."""
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )


_MANIFEST_SHA256 = "REELDROP_MANIFEST_SHA256"


def processing_request(job: ProcessingJob, settings: Settings) -> dict[str, Any]:
    """The CreateProcessingJob request.

    Prompts travel in the manifest, never here: environment values end at 256 characters.
    Outputs are uploaded while the job runs, so each video leaves when it is done.
    """

    def channel(name: str, uri: str) -> dict[str, Any]:
        return {
            "InputName": name,
            "S3Input": {
                "S3Uri": uri,
                "LocalPath": f"{CONTAINER_ROOT}/{name}",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }

    code = f"{CONTAINER_ROOT}/code/{settings.code_uri.rpartition('/')[2]}"
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
        "ProcessingInputs": [
            channel("code", settings.code_uri),
            channel("input", job.input_uri),
            channel("model", job.model_uri),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "output",
                    "S3Output": {
                        "S3Uri": job.output_uri,
                        "LocalPath": f"{CONTAINER_ROOT}/output",
                        "S3UploadMode": "Continuous",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": job.instance_type,
                "VolumeSizeInGB": settings.volume_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_runtime_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True},
    }


class SageMakerRenderer:
    """Processing jobs, in SageMaker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "SageMakerClient":
        return boto3.client("sagemaker", config=_CONFIG)

    def start(self, job: ProcessingJob) -> None:
        """See `Renderer.start`."""
        try:
            with _errors():
                self._client.create_processing_job(**processing_request(job, self._settings))
        except ClientError as error:
            if _code(error) == "ResourceInUse":
                raise NameTaken(job.attempt_id) from error
            if _code(error) == "ResourceLimitExceeded":
                raise NoCapacity(
                    f"the account's quota for {job.instance_type} processing jobs is used up"
                ) from error
            if _code(error) == "ValidationException":
                raise Refused(_message(error)) from error
            raise

    def stop(self, attempt_id: str) -> None:
        """See `Renderer.stop`."""
        try:
            with _errors():
                self._client.stop_processing_job(ProcessingJobName=attempt_id)
        except Missing:
            return
        except ClientError as error:
            # Not there, or it has ended already.
            if _code(error) not in {"ResourceNotFound", "ValidationException"}:
                raise

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        """See `Renderer.status`."""
        try:
            with _errors():
                answer = self._client.describe_processing_job(ProcessingJobName=attempt_id)
        except Missing:
            return None
        except ClientError as error:
            # SageMaker says both, depending on how the name does not exist.
            if _code(error) in {"ResourceNotFound", "ValidationException"}:
                return None
            raise
        reason = answer.get("ExitMessage") or answer.get("FailureReason") or ""
        return ProcessingStatus(
            status=answer["ProcessingJobStatus"],
            reason=reason,
            manifest_sha256=answer.get("Environment", {}).get(_MANIFEST_SHA256, ""),
        )


class BedrockLanguageModel:
    """Converse, in Bedrock."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id

    @cached_property
    def _client(self) -> "BedrockRuntimeClient":
        return boto3.client("bedrock-runtime", config=_BEDROCK_CONFIG)

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """See `LanguageModel.converse`. Low temperature: a caption, not a story."""
        content: list[ContentBlockTypeDef] = [{"text": user}]
        if image is not None:
            content.insert(0, {"image": {"format": "jpeg", "source": {"bytes": image}}})
        try:
            answer = self._client.converse(
                modelId=self._model_id,
                system=[{"text": system}],
                messages=[{"role": "user", "content": content}],
                inferenceConfig={"maxTokens": max_tokens, "temperature": 0.2},
            )
        except ClientError as error:
            raise LanguageModelUnavailable(f"{_code(error)}: {_message(error)}"[:300]) from error
        except BotoCoreError as error:
            raise LanguageModelUnavailable(str(error)[:300]) from error
        blocks = answer["output"].get("message", {}).get("content", [])
        # Behind a router another model may answer than the one that was asked.
        router = answer.get("trace", {}).get("promptRouter", {})
        return Answer(
            text=" ".join(block["text"] for block in blocks if "text" in block),
            stop_reason=answer["stopReason"],
            answered_by=router.get("invokedModelId") or self._model_id,
        )


class SnsPost:
    """Notifications, through SNS."""

    def __init__(self, topic_arn: str) -> None:
        self._topic_arn = topic_arn

    @cached_property
    def _client(self) -> "SNSClient":
        return boto3.client("sns", config=_SNS_CONFIG)

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """See `Post.send`. A list becomes a String.Array, so that filters match each entry."""
        with _errors():
            self._client.publish(
                TopicArn=self._topic_arn,
                Subject=subject,
                Message=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    if isinstance(value, str)
                    else {"DataType": "String.Array", "StringValue": json.dumps(value)}
                    for name, value in attributes.items()
                },
            )


def _waker(queue_url: str) -> Callable[[], None]:
    @cache
    def client() -> "SQSClient":
        return boto3.client("sqs", config=_CONFIG)

    def wake() -> None:
        with _errors():
            client().send_message(QueueUrl=queue_url, MessageBody='{"wake": "dispatch"}')

    return wake


def connect(
    environment: Mapping[str, str], tell: Callable[[str, dict[str, object]], None]
) -> Ports:
    """The ports, as the environment of a function says.

    Raises:
        pydantic.ValidationError: a setting is missing or malformed.
    """
    settings = Settings.from_environment(environment)
    return Ports(
        settings=settings,
        region=environment["AWS_REGION"],
        ledger=DynamoLedger(settings.table_name),
        files=S3Files(),
        renderer=SageMakerRenderer(settings),
        reader=ChildReader(),
        language_model=BedrockLanguageModel(settings.enhancer_model_id),
        post=SnsPost(settings.topic_arn),
        wake=_waker(settings.dispatch_queue_url),
        now=lambda: datetime.now(UTC),
        new_suffix=lambda: secrets.token_hex(4),
        tell=tell,
    )
