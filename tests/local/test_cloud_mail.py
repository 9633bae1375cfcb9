"""Each notification becomes one file in the outbox."""

import email
import json
from email import policy
from pathlib import Path

from local.cloud.mail import Mail, queue_url, subscribe_mail
from local.cloud.process import EmbeddedCloud
from tests.waiting import eventually


def outbox(cloud: EmbeddedCloud, word: str) -> list[Path]:
    return sorted((cloud.state / "outbox").glob(f"*{word}*.eml"))


def test_a_published_message_becomes_a_mail(cloud: EmbeddedCloud, unique: str) -> None:
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


def test_a_filter_policy_on_attributes_excludes_messages(cloud: EmbeddedCloud, unique: str) -> None:
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


def notification(unique: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": unique,
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
            "Subject": f"{unique}\n/../é",
            "Message": "text",
            "Timestamp": "2026-11-01T12:00:00.000Z",
        }
    )


def test_a_repeated_delivery_changes_nothing(tmp_path: Path, unique: str) -> None:
    mail = Mail(tmp_path, "http://127.0.0.1:1")
    for _ in range(3):
        mail.receive(notification(unique))
    (path,) = tmp_path.iterdir()
    assert path.name == f"20261101T120000Z-{unique}-{unique}.eml"


def test_a_body_that_is_not_a_notification_is_dropped(cloud: EmbeddedCloud, unique: str) -> None:
    sqs = cloud.client("sqs")
    for body in ("not a notification", '{"Type": "Other"}', notification(unique)):
        sqs.send_message(QueueUrl=queue_url(sqs), MessageBody=body)
    assert len(eventually(lambda: outbox(cloud, unique))) == 1


def test_a_mail_that_cannot_be_written_is_tried_again(tmp_path: Path, unique: str) -> None:
    """A file with the name of the outbox folder makes writing fail until it is removed."""
    (tmp_path / "outbox").write_text("in the way")
    with EmbeddedCloud(tmp_path, stop_grace_seconds=1) as cloud:
        sqs = cloud.client("sqs")
        sqs.send_message(QueueUrl=queue_url(sqs), MessageBody=notification(unique))
        eventually(lambda: "mail could not be written" in cloud.log_tail())
        (tmp_path / "outbox").unlink()
        assert len(eventually(lambda: outbox(cloud, unique))) == 1


def test_a_mail_that_was_not_written_survives_a_restart(tmp_path: Path, unique: str) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with EmbeddedCloud(tmp_path, persist=True, stop_grace_seconds=1) as cloud:
        sqs = cloud.client("sqs")
        sqs.send_message(QueueUrl=queue_url(sqs), MessageBody=notification(unique))
        eventually(lambda: "mail could not be written" in cloud.log_tail())
    (tmp_path / "outbox").unlink()
    with EmbeddedCloud(tmp_path, persist=True, stop_grace_seconds=1) as cloud:
        assert len(eventually(lambda: outbox(cloud, unique))) == 1
