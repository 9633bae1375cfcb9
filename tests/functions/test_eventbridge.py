"""What EventBridge refuses, as a whole or in its answer, is an error."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from contract.errors import Transient
from functions.adapters.eventbridge import EventBridgeBus
from functions.ports import Throttled
from local.cloud.service_limits import violations

DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents")


def bus_that(answers: Any) -> tuple[EventBridgeBus, list[dict[str, Any]]]:
    """A bus whose calls get this answer or error, and what it was asked."""
    bus, asked = EventBridgeBus("the-bus"), list[dict[str, Any]]()

    def put_events(**request: Any) -> Any:
        asked.append(request)
        if isinstance(answers, Exception):
            raise answers
        return answers

    vars(bus)["_client"] = SimpleNamespace(put_events=put_events)
    return bus, asked


def refusing(code: str) -> dict[str, Any]:
    return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "no"}]}


def test_an_event_has_the_source_and_the_type_that_rules_select_by() -> None:
    bus, asked = bus_that({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
    bus.put('{"version": "1"}')
    (request,) = asked
    assert violations("PutEvents", request, "events") == []
    assert request["Entries"] == [
        {
            "Source": "reeldrop", "DetailType": "Job Ended", "Detail": '{"version": "1"}',
            "EventBusName": "the-bus",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (refusing("ThrottlingException"), Throttled),
        (refusing("InternalFailure"), Transient),
        (refusing("AccessDeniedException"), ClientError),
        (DENIED, ClientError),
        (ReadTimeoutError(endpoint_url="https://events.us-east-1.amazonaws.com"), Transient),
    ],
    ids=str,
)
def test_an_event_that_is_not_confirmed_is_an_error(answers: Any, kind: type[Exception]) -> None:
    bus, _ = bus_that(answers)
    with pytest.raises(kind) as raised:
        bus.put("{}")
    assert type(raised.value) is kind


def test_the_mail_does_not_wait_long_for_eventbridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config: Any = EventBridgeBus("the-bus")._client.meta.config
    longest = config.connect_timeout + config.read_timeout
    assert config.retries["total_max_attempts"] * longest < 20
