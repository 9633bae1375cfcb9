"""Events for other systems, through EventBridge."""

from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.adapters.errors import translated
from functions.replies.bus import DETAIL_TYPE, SOURCE

# The mail waits for this call, so it must not take long. The sweep tries again.
_EVENTS_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=5
)


class EventBridgeBus:
    """An event bus of EventBridge."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _client(self) -> Any:
        return boto3.client("events", config=_EVENTS_CONFIG)

    def put(self, detail: str) -> None:
        """See `Bus.put`. EventBridge answers with 200 even if it refuses the event."""
        entry = {
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": detail,
            "EventBusName": self._name,
        }
        with translated():
            answer = self._client.put_events(Entries=[entry])
            if answer["FailedEntryCount"]:
                (refused,) = answer["Entries"]
                code, message = refused["ErrorCode"], refused.get("ErrorMessage", "")
                raise ClientError({"Error": {"Code": code, "Message": message}}, "PutEvents")
