"""Entry point for wake-ups from their queue: start what can be started, once for a whole batch."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.handlers import runtime
from functions.stages.dispatch import dispatch
from functions.stages.ports import Ports


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    outcome: list[Exception | None] = []

    def once(ports: Ports, _body: str) -> None:
        if not outcome:
            try:
                dispatch(ports)
                outcome.append(None)
            except Exception as error:
                outcome.append(error)
        if outcome[0] is not None:
            raise outcome[0]

    return runtime.batch(event, context, once)
