"""The embedded cloud leaves no processes or files behind, and keeps its state if asked to."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import ROOT
from local.cloud.process import CloudFailed, EmbeddedCloud
from tests.local.roles import create_role
from tests.waiting import eventually

ROLE = "arn:aws:iam::000000000000:role/any"

# Starts a cloud with a warm Lambda function and a running job, prints its process id, and waits to
# be killed.
HOLDER = """
import json, sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from local.cloud.process import EmbeddedCloud
import test_cloud_lifetime as setup
cloud = EmbeddedCloud(Path(sys.argv[1]))
cloud.start()
setup.make_lambda(cloud, "warm")
setup.start_job(cloud, "long")
print(json.dumps({"pid": cloud.pid}), flush=True)
time.sleep(3600)
"""


def make_lambda(cloud: EmbeddedCloud, name: str, first: str = "pass") -> None:
    create_role(cloud, ROLE)
    program = f"def handler(event, context):\n    {first}\n    return event\n"
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", program)
    cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=ROLE,
        Code={"ZipFile": code.getvalue()},
    )
    cloud.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=b'{"a": 1}')
    assert json.loads(answer["Payload"].read()) == {"a": 1}


def start_job(cloud: EmbeddedCloud, name: str) -> None:
    cloud.client("sagemaker").create_processing_job(
        ProcessingJobName=name,
        RoleArn=ROLE,
        AppSpecification={
            "ImageUri": "any",
            "ContainerEntrypoint": [
                "python3",
                "-c",
                "import subprocess, time; subprocess.Popen(['sleep', '3600']); time.sleep(3600)",
            ],
        },
        ProcessingResources={
            "ClusterConfig": {
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            }
        },
    )
    # The job and its own child.
    eventually(lambda: len(processes_in(cloud.state / "jobs")) == 2, log=cloud.log_tail)


def processes_in(folder: Path) -> dict[int, str]:
    """Return the processes that work below `folder` or name it in their command."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            directory = str((process / "cwd").readlink())
        except OSError:
            continue
        if command and (str(folder) in command or directory.startswith(str(folder))):
            found[int(process.name)] = command
    return found


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """A process that has started a busy cloud, the cloud's process id, and its state folder."""
    state = tmp_path / "cloud"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state), str(ROOT), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    cloud_pid = json.loads(process.stdout.readline())["pid"]
    yield process, cloud_pid, state
    process.kill()
    process.wait()
    process.stdout.close()


def test_nothing_outlives_a_killed_parent(holder: Any) -> None:
    process, _cloud_pid, state = holder
    # The holder itself, the server, the Lambda runtime, the job and the job's own child.
    assert len(processes_in(state)) == 5
    assert (state / "tmp").exists() and (state / "jobs").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: not processes_in(state))
    assert sorted(path.name for path in state.iterdir()) == ["cloud.log"]


def test_no_child_outlives_a_killed_server(holder: Any) -> None:
    process, cloud_pid, state = holder
    os.kill(cloud_pid, signal.SIGKILL)

    def left() -> set[int]:
        # The child of a job is not killed with the server, so it is left out.
        alive = processes_in(state)
        return {pid for pid, command in alive.items() if not command.startswith("sleep ")} - {
            process.pid
        }

    eventually(lambda: not left())
    for pid, command in processes_in(state).items():
        if command.startswith("sleep "):
            os.kill(pid, signal.SIGKILL)
    # The next start removes what the killed server left behind.
    with EmbeddedCloud(state):
        assert not (state / "jobs").exists()
        assert not list((state / "tmp").iterdir())


def test_a_signal_ends_a_busy_cloud_cleanly(tmp_path: Path) -> None:
    cloud = EmbeddedCloud(tmp_path)
    cloud.start()
    make_lambda(cloud, "busy", "if event.get('a') == 2: import time; time.sleep(3600)")
    cloud.client("lambda").invoke(FunctionName="busy", InvocationType="Event", Payload=b'{"a": 2}')
    start_job(cloud, "long")
    os.kill(cloud.pid, signal.SIGTERM)
    eventually(lambda: not processes_in(tmp_path))
    cloud.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cloud.log"]


def test_a_server_that_cannot_start_reports_the_reason(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CloudFailed, match="Address already in use"):
            EmbeddedCloud(tmp_path, port=port).start()


def test_it_listens_on_this_machine_only(cloud: EmbeddedCloud) -> None:
    port = int(cloud.endpoint.rsplit(":", 1)[1])
    wanted = f"{port:04X}"
    listening = [
        line.split()[1]
        for file in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(file).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{wanted}"]


def fill(cloud: EmbeddedCloud) -> str:
    """Create one of everything that must survive a restart, and return the endpoint."""
    s3, sqs, events = cloud.client("s3"), cloud.client("sqs"), cloud.client("events")
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="kept", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    for body in (b"one", b"two"):
        s3.put_object(Bucket="kept", Key="k", Body=body, Metadata={"m": "v"})
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:kept"
    sqs.send_message(QueueUrl=queue, MessageBody="queued")
    jobs_queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    rule = events.put_rule(Name="jobs", EventPattern='{"source": ["aws.sagemaker"]}')["RuleArn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "sqs:SendMessage",
                "Resource": "*",
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=jobs_queue, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(
        Rule="jobs", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:events"}]
    )
    cloud.client("dynamodb").create_table(
        TableName="kept",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    cloud.client("dynamodb").put_item(TableName="kept", Item={"pk": {"S": "a"}, "n": {"N": "1"}})
    topic = cloud.client("sns").create_topic(Name="kept")["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    make_lambda(cloud, "kept")
    cloud.client("lambda").create_event_source_mapping(
        FunctionName="kept",
        EventSourceArn="arn:aws:sqs:us-east-1:000000000000:events",
        Enabled=False,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    start_job(cloud, "running")
    return cloud.endpoint


def check_survived(cloud: EmbeddedCloud) -> None:
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    found = s3.get_object(Bucket="kept", Key="k")
    assert found["Body"].read() == b"two" and found["Metadata"] == {"m": "v"}
    versions = s3.list_object_versions(Bucket="kept", Prefix="k")["Versions"]
    assert len(versions) == 2
    oldest = next(row["VersionId"] for row in versions if not row["IsLatest"])
    assert s3.get_object(Bucket="kept", Key="k", VersionId=oldest)["Body"].read() == b"one"
    notification = s3.get_bucket_notification_configuration(Bucket="kept")
    assert "EventBridgeConfiguration" in notification
    item = cloud.client("dynamodb").get_item(TableName="kept", Key={"pk": {"S": "a"}})["Item"]
    assert item["n"] == {"N": "1"}
    queue = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
    assert queue.startswith(cloud.endpoint)
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "queued"
    answer = cloud.client("lambda").invoke(FunctionName="kept", Payload=b'{"a": 2}')
    assert json.loads(answer["Payload"].read()) == {"a": 2}
    (mapping,) = cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["State"] == "Disabled"
    topic = "arn:aws:sns:us-east-1:000000000000:kept"
    subscriptions = cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)
    assert len(subscriptions["Subscriptions"]) == 1


def test_state_survives_a_restart(tmp_path: Path) -> None:
    with EmbeddedCloud(tmp_path, persist=True) as cloud:
        endpoint = fill(cloud)
    assert not processes_in(tmp_path)
    with EmbeddedCloud(tmp_path, persist=True) as cloud:
        assert cloud.endpoint == endpoint
        check_survived(cloud)
        lost = cloud.client("sagemaker").describe_processing_job(ProcessingJobName="running")
        assert lost["ProcessingJobStatus"] == "Failed"
        assert "the embedded cloud stopped" in lost["FailureReason"]
        with pytest.raises(ClientError, match="ResourceInUse"):
            start_job(cloud, "running")
        sqs = cloud.client("sqs")
        queue = sqs.get_queue_url(QueueName="events")["QueueUrl"]
        statuses: list[str] = []

        def failed_event() -> bool:
            for message in sqs.receive_message(QueueUrl=queue).get("Messages", []):
                statuses.append(json.loads(message["Body"])["detail"]["ProcessingJobStatus"])
            return statuses == ["InProgress", "Failed"]

        eventually(failed_event)


def test_a_kill_loses_little(tmp_path: Path) -> None:
    cloud = EmbeddedCloud(tmp_path, persist=True)
    cloud.start()
    fill(cloud)
    since = time.time()
    names = ("dynamodb", "eventbridge", "lambda", "s3", "sns", "sqs")
    files = [tmp_path / "ministack" / f"{name}.json" for name in names]

    def all_saved() -> bool:
        return all(file.exists() and file.stat().st_mtime > since for file in files)

    eventually(all_saved)
    os.kill(cloud.pid, signal.SIGKILL)
    cloud.stop()
    for pid, command in processes_in(tmp_path).items():
        if command.startswith("sleep "):
            os.kill(pid, signal.SIGKILL)
    with EmbeddedCloud(tmp_path, persist=True) as cloud:
        check_survived(cloud)


def test_without_persistence_a_start_begins_empty(tmp_path: Path) -> None:
    for _ in range(2):
        with EmbeddedCloud(tmp_path) as cloud:
            cloud.client("s3").create_bucket(Bucket="fresh")
            (name,) = [row["Name"] for row in cloud.client("s3").list_buckets()["Buckets"]]
            assert name == "fresh"
