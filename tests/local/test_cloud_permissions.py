"""The embedded cloud refuses what a role may not do, and reeldrop shows it as on AWS."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions import s3_keys
from functions.table.ledger import OUTBOX
from functions.table.records import Letter
from local import ROOT
from local.cloud.bedrock import BLOCKED_WORD
from local.cloud.clients import Credentials, client
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from tests.local.roles import EVERYTHING, create_role
from tests.waiting import eventually


class Deployed:
    """A drop folder whose roles can lose rights."""

    def __init__(self, cloud: EmbeddedCloud, folder: DropFolder) -> None:
        self.cloud, self.folder = cloud, folder
        self._iam = cloud.client("iam")

    def role(self, function: str) -> str:
        roles = [role["RoleName"] for role in self._iam.list_roles()["Roles"]]
        (name,) = [name for name in roles if name.startswith(f"reeldrop-{function}Role")]
        return str(name)

    @contextmanager
    def without(self, function: str, action: str) -> Iterator[None]:
        """Take a right away from the role of a function."""
        role = self.role(function)
        (name,) = self._iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        less = json.loads(json.dumps(policy))
        for statement in less["Statement"]:
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            statement["Action"] = [one for one in actions if one != action] or ["none:None"]
        assert less != policy

        def put(document: dict[str, Any]) -> None:
            self._iam.put_role_policy(
                RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
            )

        put(less)
        try:
            yield
        finally:
            put(policy)

    def drop(self, name: str, body: str) -> None:
        s3 = self.cloud.client("s3")
        s3.put_object(Bucket=self.folder.input_bucket, Key=f"jobs/{name}", Body=body.encode())

    def status(self, path: str) -> dict[str, Any]:
        """The status of a job; empty if there is none."""
        s3 = self.cloud.client("s3")
        try:
            found = s3.get_object(Bucket=self.folder.output_bucket, Key=s3_keys.status(path))
        except s3.exceptions.NoSuchKey:
            return {}
        answer: dict[str, Any] = json.loads(found["Body"].read())
        return answer

    def queue(self, name: str) -> str:
        urls = self.cloud.client("sqs").list_queues()["QueueUrls"]
        (url,) = [url for url in urls if f"-{name}" in url]
        return str(url)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    home = ROOT / ".reeldrop"
    make_ready(home)
    with EmbeddedCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield Deployed(cloud, open_drop_folder(home, cloud))


def test_the_status_says_which_right_a_start_lacks(deployed: Deployed) -> None:
    def message() -> str:
        text: str = deployed.status("bee").get("message", "")
        return text if "not authorized" in text else ""

    with deployed.without("Dispatch", "iam:PassRole"):
        deployed.drop("bee.yaml", "prompt: a red square\nenhance: false\n")
        assert "not authorized to perform: iam:PassRole" in eventually(message)
    assert deployed.status("bee")["state"] == "queued"


def test_without_the_right_to_use_the_guardrail_a_drop_waits_and_says_so(
    deployed: Deployed,
) -> None:
    def message() -> str:
        text: str = deployed.status("judged").get("message", "")
        return text if "not authorized" in text else ""

    with deployed.without("Submit", "bedrock:ApplyGuardrail"):
        deployed.drop("judged.yaml", "prompt: a red square\nenhance: false\ndry_run: true\n")
        assert "not authorized to perform: bedrock:ApplyGuardrail" in eventually(message)
        assert deployed.status("judged")["state"] == "waiting"
    deployed.drop("word.yaml", f"prompt: a {BLOCKED_WORD} square\nenhance: false\n")
    eventually(lambda: deployed.status("word").get("state") == "rejected")
    assert BLOCKED_WORD in deployed.status("word")["message"]


def test_without_the_right_to_put_events_the_mail_is_sent_and_the_event_is_owed(
    deployed: Deployed,
) -> None:
    def mails() -> list[Path]:
        found = (deployed.cloud.state / "outbox").glob("*.eml")
        return [mail for mail in found if "X-Path: told" in mail.read_text()]

    def letter() -> Letter | None:
        """What is owed about the job, when the function has ended."""
        table = deployed.folder.outputs["TableName"]
        key = {"pk": {"S": OUTBOX}, "sk": {"S": deployed.status("told")["job_id"]}}
        item = deployed.cloud.client("dynamodb").get_item(TableName=table, Key=key).get("Item")
        owed = Letter.from_json(item["document"]["S"]) if item else None
        return owed if owed and owed.people_know else None

    with deployed.without("Submit", "events:PutEvents"):
        deployed.drop("told.yaml", "prompt: a red square\nenhance: false\ndry_run: true\n")
        assert len(eventually(mails)) == 1
        owed: Letter = eventually(letter)
    assert not owed.event_sent
    assert "not authorized to perform: events:PutEvents" in log(deployed)


def test_a_message_of_a_function_that_lacks_a_right_becomes_a_dead_letter(
    deployed: Deployed,
) -> None:
    sqs = deployed.cloud.client("sqs")
    drops, letters = deployed.queue("DropsQueue"), deployed.queue("DropsDeadLetters")
    given = sqs.get_queue_attributes(QueueUrl=drops, AttributeNames=["RedrivePolicy"])
    redrive = json.loads(given["Attributes"]["RedrivePolicy"])
    quick = {"RedrivePolicy": json.dumps({**redrive, "maxReceiveCount": 2})}
    sqs.set_queue_attributes(QueueUrl=drops, Attributes={**quick, "VisibilityTimeout": "1"})
    with deployed.without("Submit", "dynamodb:PutItem"):
        deployed.drop("lost.yaml", "prompt: a red square\ndry_run: true\nenhance: false\n")
        (letter,) = eventually(lambda: sqs.receive_message(QueueUrl=letters).get("Messages"))
    assert "jobs/lost.yaml" in letter["Body"]
    assert "not authorized to perform: dynamodb:PutItem" in log(deployed)
    assert deployed.status("lost") == {}
    sqs.send_message(QueueUrl=drops, MessageBody=letter["Body"])  # as a redrive does it
    eventually(lambda: deployed.status("lost").get("state") == "planned")


def log(deployed: Deployed) -> str:
    return (deployed.cloud.state / "cloud.log").read_text(errors="replace")


def test_the_worker_may_write_only_the_outputs_of_attempts(
    deployed: Deployed, tmp_path: Path
) -> None:
    work, sagemaker = deployed.folder.work_bucket, deployed.cloud.client("sagemaker")
    program = "import pathlib, sys; pathlib.Path(sys.argv[1], 'a').write_text('x')"
    output = "/opt/ml/processing/output"
    for name, folder in (("allowed", "attempts/x/output"), ("denied", "models/demo")):
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=f"arn:aws:iam::000000000000:role/{deployed.role('Worker')}",
            AppSpecification={
                "ImageUri": "any",
                "ContainerEntrypoint": ["python3", "-c", program],
                "ContainerArguments": [output],
            },
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceType": "ml.g5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                }
            },
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": "output",
                        "S3Output": {
                            "S3Uri": f"s3://{work}/{folder}",
                            "LocalPath": output,
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        )

    def ended(name: str) -> dict[str, Any]:
        job: dict[str, Any] = sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] in {"Completed", "Failed"} else {}

    allowed = eventually(lambda: ended("allowed"))
    assert allowed["ProcessingJobStatus"] == "Completed", allowed.get("FailureReason")
    assert "AccessDenied" in eventually(lambda: ended("denied"))["FailureReason"]


# A function that makes one call, and answers with the code of its error.
CALLER = """
import boto3
from botocore.exceptions import ClientError
def handler(event, context):
    try:
        getattr(boto3.client(event["service"]), event["call"])(**event["with"])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"
"""
MODEL = "us.amazon.nova-2-lite-v1:0"
PROFILE = f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{MODEL}"
BEHIND_IT = "arn:aws:bedrock:*::foundation-model/amazon.nova-2-lite-v1:0"


def allowing(action: str, *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": list(resources)}


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        (EVERYTHING, "allowed"),
        (allowing("bedrock:InvokeModel", PROFILE, BEHIND_IT), "allowed"),
        (allowing("bedrock:InvokeModel", PROFILE), "AccessDeniedException"),
        (allowing("bedrock:InvokeModel", BEHIND_IT), "AccessDeniedException"),
        (allowing("bedrock:Converse", PROFILE, BEHIND_IT), "AccessDeniedException"),
    ],
)
def test_a_function_needs_the_right_to_invoke_a_profile_and_its_model(
    cloud: EmbeddedCloud, unique: str, statement: dict[str, Any], answer: str
) -> None:
    role = f"arn:aws:iam::000000000000:role/{unique}"
    create_role(cloud, role, statement)
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", CALLER)
    functions = cloud.client("lambda")
    functions.create_function(
        FunctionName=unique,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Timeout=30,
        Code={"ZipFile": code.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=unique)
    messages = [{"role": "user", "content": [{"text": "a bee"}]}]
    call = {
        "service": "bedrock-runtime",
        "call": "converse",
        "with": {"modelId": MODEL, "messages": messages},
    }
    found = functions.invoke(FunctionName=unique, Payload=json.dumps(call).encode())
    assert json.loads(found["Payload"].read()) == answer


@pytest.mark.parametrize(
    ("service", "call"),
    [("s3", "list_buckets"), ("dynamodb", "list_tables"), ("sagemaker", "list_processing_jobs")],
)
def test_only_the_owner_and_roles_may_call(cloud: EmbeddedCloud, service: str, call: str) -> None:
    somebody = client(service, cloud.endpoint, credentials=Credentials("somebody", "embedded"))
    with pytest.raises(ClientError) as refused:
        getattr(somebody, call)()
    assert refused.value.response["Error"]["Code"] in {
        "InvalidAccessKeyId",
        "UnrecognizedClientException",
    }
