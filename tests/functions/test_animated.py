"""An image that a folder with animate_images makes a job, and its handler is killed somewhere."""

import itertools
from contextlib import suppress
from typing import Any

import pytest

from functions.stages.submit import submit
from functions.table.records import State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, tasks


class Killed(BaseException):
    """Lambda stops a handler."""


def with_an_image() -> World:
    """A folder in which images become jobs, with an image that no handler has seen.

    Without a language model, a job is committed once.
    """
    world = World()
    world.set(enhancer_model_id="")
    world.drop("jobs/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/star.png", PNG, event=False)
    return world


def killed_at_commit(world: World, number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have handlers killed before one of their commits. Returns the numbers of those commits."""
    commit, calls, killed = world.ledger.commit, itertools.count(), list[int]()

    def watched(*changes: Any) -> None:
        if next(calls) == number:
            killed.append(number)
            raise Killed
        commit(*changes)

    monkeypatch.setattr(world.ledger, "commit", watched)
    return killed


@pytest.mark.parametrize("number", range(8))
def test_an_image_whose_handler_is_killed_becomes_a_job(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_an_image()
    killed = killed_at_commit(world, number, monkeypatch)
    with suppress(Killed):
        submit(world.ports, "input", "jobs/star.png")
    submit(world.ports, "input", "jobs/star.png")
    assert [(job.path, job.state) for job in jobs(world)] == [("star.png", State.QUEUED)]
    assert killed == [number] or number > 1


@pytest.mark.parametrize("number", range(8))
def test_an_image_that_a_spec_uses_before_its_handler_is_repeated_leaves_nothing(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_an_image()
    with monkeypatch.context() as patch:
        killed_at_commit(world, number, patch)
        with suppress(Killed):
            submit(world.ports, "input", "jobs/star.png")
    became_a_job = bool(jobs(world))
    world.drop("jobs/spec.yaml", "image: star.png\n")
    submit(world.ports, "input", "jobs/star.png")
    paths = {job.path for job in jobs(world)}
    assert paths == ({"star.png", "spec"} if became_a_job else {"spec"})
    used = {reference.key for task in tasks(world) for reference in task.references}
    kept = {key for key in world.files.keys("work") if key.startswith("references/")}
    assert kept == used
