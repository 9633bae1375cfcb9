"""A notification becomes one file in the outbox."""

import email
import json
import urllib.error
import urllib.request
from email import policy
from pathlib import Path
from typing import Any

from local.deploy import subscribe_mail
from local.process import EmbeddedCloud


def outbox(cloud: EmbeddedCloud, word: str) -> list[Path]:
    return sorted((cloud.state / "outbox").glob(f"*{word}*.eml"))


def test_a_published_message_is_a_mail(cloud: EmbeddedCloud, unique: str, eventually: Any) -> None:
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=unique)["TopicArn"]
    for _ in range(2):
        subscribe_mail(cloud.endpoint, topic)
    assert len(sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]) == 1
    link = "https://example.com/?" + "x" * 2000
    sns.publish(
        TopicArn=topic,
        Subject=f"reeldrop: {unique} is ready",
        Message=f"Grüße\n\n{link}\n",
        MessageAttributes={
            "status": {"DataType": "String", "StringValue": "succeeded"},
            "job_id": {"DataType": "String", "StringValue": "j-1"},
            "tags": {"DataType": "String.Array", "StringValue": '["a","b"]'},
        },
    )
    (path,) = eventually(lambda: outbox(cloud, unique))
    assert path.name.split("-")[0].endswith("Z")
    mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert mail["Subject"] == f"reeldrop: {unique} is ready"
    assert mail["X-Status"] == "succeeded"
    assert mail["X-Job-Id"] == "j-1"
    assert mail["X-Tags"] == '["a","b"]'
    assert mail["Date"] and mail["From"] and mail["To"]
    body = mail.get_body()
    assert body is not None
    text = body.get_content()
    assert "Grüße" in text and link in text


def test_a_filter_policy_on_attributes_keeps_a_message_away(
    cloud: EmbeddedCloud, unique: str, eventually: Any
) -> None:
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=unique)["TopicArn"]
    subscribe_mail(cloud.endpoint, topic)
    (row,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.set_subscription_attributes(
        SubscriptionArn=row["SubscriptionArn"],
        AttributeName="FilterPolicy",
        AttributeValue=json.dumps({"status": ["failed"]}),
    )
    for status in ("succeeded", "failed"):
        sns.publish(
            TopicArn=topic,
            Subject=f"{unique} {status}",
            Message="m",
            MessageAttributes={"status": {"DataType": "String", "StringValue": status}},
        )
    eventually(lambda: outbox(cloud, f"{unique}-failed"))
    assert not outbox(cloud, f"{unique}-succeeded")


def post(cloud: EmbeddedCloud, document: dict[str, Any]) -> int:
    body = json.dumps(document).encode()
    try:
        with urllib.request.urlopen(f"{cloud.endpoint}/_reeldrop/mail", body) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_second_delivery_changes_nothing(cloud: EmbeddedCloud, unique: str) -> None:
    notification = {
        "Type": "Notification",
        "MessageId": unique,
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
        "Subject": f"{unique}\n/../é",
        "Message": "text",
        "Timestamp": "2026-11-01T12:00:00.000Z",
    }
    assert [post(cloud, notification) for _ in range(3)] == [200, 200, 200]
    (path,) = outbox(cloud, unique)
    assert path.name == f"20261101T120000Z-{unique}-{unique}.eml"


def test_what_is_no_notification_is_refused(cloud: EmbeddedCloud) -> None:
    assert post(cloud, {"Type": "Other"}) == 400
