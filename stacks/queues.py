"""The queues that feed the functions, with their dead-letter queues, alarms and event rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.handlers import events as event_patterns
from stacks.monitoring import watch_age, watch_dead_letters
from stacks.storage import Storage


class FunctionQueue(Construct):
    """A queue that feeds one function.

    Two kinds of messages end in its dead-letter queue: events that could not be delivered to the
    queue, and messages that the function failed to handle too often. An alarm watches for both.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        patterns: Mapping[str, Mapping[str, Any]],
        visibility_timeout: cdk.Duration,
        alarms: sns.Topic,
        key: kms.IKey | None,
    ) -> None:
        """Create the queues, the rules and the alarm.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            patterns: the EventBridge patterns of the events that go to the queue, by rule name.
            visibility_timeout: how long a message that was received stays hidden.
            alarms: the topic that the alarm notifies.
            key: encrypts the messages; None: SQS does with its own key.
        """
        super().__init__(scope, construct_id)
        encryption = sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED
        # SQS asks KMS for a new data key after this time. Its default, 5 minutes, costs more.
        reuse = cdk.Duration.hours(1) if key else None
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=encryption,
            encryption_master_key=key,
            data_key_reuse=reuse,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=encryption,
            encryption_master_key=key,
            data_key_reuse=reuse,
            enforce_ssl=True,
            visibility_timeout=visibility_timeout,
            retention_period=cdk.Duration.days(14),
            # Messages also return to the queue after transient errors. These can last for minutes,
            # so a message gets ten tries.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=10),
        )
        for rule_name, pattern in patterns.items():
            self._receive(rule_name, pattern)
        watch_dead_letters(self, self.dead_letters, alarms)
        watch_age(self, self.queue, alarms)

    def _receive(self, rule_name: str, pattern: Mapping[str, Any]) -> None:
        """Send the events that match a pattern to the queue."""
        rule = events.CfnRule(
            self,
            rule_name,
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
            allow_rule_to_send(queue, rule.attr_arn)


@dataclass(frozen=True)
class Queues:
    """The queue of each function that events start."""

    drops: FunctionQueue
    """For submit: files that were created or deleted in the input bucket."""
    wake_ups: FunctionQueue
    """For dispatch: the functions send a message when there may be something to start."""
    results: FunctionQueue
    """For finish: what the worker wrote, and processing jobs that ended."""


def create_queues(
    scope: Construct,
    *,
    storage: Storage,
    job_prefix: str,
    alarms: sns.Topic,
    key: kms.IKey | None,
) -> Queues:
    """Create the queues.

    The visibility timeout of a queue must be longer than the timeout of its function. Otherwise a
    message could be delivered again while it is still being handled. It is only a little longer,
    because a message that failed waits for the same time until its next try.

    Args:
        scope: the parent construct.
        storage: the buckets whose events are received.
        job_prefix: what the names of our processing jobs begin with.
        alarms: the topic that the alarms notify.
        key: encrypts the messages; None: SQS does with its own key.
    """
    drops = FunctionQueue(
        scope,
        "Drops",
        patterns={"Dropped": event_patterns.drops(storage.input.bucket_name)},
        visibility_timeout=cdk.Duration.seconds(70),
        alarms=alarms,
        key=key,
    )
    wake_ups = FunctionQueue(
        scope,
        "Wakes",
        patterns={},
        visibility_timeout=cdk.Duration.seconds(130),
        alarms=alarms,
        key=key,
    )
    results = FunctionQueue(
        scope,
        "Results",
        patterns={
            "Written": event_patterns.results(storage.work.bucket_name),
            "Ended": event_patterns.endings(job_prefix),
        },
        visibility_timeout=cdk.Duration.seconds(70),
        alarms=alarms,
        key=key,
    )
    return Queues(drops=drops, wake_ups=wake_ups, results=results)


def allow_rule_to_send(queue: sqs.Queue, rule_arn: str) -> None:
    """Let a rule of EventBridge send messages to a queue."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": rule_arn}},
        )
    )
