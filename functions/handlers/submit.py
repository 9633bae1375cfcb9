"""Entry point for drops that came or were deleted, from their queue: accept or cancel them."""

from typing import Annotated, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, TypeAdapter

from functions.handlers import runtime
from functions.handlers.events import ObjectCreated, ObjectDeleted
from functions.stages.cancel import deleted
from functions.stages.ports import Ports
from functions.stages.submit import submit

_EVENT: TypeAdapter[ObjectCreated | ObjectDeleted] = TypeAdapter(
    Annotated[ObjectCreated | ObjectDeleted, Field(discriminator="detail_type")]
)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    return runtime.batch(event, context, _happened)


def _happened(ports: Ports, body: str) -> None:
    happened = _EVENT.validate_json(body)
    detail = happened.detail
    if isinstance(happened, ObjectDeleted):
        deleted(ports, detail.bucket.name, detail.object.key)
    else:
        submit(ports, detail.bucket.name, detail.object.key, detail.object.version_id)
