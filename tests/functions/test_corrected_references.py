"""A reference that is empty first, or cannot be used, or is late, is uploaded again."""

import pytest

from functions import s3_keys
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.ledger import REFUSED, WAITING
from functions.table.records import Job, Refused, State, Waiting
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

BAD = b"this is no picture"


def states(world: World) -> list[State]:
    return [job.state for job in jobs(world)]


def notes(world: World) -> list[str]:
    return [record.key.sort for record in world.ledger.query(REFUSED, Refused)]


def copies(world: World) -> list[str]:
    return [key for key in world.files.keys("work") if key.startswith(s3_keys.REFERENCES_PREFIX)]


@pytest.mark.parametrize("first", ["reference", "spec"])
def test_an_empty_reference_is_not_there_yet(world: World, first: str) -> None:
    """Mounted buckets and some programs write an empty file first, and then the content."""
    if first == "reference":
        world.drop("jobs/z.png", b"")
    world.drop("jobs/spec.yaml", "image: z.png\n")
    if first == "spec":
        world.drop("jobs/z.png", b"")
    sweep(world.ports)
    assert states(world) == [State.WAITING] and not world.post.sent
    (waiting,) = jobs(world)
    message = status(world, waiting.path).message
    assert message == "Waiting for the content of jobs/z.png: the file there is empty."
    world.drop("jobs/z.png", PNG)
    assert states(world) == [State.QUEUED]
    assert not world.ledger.query(WAITING, Waiting)


def test_a_reference_that_stays_empty_is_refused_in_time_and_the_answer_says_so(
    world: World,
) -> None:
    world.drop("jobs/z.png", b"")
    world.drop("jobs/spec.yaml", "image: z.png\n")
    world.clock.move(minutes=61)
    sweep(world.ports)
    (problem,) = jobs(world)[0].problems
    assert problem.code == "reference-never-came" and "empty file" in problem.message


def test_an_empty_image_is_no_job_in_a_folder_that_animates_images(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/z.png", b"")
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert jobs(world) == [] and world.announced == []
    world.drop("jobs/a/z.png", PNG)
    assert states(world) == [State.QUEUED]


@pytest.mark.parametrize("lost", [False, True])
def test_a_job_refused_for_its_reference_is_tried_again_when_it_changes(
    world: World, lost: bool
) -> None:
    world.drop("jobs/a/z.png", BAD)
    world.drop("jobs/a/spec.yaml", "image: z.png\n")
    assert states(world) == [State.REJECTED]
    refusal = world.files.read("output", "rejected/a/spec.txt").decode()
    assert "Upload a corrected jobs/a/z.png under the same name. This job then begins" in refusal
    world.clock.move(seconds=30)
    world.drop("jobs/a/z.png", PNG, event=not lost)
    if lost:
        world.clock.move(minutes=5)
        sweep(world.ports)
    refused, again = jobs(world)
    assert (refused.state, again.state) == (State.REJECTED, State.QUEUED)
    assert refused.last_try == again.job_id and refused.source == again.source
    assert status(world, "a/spec").job_id == again.job_id
    assert "rejected/a/spec.txt" not in world.files.keys("output")
    world.render(world.dispatch()[0])
    assert [mail.attributes["status"] for mail in world.post.sent] == ["rejected", "succeeded"]


def test_every_version_is_tried_once_whatever_events_come(world: World) -> None:
    world.drop("jobs/z.png", BAD)
    world.drop("jobs/spec.yaml", "image: z.png\n")
    for number in range(3):
        world.clock.move(seconds=30)
        world.drop("jobs/z.png", BAD + bytes([number]))
        for key in ("jobs/z.png", "jobs/spec.yaml"):
            submit(world.ports, "input", key, world.files.facts("input", key).version)
            submit(world.ports, "input", key)
    assert states(world) == 4 * [State.REJECTED] and len(world.post.sent) == 4
    world.clock.move(seconds=30)
    world.drop("jobs/z.png", PNG)
    world.drop("jobs/z.png", PNG)
    assert states(world) == [*4 * [State.REJECTED], State.QUEUED] and len(tasks(world)) == 1
    assert status(world, "spec").state == State.QUEUED


def test_a_reference_that_comes_after_the_deadline_begins_the_job_again(world: World) -> None:
    world.drop("jobs/spec.yaml", "image: late.png\n")
    world.clock.move(minutes=61)
    sweep(world.ports)
    assert states(world) == [State.REJECTED]
    world.drop("jobs/late.png", b"")
    assert states(world) == [State.REJECTED]
    world.drop("jobs/late.png", PNG)
    assert states(world) == [State.REJECTED, State.QUEUED]


def test_a_spec_with_two_bad_references_is_tried_again_for_each(world: World) -> None:
    for name in ("a", "b"):
        world.drop(f"jobs/{name}.png", BAD)
    world.drop("jobs/spec.yaml", "matrix: {image: [a.png, b.png]}\n")
    for name in ("a", "b"):
        world.clock.move(seconds=30)
        world.drop(f"jobs/{name}.png", PNG)
    assert states(world) == [State.REJECTED, State.REJECTED, State.QUEUED]
    first, second, third = jobs(world)
    assert first.last_try == third.job_id and second.last_try is None


def test_all_specs_that_were_refused_for_one_picture_are_tried_again(world: World) -> None:
    world.drop("jobs/z.png", BAD)
    for number in range(3):
        world.drop(f"jobs/{number}.yaml", "image: z.png\n")
    world.clock.move(seconds=30)
    world.drop("jobs/z.png", PNG)
    assert states(world) == [*3 * [State.REJECTED], *3 * [State.QUEUED]]


@pytest.mark.parametrize("after", ["deleted", "replaced"])
def test_a_spec_that_is_gone_or_replaced_is_not_tried_again(world: World, after: str) -> None:
    world.drop("jobs/z.png", BAD)
    world.drop("jobs/spec.yaml", "image: z.png\n")
    world.clock.move(seconds=30)
    if after == "deleted":
        world.delete("jobs/spec.yaml")
    else:
        world.drop("jobs/spec.yaml", "prompt: [")
    before = len(jobs(world))
    world.drop("jobs/z.png", PNG)
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert len(jobs(world)) == before and not tasks(world) and notes(world) == []


def test_a_reference_that_changes_while_it_is_refused_is_noticed(world: World) -> None:
    """Its event comes before the note that the drop was refused."""
    world.drop("jobs/z.png", BAD)
    read = world.reader.image

    def changed(body: bytes, name: str) -> object:
        world.reader.image = read  # type: ignore[method-assign]
        world.drop("jobs/z.png", PNG)
        return read(body, name)

    world.reader.image = changed  # type: ignore[assignment, method-assign]
    world.drop("jobs/spec.yaml", "image: z.png\n")
    assert sorted(states(world)) == [State.QUEUED, State.REJECTED]


def test_a_name_that_was_ambiguous_is_tried_again_when_it_is_uploaded(world: World) -> None:
    for name in ("Z.png", "z.PNG"):
        world.drop(f"jobs/{name}", PNG)
    world.drop("jobs/spec.yaml", "image: z.png\n")
    world.clock.move(seconds=30)
    world.drop("jobs/Z.PNG", PNG)
    assert states(world) == [State.REJECTED], "it is still not known which one is meant"
    world.drop("jobs/z.png", PNG)
    assert states(world) == [State.REJECTED, State.QUEUED]


@pytest.mark.parametrize("lost", [False, True])
def test_a_bad_reference_with_other_letters_is_found_again_under_its_name_or_that_of_the_spec(
    world: World, lost: bool
) -> None:
    for name in ("one", "two"):
        world.drop(f"jobs/{name}.PNG", BAD)
        world.drop(f"jobs/{name}.yaml", f"image: {name}.png\n")
    world.clock.move(seconds=30)
    world.drop("jobs/one.PNG", PNG, event=not lost)
    world.drop("jobs/two.png", PNG, event=not lost)
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert sorted(states(world)) == [*2 * [State.QUEUED], *2 * [State.REJECTED]]


def test_an_image_that_is_a_job_itself_gets_a_new_job_with_each_version(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/z.png", BAD)
    world.clock.move(seconds=30)
    world.drop("jobs/a/z.png", PNG)
    assert states(world) == [State.REJECTED, State.QUEUED] and notes(world) == []
    assert {job.last_try for job in jobs(world)} == {None}


def test_a_bad_reference_is_no_job_in_a_folder_that_animates_images(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/spec.yaml", "image: z.png\n")
    world.drop("jobs/a/z.png", BAD)
    world.clock.move(minutes=5)
    sweep(world.ports)
    world.drop("jobs/a/z.png", PNG)
    assert [job.source.key for job in jobs(world)] == 2 * ["jobs/a/spec.yaml"]
    assert states(world) == [State.REJECTED, State.QUEUED]


def test_a_corrected_reference_replaces_the_version_before(world: World) -> None:
    world.drop("jobs/spec.yaml", "prompt: the first\n")
    world.clock.move(seconds=30)
    world.drop("jobs/z.png", BAD)
    world.drop("jobs/spec.yaml", "image: z.png\n")
    assert states(world) == [State.QUEUED, State.REJECTED]
    world.clock.move(seconds=30)
    world.drop("jobs/z.png", PNG)
    assert states(world) == [State.CANCELED, State.REJECTED, State.QUEUED]


def test_a_spec_of_the_same_path_that_came_later_is_not_replaced(world: World) -> None:
    world.drop("jobs/z.png", BAD)
    world.drop("jobs/spec.yaml", "image: z.png\n")
    world.clock.move(seconds=30)
    world.drop("jobs/spec.json", '{"prompt": "the newer one"}')
    world.clock.move(seconds=30)
    world.drop("jobs/z.png", PNG)

    def of(job: Job) -> tuple[str, State]:
        return job.source.key, job.state

    assert [of(job) for job in jobs(world)] == [
        ("jobs/spec.yaml", State.REJECTED),
        ("jobs/spec.json", State.QUEUED),
        ("jobs/spec.yaml", State.CANCELED),
    ]
    assert status(world, "spec").job_id == jobs(world)[1].job_id


@pytest.mark.parametrize("after", ["deleted", "replaced"])
def test_copies_are_removed_if_the_spec_goes_while_it_is_tried_again(
    world: World, after: str
) -> None:
    world.drop("jobs/a.png", PNG)
    world.drop("jobs/z.png", BAD)
    world.drop("jobs/spec.yaml", "matrix: {image: [a.png, z.png]}\n")
    version = world.files.facts("input", "jobs/spec.yaml").version

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        world.clock.move(seconds=30)
        world.drop("jobs/z.png", PNG, event=False)
        patched.setattr(world.ledger, "commit", die)
        submit(world.ports, "input", "jobs/spec.yaml", version)
    assert copies(world), "the handler has made copies"
    if after == "deleted":
        world.delete("jobs/spec.yaml")
    else:
        world.drop("jobs/spec.yaml", "prompt: [")
    submit(world.ports, "input", "jobs/spec.yaml", version)
    assert copies(world) == []
