"""The event bus that tells other systems how jobs ended, and a webhook and Slack if wanted.

The addresses that events are sent to are settings of the deployment. None comes from a spec.
"""

import json
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.handlers import events as event_patterns
from stacks.config import Config
from stacks.monitoring import watch_dead_letters
from stacks.queues import allow_rule_to_send

# Slack shows a plain text as it is. In any other text, a file name such as <!channel> would notify
# everybody.
_FOR_SLACK = json.dumps(
    {
        "text": "A job of reeldrop has ended.",
        "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "SUMMARY"}}],
    }
).replace('"SUMMARY"', "<summary>")


def create_bus(scope: Construct, config: Config, key: kms.IKey | None) -> events.EventBus:
    """Create the bus for the events of this deployment.

    Args:
        scope: the stack.
        config: the choices of the deployment.
        key: encrypts the events; None: EventBridge does with its own key.
    """
    # CloudFormation wants a name. When the stack is removed, the name is free again.
    return events.EventBus(
        scope,
        "Bus",
        event_bus_name=config.stack_name,
        description="How jobs of reeldrop ended, for other systems",
        kms_key=key,
    )


def create_webhooks(
    scope: Construct,
    config: Config,
    *,
    bus: events.EventBus,
    alarms: sns.Topic,
    key: kms.IKey | None,
) -> None:
    """Create the webhook and the one for Slack, if the deployment wants them.

    Args:
        scope: the stack.
        config: the choices of the deployment.
        bus: where the events come from.
        alarms: the topic that is notified if an event could not be delivered.
        key: encrypts such events; None: SQS does with its own key.
    """
    if config.webhook_url:
        secret = cdk.SecretValue.secrets_manager(config.webhook_secret)
        receiver = _Receiver(config.webhook_url, "x-api-key", secret, a_second=50)
        Webhook(scope, "Webhook", receiver=receiver, bus=bus, alarms=alarms, key=key)
    if config.slack_secret:
        # Whoever knows the URL can write into the channel. So the URL is the secret, and Slack
        # ignores the header, without which EventBridge does not send.
        url = cdk.SecretValue.secrets_manager(config.slack_secret).unsafe_unwrap()
        nothing = cdk.SecretValue.unsafe_plain_text("no-secret")
        # Slack takes one message a second. EventBridge keeps the others for a day.
        receiver = _Receiver(url, "x-ignored", nothing, a_second=1, template=_FOR_SLACK)
        Webhook(scope, "Slack", receiver=receiver, bus=bus, alarms=alarms, key=key)


@dataclass(frozen=True)
class _Receiver:
    """Another system that gets events by HTTPS."""

    url: str
    header: str
    """The header that has the secret."""
    secret: cdk.SecretValue
    a_second: int
    """How many requests it gets in a second at most."""
    template: str | None = None
    """The JSON that it gets, with <summary> in it. None: it gets the whole event."""


class Webhook(Construct):
    """Sends each event to one receiver.

    Events that could not be delivered for a day, or that the receiver refuses, become dead letters,
    and an alarm fires.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        receiver: _Receiver,
        bus: events.EventBus,
        alarms: sns.Topic,
        key: kms.IKey | None,
    ) -> None:
        """Create the connection, the rule, the dead-letter queue and its alarm.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            receiver: who gets the events.
            bus: where they come from.
            alarms: the topic that the alarm notifies.
            key: encrypts the dead letters; None: SQS does with its own key.
        """
        super().__init__(scope, construct_id)
        destination = self._destination(receiver)
        dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            data_key_reuse=cdk.Duration.hours(1) if key else None,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        transformer = receiver.template and events.CfnRule.InputTransformerProperty(
            input_template=receiver.template, input_paths_map={"summary": "$.detail.summary"}
        )
        rule = events.CfnRule(
            self,
            "Rule",
            event_bus_name=bus.event_bus_name,
            event_pattern=event_patterns.ended_jobs(),
            targets=[
                events.CfnRule.TargetProperty(
                    id="receiver",
                    arn=destination.api_destination_arn,
                    role_arn=self._role(destination).role_arn,
                    input_transformer=transformer or None,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=dead_letters.queue_arn
                    ),
                )
            ],
        )
        allow_rule_to_send(dead_letters, rule.attr_arn)
        watch_dead_letters(self, dead_letters, alarms)

    def _destination(self, receiver: _Receiver) -> events.ApiDestination:
        return events.ApiDestination(
            self,
            "Destination",
            connection=events.Connection(
                self,
                "Connection",
                authorization=events.Authorization.api_key(receiver.header, receiver.secret),
            ),
            endpoint=receiver.url,
            http_method=events.HttpMethod.POST,
            rate_limit_per_second=receiver.a_second,
        )

    def _role(self, destination: events.ApiDestination) -> iam.Role:
        """The role with which EventBridge calls the receiver."""
        account = {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
        allowed = iam.PolicyStatement(
            actions=["events:InvokeApiDestination"], resources=[destination.api_destination_arn]
        )
        return iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("events.amazonaws.com", conditions=account),
            inline_policies={"Send": iam.PolicyDocument(statements=[allowed])},
        )
