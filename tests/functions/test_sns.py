"""Whether SNS may have sent a notification that it did not confirm."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from contract.errors import Transient
from functions.adapters.sns import SnsPost
from functions.ports import Throttled
from functions.replies.post import MaybeSent

URL = "https://sns.us-east-1.amazonaws.com"


def answer(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Publish")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReadTimeoutError(endpoint_url=URL), MaybeSent),
        (ConnectionClosedError(endpoint_url=URL), MaybeSent),
        (answer("InternalError"), MaybeSent),
        (ConnectTimeoutError(endpoint_url=URL), Transient),
        (EndpointConnectionError(endpoint_url=URL), Transient),
        (answer("ServiceUnavailable"), Transient),
        (answer("Throttling"), Throttled),
        (answer("InvalidParameter"), ClientError),
    ],
)
def test_only_a_request_that_reached_sns_may_have_been_sent(
    error: Exception, kind: type[Exception]
) -> None:
    post = SnsPost("arn:aws:sns:us-east-1:000000000000:topic")

    def publish(**_: object) -> None:
        raise error

    vars(post)["_client"] = SimpleNamespace(publish=publish)
    with pytest.raises(kind) as raised:
        post.send("subject", "body", {})
    assert type(raised.value) is kind


def test_no_request_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a timeout, a second request could send a second mail."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config: Any = SnsPost("arn:aws:sns:us-east-1:000000000000:topic")._client.meta.config
    assert config.retries["total_max_attempts"] == 1
