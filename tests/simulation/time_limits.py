"""How long each call of a port takes in the simulation, and how long each function may run.

Lambda kills a function that runs longer than its timeout. In the simulation a handler runs at one
moment of the simulated clock, but its calls add up to a time of its own.
"""

import json
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import cache
from typing import Any

from local import ROOT
from local.command.assembly import assembly
from tests.simulation.rights import FUNCTIONS

# One call of each port, or of one of its methods. AWS takes about as long within a region, except
# for listings, which take 0.2 to 0.5 s for 1,000 objects.
SECONDS = {
    "ledger": 0.005,
    "files": 0.020,
    "reader": 0.090,
    "reader.previews": 1.0,
    "reader.rows": 1.0,
    "renderer": 0.100,
    "language_model": 1.5,
    "guardrail": 0.3,
    # A file of 100 MB.
    "files.download": 2.0,
    "files.upload": 2.0,
    "signer": 1.0,
    "post": 0.030,
    "bus": 0.030,
}
_OTHER_SECONDS = 0.010
# How long an adapter tries if AWS throttles each of its tries, or answers none of them.
THROTTLED_SECONDS = 3.5
NO_ANSWER_SECONDS = 43.5
# How many records or objects one call returns at most. A port method makes as many calls as needed.
_A_CALL = {"ledger.get_all": 100, "ledger.query": 1000}


def seconds_of(what: str, answer: Any) -> float:
    """How long a call takes.

    Args:
        what: port and method, like "files.read".
        answer: what the call returned. If there is more of it, the adapter makes more calls.
    """
    one = SECONDS.get(what) or SECONDS.get(what.partition(".")[0], _OTHER_SECONDS)
    if what not in _A_CALL or not isinstance(answer, Sized):
        return one
    return one * max(1, -(-len(answer) // _A_CALL[what]))


@cache
def timeouts_seconds() -> dict[str, float]:
    """The timeout of each function, as synthesised."""
    folder = assembly(ROOT / ".reeldrop")
    template = json.loads((folder / "reeldrop.template.json").read_text())
    found: dict[str, float] = {}
    for function in FUNCTIONS:
        (found[function],) = (
            float(resource["Properties"]["Timeout"])
            for name, resource in template["Resources"].items()
            if name.startswith(f"{function.capitalize()}Function")
            and resource["Type"] == "AWS::Lambda::Function"
        )
    return found


@dataclass
class Stopwatch:
    """Adds up how long the calls of one run of a function take, and kills it at its timeout."""

    timeout_seconds: float
    kill: Callable[[], None]
    """Raises what kills the function."""
    used_seconds: float = 0

    def spend(self, what: str, answer: Any) -> None:
        """Add the time of a call that returned `answer`.

        A call that takes too long has its effect, but the function gets no answer.
        """
        self.wait(seconds_of(what, answer))

    def wait(self, seconds: float) -> None:
        """Add a time in which the function waits."""
        self.used_seconds += seconds
        if self.used_seconds > self.timeout_seconds:
            self.kill()
