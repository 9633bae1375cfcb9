"""Whole HTTP requests and responses for our own endpoints, read and sent through ASGI."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """A request with its body. Names in `headers` are lower-case; `path` is percent-decoded."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response. `send_response` adds the content length."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(
    status: int, document: object, *, content_type: str = "application/json", **headers: str
) -> Response:
    """Build a JSON response.

    Args:
        status: the HTTP status.
        document: the body, before it is encoded.
        content_type: the media type of the body.
        headers: further headers, with underscores in their names: `x_amzn_errortype`.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(document).encode(), {"content-type": content_type, **named})


def header(scope: Scope, name: str) -> str:
    """Return the value of one request header, or an empty string if it is absent."""
    wanted = name.encode()
    return next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == wanted), "")


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read the whole request of an ASGI http scope."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False) and message["type"] == "http.request"
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    return Request(scope["method"], scope["path"], headers, bytes(body))


async def send_response(send: Send, response: Response) -> None:
    """Send a whole response to an ASGI http scope."""
    headers = {**response.headers, "content-length": str(len(response.body))}
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": response.body})
