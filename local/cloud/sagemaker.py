"""SageMaker's API for processing jobs: AWS JSON 1.1, the real limits, concurrency and events.

An unknown job is answered with ResourceNotFound, as the service model says. AWS itself has been
seen to answer Describe with ValidationException instead, so callers should handle both.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from local.cloud.asgi import Request, Response, json_response
from local.cloud.clients import ACCOUNT, REGION, Credentials, client
from local.cloud.files import write_atomically
from local.cloud.permissions import Decide, first_denial, of_sagemaker
from local.cloud.processing_job import Ending, Host, ProcessingJob
from local.cloud.processing_request import JobRecord, JobRequest, Status, Tag
from local.cloud.service_limits import violations

TARGET = "SageMaker."
CONTENT_TYPE = "application/x-amz-json-1.1"
LOST = "InternalServerError: the embedded cloud stopped while the job was running"
_MAX_TAGS = 50
_PAGE_SIZE = 10

logger = logging.getLogger(__name__)

Emit = Callable[[str, str, dict[str, Any], str], None]
"""Puts an event on the default bus: detail type, source, detail and resource ARN."""


@dataclass(frozen=True)
class Account:
    """What SageMaker uses of the rest of the account."""

    emit: Emit
    decide: Decide
    """Evaluates the policies of a caller."""
    role_credentials: Callable[[str], Credentials]
    """The credentials of a role, by its ARN."""


class SageMakerError(Exception):
    """An error response of the API, with its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _State(BaseModel):
    """What is saved for the next start."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[JobRecord, ...] = ()
    tags: dict[str, tuple[Tag, ...]] = {}


class _Settings(BaseModel):
    """How processing jobs run on this machine."""

    model_config = ConfigDict(frozen=True)

    interpreter: str
    stop_grace_seconds: float
    quota: dict[str, int]


class SageMaker:
    """Answers the API and runs the processing jobs on this machine.

    All methods run on the event loop of the main thread, so no locks are needed.
    """

    def __init__(
        self,
        state: Path,
        endpoint: str,
        account: Account,
        *,
        persist: bool,
        interpreter: str,
        quota: Mapping[str, int],
        stop_grace_seconds: float,
    ) -> None:
        """
        Args:
            state: the folder for state. Jobs run in `jobs` in it; `sagemaker.json` has the records.
            endpoint: the URL of S3 and CloudWatch Logs.
            account: its events and permissions.
            persist: whether records are kept over restarts.
            interpreter: the program that runs when an entry point says `python3`.
            quota: instances that may run at once, by instance type. Other types have no limit.
            stop_grace_seconds: time between SIGTERM and SIGKILL when a job is stopped.
        """
        self._folder = state / "jobs"
        self._file = state / "sagemaker.json" if persist else None
        self._endpoint = endpoint
        self._account = account
        self._settings = _Settings(
            interpreter=interpreter, stop_grace_seconds=stop_grace_seconds, quota=dict(quota)
        )
        self._records: dict[str, JobRecord] = {}
        self._tags: dict[str, tuple[Tag, ...]] = {}
        self._running: dict[str, tuple[ProcessingJob, asyncio.Task[None]]] = {}
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="sagemaker")
        self._hosts: dict[str, Host] = {}
        """By the role that the processing jobs run under."""
        self._closing = False
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "AddTags": self._add_tags,
            "CreateProcessingJob": self._create,
            "DescribeProcessingJob": self._describe,
            "ListProcessingJobs": self._list,
            "ListTags": self._list_tags,
            "StopProcessingJob": self._stop,
        }

    # Start and stop

    def start(self) -> None:
        """Load the records. A job that was running when the last process ended becomes Failed."""
        if self._file is None or not self._file.exists():
            return
        state = _State.model_validate_json(self._file.read_bytes())
        self._records = {record.name: record for record in state.jobs}
        self._tags = dict(state.tags)
        for record in state.jobs:
            if not record.status.is_final:
                self._end(record.name, Ending(Status.FAILED, LOST))

    async def close(self) -> None:
        """Stop all running jobs.

        Their records are left unchanged, so that the next `start` sees which jobs were lost.
        """
        self._closing = True
        for job, _task in self._running.values():
            job.stop(grace_seconds=2)
        tasks = [task for _job, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # HTTP

    def handle(self, request: Request) -> Response:
        """Answer one call. Its target header begins with `SageMaker.`."""
        operation = request.headers["x-amz-target"].removeprefix(TARGET)
        try:
            call = self._operations.get(operation)
            if call is None:
                raise SageMakerError("UnknownOperationException", f"{operation} is not supported")
            parameters = _parameters(operation, request.body)
            needs = of_sagemaker(operation, parameters)
            if denied := first_denial(self._account.decide, request, needs):
                raise SageMakerError(denied.code, denied.message)
            answer = call(parameters)
        except SageMakerError as error:
            document = {"__type": error.code, "message": error.message}
            return json_response(400, document, content_type=CONTENT_TYPE)
        return json_response(200, answer, content_type=CONTENT_TYPE)

    def control_quota(self, request: Request) -> Response:
        """Replace the quota, for example with `{"ml.g5.xlarge": 0}`. `{}` removes all limits."""
        try:
            quota = TypeAdapter(dict[str, int]).validate_json(request.body)
        except ValidationError as error:
            return json_response(400, {"message": str(error)})
        self._settings = self._settings.model_copy(update={"quota": quota})
        return json_response(200, quota)

    # Operations

    def _create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            request = JobRequest.model_validate(parameters)
        except ValidationError as error:
            found = "; ".join(f"{_where(row['loc'])}: {row['msg']}" for row in error.errors())
            raise SageMakerError("ValidationException", found) from error
        name = request.processing_job_name
        if name in self._records:
            raise SageMakerError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this "
                f"name already exists ({self._records[name].arn})",
            )
        instance_type, instance_count = self._choose_instances(request)
        now = time.time()
        record = JobRecord(
            request=request,
            arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{name}",
            instance_type=instance_type,
            instance_count=instance_count,
            status=Status.IN_PROGRESS,
            created_at=now,
            modified_at=now,
            started_at=now,
        )
        self._tags[record.arn] = request.tags
        self._store(record)
        self._running[name] = self._run(record)
        return {"ProcessingJobArn": record.arn}

    def _describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._record(parameters["ProcessingJobName"]).describe()

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        records = [record for record in self._records.values() if _matches(record, parameters)]
        orders: dict[str, Callable[[JobRecord], Any]] = {
            "Name": lambda record: record.name,
            "Status": lambda record: record.status.value,
            "CreationTime": lambda record: record.created_at,
        }
        records.sort(
            key=orders[parameters.get("SortBy", "CreationTime")],
            reverse=parameters.get("SortOrder", "Descending") == "Descending",
        )
        first = _page_start(parameters.get("NextToken"))
        end = first + parameters.get("MaxResults", _PAGE_SIZE)
        answer: dict[str, Any] = {
            "ProcessingJobSummaries": [record.summary() for record in records[first:end]]
        }
        return answer | ({"NextToken": str(end)} if end < len(records) else {})

    def _stop(self, parameters: dict[str, Any]) -> dict[str, Any]:
        record = self._record(parameters["ProcessingJobName"])
        if record.status.is_final:
            raise SageMakerError(
                "ValidationException",
                "The request was rejected because the processing job is in status "
                f"{record.status.value}.",
            )
        if record.status is Status.IN_PROGRESS:
            self._store(
                record.model_copy(update={"status": Status.STOPPING, "modified_at": time.time()})
            )
            job, _task = self._running[record.name]
            job.stop()
        return {}

    def _add_tags(self, parameters: dict[str, Any]) -> dict[str, Any]:
        arn = parameters["ResourceArn"]
        tags = {tag.key: tag for tag in self._tags_of(arn)}
        tags |= {tag["Key"]: Tag.model_validate(tag) for tag in parameters["Tags"]}
        if len(tags) > _MAX_TAGS:
            raise SageMakerError("ResourceLimitExceeded", f"More than {_MAX_TAGS} tags.")
        self._tags[arn] = tuple(tags.values())
        self._save()
        return {"Tags": [tag.to_api() for tag in tags.values()]}

    def _list_tags(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": [tag.to_api() for tag in self._tags_of(parameters["ResourceArn"])]}

    # Records

    def _record(self, name: str) -> JobRecord:
        if name not in self._records:
            raise SageMakerError("ResourceNotFound", f"Could not find processing job {name!r}.")
        return self._records[name]

    def _tags_of(self, arn: str) -> tuple[Tag, ...]:
        if arn not in self._tags:
            raise SageMakerError("ValidationException", f"There is no resource {arn!r}.")
        return self._tags[arn]

    def _store(self, record: JobRecord) -> None:
        """Store a new state of a job and emit its event. Like AWS, emit none for Stopping."""
        self._records[record.name] = record
        self._save()
        if record.status is not Status.STOPPING:
            detail = record.event_detail()
            detail_type = "SageMaker Processing Job State Change"
            self._account.emit(detail_type, "aws.sagemaker", detail, record.arn)

    def _save(self) -> None:
        if self._file is not None:
            state = _State(jobs=tuple(self._records.values()), tags=self._tags)
            write_atomically(
                self._file, state.model_dump_json(by_alias=True, exclude_unset=True).encode()
            )

    def _end(self, name: str, ending: Ending) -> None:
        now = time.time()
        changes = {
            "status": ending.status,
            "failure_reason": ending.failure_reason,
            "exit_message": ending.exit_message,
            "modified_at": now,
            "ended_at": now,
        }
        self._store(self._records[name].model_copy(update=changes))

    # Running jobs

    def _choose_instances(self, request: JobRequest) -> tuple[str, int]:
        """Return the type and count of the first preference that the quota has room for."""
        for preferred in request.processing_resources.cluster_config.preferences:
            instance_type, instance_count = preferred.instance_type, preferred.instance_count
            limit = self._settings.quota.get(instance_type)
            if limit is None or self._used(instance_type) + instance_count <= limit:
                return instance_type, instance_count
        # The message names the last preference.
        raise SageMakerError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{instance_type} for processing job usage' is "
            f"{self._settings.quota[instance_type]} Instances, with current utilization of "
            f"{self._used(instance_type)} Instances and a request delta of "
            f"{instance_count} Instances. Please use AWS Service Quotas to request an "
            "increase for this quota.",
        )

    def _used(self, instance_type: str) -> int:
        return sum(
            record.instance_count
            for record in self._records.values()
            if record.instance_type == instance_type and not record.status.is_final
        )

    def _run(self, record: JobRecord) -> tuple[ProcessingJob, asyncio.Task[None]]:
        job = ProcessingJob(record.request, self._folder / record.name, self._host(record))

        async def run() -> None:
            try:
                ending = await job.run()
            except Exception:
                logger.exception("job %s", record.name)
                ending = Ending(Status.FAILED, "InternalServerError: see cloud.log")
            self._running.pop(record.name, None)
            if not self._closing:
                self._end(record.name, ending)

        return job, asyncio.create_task(run(), name=f"job {record.name}")

    def _host(self, record: JobRecord) -> Host:
        role = record.request.role_arn
        if role not in self._hosts:
            credentials = self._account.role_credentials(role)
            self._hosts[role] = Host(
                s3=client("s3", self._endpoint, credentials=credentials),
                logs=client("logs", self._endpoint, credentials=credentials),
                threads=self._threads,
                interpreter=self._settings.interpreter,
                stop_grace_seconds=self._settings.stop_grace_seconds,
            )
        return self._hosts[role]


def _parameters(operation: str, body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError as error:
        raise SageMakerError("SerializationException", str(error)) from error
    if not isinstance(parameters, dict):
        raise SageMakerError("SerializationException", "The body is not an object.")
    # Timestamps arrive as numbers. The service model states no limits for them.
    found = violations(operation, parameters)
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise SageMakerError("ValidationException", count + "; ".join(found))
    return parameters


def _page_start(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise SageMakerError("ValidationException", "Invalid NextToken.")
    return int(token)


def _matches(record: JobRecord, parameters: dict[str, Any]) -> bool:
    earliest, latest = float("-inf"), float("inf")
    return (
        parameters.get("NameContains", "") in record.name
        and parameters.get("StatusEquals", record.status.value) == record.status.value
        and parameters.get("CreationTimeAfter", earliest) <= record.created_at
        and record.created_at <= parameters.get("CreationTimeBefore", latest)
        and parameters.get("LastModifiedTimeAfter", earliest) <= record.modified_at
        and record.modified_at <= parameters.get("LastModifiedTimeBefore", latest)
    )


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "request"
