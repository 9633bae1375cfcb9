"""Each role allows every call that its function makes, and each of its rights is needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import pytest

from tests.simulation.cloud import Faults, Simulation
from tests.simulation.rights import (
    FUNCTIONS,
    AccessDenied,
    Right,
    Rights,
    deployed,
    rights_of,
    without,
)
from tests.simulation.stories import FAULTS, any_schedule

# Measuring coverage here would double the time.
pytestmark = pytest.mark.no_cover


def told(name: str) -> Simulation:
    story, faults = FAULTS[name]
    simulation = Simulation(seed=3, faults=Faults(**vars(faults)))
    story(simulation)
    return simulation


def simulations() -> Iterator[Callable[[], Simulation]]:
    """Simulations in which few handlers are killed. A sweep that is denied a call goes on, and
    says so at its end, which a kill can prevent."""
    for name, (_, faults) in FAULTS.items():
        if faults.end_seconds <= 3600 and not faults.kill:
            yield partial(told, name)
    for seed in range(60):
        yield partial(any_schedule, seed)


@dataclass
class Use:
    """Where a right is needed first: a simulation, and the number of needs before that."""

    make: Callable[[], Simulation]
    after: int


@cache
def uses() -> dict[Right, Use]:
    """Where each right is needed. Simulations run until all rights were.

    This is no fixture, because in fixtures coverage is measured.
    """
    found: dict[Right, Use] = {}
    given = rights_of(deployed())
    for make in simulations():
        simulation = make()
        simulation.run()
        for right, after in simulation.rights.needed.items():
            if right not in found or after < found[right].after:
                found[right] = Use(make, after)
        if given <= set(found):
            break
    return found


def test_every_right_of_a_role_is_needed() -> None:
    assert sorted(rights_of(deployed()) - set(uses())) == []


def test_a_simulation_fails_without_any_one_of_the_rights() -> None:
    missed: set[Right] = set()
    for right, use in uses().items():
        simulation = use.make()
        simulation.rights = Rights(without(deployed(), right))
        try:
            simulation.run()
        except* AccessDenied:
            missed.add(right)
    assert missed == set(uses())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_call_that_no_statement_allows_is_denied(function: str) -> None:
    rights = Rights(deployed())
    for need in (("s3:PutObject", "input/jobs/a.yaml"), ("s3:GetObject", "work/models/x")):
        with pytest.raises(AccessDenied):
            rights.check(function, [need])
