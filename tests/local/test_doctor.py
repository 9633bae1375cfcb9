"""What the doctor says about quotas and addresses, which the embedded cloud does not check."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.command import account
from local.command.account import Account, NoDeployment
from local.command.doctor import Verdict, findings

ACCOUNT = Account(
    client=lambda _service: None,
    input_bucket="input",
    output_bucket="output",
    work_bucket="work",
    topic_arn="topic",
    job_prefix="reeldrop--",
    code_uri="s3://assets/code.zip",
    image_uri="image",
    import_role_arn="arn:aws:iam::000000000000:role/import",
    key_arn="",
    default_model="demo",
    instance_types=("ml.g6e.xlarge", "ml.p5.4xlarge"),
    finishing_instance_type="ml.c5.2xlarge",
    enhancer_model_id="",
    guardrail_id="",
    guardrail_version="",
    lambda_concurrency=10,
)


def test_a_stack_that_is_named_is_used_whatever_the_files_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def outputs_of(stack: str) -> dict[str, str]:
        asked.append(stack)
        raise NoDeployment

    monkeypatch.setattr(account, "_outputs_of", outputs_of)
    file = tmp_path / "cdk-outputs.json"
    file.write_text(json.dumps({"reeldrop": {"WorkBucket": "work"}}))
    for files, stack in (([file], "reeldrop-dev"), ([], ""), ([file], "")):
        with pytest.raises(NoDeployment):
            Account.found(files, stack)
    assert asked == ["reeldrop-dev", "reeldrop"], "the last one has a file"


class Answers:
    """A client that answers every page and call with the same."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def get_paginator(self, _call: str) -> "Answers":
        return self

    def paginate(self, **_arguments: str) -> list[dict[str, Any]]:
        return [self._answer]

    def get_account_settings(self) -> dict[str, Any]:
        return self._answer


def quota(name: str, value: float) -> dict[str, object]:
    return {"QuotaName": f"{name} for processing job usage", "Value": value}


@pytest.mark.parametrize(
    ("quotas", "wanted"),
    [
        (
            [quota("ml.g6e.xlarge", 2), quota("ml.p5.4xlarge", 0), quota("ml.c5.2xlarge", 1)],
            [Verdict.GOOD, Verdict.BAD, Verdict.GOOD],
        ),
        (
            [quota("ml.g6e.xlarge", 0), quota("ml.g5.xlarge", 9), quota("ml.c5.2xlarge", 0)],
            [Verdict.BAD, Verdict.UNKNOWN, Verdict.BAD],
        ),
    ],
)
def test_each_instance_type_needs_a_quota(
    quotas: list[dict[str, object]], wanted: list[Verdict]
) -> None:
    found = replace(ACCOUNT, client=lambda _service: Answers({"Quotas": quotas}))
    checks = findings(found, only={"quota"})
    assert [finding.verdict for finding in checks] == wanted


@pytest.mark.parametrize(("calls", "verdict"), [(10, Verdict.GOOD), (9, Verdict.BAD)])
def test_the_account_must_run_the_calls_that_the_deployment_wants(
    calls: int, verdict: Verdict
) -> None:
    answer = {"AccountLimit": {"ConcurrentExecutions": calls}}
    found = replace(ACCOUNT, client=lambda _service: Answers(answer))
    (finding,) = findings(found, only={"functions"})
    assert finding.verdict is verdict


def test_an_address_that_was_not_confirmed_is_named() -> None:
    subscriptions = [
        {"SubscriptionArn": arn, "Protocol": "email", "Endpoint": f"{name}@example.org"}
        for arn, name in (("arn:aws:sns:1", "early"), ("PendingConfirmation", "late"))
    ]
    found = replace(ACCOUNT, client=lambda _service: Answers({"Subscriptions": subscriptions}))
    early, late = findings(found, only={"notifications"})
    assert early.verdict is Verdict.GOOD
    assert late.verdict is Verdict.BAD and late.says.startswith("late@example.org")
