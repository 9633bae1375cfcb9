"""Mail as files: each SNS notification becomes one file in an outbox folder.

SNS delivers to an SQS queue, whose only reader writes the files. The queue keeps a notification
until its file is written. ministack's HTTP delivery would try only once, for five seconds.
"""

import json
import logging
import re
import threading
import time
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from local.cloud.clients import ACCOUNT, REGION, client
from local.cloud.external_document import ExternalDocument
from local.cloud.files import write_atomically

QUEUE = "mail-stand-in"
SENDER = "reeldrop <no-reply@sns.amazonaws.com>"
RECIPIENT = "drop folder <you@localhost>"
_MAX_LINE_BYTES = 998  # RFC 5322; a presigned URL can be longer
_WAIT_SECONDS = 20  # the maximum that SQS allows
# A notification that is not deleted within this time is received again. The second file has the
# same name as the first, so receiving a notification twice does no harm.
_VISIBILITY_TIMEOUT_SECONDS = 2
_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class _Attribute(ExternalDocument):
    type_: str = Field(alias="Type")
    value: str = Field(alias="Value")


class _Notification(ExternalDocument):
    """What SNS sends to a queue."""

    message_id: str = Field(alias="MessageId")
    topic_arn: str = Field(alias="TopicArn")
    message: str = Field(alias="Message")
    timestamp: datetime = Field(alias="Timestamp")
    subject: str = Field(default="AWS Notification Message", alias="Subject")
    attributes: dict[str, _Attribute] = Field(default_factory=dict, alias="MessageAttributes")


class Mail:
    """Reads the queue and writes the outbox."""

    def __init__(self, outbox: Path, endpoint: str) -> None:
        self._outbox = outbox
        self._sqs = client("sqs", endpoint)

    def start(self) -> None:
        """Create the queue if it does not exist, and start a thread that reads it."""
        queue = queue_url(self._sqs)
        threading.Thread(target=self._read, args=(queue,), daemon=True, name="mail").start()

    def _read(self, queue: str) -> None:
        while True:
            try:
                answer = self._sqs.receive_message(
                    QueueUrl=queue,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=_WAIT_SECONDS,
                    VisibilityTimeout=_VISIBILITY_TIMEOUT_SECONDS,
                )
                for message in answer.get("Messages", ()):
                    self.receive(message["Body"])
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            except Exception:
                # A notification without a file stays in the queue and is tried again: a full disk,
                # for example, may have room by then.
                logger.exception("mail could not be written; it will be tried again")
                time.sleep(_PAUSE_SECONDS)

    def receive(self, body: str) -> None:
        """Write a notification to the outbox. It is safe to call this twice.

        A body that is not a notification is logged and dropped.
        """
        try:
            notification = _Notification.model_validate_json(body)
        except ValidationError:
            logger.exception("not a notification: %.200s", body)
            return
        self._write(notification)

    def _write(self, notification: _Notification) -> None:
        self._outbox.mkdir(parents=True, exist_ok=True)
        # A repeated delivery has the same id and time, so its file gets the same name.
        suffix = re.sub(r"[^a-z0-9]", "", notification.message_id.lower())[:12]
        at = notification.timestamp.strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^a-z0-9]+", "-", notification.subject.lower()).strip("-")[:60]
        name = f"{at}-{slug or 'mail'}-{suffix}.eml"
        write_atomically(self._outbox / name, _mail(notification).as_bytes())


def queue_url(sqs: Any) -> str:
    """Return the URL of the mail queue. The queue is created if it does not exist."""
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}",
        },
    }
    attributes = {"Policy": json.dumps(policy)}
    url: str = sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
    return url


def subscribe_mail(endpoint: str, topic_arn: str) -> None:
    """Subscribe the mail queue to a topic, so that the outbox gets its notifications.

    It is safe to call this twice.
    """
    sqs = client("sqs", endpoint)
    answer = sqs.get_queue_attributes(QueueUrl=queue_url(sqs), AttributeNames=["QueueArn"])
    client("sns", endpoint).subscribe(
        TopicArn=topic_arn, Protocol="sqs", Endpoint=answer["Attributes"]["QueueArn"]
    )


def _mail(notification: _Notification) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = _one_line(notification.subject)
    mail["Date"] = format_datetime(notification.timestamp)
    mail["From"] = SENDER
    mail["To"] = RECIPIENT
    mail["Message-ID"] = f"<{notification.message_id}@sns.amazonaws.com>"
    mail["X-SNS-Topic-Arn"] = notification.topic_arn
    for name, attribute in notification.attributes.items():
        words = re.split(r"[^A-Za-z0-9]+", name)
        mail["X-" + "-".join(word.capitalize() for word in words if word)] = _one_line(
            attribute.value
        )
    longest = max((len(line.encode()) for line in notification.message.splitlines()), default=0)
    encoding = "8bit" if longest <= _MAX_LINE_BYTES else "quoted-printable"
    mail.set_content(notification.message, cte=encoding)
    return mail


def _one_line(text: str) -> str:
    return " ".join(text.split())
