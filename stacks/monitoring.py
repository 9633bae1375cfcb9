"""The alarms. docs/operations.md says what to do when one of them fires."""

from typing import NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.log import Event
from stacks.notifications import let_publish

# So many videos in a quarter of an hour are more than bad luck.
_MANY = 10


class _When(NamedTuple):
    """When an alarm fires."""

    threshold: int = 1
    """From this value of its metric on."""
    periods: int = 1
    """In each of so many periods of the metric in a row."""
    below: bool = False
    """Fires below the threshold instead, and if there are no data."""


_AT_ONCE = _When()


def watch_dead_letters(scope: Construct, dead_letters: sqs.Queue, alarms: sns.Topic) -> None:
    """Create the alarm for messages that could not be handled."""
    _watch(
        scope,
        "Stuck",
        "Messages that could not be handled",
        dead_letters.metric_approximate_number_of_messages_visible(
            period=cdk.Duration.minutes(1), statistic="Maximum"
        ),
        alarms,
    )


def watch_age(scope: Construct, queue: sqs.Queue, alarms: sns.Topic) -> None:
    """Create the alarm for a queue that nobody empties.

    A message that fails comes again within minutes, so a message that is older than half an hour
    has failed several times, or its function is not called at all.
    """
    _watch(
        scope,
        "Slow",
        "Messages wait for half an hour",
        queue.metric_approximate_age_of_oldest_message(
            period=cdk.Duration.minutes(5), statistic="Maximum"
        ),
        alarms,
        _When(threshold=1800),
    )


def watch_sweep(scope: Construct, sweep: lambda_.Function, alarms: sns.Topic) -> None:
    """Create the alarms for a sweep that keeps failing, or that does not run.

    The sweep has no queue, so no dead-letter queue shows its failures.
    """
    quarter = cdk.Duration.minutes(15)
    _watch(
        scope,
        "SweepSilent",
        "The sweep does not run",
        sweep.metric_invocations(period=quarter),
        alarms,
        _When(periods=2, below=True),
    )
    failures = sweep.metric_errors(period=quarter)
    _watch(scope, "SweepFails", "The sweep ends with errors", failures, alarms, _When(threshold=2))


def watch_throttles(scope: Construct, function: lambda_.Function, alarms: sns.Topic) -> None:
    """Create the alarm for a function whose calls Lambda refuses for a quarter of an hour.

    Lambda refuses calls beyond the account's quota. Now and then that does no harm, because the
    messages come again.
    """
    throttles = function.metric_throttles(period=cdk.Duration.minutes(5))
    description = "The account's quota of Lambda is used up"
    _watch(scope, "Throttled", description, throttles, alarms, _When(periods=3))


def watch_capacity(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for jobs that have waited for capacity for an hour.

    Dispatch counts the event each time SageMaker refuses a processing job because a quota is used
    up, or throttles it. A shorter wait is normal and needs no alarm.
    """
    _watch(
        scope,
        "NoCapacity",
        "Jobs wait for quota",
        _counted(scope, Event.NO_CAPACITY),
        alarms,
        _When(periods=4),
    )


def watch_denied_starts(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for processing jobs that SageMaker denies, for example for a missing right.

    Nothing starts until an administrator corrects the cause, so one denial is enough.
    """
    _watch(
        scope,
        "StartDenied",
        "SageMaker denies processing jobs",
        _counted(scope, Event.START_DENIED),
        alarms,
    )


def watch_enhancement(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for prompts that the language model does not enhance."""
    _watch(
        scope,
        "NotEnhanced",
        "Prompts are not enhanced",
        _counted(scope, Event.NOT_ENHANCED),
        alarms,
    )


def watch_guardrail(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for prompts that the guardrail does not judge.

    Each drop asks again at least every five minutes. So half an hour is no burst of drops, but a
    guardrail that answers nobody.
    """
    _watch(
        scope,
        "NotJudged",
        "The guardrail does not judge prompts",
        _counted(scope, Event.NOT_JUDGED),
        alarms,
        _When(periods=2),
    )


def watch_signing(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for videos that cannot be signed and so are not published.

    Each sweep tries again. So half an hour is no short trouble of KMS.
    """
    _watch(
        scope,
        "NotSigned",
        "Videos cannot be signed",
        _counted(scope, Event.NOT_SIGNED),
        alarms,
        _When(periods=2),
    )


def watch_weights(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for drops that wait for weights that were not imported."""
    _watch(scope, "NoWeights", "Drops wait for weights", _counted(scope, Event.NO_WEIGHTS), alarms)


def watch_paused_models(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for a model whose processing jobs end without a sign of life.

    The event is logged once at the beginning of a pause, however often the pause becomes longer.
    """
    _watch(
        scope,
        "ModelPaused",
        "Processing jobs end before they render anything",
        _counted(scope, Event.MODEL_PAUSED),
        alarms,
    )


def watch_long_runs(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarm for processing jobs that run for much longer than expected."""
    _watch(
        scope,
        "RunsLong",
        "A processing job runs for much longer than expected",
        _counted(scope, Event.RUNS_LONG),
        alarms,
    )


def watch_costs(scope: Construct, monthly_usd: int, alarms: sns.Topic) -> None:
    """Create the budget that notifies a topic when the costs of a month come near it.

    It counts the whole account. Costs can only be filtered by a tag that somebody has activated for
    that, and a processing job has no tags, so a filter would hide most of the costs.

    Args:
        scope: the stack.
        monthly_usd: the budget of a month; 0 for none.
        alarms: the topic.
    """
    if not monthly_usd:
        return
    let_publish(alarms, "budgets.amazonaws.com")
    topic = budgets.CfnBudget.SubscriberProperty(address=alarms.topic_arn, subscription_type="SNS")
    budget = budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                ),
                subscribers=[topic],
            )
            for kind, percent in (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
        ],
    )
    # The topic must let Budgets publish before the budget is created.
    budget.node.add_dependency(alarms)


def watch_rates(scope: Construct, alarms: sns.Topic) -> None:
    """Create the alarms for many videos that fail, or that have to be rendered again."""
    for construct_id, event, description in (
        ("ManyFail", Event.FAILED, "Many videos fail"),
        ("ManyAgain", Event.NEW_ATTEMPT, "Many processing jobs die"),
    ):
        _watch(
            scope, construct_id, description, _counted(scope, event), alarms, _When(threshold=_MANY)
        )


def _counted(scope: Construct, event: Event) -> cloudwatch.Metric:
    """How often the functions logged an event in a quarter of an hour."""
    return cloudwatch.Metric(
        namespace="reeldrop",
        metric_name=event.value,
        dimensions_map={"service": cdk.Stack.of(scope).stack_name},
        period=cdk.Duration.minutes(15),
        statistic="Sum",
    )


def _watch(
    scope: Construct,
    construct_id: str,
    description: str,
    metric: cloudwatch.IMetric,
    alarms: sns.Topic,
    when: _When = _AT_ONCE,
) -> None:
    """Create an alarm that notifies a topic.

    Args:
        scope: the parent construct.
        construct_id: the name of the alarm, which docs/operations.md explains.
        description: what is wrong, as the beginning of a sentence.
        metric: what is watched.
        alarms: the topic.
        when: when the alarm fires.
    """
    compare, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
    alarm = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_description=f"{description}: see docs/operations.md.",
        metric=metric,
        threshold=when.threshold,
        evaluation_periods=when.periods,
        comparison_operator=(
            compare.LESS_THAN_THRESHOLD
            if when.below
            else compare.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        ),
        treat_missing_data=missing.BREACHING if when.below else missing.NOT_BREACHING,
    )
    alarm.add_alarm_action(actions.SnsAction(alarms))
