"""The dashboard: how many videos are made, what waits, and what goes wrong."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.log import Event

_HALF, _WHOLE = 12, 24


def create_dashboard(
    scope: Construct,
    *,
    queues: dict[str, tuple[sqs.Queue, sqs.Queue]],
    functions: dict[str, lambda_.Function],
) -> None:
    """Create the dashboard.

    An account has one list of dashboards for all regions, so the name contains the region.

    Args:
        scope: the stack.
        queues: each queue with its dead-letter queue, by what it is for.
        functions: the functions by their names.
    """
    name = f"{cdk.Stack.of(scope).stack_name}-{cdk.Aws.REGION}"
    dashboard = cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=name)
    wrong = [event for event in Event if event.counted and event not in _IN_ORDER]
    dashboard.add_widgets(
        _graph("Drops and videos", [_counted(scope, event) for event in _IN_ORDER], _HALF),
        _graph("What goes wrong", [_counted(scope, event) for event in wrong], _HALF),
    )
    age = [
        queue.metric_approximate_age_of_oldest_message(label=name)
        for name, (queue, _) in queues.items()
    ]
    dead = [
        letters.metric_approximate_number_of_messages_visible(label=name)
        for name, (_, letters) in queues.items()
    ]
    dashboard.add_widgets(
        _graph("Age of the oldest message, in seconds", age, _HALF),
        _graph("Messages that nobody could handle", dead, _HALF),
    )
    for title, metrics in (
        ("Longest call of a function, in milliseconds", "metric_duration"),
        ("Calls that Lambda refused", "metric_throttles"),
    ):
        statistic = "Maximum" if metrics == "metric_duration" else "Sum"
        shown = [
            getattr(function, metrics)(label=name, statistic=statistic)
            for name, function in functions.items()
        ]
        dashboard.add_widgets(_graph(title, shown, _WHOLE))


_IN_ORDER = (Event.QUEUED, Event.STARTED, Event.SUCCEEDED)


def _counted(scope: Construct, event: Event) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="reeldrop",
        metric_name=event.value,
        label=event.value,
        dimensions_map={"service": cdk.Stack.of(scope).stack_name},
        period=cdk.Duration.minutes(5),
        statistic="Sum",
    )


def _graph(title: str, metrics: Sequence[cloudwatch.IMetric], width: int) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=width)
