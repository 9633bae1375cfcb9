"""Entry point for the schedule: do whatever an event should have done and did not."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.handlers import runtime
from functions.stages.sweep import sweep


def handler(_event: dict[str, Any], _context: LambdaContext) -> None:
    """Lambda entry point."""
    try:
        sweep(runtime.ports())
    finally:
        runtime.publish_metrics()
