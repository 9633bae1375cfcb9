"""Entry point of the studio: the page, and the questions that it asks.

API Gateway lets a request to /api/ through only with a token of Cognito. The function checks again
that there was one, so a route that is added without this check is not open.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from contract.document import Document
from contract.errors import Transient
from studio.api import adapter, drops, gallery, jobs, pages
from studio.api.ports import Ports
from studio.api.refused import Refused

D = TypeVar("D", bound=Document)

app = APIGatewayHttpResolver()


@cache
def logger() -> Logger:
    """The logger of the function."""
    return Logger()


@cache
def ports() -> Ports:
    """The ports, built at the first request."""
    return adapter.connect(os.environ)


class Done(Document):
    """There is nothing to say but that it is done."""

    done: bool = True


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    return app.resolve(event, context)


def _answer(status: int, body: str, content_type: str = "application/json") -> Response[str]:
    return Response(
        status_code=status,
        content_type=content_type,
        body=body,
        headers={**pages.headers(ports()), "cache-control": "no-store"},
    )


def _error(status: int, message: str) -> Response[str]:
    return _answer(status, Error(message=message).model_dump_json())


class Error(Document):
    """Why there is no answer."""

    message: str


def _is_allowed() -> bool:
    return ports().studio.allows(app.current_event.request_context.http.source_ip)


def _has_session() -> bool:
    authorizer = app.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    return bool(claims.get("sub")) and claims.get("client_id") == ports().studio.client_id


def _asked(kind: type[D], act: Callable[[Ports, D], Document | str | None]) -> Response[str]:
    """Answer a question of the page, in the session of a person."""
    if not _is_allowed():
        return _error(403, "The studio may not be used from here.")
    if not _has_session():
        return _error(401, "Sign in first.")
    try:
        asked = kind.from_json(app.current_event.decoded_body or "{}")
    except ValidationError:
        return _error(400, "The page and its function do not agree. Load the page again.")
    try:
        answer = act(ports(), asked) or Done()
    except Exception as error:
        return _failed(error)
    if isinstance(answer, str):
        return _answer(200, answer, "text/plain; charset=utf-8")
    return _answer(200, answer.model_dump_json())


def _failed(error: Exception) -> Response[str]:
    if isinstance(error, Refused):
        return _error(error.status, str(error))
    if isinstance(error, Transient):
        logger().warning("again-later", extra={"error": str(error)})
        return _error(503, "AWS is busy. Try again.")
    logger().error("request-failed", exc_info=error)
    return _error(500, "Something is wrong with the studio. Its log says what.")


@app.post("/api/gallery")
def _gallery() -> Response[str]:
    return _asked(gallery.Asked, gallery.page)


@app.post("/api/job")
def _job() -> Response[str]:
    return _asked(jobs.Path, jobs.job)


@app.post("/api/review")
def _review() -> Response[str]:
    return _asked(jobs.Path, jobs.review)


@app.post("/api/cancel")
def _cancel() -> Response[str]:
    return _asked(jobs.Path, jobs.cancel)


@app.post("/api/delete")
def _delete() -> Response[str]:
    return _asked(jobs.Path, jobs.delete)


@app.post("/api/again")
def _again() -> Response[str]:
    return _asked(jobs.Again, jobs.again)


@app.post("/api/approve")
def _approve() -> Response[str]:
    return _asked(jobs.Path, jobs.approve)


@app.post("/api/upload")
def _upload() -> Response[str]:
    return _asked(drops.File, drops.upload)


@app.post("/api/plan")
def _plan() -> Response[str]:
    return _asked(drops.Text, drops.plan)


@app.post("/api/enhance")
def _enhance() -> Response[str]:
    return _asked(drops.Text, drops.enhance)


@app.get("/")
def _index() -> Response[str]:
    return _file("index.html")


@app.get("/<name>")
def _file(name: str) -> Response[str]:
    if not _is_allowed():
        return _error(403, "The studio may not be used from here.")
    if name == "config.json":
        return _answer(200, pages.config(ports()))
    served = pages.files().get(name)
    if served is None:
        return _error(404, "There is nothing here.")
    return _answer(200, served.body, served.content_type)


@app.not_found
def _nothing(_error_raised: Exception) -> Response[str]:
    if app.current_event.path.startswith("/api/") and not _has_session():
        return _error(401, "Sign in first.")
    return _error(404, "There is nothing here.")
