"""A synthesised assembly can be deployed, and a drop then reaches a Lambda function."""

import json
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.cloud.process import EmbeddedCloud
from local.command.deploy import DeployFailed, deploy, zipped
from tests.local.stack_template import template
from tests.waiting import PATIENCE_SECONDS, eventually

HANDLER = """
import json, os, time
import boto3

def handler(event, context):
    table = boto3.client("dynamodb")
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        key = body["detail"]["object"]["key"]
        table.put_item(TableName=os.environ["TABLE"], Item={
            "pk": {"S": f"{key}#{record['attributes']['ApproximateReceiveCount']}"},
            "at": {"N": str(time.time())},
            "together": {"N": str(len(event["Records"]))},
            "process": {"N": str(os.getpid())},
            "environment": {"S": json.dumps(dict(os.environ))},
        })
        if "slow" in key:
            time.sleep(1)
            end = {"pk": {"S": f"{key}#end"}, "at": {"N": str(time.time())}}
            table.put_item(TableName=os.environ["TABLE"], Item=end)
        if "poison" in key:
            failed.append({"itemIdentifier": record["messageId"]})
        if "crash" in key:
            raise RuntimeError("crash")
    return {"batchItemFailures": failed}
"""


def assemble(folder: Path, name: str, **changes: Any) -> Path:
    """Write an assembly in the format of the CDK. `changes` replace parts of the template."""
    handlers = folder / "asset.1" / "handlers"
    handlers.mkdir(parents=True, exist_ok=True)
    (handlers / "__init__.py").write_text("")
    (handlers / "entry.py").write_text(HANDLER)
    bucket = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    code = {"S3Bucket": "cdk-hnb659fds-assets-000000000000-us-east-1", "S3Key": "1.zip"}
    body = json.dumps(template(name, code) | changes)
    (folder / "stack.template.json").write_text(body)
    key = f"{abs(hash(body))}.json"

    def asset(path: str, packaging: str, object_key: str) -> dict[str, Any]:
        destination = {"bucketName": bucket, "objectKey": object_key, "assumeRoleArn": "x"}
        return {
            "displayName": path,
            "source": {"path": path, "packaging": packaging},
            "destinations": {"current": destination},
        }

    assets = {
        "version": "48.0.0",
        "files": {
            "1": asset("asset.1", "zip", "1.zip"),
            "2": asset("stack.template.json", "file", key),
        },
        "dockerImages": {},
    }
    (folder / "stack.assets.json").write_text(json.dumps(assets))
    manifest = {
        "version": "48.0.0",
        "artifacts": {
            "stack.assets": {
                "type": "cdk:asset-manifest",
                "properties": {"file": "stack.assets.json"},
            },
            "stack": {
                "type": "aws:cloudformation:stack",
                "environment": "aws://unknown-account/unknown-region",
                "properties": {
                    "templateFile": "stack.template.json",
                    "stackTemplateAssetObjectUrl": f"s3://{bucket}/{key}",
                    "stackName": name,
                },
                "dependencies": ["stack.assets"],
            },
            "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Deployed:
    def __init__(self, cloud: EmbeddedCloud, assembly: Path) -> None:
        self.name = f"drop-{time.time_ns()}"
        self.cloud = cloud
        self.assembly = assemble(assembly, self.name)
        self.outputs = deploy(self.assembly, cloud.endpoint)

    def drop(self, name: str) -> None:
        self.cloud.client("s3").put_object(
            Bucket=self.name, Key=f"jobs/{name}.yaml", Body=b"prompt: a bee"
        )

    def item(self, name: str, time_: str = "1") -> dict[str, Any] | None:
        item: dict[str, Any] | None = (
            self.cloud.client("dynamodb")
            .get_item(
                TableName=self.outputs["Table"],
                Key={"pk": {"S": f"jobs/{name}.yaml#{time_}"}},
                ConsistentRead=True,
            )
            .get("Item")
        )
        return item

    def waiting(self, queue: str) -> int:
        attributes = self.cloud.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])


@pytest.fixture(scope="module")
def deployed(cloud: EmbeddedCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(cloud, tmp_path_factory.mktemp("cdk.out"))


def test_a_drop_reaches_the_function_and_every_target(deployed: Deployed) -> None:
    deployed.drop("first")
    item = eventually(lambda: deployed.item("first"))
    environment = json.loads(item["environment"]["S"])
    # boto3 in the function finds the cloud through these variables.
    assert environment["AWS_ENDPOINT_URL"] == deployed.cloud.endpoint
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA"), "credentials of its role"
    assert environment["AWS_REGION"] == "us-east-1"
    assert "PYTHONPATH" not in environment
    eventually(lambda: deployed.waiting("Watcher") == 1)


def test_drops_that_follow_each_other_are_handled_by_warm_functions(deployed: Deployed) -> None:
    processes = set()
    for number in range(5):
        deployed.drop(f"warm-{number}")
        item = eventually(partial(deployed.item, f"warm-{number}"))
        processes.add(item["process"]["N"])
    assert len(processes) <= 2, "as many as may run at the same time"


def test_a_partial_failure_ends_in_the_dead_letter_queue(deployed: Deployed) -> None:
    deployed.drop("poison")
    deployed.drop("good")
    eventually(lambda: deployed.item("good"))
    sqs = deployed.cloud.client("sqs")
    keys: set[str] = set()

    def dead() -> bool:
        answer = sqs.receive_message(QueueUrl=deployed.outputs["DeadLetters"])
        for message in answer.get("Messages", []):
            keys.add(json.loads(message["Body"])["detail"]["object"]["key"])
        return "jobs/poison.yaml" in keys

    eventually(dead)
    assert deployed.item("poison", "2")
    assert keys == {"jobs/poison.yaml"}
    assert not deployed.item("good", "2")


def test_a_mapping_respects_its_maximum_concurrency(deployed: Deployed) -> None:
    names = [f"slow-{number}" for number in range(4)]
    for name in names:
        deployed.drop(name)
    eventually(lambda: all(deployed.item(name, "end") for name in names))
    times = []
    for name in names:
        start, end = deployed.item(name), deployed.item(name, "end")
        assert start and end
        times += [(float(start["at"]["N"]), 1), (float(end["at"]["N"]), -1)]
    running, most = 0, 0
    for _time, change in sorted(times):
        running += change
        most = max(most, running)
    assert most == 2


def test_deploying_again_changes_nothing_and_a_change_is_an_update(
    deployed: Deployed, cloud: EmbeddedCloud
) -> None:
    assert deploy(deployed.assembly, cloud.endpoint) == deployed.outputs
    code = {"S3Bucket": "cdk-hnb659fds-assets-000000000000-us-east-1", "S3Key": "1.zip"}
    outputs = template(deployed.name, code)["Outputs"] | {"Version": {"Value": "2"}}
    assemble(deployed.assembly, deployed.name, Outputs=outputs)
    assert deploy(deployed.assembly, cloud.endpoint)["Version"] == "2"


def test_a_stack_that_fails_says_which_resource(
    cloud: EmbeddedCloud, tmp_path: Path, unique: str
) -> None:
    # ministack does not check most properties, but it checks this one.
    broken = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 999_999}}
    assemble(tmp_path, unique, Resources={"Broken": broken}, Outputs={})
    with pytest.raises(
        DeployFailed, match=r"Broken \(AWS::SQS::Queue\): CREATE_FAILED: Invalid value"
    ):
        deploy(tmp_path, cloud.endpoint, deadline_seconds=PATIENCE_SECONDS)


def test_a_zip_depends_only_on_contents(tmp_path: Path) -> None:
    import os

    for name in ("one", "two"):
        folder = tmp_path / name / "sub"
        folder.mkdir(parents=True)
        (folder / "a.py").write_text("a = 1")
        (tmp_path / name / "b.py").write_text("b = 1")
    os.utime(tmp_path / "two" / "b.py", (0, 0))
    assert zipped(tmp_path / "one") == zipped(tmp_path / "two")
    (tmp_path / "two" / "b.py").write_text("b = 2")
    assert zipped(tmp_path / "one") != zipped(tmp_path / "two")


def test_the_cloud_answers_health_checks(cloud: EmbeddedCloud) -> None:
    with urllib.request.urlopen(f"{cloud.endpoint}/_ministack/health") as answer:
        assert answer.status == 200
