"""Waiting in tests for something that will come: how long, and one way to do it."""

import time
from collections.abc import Callable
from typing import Any

# Nothing that is tested takes nearly so long, even where four other processes want each core. It
# only ends a test that would wait for ever. How long something takes is a matter for bench/.
PATIENCE_SECONDS = 900


def eventually(ask: Callable[[], Any], *, log: Callable[[], str] = lambda: "") -> Any:
    """Call until the answer is true, and return it.

    Args:
        ask: What to call.
        log: Says more for the failure, as the end of a log does.

    Raises:
        AssertionError: It did not become true.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {log()}"
        time.sleep(0.1)
    return answer
