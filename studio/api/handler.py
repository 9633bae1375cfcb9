"""Entry point of the studio: the page, the questions that it asks, and the API for programs.

API Gateway lets a request to /api/ and /v1/ through only with a token of Cognito. The function
checks again that there was one, so a route that is added without this check is not open.
"""

import base64
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
from studio.api import adapter, drops, form, gallery, jobs, pages, videos
from studio.api.ports import Ports
from studio.api.refused import Refused
from studio.api.video import Refusal

D = TypeVar("D", bound=Document)
# How long a client waits that asks again and again. Without this, it asks every second.
_ASK_AGAIN = {"openai-poll-after-ms": "2000"}

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


def _person() -> str:
    """Who is signed in. Empty: nobody."""
    authorizer = app.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    is_ours = claims.get("client_id") == ports().studio.client_id
    return str(claims.get("sub") or "") if is_ours else ""


def _check_session() -> None:
    """Raises Refused if somebody may not ask anything."""
    if not _is_allowed():
        raise Refused(403, "The studio may not be used from here.")
    if not _person():
        raise Refused(401, "Sign in first.")


def _asked(kind: type[D], act: Callable[[Ports, D], Document | str | None]) -> Response[str]:
    """Answer a question of the page, in the session of a person."""
    try:
        _check_session()
        answer = act(ports(), _read(kind)) or Done()
    except Exception as error:
        refused = _refused(error)
        return _error(refused.status, str(refused))
    if isinstance(answer, str):
        return _answer(200, answer, "text/plain; charset=utf-8")
    return _answer(200, answer.model_dump_json())


def _read(kind: type[D]) -> D:
    try:
        return kind.from_json(app.current_event.decoded_body or "{}")
    except ValidationError:
        raise Refused(400, "The page and its function do not agree. Load the page again.") from None


def _refused(error: Exception) -> Refused:
    """What to answer after an error."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Transient):
        logger().warning("again-later", extra={"error": str(error)})
        return Refused(503, "AWS is busy. Try again.")
    logger().error("request-failed", exc_info=error)
    return Refused(500, "Something is wrong with the studio. Its log says what.")


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


def _for_program(act: Callable[[Ports], Document]) -> Response[str]:
    """Answer a request of a program, which has the token of a person."""
    try:
        _check_session()
        answer = _answer(200, act(ports()).model_dump_json())
        answer.headers.update(_ASK_AGAIN)
        return answer
    except Exception as error:
        return _program_error(_refused(error))


def _program_error(refused: Refused) -> Response[str]:
    return _answer(refused.status, Refusal.of(refused).model_dump_json())


def _query(name: str, otherwise: str) -> str:
    return (app.current_event.query_string_parameters or {}).get(name) or otherwise


@app.post("/v1/videos")
def _create_video() -> Response[str]:
    def create(ports: Ports) -> Document:
        headers, body = app.current_event.headers, app.current_event.body or ""
        is_base64 = app.current_event.is_base64_encoded
        sent = form.read(
            headers.get("content-type", ""),
            base64.b64decode(body) if is_base64 else body.encode(),
            ports.settings.input_bucket,
        )
        sender = videos.Sender(
            person=_person(),
            key=headers.get("idempotency-key", ""),
            again=headers.get("x-stainless-retry-count", "0") != "0",
        )
        return videos.create(ports, sent, sender)

    return _for_program(create)


@app.get("/v1/videos")
def _list_videos() -> Response[str]:
    return _for_program(
        lambda ports: videos.page(
            ports, _query("after", ""), _query("limit", ""), _query("order", "desc")
        )
    )


@app.get("/v1/videos/<video_id>")
def _retrieve_video(video_id: str) -> Response[str]:
    return _for_program(lambda ports: videos.retrieve(ports, video_id))


@app.get("/v1/videos/<video_id>/content")
def _video_content(video_id: str) -> Response[str]:
    try:
        _check_session()
        link = videos.content(ports(), video_id, _query("variant", "video"))
    except Exception as error:
        return _program_error(_refused(error))
    # An answer of Lambda has 6 MB at most. The token stays here: clients send it to no other host.
    found = _answer(302, "")
    found.headers["location"] = link
    return found


@app.delete("/v1/videos/<video_id>")
def _delete_video(video_id: str) -> Response[str]:
    return _for_program(lambda ports: videos.delete(ports, video_id))


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
    nothing = Refused(404, "There is nothing here.")
    path = app.current_event.path
    if path.startswith(("/api/", "/v1/")) and not _person():
        nothing = Refused(401, "Sign in first.")
    if path.startswith("/v1/"):
        return _program_error(nothing)
    return _error(nothing.status, str(nothing))
