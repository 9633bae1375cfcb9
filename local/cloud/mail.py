"""Mail as files, a stand-in for SNS's mail: each notification becomes a file in an outbox folder.

SNS hands a notification to a queue of ours within the call that publishes it, and it leaves the
queue when its file is written. Over HTTP, ministack would try once, for five seconds.
"""

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

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.cloud.clients import client
from local.cloud.files import write_atomically

QUEUE = "mail-stand-in"
SENDER = "reeldrop <no-reply@sns.amazonaws.com>"
RECIPIENT = "drop folder <you@localhost>"
_LONGEST_LINE = 998  # RFC 5322; a presigned link can be longer
_LOOK_SECONDS = 20  # the longest that SQS offers
_SHOWN_AGAIN_SECONDS = 2  # what was not written by then; written twice is as once
_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class _Edge(BaseModel):
    # AWS may add fields at any time.
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Attribute(_Edge):
    type_: str = Field(alias="Type")
    value: str = Field(alias="Value")


class _Notification(_Edge):
    """What SNS sends to a queue."""

    message_id: str = Field(alias="MessageId")
    topic_arn: str = Field(alias="TopicArn")
    message: str = Field(alias="Message")
    timestamp: datetime = Field(alias="Timestamp")
    subject: str = Field(default="AWS Notification Message", alias="Subject")
    attributes: dict[str, _Attribute] = Field(default_factory=dict, alias="MessageAttributes")


class Mail:
    """The queue's only reader."""

    def __init__(self, outbox: Path, endpoint: str) -> None:
        self._outbox = outbox
        self._sqs = client("sqs", endpoint)

    def start(self) -> None:
        """Make the queue, if there is none, and read it from now on, in a thread."""
        queue = queue_url(self._sqs)
        threading.Thread(target=self._read, args=(queue,), daemon=True, name="mail").start()

    def _read(self, queue: str) -> None:
        while True:
            try:
                answer = self._sqs.receive_message(
                    QueueUrl=queue,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=_LOOK_SECONDS,
                    VisibilityTimeout=_SHOWN_AGAIN_SECONDS,
                )
                for message in answer.get("Messages", ()):
                    self.receive(message["Body"])
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            except Exception:
                # What has no file yet is shown again: a full disk may have room by then.
                logger.exception("mail waits")
                time.sleep(_PAUSE_SECONDS)

    def receive(self, body: str) -> None:
        """Write a notification to the outbox. Twice is as once. What is none is only logged."""
        try:
            notification = _Notification.model_validate_json(body)
        except ValidationError:
            logger.exception("no notification: %.200s", body)
            return
        self._write(notification)

    def _write(self, notification: _Notification) -> None:
        self._outbox.mkdir(parents=True, exist_ok=True)
        # A repeated delivery has the same id and time, so the same name: it stays one file.
        suffix = re.sub(r"[^a-z0-9]", "", notification.message_id.lower())[:12]
        at = notification.timestamp.strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^a-z0-9]+", "-", notification.subject.lower()).strip("-")[:60]
        name = f"{at}-{slug or 'mail'}-{suffix}.eml"
        write_atomically(self._outbox / name, _mail(notification).as_bytes())


def queue_url(sqs: Any) -> str:
    """The queue, made if there is none."""
    url: str = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    return url


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
    encoding = "8bit" if longest <= _LONGEST_LINE else "quoted-printable"
    mail.set_content(notification.message, cte=encoding)
    return mail


def _one_line(text: str) -> str:
    return " ".join(text.split())
