"""Object Created in the input bucket, through its queue: take the drop in."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.handlers import entry
from functions.ports import Ports
from functions.routes import ObjectCreated
from functions.submit import submit


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    return entry.batch(event, context, _created)


def _created(ports: Ports, body: str) -> None:
    detail = ObjectCreated.model_validate_json(body).detail
    submit(ports, detail.bucket.name, detail.object.key, detail.object.version_id)
