"""A studio beside the fakes: what a person does at its page, as requests to its function."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from studio.api import handler
from studio.api.ports import Ports, PostForm, StudioSettings
from tests.fakes import World

CLIENT = "the-client"


class FakeUploads:
    """Forms that say what they allow."""

    def form(
        self, bucket: str, key: str, *, content_type: str, most_bytes: int, seconds: int
    ) -> PostForm:
        fields = {"key": key, "Content-Type": content_type, "most": str(most_bytes)}
        return PostForm(url=f"https://{bucket}.example/", fields=fields)


class Studio:
    """Sends requests to the function as API Gateway does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = StudioSettings(client_id=CLIENT, sign_in="", allowed_ips="")
        self.address = "192.0.2.7"
        self.person = "someone"

    @property
    def ports(self) -> Ports:
        plain = self.world.ports
        return Ports(
            settings=plain.settings,
            studio=self.settings,
            ledger=plain.ledger,
            files=plain.files,
            reader=plain.reader,
            uploads=FakeUploads(),
            now=plain.now,
            new_suffix=plain.new_suffix,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        client: str | None = CLIENT,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The whole answer to a request. Without a client there is no session.

        Args:
            body: bytes as they are, or what becomes JSON.
        """
        context: dict[str, Any] = {
            "http": {"method": method, "path": path, "sourceIp": self.address},
            "stage": "$default",
        }
        if client is not None:
            context["authorizer"] = {"jwt": {"claims": {"sub": self.person, "client_id": client}}}
        is_bytes = isinstance(body, bytes)
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": headers or {"content-type": "application/json"},
            "requestContext": context,
            "body": base64.b64encode(body).decode() if is_bytes else json.dumps(body or {}),
            "isBase64Encoded": is_bytes,
        }
        if query:
            event["queryStringParameters"] = dict(query)
        return handler.handler(event, None)  # type: ignore[arg-type]

    def ask(self, question: str, status: int = 200, /, **asked: object) -> Any:
        """The answer to a question of a person who is signed in."""
        answer = self.request("POST", f"/api/{question}", asked)
        assert answer["statusCode"] == status, answer["body"]
        is_json = "json" in answer["headers"]["Content-Type"]
        return json.loads(answer["body"]) if is_json else answer["body"]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def studio(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    studio = Studio(world)
    monkeypatch.setattr(handler, "ports", lambda: studio.ports)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "reeldrop")
    yield studio
