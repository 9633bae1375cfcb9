"""Fixtures for this folder: one embedded cloud for all tests, and what they start in it."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud.process import EmbeddedCloud
from tests.local.roles import create_role

ROLE = "arn:aws:iam::000000000000:role/reeldrop"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud(tmp_path_factory.mktemp("cloud"), stop_grace_seconds=1) as cloud:
        create_role(cloud, ROLE)
        yield cloud


@pytest.fixture
def unique() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def bucket(cloud: EmbeddedCloud, unique: str) -> str:
    """A versioned bucket that sends its events to EventBridge."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=unique)
    s3.put_bucket_versioning(Bucket=unique, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=unique, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return unique


class Recorder:
    """Collects the events that match a pattern, through a rule and a queue."""

    def __init__(self, cloud: EmbeddedCloud, name: str, pattern: dict[str, Any]) -> None:
        sqs, events = cloud.client("sqs"), cloud.client("events")
        self._sqs = sqs
        self.url = sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": self.arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": json.dumps(policy)})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": self.arn}])
        self.events: list[dict[str, Any]] = []

    def received(self) -> list[dict[str, Any]]:
        """Return all events received so far, in the order of arrival."""
        while True:
            answer = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return self.events
            for message in messages:
                self.events.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def record(cloud: EmbeddedCloud, unique: str) -> Callable[[dict[str, Any]], Recorder]:
    return lambda pattern: Recorder(cloud, f"{unique}-{uuid.uuid4().hex[:6]}", pattern)


class Jobs:
    """Starts processing jobs whose program is a zip file, like the worker."""

    def __init__(self, cloud: EmbeddedCloud, bucket: str, folder: Path) -> None:
        self.cloud = cloud
        self.bucket = bucket
        self.sagemaker = cloud.client("sagemaker")
        self._folder = folder

    def request(self, name: str, program: str = "", **changes: Any) -> dict[str, Any]:
        """Return a CreateProcessingJob request that runs `program`. `changes` replace members."""
        import zipfile

        archive = self._folder / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("__main__.py", program)
        key = f"code/{name}.zip"
        self.cloud.client("s3").upload_file(str(archive), self.bucket, key)
        return {
            "ProcessingJobName": name,
            "RoleArn": ROLE,
            "AppSpecification": {
                "ImageUri": "763104351884.dkr.ecr.us-east-1.amazonaws.com/any:latest",
                "ContainerEntrypoint": ["python3", f"/opt/ml/processing/code/{name}.zip"],
                "ContainerArguments": ["--root", "/opt/ml/processing"],
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.g5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                }
            },
            "ProcessingInputs": [
                self.input("code", f"s3://{self.bucket}/{key}", "/opt/ml/processing/code"),
            ],
            "ProcessingOutputConfig": {"Outputs": [self.output("Continuous")]},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            **changes,
        }

    def input(self, name: str, uri: str, path: str) -> dict[str, Any]:
        s3_input = {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        }
        return {"InputName": name, "S3Input": s3_input}

    def output(self, mode: str, name: str = "output") -> dict[str, Any]:
        return {
            "OutputName": name,
            "S3Output": {
                "S3Uri": f"s3://{self.bucket}/{name}",
                "LocalPath": f"/opt/ml/processing/{name}",
                "S3UploadMode": mode,
            },
        }

    def start(self, name: str, program: str = "", **changes: Any) -> str:
        request = self.request(name, program, **changes)
        return str(self.sagemaker.create_processing_job(**request)["ProcessingJobArn"])

    def describe(self, name: str) -> dict[str, Any]:
        description: dict[str, Any] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
        return description

    def status(self, name: str) -> str:
        return str(self.describe(name)["ProcessingJobStatus"])

    def has_ended(self, name: str) -> bool:
        return self.status(name) in {"Completed", "Failed", "Stopped"}

    def keys(self, prefix: str) -> set[str]:
        rows = self.cloud.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {row["Key"] for row in rows.get("Contents", ())}


@pytest.fixture
def jobs(cloud: EmbeddedCloud, bucket: str, tmp_path: Path) -> Jobs:
    return Jobs(cloud, bucket, tmp_path)
