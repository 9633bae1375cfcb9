"""What every handler shares: ports that are built once, logs, metrics, partial batch responses."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.errors import Transient
from functions.adapters import connect
from functions.log import Event
from functions.stages.ports import Ports


@cache
def logger() -> Logger:
    """The logger of this function. The environment names the deployment as its service."""
    return Logger()


@cache
def metrics() -> Metrics:
    """The metrics of this function. The deployment is their dimension."""
    return Metrics(namespace="reeldrop")


def _log(event: Event, facts: dict[str, object]) -> None:
    logger().info(event.value, extra=facts)
    if event.counted:
        metrics().add_metric(name=event.value, unit=MetricUnit.Count, value=1)


@cache
def ports() -> Ports:
    """The ports of this function, built at its first event."""
    return connect.connect(os.environ, _log)


def publish_metrics() -> None:
    """Write what was counted in this call. Powertools would warn when there is nothing to write."""
    if metrics().metric_set:
        metrics().flush_metrics()


def batch(
    event: dict[str, Any], context: LambdaContext, act: Callable[[Ports, str], None]
) -> dict[str, Any]:
    """Call `act` with the body of each SQS message; only those that raise return to the queue."""

    def one(record: SQSRecord) -> None:
        try:
            act(ports(), record.body)
        except Transient as error:
            logger().warning("again-later", extra={"error": str(error)})
            raise
        except Exception:
            logger().exception("message-failed", extra={"message_id": record.message_id})
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    try:
        answer = process_partial_response(
            event=event, record_handler=one, processor=processor, context=context
        )
        return dict(answer)
    finally:
        publish_metrics()
