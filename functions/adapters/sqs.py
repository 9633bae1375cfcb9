"""Sends messages to the queues of submit and dispatch, through SQS."""

import json
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from functions.adapters.errors import CONFIG, translated
from functions.ports import Announce, Wake

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def announcer(queue_url: str, bucket: str) -> Announce:
    """Returns a function that sends the event about a drop to the queue of the submit function."""
    send = _sender(queue_url)

    def announce(key: str, version: str | None, *, delay_seconds: int = 0) -> None:
        named: dict[str, str] = {"version-id": version} if version else {}
        # The parts of the event of S3 that submit reads.
        detail = {"bucket": {"name": bucket}, "object": {"key": key, **named}}
        send({"detail-type": "Object Created", "detail": detail}, delay_seconds)

    return announce


def waker(queue_url: str) -> Wake:
    """Returns a function that sends a message to the queue of the dispatch function."""
    send = _sender(queue_url)

    def wake(*, delay_seconds: int = 0) -> None:
        send({"wake": "dispatch"}, delay_seconds)

    return wake


def _sender(queue_url: str) -> Callable[..., None]:
    @cache
    def client() -> "SQSClient":
        return boto3.client("sqs", config=CONFIG)

    def send(message: dict[str, Any], delay_seconds: int = 0) -> None:
        with translated():
            client().send_message(
                QueueUrl=queue_url, MessageBody=json.dumps(message), DelaySeconds=delay_seconds
            )

    return send
