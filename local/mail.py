"""Mail as files: an SNS subscription that writes each notification to an outbox folder."""

import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.asgi import Request, Response, json_response
from local.clients import client
from local.files import write_atomically

PATH = "/_reeldrop/mail"
SENDER = "reeldrop <no-reply@sns.amazonaws.com>"
RECIPIENT = "drop folder <you@localhost>"
_LONGEST_LINE = 998  # RFC 5322; a presigned link can be longer


class _Edge(BaseModel):
    # AWS may add fields at any time.
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Attribute(_Edge):
    type_: str = Field(alias="Type")
    value: str = Field(alias="Value")


class _Notification(_Edge):
    """What SNS posts to an HTTP subscriber."""

    type_: Literal["SubscriptionConfirmation", "Notification", "UnsubscribeConfirmation"] = Field(
        alias="Type"
    )
    message_id: str = Field(alias="MessageId")
    topic_arn: str = Field(alias="TopicArn")
    message: str = Field(alias="Message")
    timestamp: datetime = Field(alias="Timestamp")
    subject: str = Field(default="AWS Notification Message", alias="Subject")
    token: str = Field(default="", alias="Token")
    attributes: dict[str, _Attribute] = Field(default_factory=dict, alias="MessageAttributes")


class Mail:
    """The endpoint at `PATH`. Blocking: call it from a thread."""

    def __init__(self, outbox: Path, endpoint: str) -> None:
        self._outbox = outbox
        self._endpoint = endpoint

    def receive(self, request: Request) -> Response:
        """Confirm a subscription, or write a notification to the outbox. Twice is as once."""
        try:
            notification = _Notification.model_validate_json(request.body)
        except ValidationError as error:
            return json_response(400, {"message": str(error)})
        if notification.type_ == "SubscriptionConfirmation":
            # By API and not by the URL in the message: we open no address that somebody sent us.
            client("sns", self._endpoint).confirm_subscription(
                TopicArn=notification.topic_arn, Token=notification.token
            )
        elif notification.type_ == "Notification":
            self._write(notification)
        return json_response(200, {})

    def _write(self, notification: _Notification) -> None:
        self._outbox.mkdir(parents=True, exist_ok=True)
        # A repeated delivery has the same id and time, so the same name: it stays one file.
        suffix = re.sub(r"[^a-z0-9]", "", notification.message_id.lower())[:12]
        time = notification.timestamp.strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^a-z0-9]+", "-", notification.subject.lower()).strip("-")[:60]
        name = f"{time}-{slug or 'mail'}-{suffix}.eml"
        write_atomically(self._outbox / name, _mail(notification).as_bytes())


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
