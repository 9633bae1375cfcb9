"""Each role allows every call that its function makes, and has no permission that is not used."""

import pytest

from tests.simulation.cloud import Faults, Simulation
from tests.simulation.rights import FUNCTIONS, AccessDenied, Rights, deployed
from tests.simulation.stories import FAULTS, any_schedule

# Lambda itself uses these permissions of the role, for the log and the queue of the function.
_OF_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}


def test_every_right_of_a_role_is_used() -> None:
    used: set[tuple[str, str, str]] = set()
    simulations = [any_schedule(seed) for seed in range(60)]
    for name, (story, faults) in FAULTS.items():
        if faults.end_seconds <= 3600:
            simulations.append(Simulation(seed=3, faults=Faults(**vars(faults))))
            story(simulations[-1])
            assert name
    for simulation in simulations:
        simulation.run(horizon_seconds=86_400)
        used |= simulation.rights.used
    given = {
        (function, action, pattern)
        for function, statements in deployed().items()
        for statement in statements
        for action in statement.actions
        if action not in _OF_LAMBDA
        for pattern in statement.resources
    }
    assert sorted(given - used) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_call_that_no_statement_allows_is_denied(function: str) -> None:
    rights = Rights(deployed())
    for need in (("s3:PutObject", "input/jobs/a.yaml"), ("s3:GetObject", "work/models/x")):
        with pytest.raises(AccessDenied):
            rights.check(function, [need])
