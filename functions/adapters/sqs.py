"""Wakes the dispatch function, through SQS."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import boto3

from functions.adapters.errors import CONFIG, translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def waker(queue_url: str) -> Callable[[], None]:
    """Returns a function that sends a message to the queue of the dispatch function."""

    @cache
    def client() -> "SQSClient":
        return boto3.client("sqs", config=CONFIG)

    def wake() -> None:
        with translated():
            client().send_message(QueueUrl=queue_url, MessageBody='{"wake": "dispatch"}')

    return wake
