"""A wake-up, through its queue: start what can be started. One dispatch serves a whole batch."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.dispatch import dispatch
from functions.handlers import entry
from functions.ports import Ports


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda entry point."""
    done = False

    def once(ports: Ports, _body: str) -> None:
        nonlocal done
        if not done:
            dispatch(ports)
            done = True

    return entry.batch(event, context, once)
