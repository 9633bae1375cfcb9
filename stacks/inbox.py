"""A queue in front of a function, with its dead-letter queue, alarm and rules."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class Inbox(Construct):
    """What waits for one function.

    Whatever cannot be delivered to the queue, or has come back from the function too often, lies
    in the dead-letter queue and rings the alarm.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        patterns: Mapping[str, Mapping[str, Any]],
        visibility: cdk.Duration,
        alarms: sns.Topic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=visibility,
            retention_period=cdk.Duration.days(14),
            # Transient errors return here too, and may last for minutes.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=10),
        )
        for name, pattern in patterns.items():
            rule = events.CfnRule(
                self,
                name,
                event_pattern=pattern,
                targets=[
                    events.CfnRule.TargetProperty(
                        id="queue",
                        arn=self.queue.queue_arn,
                        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                            arn=self.dead_letters.queue_arn
                        ),
                    )
                ],
            )
            for queue in (self.queue, self.dead_letters):
                _let_rule_send(queue, rule.attr_arn)
        alarm = cloudwatch.Alarm(
            self,
            "Stuck",
            alarm_description="Messages that could not be handled: see docs/operations.md.",
            metric=self.dead_letters.metric_approximate_number_of_messages_visible(
                period=cdk.Duration.minutes(1), statistic="Maximum"
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        ring(alarms, alarm)


def ring(topic: sns.Topic, alarm: cloudwatch.Alarm) -> None:
    """Let an alarm be told to a topic."""
    alarm.add_alarm_action(actions.SnsAction(topic))


def _let_rule_send(queue: sqs.Queue, rule_arn: str) -> None:
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": rule_arn}},
        )
    )
