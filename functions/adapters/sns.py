"""Notifications, through SNS."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from functions.adapters.errors import code_of, translated
from functions.replies.post import MaybeSent

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


# No retry: after a timeout SNS may still have sent the mail, and a retry would send it twice.
_SNS_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=15)
# SNS answers with one of these if it failed at any point of its work.
_MAYBE_SENT = {"InternalError", "InternalFailure"}


@contextmanager
def _unanswered() -> Iterator[None]:
    """Find out whether SNS may have sent a notification that it did not confirm."""
    try:
        yield
    except (ConnectTimeoutError, EndpointConnectionError):
        raise  # the request did not reach SNS
    except BotoCoreError as error:
        raise MaybeSent(str(error)) from error
    except ClientError as error:
        if code_of(error) in _MAYBE_SENT:
            raise MaybeSent(str(error)) from error
        raise


class SnsPost:
    """Notifications, through SNS."""

    def __init__(self, topic_arn: str) -> None:
        self._topic_arn = topic_arn

    @cached_property
    def _client(self) -> "SNSClient":
        return boto3.client("sns", config=_SNS_CONFIG)

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """See `Post.send`. A list becomes a String.Array, so that filters match each entry."""
        with translated(), _unanswered():
            self._client.publish(
                TopicArn=self._topic_arn,
                Subject=subject,
                Message=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    if isinstance(value, str)
                    else {"DataType": "String.Array", "StringValue": json.dumps(value)}
                    for name, value in attributes.items()
                },
            )
