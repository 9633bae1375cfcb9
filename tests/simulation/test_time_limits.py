"""The simulation kills a function that runs longer than its timeout."""

import pytest

from functions.reading.limits import MAX_ROWS
from functions.stages.ports import Ports
from functions.stages.submit import submit
from functions.stages.sweep import WORK_FOR
from tests.simulation.cloud import MAX_RECEIVES, Handler, Simulation
from tests.simulation.time_limits import SECONDS, timeouts_seconds


def test_the_timeouts_are_the_deployed_ones() -> None:
    assert timeouts_seconds() == {"submit": 60, "dispatch": 120, "finish": 60, "sweep": 300}
    assert timeouts_seconds()["sweep"] - WORK_FOR.total_seconds() >= 60


def test_a_function_that_needs_too_long_is_killed_at_each_of_its_tries() -> None:
    simulation = Simulation()
    answers: list[int] = []

    def work(ports: Ports) -> None:
        answers.append(0)
        while answers[-1] < 1000:
            ports.language_model.converse("", "", 1)
            answers[-1] += 1

    simulation.at(1, Handler("submit", work))
    simulation.run_for(3600)
    assert answers == [40] * MAX_RECEIVES, "60 s with 1.5 s for each call"
    assert simulation.timed_out["submit"] == MAX_RECEIVES
    assert [letter.name for letter in simulation.dead_letters] == ["submit"]


def test_the_clock_of_a_handler_goes_on_while_it_works() -> None:
    simulation = Simulation()
    took: list[float] = []

    def work(ports: Ports) -> None:
        began = ports.now()
        ports.ledger.get_all([])
        ports.reader.spec(b"prompt: x\n", "jobs/a.yaml")
        took.append((ports.now() - began).total_seconds())

    simulation.at(1, Handler("submit", work))
    simulation.run_for(10)
    assert took == [0.095]


def test_the_largest_list_is_dropped_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write with a mark is two calls of S3."""
    monkeypatch.setitem(SECONDS, "files.write", 0.05)
    simulation = Simulation()
    rows = "".join(f"a bee {number}\n" for number in range(MAX_ROWS))
    simulation.files.write("input", "jobs/x.csv", f"prompt\n{rows}".encode(), "x")
    ports = simulation.ports_of("submit")
    began = ports.now()
    submit(ports, "input", "jobs/x.csv")
    took = (ports.now() - began).total_seconds()
    assert len(simulation.files.keys("input")) == 1 + MAX_ROWS
    assert MAX_ROWS * 0.05 < took < timeouts_seconds()["submit"] / 2
