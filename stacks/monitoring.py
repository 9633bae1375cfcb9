"""The alarms. docs/operations.md says what to do when one of them fires."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.log import Event

# So many videos in a quarter of an hour are more than bad luck.
_MANY = 10


def watch_dead_letters(scope: Construct, dead_letters: sqs.Queue, alarms: sns.Topic) -> None:
    """Create the alarm for messages that could not be handled."""
    alarm = cloudwatch.Alarm(
        scope,
        "Stuck",
        alarm_description="Messages that could not be handled: see docs/operations.md.",
        metric=dead_letters.metric_approximate_number_of_messages_visible(
            period=cdk.Duration.minutes(1), statistic="Maximum"
        ),
        threshold=1,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    _notify(alarms, alarm)


def watch_age(scope: Construct, queue: sqs.Queue, alarms: sns.Topic) -> None:
    """Create the alarm for a queue that nobody empties.

    A message that fails comes again within minutes, so a message that is older than half an hour
    has failed several times, or its function is not called at all.
    """
    alarm = cloudwatch.Alarm(
        scope,
        "Slow",
        alarm_description="Messages wait for half an hour: see docs/operations.md.",
        metric=queue.metric_approximate_age_of_oldest_message(
            period=cdk.Duration.minutes(5), statistic="Maximum"
        ),
        threshold=1800,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    _notify(alarms, alarm)


def watch_sweep(scope: Construct, sweep: lambda_.Function, alarms: sns.Topic) -> None:
    """Create the alarms for a sweep that keeps failing, or that does not run.

    The sweep has no queue, so no dead-letter queue shows its failures.
    """
    silent = cloudwatch.Alarm(
        scope,
        "SweepSilent",
        alarm_description="The sweep does not run: see docs/operations.md.",
        metric=sweep.metric_invocations(period=cdk.Duration.minutes(15)),
        threshold=1,
        evaluation_periods=2,
        comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
    )
    _notify(alarms, silent)
    alarm = cloudwatch.Alarm(
        scope,
        "SweepFails",
        alarm_description="The sweep ends with errors: see docs/operations.md.",
        metric=sweep.metric_errors(period=cdk.Duration.minutes(15)),
        threshold=2,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    _notify(alarms, alarm)


def watch_throttles(scope: Construct, function: lambda_.Function, alarms: sns.Topic) -> None:
    """Create the alarm for a function whose calls Lambda refuses for a quarter of an hour.

    Lambda refuses calls beyond the account's quota. Now and then that does no harm, because the
    messages come again.
    """
    alarm = cloudwatch.Alarm(
        scope,
        "Throttled",
        alarm_description="The account's quota of Lambda is used up: see docs/operations.md.",
        metric=function.metric_throttles(period=cdk.Duration.minutes(5)),
        threshold=1,
        evaluation_periods=3,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    _notify(alarms, alarm)


def watch_capacity(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for jobs that have waited for capacity for an hour.

    Dispatch counts the event each time SageMaker refuses a processing job because a quota is used
    up, or throttles it. A shorter wait is normal and needs no alarm.
    """
    description = "Jobs wait for quota: see docs/operations.md."
    alarm = _alarm_on(scope, "NoCapacity", Event.NO_CAPACITY, description, periods=4)
    _notify(alarms, alarm)


def watch_denied_starts(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for processing jobs that SageMaker denies, for example for a missing right.

    Nothing starts until an administrator corrects the cause, so one denial is enough.
    """
    description = "SageMaker denies processing jobs: see docs/operations.md."
    alarm = _alarm_on(scope, "StartDenied", Event.START_DENIED, description, periods=1)
    _notify(alarms, alarm)


def watch_enhancement(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for prompts that the language model does not enhance."""
    description = "Prompts are not enhanced: see docs/operations.md."
    alarm = _alarm_on(scope, "NotEnhanced", Event.NOT_ENHANCED, description, periods=1)
    _notify(alarms, alarm)


def watch_weights(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for drops that wait for weights that were not imported."""
    description = "Drops wait for weights: see docs/operations.md."
    alarm = _alarm_on(scope, "NoWeights", Event.NO_WEIGHTS, description, periods=1)
    _notify(alarms, alarm)


def watch_paused_models(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for a model whose processing jobs end without a sign of life.

    The event is logged once at the beginning of a pause, however often the pause becomes longer.
    """
    description = "Processing jobs end before they render anything: see docs/operations.md."
    alarm = _alarm_on(scope, "ModelPaused", Event.MODEL_PAUSED, description, periods=1)
    _notify(alarms, alarm)


def watch_rates(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarms for many videos that fail, or that have to be rendered again."""
    for construct_id, event, description in (
        ("ManyFail", Event.FAILED, "Many videos fail: see docs/operations.md."),
        ("ManyAgain", Event.NEW_ATTEMPT, "Many processing jobs die: see docs/operations.md."),
    ):
        alarm = _alarm_on(scope, construct_id, event, description, periods=1, threshold=_MANY)
        _notify(alarms, alarm)


def _alarm_on(
    scope: Construct,
    construct_id: str,
    event: Event,
    description: str,
    *,
    periods: int,
    threshold: int = 1,
) -> cloudwatch.Alarm:
    """Create an alarm that fires when the functions log an event often, in each of some periods.

    Args:
        periods: quarters of an hour in a row.
        threshold: how often in each of them.
    """
    return cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_description=description,
        metric=cloudwatch.Metric(
            namespace="reeldrop",
            metric_name=event.value,
            dimensions_map={"service": cdk.Stack.of(scope).stack_name},
            period=cdk.Duration.minutes(15),
            statistic="Sum",
        ),
        threshold=threshold,
        evaluation_periods=periods,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _notify(topic: sns.Topic, alarm: cloudwatch.Alarm) -> None:
    alarm.add_alarm_action(actions.SnsAction(topic))
