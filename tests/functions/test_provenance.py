"""What a spec says about the origin of its video reaches the worker, and is judged."""

from functions.replies.sidecar import Sidecar
from functions.table.records import State
from tests.fakes import World
from tests.functions.stored import jobs


def test_the_worker_learns_of_the_label_and_whether_the_prompt_may_be_in_files() -> None:
    world = World()
    world.drop("jobs/open.yaml", "prompt: a bee\n")
    world.drop("jobs/team/_defaults.yaml", "prompt_in_file: false\nlabel: AI-generated\n")
    world.drop("jobs/team/secret.yaml", "prompt: a bee\n")
    world.drop("jobs/team/plain.yaml", "prompt: a bee\nlabel: ''\n")

    (attempt,) = world.dispatch()

    told = {
        task.task_id.partition("-")[0]: (task.prompt_in_file, task.parameters.label)
        for task in world.manifest(attempt).tasks
    }
    assert told == {
        "open": (True, ""),
        "secret": (False, "AI-generated"),
        "plain": (False, ""),
    }


def test_a_matrix_can_vary_the_label() -> None:
    world = World()
    world.drop("jobs/a.yaml", "prompt: a bee\nmatrix: {label: [one, two]}\n")

    (attempt,) = world.dispatch()

    labels = [task.parameters.label for task in world.manifest(attempt).tasks]
    assert labels == ["one", "two"]


def test_a_label_is_judged_like_a_prompt() -> None:
    world = World()
    world.set(guardrail_id="guard", guardrail_version="1")
    world.drop("jobs/a.yaml", "prompt: a bee\nlabel: forbidden\n")

    (job,) = jobs(world)
    assert job.state == State.REJECTED
    assert [(p.code, p.place.field) for p in job.problems] == [("prompt-blocked", "label")]


def test_a_sidecar_that_is_dropped_asks_for_the_same_again() -> None:
    world = World()
    world.drop("jobs/a.yaml", "prompt: a bee\nlabel: AI-generated\nprompt_in_file: false\n")
    (attempt,) = world.dispatch()
    world.render(attempt)
    (before,) = world.manifest(attempt).tasks

    sidecar = Sidecar.from_json(world.files.read("output", "videos/a.json"))
    world.drop("jobs/again.json", sidecar.spec.to_json())
    (attempt,) = world.dispatch()

    (after,) = world.manifest(attempt).tasks
    assert after.parameters == before.parameters
    assert not after.prompt_in_file and after.parameters.label == "AI-generated"
