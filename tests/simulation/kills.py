"""Tells a story once, and at many of its calls a copy of the process goes on with a kill.

Until the call to kill at, a story with a kill is the same as without it, so it need not be told
again. This runs in a process of its own, which `told` starts: small, so that copying it is cheap,
and without other threads. Several of them share the places that they know.
"""

import os
import random
from array import array
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir

from functions.stages import signing
from tests.simulation.cloud import Faults, Simulation
from tests.simulation.copies import Copies, Folder
from tests.simulation.stories import FAULTS

# In a story that lasts longer, a kill takes seconds. So fewer places are killed.
_LONG_SECONDS = 20_000
_FEWER_IN_LONG = 4
# A place that other stories have, too, is not always killed at its first call.
_OCCURRENCES = (1, 1, 2, 4)


@dataclass(frozen=True)
class Share:
    """Of how many places one is killed."""

    new: int
    """Of those that no story had which was told before."""
    known: int
    """Of the others of a story."""


@dataclass
class Places:
    """The places of the stories that were told. It decides at which calls to kill a handler.

    A place is a call, and the different calls that its handler made before.
    """

    known: set[int] = field(default_factory=set)
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def in_story(self, name: str, share: Share) -> Callable[[int], bool]:
        """What decides for each call of a story, by its place, whether to kill there."""
        fewer = _FEWER_IN_LONG if FAULTS[name][1].end_seconds > _LONG_SECONDS else 1
        left: dict[int, int] = {}
        """How many calls at a place are still to come until the one to kill at. None is if this is
        below 0."""

        def kills(place: int) -> bool:
            if place not in left:
                is_new = place not in self.known
                self.known.add(place)
                of_these = (share.new if is_new else share.known) * fewer
                chosen = self.rng.randrange(of_these) == 0
                when = 1 if is_new else self.rng.choice(_OCCURRENCES)
                left[place] = when if chosen else 0
            left[place] -= 1
            return left[place] == 0

        return kills


@dataclass(frozen=True)
class Told:
    """How a story went."""

    kills: int
    wrong: tuple[str, ...]
    """What happened that must never happen."""


def told(name: str, share: Share, run_id: str) -> Told:
    """Tell a story with kills, in the process for it.

    Args:
        run_id: that of the test run. Its processes share the places that they know.
    """
    return _process().submit(_tell, name, share, run_id).result()


@cache
def _process() -> ProcessPoolExecutor:
    # Equal places have equal hashes in all processes then.
    os.environ["PYTHONHASHSEED"] = "0"
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _tell(name: str, share: Share, run_id: str) -> Told:
    # A folder of a handler that runs now is also used by the process that was copied.
    vars(signing)["TemporaryDirectory"] = Folder
    file = Path(gettempdir(), f"reeldrop-places-{run_id}")
    with file.open("ab+") as known:
        known.seek(0)
        places = Places(set(array("q", known.read())), random.Random(name))
        before = set(places.known)
        result = tell(name, places.in_story(name, share))
        known.write(array("q", places.known - before).tobytes())
    return result


def tell(name: str, kills: Callable[[int], bool] | None = None) -> Told:
    """Tell a story, and check it: as it is, and with a kill at each of some calls.

    Args:
        name: that of the story.
        kills: decides for each call, by its place, whether to kill there.
    """
    story, faults = FAULTS[name]
    copies = Copies()
    simulation = Simulation(seed=1, faults=Faults(**vars(faults)))
    if kills is not None:
        simulation.is_killed_at = lambda place: kills(place) and copies.make()
    story(simulation)
    wrong = _wrong(name, simulation)
    if copies.is_copy:
        copies.end(wrong)
    return Told(copies.made, (*copies.said, *([wrong] if wrong else [])))


def _wrong(name: str, simulation: Simulation) -> str:
    """What happens in a story that must never happen; empty if nothing does."""
    try:
        simulation.run(horizon_seconds=3 * 86_400 + simulation.faults.end_seconds)
        simulation.check()
    except BaseException as error:
        at = simulation.kill_at
        return f"{name}{f', killed at call {at}' if at else ''}: {error!r}"
    return ""
