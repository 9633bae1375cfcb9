"""The event bus in the template, and what it sends to if somebody wants that."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from moto.events.models import EventPattern
from pydantic import ValidationError

from functions.replies.bus import DETAIL_TYPE, SOURCE
from stacks.config import Config
from tests.stacks.conftest import Template
from tests.stacks.test_template import resources

URL = "https://hooks.example.org/reeldrop?of=me"
SETTINGS = {"webhook_url": URL, "webhook_secret": "my/webhook", "slack_secret": "my-slack"}


@pytest.fixture
def sending(synthesise: Callable[..., Template]) -> Template:
    """A deployment with a webhook and Slack."""
    return synthesise(**SETTINGS)


def on_the_bus(template: Template) -> dict[str, dict[str, Any]]:
    """The rules on the bus, by what their names begin with."""
    (bus,) = resources(template, "AWS::Events::EventBus")
    return {
        name.partition("Rule")[0]: rule
        for name, rule in resources(template, "AWS::Events::Rule").items()
        if rule.get("EventBusName") == {"Ref": bus}
    }


def named(value: Any) -> str:
    """The logical id in an attribute of a resource."""
    found: str = value["Fn::GetAtt"][0]
    return found


def test_nothing_is_sent_anywhere_unless_somebody_wants_that(template: Template) -> None:
    assert on_the_bus(template) == {}
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not kinds & {"AWS::Events::Connection", "AWS::Events::ApiDestination"}
    (bus,) = resources(template, "AWS::Events::EventBus")
    assert template["Outputs"]["EventBusName"]["Value"] == {"Ref": bus}


def test_the_functions_that_end_jobs_may_put_events_on_this_bus_only(template: Template) -> None:
    (bus,) = resources(template, "AWS::Events::EventBus")
    found = {
        name.partition("Role")[0]: statement["Resource"]
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if "events:" in json.dumps(statement["Action"])
    }
    arn = {"Fn::GetAtt": [bus, "Arn"]}
    assert found == dict.fromkeys(("Submit", "Dispatch", "Finish", "Sweep"), arn)


def test_each_receiver_gets_the_events_about_jobs_that_ended_and_no_others(
    sending: Template,
) -> None:
    rules = on_the_bus(sending)
    assert set(rules) == {"Webhook", "Slack"}
    for rule in rules.values():
        pattern = EventPattern(None, rule["EventPattern"])
        for source, detail_type, matches in (
            (SOURCE, DETAIL_TYPE, True),
            ("somebody", DETAIL_TYPE, False),
            (SOURCE, "Job Started", False),
        ):
            event: Any = {"source": source, "detail-type": detail_type, "detail": {}}
            assert pattern.matches_event(event) is matches


def test_an_event_that_cannot_be_delivered_is_kept_and_an_alarm_fires(sending: Template) -> None:
    policies = resources(sending, "AWS::SQS::QueuePolicy").values()
    alarms = resources(sending, "AWS::CloudWatch::Alarm")
    for name, rule in on_the_bus(sending).items():
        (target,) = rule["Targets"]
        letters = named(target["DeadLetterConfig"]["Arn"])
        (policy,) = (one for one in policies if one["Queues"] == [{"Ref": letters}])
        assert f'"{name}Rule' in json.dumps(policy), "the rule may write to it"
        (alarm,) = (one for one in alarms if one.startswith(f"{name}Stuck"))
        assert letters in json.dumps(alarms[alarm]["Dimensions"])
        (role,) = (
            role["Policies"]
            for one, role in resources(sending, "AWS::IAM::Role").items()
            if one == named(target["RoleArn"])
        )
        (statement,) = role[0]["PolicyDocument"]["Statement"]
        assert statement["Action"] == "events:InvokeApiDestination"
        assert statement["Resource"] == target["Arn"]


def test_secrets_are_named_in_the_template_and_not_written_there(sending: Template) -> None:
    secret = "{{{{resolve:secretsmanager:{}:SecretString:::}}}}"
    destinations = resources(sending, "AWS::Events::ApiDestination")
    urls = {
        name.partition("Dest")[0]: one["InvocationEndpoint"] for name, one in destinations.items()
    }
    assert urls == {"Webhook": URL, "Slack": secret.format("my-slack")}
    connections = resources(sending, "AWS::Events::Connection")
    (of_webhook,) = (one for name, one in connections.items() if name.startswith("Webhook"))
    assert of_webhook["AuthParameters"]["ApiKeyAuthParameters"] == {
        "ApiKeyName": "x-api-key", "ApiKeyValue": secret.format("my/webhook"),
    }  # fmt: skip


def test_slack_shows_a_file_name_as_it_is(sending: Template) -> None:
    """In a text that Slack interprets, this name would notify the whole channel."""
    rules = on_the_bus(sending)
    assert "InputTransformer" not in rules["Webhook"]["Targets"][0], "it gets the whole event"
    sent = rules["Slack"]["Targets"][0]["InputTransformer"]
    assert sent["InputPathsMap"] == {"summary": "$.detail.summary"}
    summary = 'jobs/<!channel> "a".yaml is ready'
    # EventBridge puts a variable that is a text into a template as JSON.
    body = json.loads(sent["InputTemplate"].replace("<summary>", json.dumps(summary)))
    assert body["blocks"][0]["text"] == {"type": "plain_text", "text": summary}
    assert "<" not in body["text"]


@pytest.mark.parametrize(
    "wrong",
    [
        "http://example.org/x", "https://", "https://localhost", "https://a@example.org/",
        "https://example.org/*", "https://example.org/a b", "ftp://example.org", "example.org",
        "https://example.org/" + "x" * 2048,
    ],
)  # fmt: skip
def test_a_webhook_is_an_https_address_with_a_secret(wrong: str) -> None:
    assert Config(webhook_url=URL, webhook_secret="my/webhook").webhook_url == URL
    with pytest.raises(ValidationError, match="webhook_url"):
        Config(webhook_url=wrong, webhook_secret="my/webhook")
    for alone in ({"webhook_url": URL}, {"webhook_secret": "my/webhook"}):
        with pytest.raises(ValidationError, match="set both or neither"):
            Config.model_validate(alone)
