"""`reeldrop doctor`: finds what would stop the first job of a deployment, and says how to fix it.

It reads, with three exceptions: it asks the language model for one word, it has a harmless prompt
judged by the guardrail, and it drops a spec with `dry_run: true`, waits for the answer and deletes
the spec.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import State
from local.command.account import Account
from local.command.models import rows

_ANSWER_WITHIN_SECONDS = 120
_HARMLESS = "a red ball moves to the right"


class Verdict(Enum):
    """What a check found."""

    GOOD = "ok"
    BAD = "problem"
    UNKNOWN = "not checked"


@dataclass(frozen=True)
class Finding:
    """The result of a check, in words."""

    what: str
    verdict: Verdict
    says: str


def doctor(files: Sequence[Path], stack: str, console: Console) -> int:
    """Check a deployment and tell what was found. Returns the exit status: 1 if there is a problem.

    Raises:
        NoDeployment: the message says how to name it.
    """
    account = Account.found(files, stack)
    colours = {Verdict.GOOD: "green", Verdict.BAD: "red", Verdict.UNKNOWN: "yellow"}
    worst = 0
    for finding in findings(account):
        console.print(
            f"[{colours[finding.verdict]}]{finding.verdict.value:<12}[/] {finding.what:<16}", end=""
        )
        console.print(finding.says, markup=False, highlight=False)
        worst = max(worst, finding.verdict is Verdict.BAD)
    return worst


def findings(account: Account, only: Collection[str] = ()) -> Iterator[Finding]:
    """Run every check. One that the caller may not run is named, and the others go on.

    Args:
        account: the deployment.
        only: the names of the checks to run; all if it is empty.
    """
    checks: dict[str, Callable[[Account], Iterator[tuple[Verdict, str]]]] = {
        "weights": _weights,
        "quota": _quota,
        "functions": _functions,
        "notifications": _notifications,
        "language model": _language_model,
        "guardrail": _guardrail,
        "alarms": _alarms,
        "a dry run": _dry_run,
    }
    for what, check in checks.items():
        if only and what not in only:
            continue
        try:
            for verdict, says in check(account):
                yield Finding(what, verdict, says)
        except (BotoCoreError, ClientError) as error:
            yield Finding(what, Verdict.UNKNOWN, f"AWS does not say: {error}")


def _weights(account: Account) -> Iterator[tuple[Verdict, str]]:
    for row in rows(account):
        if row.model != account.default_model:
            continue
        folder = row.folder
        if row.ready:
            yield Verdict.GOOD, f"{folder}: release {row.ready.release}"
        else:
            command = f"reeldrop import-model {row.model}"
            yield Verdict.BAD, f"{folder}: not imported. Drops wait until you run `{command}`."


def _quota(account: Account) -> Iterator[tuple[Verdict, str]]:
    pages = account.client("service-quotas").get_paginator("list_service_quotas")
    types = (*account.instance_types, account.finishing_instance_type)
    names = {f"{one} for processing job usage": one for one in types}
    found = {
        quota["QuotaName"]: quota["Value"]
        for page in pages.paginate(ServiceCode="sagemaker")
        for quota in page["Quotas"]
        if quota["QuotaName"] in names
    }
    for name in names:
        value = found.get(name)
        if value is None:
            yield Verdict.UNKNOWN, f"Service Quotas does not list {name!r}."
        elif value < 1:
            yield (
                Verdict.BAD,
                f"{name}: 0. Ask for more in the console: Service Quotas, Amazon SageMaker.",
            )
        else:
            yield Verdict.GOOD, f"{name}: {value:g}"


def _functions(account: Account) -> Iterator[tuple[Verdict, str]]:
    settings = account.client("lambda").get_account_settings()
    calls = settings["AccountLimit"]["ConcurrentExecutions"]
    if calls < account.lambda_concurrency:
        yield (
            Verdict.BAD,
            f"The account runs {calls} calls at the same time, and the deployment wants "
            f"{account.lambda_concurrency}: set lambda_concurrency to what is free, and deploy.",
        )
    else:
        yield Verdict.GOOD, f"the account runs {calls} calls at the same time"


def _notifications(account: Account) -> Iterator[tuple[Verdict, str]]:
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic")
    found = [
        one for page in pages.paginate(TopicArn=account.topic_arn) for one in page["Subscriptions"]
    ]
    if not found:
        yield Verdict.UNKNOWN, "no address gets emails about videos; notify_email sets one"
    for one in found:
        if one["SubscriptionArn"] == "PendingConfirmation":
            yield (
                Verdict.BAD,
                f"{one['Endpoint']} has not confirmed. AWS sent a mail with a link; if it is lost, "
                "subscribe the address again in the SNS console.",
            )
        else:
            yield Verdict.GOOD, f"{one['Protocol']} to {one['Endpoint']}"


def _language_model(account: Account) -> Iterator[tuple[Verdict, str]]:
    model = account.enhancer_model_id
    if not model:
        yield Verdict.GOOD, "switched off: prompts are used as they are"
        return
    try:
        account.client("bedrock-runtime").converse(
            modelId=model,
            messages=[{"role": "user", "content": [{"text": "Say yes."}]}],
            inferenceConfig={"maxTokens": 5},
        )
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
        yield Verdict.BAD, f"{model}: {code}: {said} (asked with your rights)"
    else:
        yield Verdict.GOOD, f"{model} answers"


def _guardrail(account: Account) -> Iterator[tuple[Verdict, str]]:
    guardrail = account.guardrail_id
    if not guardrail:
        yield Verdict.GOOD, "none: no prompt is judged"
        return
    try:
        answer = account.client("bedrock-runtime").apply_guardrail(
            guardrailIdentifier=guardrail,
            guardrailVersion=account.guardrail_version,
            source="INPUT",
            content=[{"text": {"text": _HARMLESS}}],
        )
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
        yield Verdict.BAD, f"{guardrail}: {code}: {said} (asked with your rights). Drops wait."
        return
    if answer["action"] == "NONE":
        yield Verdict.GOOD, f"{guardrail} answers"
    else:
        yield Verdict.BAD, f"{guardrail} blocks even {_HARMLESS!r}"


def _alarms(account: Account) -> Iterator[tuple[Verdict, str]]:
    pages = account.client("cloudwatch").get_paginator("describe_alarms")
    ours = f"{account.job_prefix.rstrip('-')}-"
    in_alarm = [
        alarm["AlarmName"]
        for page in pages.paginate(AlarmNamePrefix=ours, StateValue="ALARM")
        for alarm in page["MetricAlarms"]
    ]
    for name in in_alarm:
        yield Verdict.BAD, f"{name} is in alarm: see docs/operations.md"
    if not in_alarm:
        yield Verdict.GOOD, "none is in alarm"


def _dry_run(account: Account) -> Iterator[tuple[Verdict, str]]:
    """Drop a spec that renders nothing, and wait for the answer in the output bucket."""
    s3, path = account.client("s3"), f"doctor-{uuid.uuid4().hex[:8]}"
    key = f"{s3_keys.JOBS_PREFIX}{path}.yaml"
    body = f"prompt: {_HARMLESS}\nenhance: false\ndry_run: true\nnotify: false\n".encode()
    s3.put_object(Bucket=account.input_bucket, Key=key, Body=body)
    began = time.monotonic()
    try:
        status = None
        while time.monotonic() - began < _ANSWER_WITHIN_SECONDS:
            status = _status(s3, account.output_bucket, path)
            if status is not None and status.state.terminal:
                break
            time.sleep(0.5)
    finally:
        s3.delete_object(Bucket=account.input_bucket, Key=key)
        s3.delete_object(Bucket=account.output_bucket, Key=s3_keys.status(path))
    seconds = time.monotonic() - began
    if status is None:
        yield (
            Verdict.BAD,
            f"no answer to {key} within {_ANSWER_WITHIN_SECONDS} s: look into the log of the "
            "submit function, and into the dead-letter queues",
        )
    elif status.state == State.PLANNED:
        yield Verdict.GOOD, f"answered after {seconds:.0f} s: {status.message}"
    else:
        yield Verdict.BAD, f"answered after {seconds:.0f} s: {status.message}"


def _status(s3: Any, bucket: str, path: str) -> Status | None:
    try:
        body = s3.get_object(Bucket=bucket, Key=s3_keys.status(path))["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return Status.from_json(body)
