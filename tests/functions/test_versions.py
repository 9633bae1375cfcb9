"""A version that replaces no other cancels nothing, whatever happened to the events before it."""

import pytest

from contract.errors import Transient
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.records import CancelReason, State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status

KEY = "jobs/bee.yaml"
GOOD = "prompt: good\n"
# What replaces no other version, and the state of its job.
REPLACES_NOTHING = {
    "refused": ("prompt: [", State.REJECTED),
    "refused for a field": ("prompt: x\nstep: 3\n", State.REJECTED),
    "dry run": ("prompt: x\ndry_run: true\n", State.PLANNED),
    "review": ("prompt: x\nenhance: review\n", State.PLANNED),
    "waiting": ("prompt: x\nimage: never.png\n", State.WAITING),
}


def upload(world: World, *bodies: str, seconds: float = 0) -> list[str]:
    """Upload versions without events. Returns their ids."""
    versions = []
    for number, body in enumerate(bodies):
        world.clock.move(seconds=seconds if number else 0)
        world.drop(KEY, body, event=False)
        versions.append(world.files.facts("input", KEY).version)
    return versions


def handle(world: World, *versions: str) -> None:
    """Deliver the events of versions, in this order."""
    for version in versions:
        submit(world.ports, "input", KEY, version)


def states(world: World) -> list[State]:
    """The states of the jobs, by version."""
    return [job.state for job in sorted(jobs(world), key=lambda job: int(job.source.version[1:]))]


@pytest.mark.parametrize("seconds", [0, 5])
@pytest.mark.parametrize("order", ["01", "10", "1", "0", "sweep"])
@pytest.mark.parametrize("name", REPLACES_NOTHING)
def test_a_good_version_is_made_if_the_next_one_replaces_nothing(
    world: World, name: str, order: str, seconds: float
) -> None:
    """Events in any order, or lost."""
    newer, state = REPLACES_NOTHING[name]
    versions = upload(world, GOOD, newer, seconds=seconds)
    if order == "sweep":
        world.clock.move(minutes=5)
        sweep(world.ports)
    else:
        handle(world, *(versions[int(number)] for number in order))
    assert states(world) == [State.QUEUED, state]
    assert status(world, "bee").state == state, "the status is about the newest version"
    assert ("rejected/bee.txt" in world.files.keys("output")) == (state == State.REJECTED)
    world.render(world.dispatch()[0])
    assert "reeldrop: bee is ready" in [mail.subject for mail in world.post.sent]
    assert status(world, "bee").state == state


def test_the_sweep_looks_behind_a_refused_version_whose_handler_was_killed(world: World) -> None:
    """The event of the good version is lost, and the message of the other one is given up."""
    _, newer = upload(world, GOOD, "prompt: [")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        patched.setattr(world.files, "versions", die)
        handle(world, newer)
    assert states(world) == [State.REJECTED]
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert states(world) == [State.QUEUED, State.REJECTED]


@pytest.mark.parametrize("order", ["012", "0", "10", "210", "1", "2"])
def test_a_good_version_is_made_if_two_that_replace_nothing_follow(
    world: World, order: str
) -> None:
    versions = upload(world, GOOD, "prompt: [", "prompt: x\ndry_run: true\n")
    handle(world, *(versions[int(number)] for number in order))
    assert states(world) == [State.QUEUED, State.REJECTED, State.PLANNED]
    assert status(world, "bee").state == State.PLANNED


@pytest.mark.parametrize("order", ["012", "021", "102", "120", "201", "210", "2", "1", "0"])
def test_of_two_good_versions_before_a_refused_one_the_newer_is_made(
    world: World, order: str
) -> None:
    versions = upload(world, "prompt: old\n", GOOD, "prompt: [")
    handle(world, *(versions[int(number)] for number in order))
    assert states(world) == [State.QUEUED, State.REJECTED], "the oldest has no job"
    assert status(world, "bee").state == State.REJECTED


@pytest.mark.parametrize("order", ["01", "10"])
def test_of_two_good_versions_only_the_newer_becomes_a_job(world: World, order: str) -> None:
    versions = upload(world, "prompt: old\n", GOOD)
    handle(world, *(versions[int(number)] for number in order))
    (job,) = jobs(world)
    assert (job.state, job.source.version) == (State.QUEUED, versions[1])
    assert not world.post.sent


def test_an_older_version_is_canceled_if_the_waiting_newer_one_is_accepted_later(
    world: World,
) -> None:
    (older, _) = upload(world, GOOD, "prompt: x\nimage: star.png\n")
    handle(world, older)
    assert states(world) == [State.QUEUED, State.WAITING]
    world.drop("jobs/star.png", PNG)
    assert states(world) == [State.CANCELED, State.QUEUED]
    assert jobs(world)[0].canceled_because in {CancelReason.SUPERSEDED, None}


def test_a_version_that_was_deleted_is_not_made_because_of_a_later_refused_one(
    world: World,
) -> None:
    (older,) = upload(world, GOOD)
    world.delete(KEY)
    (newer,) = upload(world, "prompt: [", seconds=5)
    handle(world, older, newer)
    assert states(world) == [State.REJECTED]


def test_a_deleted_spec_still_cancels_a_version_behind_a_refused_one(world: World) -> None:
    versions = upload(world, GOOD, "prompt: [")
    handle(world, *versions)
    world.delete(KEY)
    assert states(world) == [State.CANCELED, State.REJECTED]
    assert world.dispatch() == []


def test_a_version_from_long_ago_without_a_job_stays_without(world: World) -> None:
    """A bucket may have had specs before reeldrop was deployed."""
    _, newer = upload(world, GOOD, "prompt: [", seconds=7 * 3600)
    handle(world, newer)
    assert states(world) == [State.REJECTED]


def test_an_event_may_be_late_by_days(world: World) -> None:
    older, newer = upload(world, GOOD, "prompt: [")
    world.clock.move(days=10)
    handle(world, older, newer)
    assert states(world) == [State.QUEUED, State.REJECTED]


def test_a_reference_is_no_job_because_a_damaged_version_follows(world: World) -> None:
    """Where every image becomes a job, a reference of a spec does not."""
    world.drop("jobs/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/star.png", PNG)
    world.drop(KEY, "image: star.png\n", event=False)
    world.drop("jobs/moon.png", PNG, event=False)
    world.drop("jobs/moon.png", b"damaged")
    paths = sorted((job.path, job.state) for job in jobs(world))
    assert ("moon.png", State.QUEUED) in paths and ("moon.png", State.REJECTED) in paths
    submit(world.ports, "input", KEY)
    world.drop("jobs/sun.png", PNG, event=False)
    world.drop("jobs/sun.yaml", "image: sun.png\n")
    world.drop("jobs/sun.png", b"damaged")
    assert [job.state for job in jobs(world) if job.path == "sun.png"] == [State.REJECTED]


def test_a_version_that_was_replaced_while_it_was_accepted_leaves_no_reference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/bee.png", PNG)
    (older,) = upload(world, "image: bee.png\n")
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "commit", fail_to_commit)
        with pytest.raises(Transient):
            handle(world, older)
    (newer,) = upload(world, GOOD, seconds=5)
    handle(world, newer, older)
    assert [job.source.version for job in jobs(world)] == [newer]
    assert not [key for key in world.files.keys("work") if key.startswith("references/")]


def fail_to_commit(*_changes: object) -> None:
    raise Transient("DynamoDB throttles")
