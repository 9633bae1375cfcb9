"""Entry point for files that a worker wrote and processing jobs that ended, from their queue."""

from typing import Annotated, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, TypeAdapter

from functions.handlers import runtime
from functions.handlers.events import ObjectCreated, ProcessingChanged
from functions.stages.finish import attempt_ended, file_written
from functions.stages.ports import Ports

_EVENT: TypeAdapter[ObjectCreated | ProcessingChanged] = TypeAdapter(
    Annotated[ObjectCreated | ProcessingChanged, Field(discriminator="detail_type")]
)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    return runtime.batch(event, context, _happened)


def _happened(ports: Ports, body: str) -> None:
    happened = _EVENT.validate_json(body)
    if isinstance(happened, ObjectCreated):
        file_written(ports, happened.detail.object.key)
    else:
        attempt_ended(ports, happened.detail.processing_job_name)
