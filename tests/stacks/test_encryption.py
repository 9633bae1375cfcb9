"""What is stored is encrypted, with a key of the account's own if the deployment wants one."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import ROOT
from tests.stacks.conftest import Template
from tests.stacks.test_template import bucket, resources

# What a role may do with the key, through which services.
FILES = ({"s3"}, {"kms:Decrypt", "kms:GenerateDataKey"})
THINGS = ({"s3", "sqs", "sns"}, {"kms:Decrypt", "kms:GenerateDataKey"})
RECORDS = (
    {"dynamodb"},
    {
        "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo",
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def own(synthesise: Callable[..., Template]) -> Template:
    """A deployment with a key of its own, and every kind of resource that it may encrypt."""
    return synthesise(customer_key=True, slack_secret="slack")


def key_of(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ARN of the key, and the resource."""
    ((name, key),) = [
        (name, one) for name, one in template["Resources"].items() if one["Type"] == "AWS::KMS::Key"
    ]
    return {"Fn::GetAtt": [name, "Arn"]}, key


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def uses(template: Template, policy: dict[str, Any]) -> Iterator[tuple[set[str], set[str]]]:
    """For each statement about the key: through which services, and what."""
    arn, _ = key_of(template)
    for statement in policy["PolicyDocument"]["Statement"]:
        if statement["Resource"] == arn:
            through = statement["Condition"].get("StringEquals", {}).get("kms:ViaService", [])
            services = {"".join(_parts(one)).partition(".")[0] for one in listed(through)}
            yield services, set(listed(statement["Action"]))


def policies(template: Template, start: str) -> list[dict[str, Any]]:
    """The policies of roles, and those for people, whose names begin so."""
    kinds = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
    found = [one for kind in kinds for one in resources(template, kind).items()]
    return [policy for name, policy in found if name.startswith(start)]


def test_without_a_key_nothing_costs_one_and_everything_is_encrypted(template: Template) -> None:
    assert not resources(template, "AWS::KMS::Key")
    assert all(q["SqsManagedSseEnabled"] for q in resources(template, "AWS::SQS::Queue").values())
    # The embedded cloud has a key that signs videos. It encrypts nothing.
    actions = set(re.findall(r"kms:[A-Z]\w+", json.dumps(template)))
    assert actions <= {"kms:Sign"}
    for name, one in resources(template, "AWS::S3::Bucket").items():
        (rule,) = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, name
    keys = {n: t.get("KmsMasterKeyId") for n, t in resources(template, "AWS::SNS::Topic").items()}
    # CloudWatch may not use the key of SNS, so alarms would not arrive.
    assert sorted(keys.values(), key=str) == [None, "alias/aws/sns"]
    assert next(name for name, key in keys.items() if key is None).startswith("Alarms")


def test_the_key_is_rotated_and_outlives_the_stack_with_its_data(
    own: Template, synthesise: Callable[..., Template]
) -> None:
    _, key = key_of(own)
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"
    _, removed = key_of(synthesise(customer_key=True, keep_data=False))
    assert removed["DeletionPolicy"] == "Delete"


def test_the_key_encrypts_everything_but_the_access_logs(own: Template) -> None:
    arn, _ = key_of(own)
    logs = bucket(own, "Logs")
    for name, one in resources(own, "AWS::S3::Bucket").items():
        (rule,) = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        used = rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        # S3 writes access logs only into a bucket that is encrypted with its own key.
        assert used == (None if name == logs else arn), name
        assert rule.get("BucketKeyEnabled") is (None if name == logs else True), name
    (bus,) = resources(own, "AWS::Events::EventBus").values()
    assert bus["KmsKeyIdentifier"] == arn
    (table,) = resources(own, "AWS::DynamoDB::Table").values()
    assert table["SSESpecification"] == {
        "KMSMasterKeyId": arn, "SSEEnabled": True, "SSEType": "KMS"
    }  # fmt: skip
    for kind, field in (
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
    ):
        found = resources(own, kind)
        assert found
        assert [name for name, one in found.items() if one.get(field) != arn] == []
    functions = resources(own, "AWS::Lambda::Function").values()
    settings = [f["Environment"]["Variables"]["REELDROP_KEY_ARN"] for f in functions]
    assert settings == [arn] * 4


def test_services_without_a_role_may_use_the_key_for_this_deployment_only(own: Template) -> None:
    _, key = key_of(own)
    _root, *statements = key["Properties"]["KeyPolicy"]["Statement"]
    allowed = []
    for statement in statements:
        (conditions,) = statement["Condition"].values()
        service = "".join(_parts(statement["Principal"]["Service"])).partition(".")[0]
        allowed.append((service, {n: "".join(_parts(value)) for n, value in conditions.items()}))
        assert not any(action.endswith("*") for action in statement["Action"])
    bus, logs = "arn:P:events:R:A:event-bus/reeldrop", "arn:P:logs:R:A:log-group:reeldrop-*"
    of_bus = {
        "aws:SourceAccount": "A", "aws:SourceArn": bus,
        "kms:EncryptionContext:aws:events:event-bus:arn": bus,
    }  # fmt: skip
    assert allowed == [
        ("events", {"kms:EncryptionContext:aws:sqs:arn": "arn:P:sqs:R:A:reeldrop-*"}),
        ("cloudwatch", {"aws:SourceAccount": "A"}),
        ("logs", {"kms:EncryptionContext:aws:logs:arn": logs}),
        ("events", of_bus),
    ]


def test_the_guide_has_the_statement_for_a_key_that_is_older_than_the_bus(own: Template) -> None:
    _, key = key_of(own)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    said = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    (condition,) = said["Condition"].values()
    placed = {"arn:aws:": "arn:P:", "REGION": "R", "ACCOUNT": "A"}
    for before, after in placed.items():
        condition = {name: value.replace(before, after) for name, value in condition.items()}
    of_bus = key["Properties"]["KeyPolicy"]["Statement"][-1]
    (wanted,) = of_bus["Condition"].values()
    assert condition == {name: "".join(_parts(value)) for name, value in wanted.items()}
    same = ("Effect", "Principal", "Resource", "Action")
    assert {name: said[name] for name in same} == {name: of_bus[name] for name in same}


def _parts(value: Any) -> Iterator[str]:
    """The text of a value of the template, with a letter for each name of AWS in it."""
    joined = isinstance(value, dict) and "Fn::Join" in value
    for part in value["Fn::Join"][1] if joined else [value]:
        yield part if isinstance(part, str) else part["Ref"].removeprefix("AWS::")[0]


@pytest.mark.parametrize("function", ["Submit", "Dispatch", "Finish", "Sweep"])
def test_functions_use_the_key_only_through_what_they_call(own: Template, function: str) -> None:
    (policy,) = policies(own, f"{function}Role")
    assert list(uses(own, policy)) == [THINGS, RECORDS]


@pytest.mark.parametrize("role", ["WorkerRole", "WorkerImportRole"])
def test_processing_jobs_use_the_key_for_files_and_for_their_volume(
    own: Template, role: str
) -> None:
    (policy,) = policies(own, role)
    grant = (set[str](), {"kms:CreateGrant"})
    assert sorted(map(str, uses(own, policy))) == sorted(map(str, [grant, FILES]))
    assert '"kms:GrantIsForAWSResource": "true"' in json.dumps(policy)


def test_people_may_use_the_key_for_files_only(own: Template) -> None:
    (drop,), (watch,) = policies(own, "DropPolicy"), policies(own, "WatchPolicy")
    assert list(uses(own, drop)) == [FILES]
    assert list(uses(own, watch)) == [({"s3"}, {"kms:Decrypt"})]


def test_a_file_that_only_its_owner_could_read_is_refused_at_once(template: Template) -> None:
    """Nobody else has the key of such an upload (SSE-C), so it could not even be answered."""
    for name in ("Input", "Output", "Work"):
        one = resources(template, "AWS::S3::Bucket")[bucket(template, name)]
        (rule,) = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


def test_a_deployment_uses_the_key_that_its_kept_data_is_encrypted_with(
    synthesise: Callable[..., Template],
) -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/0f6c9f1e-6f1c-4a53-9c1f-1f6f3a4c9d10"
    template = synthesise(customer_key=arn)
    assert not resources(template, "AWS::KMS::Key")
    rules = [
        one["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        for one in resources(template, "AWS::S3::Bucket").values()
    ]
    used = [rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID") for rule in rules]
    assert sorted(used, key=str) == [None, arn, arn, arn]
    assert json.dumps(arn) in json.dumps(policies(template, "SubmitRole"))
