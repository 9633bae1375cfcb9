"""Newer folder defaults apply to every job of which nothing was claimed yet."""

import pytest

from contract.errors import Transient
from functions import s3_keys
from functions.spec.language_model import LanguageModelBusy
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.ledger import DEFAULTS, QUEUE, task_key
from functions.table.records import NotedDefaults, QueueEntry, State, Task, TaskRef
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status

DRY = "dry_run: true\n"


def tasks(world: World, job_id: str) -> list[Task]:
    """The tasks of a job."""
    return [
        record.document
        for number in range(1, 40)
        if (record := world.ledger.get(task_key(TaskRef(job_id=job_id, number=number))))
    ]


def queue(world: World) -> list[QueueEntry]:
    return [record.document for record in world.ledger.query(QUEUE, QueueEntry)]


@pytest.mark.parametrize("event", [True, False])
def test_a_dry_run_that_comes_late_renders_nothing(world: World, event: bool) -> None:
    """With its event or without, because dispatch looks for itself."""
    for name in ("B", "C", "D"):
        world.drop(f"jobs/a/{name}.yaml", "prompt: a\nvariations: 2\n")
    world.drop("jobs/a/_defaults.yaml", DRY, event=event)
    assert world.dispatch() == []
    assert {job.state for job in jobs(world)} == {State.PLANNED}
    assert [status(world, f"a/{name}").state for name in "BCD"] == [State.PLANNED] * 3
    assert {task.state for job in jobs(world) for task in tasks(world, job.job_id)} == {
        State.PLANNED
    }
    assert not queue(world)
    assert len(world.post.sent) == 3


def test_other_settings_replace_those_of_queued_tasks(world: World) -> None:
    """Fewer and more videos, another model and another priority. The place in the queue stays."""
    world.drop("jobs/a/B.yaml", "prompt: a\nseed: 1\nvariations: 3\n")
    before = queue(world)
    world.clock.move(seconds=10)
    for defaults in (
        "num_inference_steps: 3\n",
        "model: cogvideox-2b\n",
        "priority: high\n",
        "matrix: {fps: [8, 9]}\n",
        "priority: low\n",
    ):
        world.drop("jobs/a/_defaults.yaml", defaults)
        (job,) = jobs(world)
        of_job = tasks(world, job.job_id)
        assert [entry.task_id for entry in queue(world)] == [task.task_id for task in of_job]
        assert queue(world) == [task.queue_entry for task in of_job]
        assert (job.task_count, job.open_tasks) == (len(of_job), len(of_job))
    assert len(of_job) == 3 and {entry.queued_at for entry in queue(world)} == {before[0].queued_at}
    assert of_job[0].spec.priority == "low" and of_job[0].spec.num_inference_steps != 3
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert status(world, "a/B").state == State.SUCCEEDED
    assert not queue(world) and len(world.post.sent) == 1


def test_what_was_claimed_says_that_newer_defaults_do_not_apply(world: World) -> None:
    world.set(max_tasks_per_job=1)
    world.drop("jobs/a/B.yaml", "prompt: a\nvariations: 2\n")
    (attempt,) = world.dispatch()
    world.drop("jobs/a/_defaults.yaml", DRY)
    found = status(world, "a/B")
    assert [notice.code for notice in found.warnings].count("newer-defaults") == 1
    world.render(attempt)
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert status(world, "a/B").state == State.SUCCEEDED
    assert "do not apply to it" in world.post.sent[-1].body


def test_the_sweep_tells_what_was_claimed_if_the_event_is_lost(world: World) -> None:
    world.drop("jobs/a/B.yaml")
    world.dispatch()
    world.drop("jobs/a/_defaults.yaml", DRY, event=False)
    sweep(world.ports)
    assert "newer-defaults" in {notice.code for notice in status(world, "a/B").warnings}


def test_the_sweep_plans_queued_jobs_again_while_no_instance_is_free(world: World) -> None:
    world.drop("jobs/runs.yaml")
    world.dispatch()
    for number in range(3):
        world.drop(f"jobs/a/b/{number}.yaml")
    world.drop(
        "jobs/a/_defaults.yaml", DRY
    )  # its event makes submit plan the jobs in this folder again
    assert [job.state for job in jobs(world)].count(State.QUEUED) == 3
    world.dispatch()
    assert [job.state for job in jobs(world)].count(State.QUEUED) == 3
    sweep(world.ports)
    assert [job.state for job in jobs(world)].count(State.PLANNED) == 3


def test_tasks_that_returned_for_want_of_an_instance_are_planned_again(world: World) -> None:
    world.renderer.quota = 0
    world.drop("jobs/a/B.yaml")
    assert world.dispatch() == []
    world.renderer.quota = 1
    world.clock.move(minutes=10)
    world.drop("jobs/a/_defaults.yaml", DRY)
    assert world.dispatch() == [] and status(world, "a/B").state == State.PLANNED


def test_tasks_whose_worker_died_are_not_planned_again(world: World) -> None:
    world.drop("jobs/a/B.yaml")
    (attempt,) = world.dispatch()
    world.write_progress(attempt, world.manifest(attempt).tasks[0], 10)
    world.renderer.end(attempt, "Failed", "the machine went away")
    world.clock.move(minutes=10)
    sweep(world.ports)
    world.drop("jobs/a/_defaults.yaml", DRY)
    assert len(world.dispatch()) == 1


@pytest.mark.parametrize(
    ("defaults", "why"),
    [("fps: [\n", "_defaults.yaml"), ("model: cogvideox-2b\nheight: 3000\n", "height")],
)
def test_defaults_that_do_not_fit_a_queued_job_leave_it_as_it_was(
    world: World, defaults: str, why: str
) -> None:
    world.drop("jobs/a/B.yaml", "prompt: a\nseed: 7\n")
    world.drop("jobs/a/_defaults.yaml", defaults)
    (attempt,) = world.dispatch()
    assert [task.parameters.seed for task in world.manifest(attempt).tasks] == [7]
    (notice,) = [n for n in status(world, "a/B").warnings if n.code == "newer-defaults"]
    assert "stays as it was" in notice.message


def test_defaults_that_come_back_apply_again(world: World) -> None:
    """The job has the values of the newest defaults, also if these were deleted."""
    world.drop("jobs/a/_defaults.yaml", "num_inference_steps: 3\n")
    world.drop("jobs/a/B.yaml", "prompt: a\n")
    world.drop("jobs/a/_defaults.yaml", "num_inference_steps: 4\n")
    world.delete("jobs/a/_defaults.yaml")
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    assert task.parameters.num_inference_steps not in {3, 4}


def test_a_prompt_is_enhanced_once_however_often_its_job_is_planned(world: World) -> None:
    world.drop("jobs/a/B.yaml", "prompt: a bee\n")
    asked = len(world.language_model.asked)
    world.drop("jobs/a/_defaults.yaml", "num_inference_steps: 4\n")
    (job,) = jobs(world)
    (task,) = tasks(world, job.job_id)
    assert (task.enhancement.status, task.spec.num_inference_steps) == ("enhanced", 4)
    assert len(world.language_model.asked) == asked == 1


def test_a_reference_that_was_deleted_since_is_not_missed(world: World) -> None:
    world.drop("jobs/a/pic.png", PNG)
    world.drop("jobs/a/B.yaml", "prompt: a\nimage: pic.png\n")
    world.delete("jobs/a/pic.png")
    world.drop("jobs/a/_defaults.yaml", "num_inference_steps: 4\n")
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    assert task.image and task.parameters.num_inference_steps == 4


def test_newer_defaults_that_name_a_picture_wait_for_it(world: World) -> None:
    world.drop("jobs/a/B.yaml", "prompt: a\n")
    world.drop("jobs/a/_defaults.yaml", "image: style.png\n")
    assert world.dispatch() == []
    world.drop("jobs/a/style.png", PNG)
    world.clock.move(minutes=5)
    sweep(world.ports)
    (attempt,) = world.dispatch()
    assert world.manifest(attempt).tasks[0].image


def test_a_picture_that_newer_defaults_name_and_that_never_comes(world: World) -> None:
    world.drop("jobs/a/B.yaml", "prompt: a\n")
    world.drop("jobs/a/_defaults.yaml", "image: style.png\n")
    world.clock.move(hours=2)
    sweep(world.ports)
    (attempt,) = world.dispatch()
    assert not world.manifest(attempt).tasks[0].image
    assert "style.png" in str(status(world, "a/B").warnings)


def test_a_busy_language_model_delays_planning_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job stays as it was meanwhile, and nothing of it is started."""
    world.drop("jobs/a/B.yaml", "enhance: true\nimage: pic.png\n")
    world.drop("jobs/a/pic.png", PNG)

    def busy(*_: object, **__: object) -> None:
        raise LanguageModelBusy("ThrottlingException")

    with monkeypatch.context() as patch:
        patch.setattr(world.language_model, "converse", busy)
        world.drop("jobs/a/_defaults.yaml", "prompt: a bee\n")
        assert world.dispatch() == [] and len(queue(world)) == 1
    world.pass_time(600)
    (attempt,) = world.dispatch()
    assert world.manifest(attempt).tasks[0].parameters.prompt == "A bee lands. It is warm."


def test_an_older_version_that_is_still_to_be_made_is_planned_again(world: World) -> None:
    world.drop("jobs/a/B.yaml", "prompt: good\n")
    world.drop("jobs/a/B.yaml", "prompt: [")
    world.drop("jobs/a/_defaults.yaml", DRY)
    assert world.dispatch() == []
    assert sorted(job.state for job in jobs(world)) == [State.PLANNED, State.REJECTED]


def test_a_version_that_expired_is_made_as_it_was_accepted(world: World) -> None:
    world.drop("jobs/a/B.yaml", "prompt: good\nseed: 7\n")
    world.drop("jobs/a/B.yaml", "prompt: [")
    del world.files.objects[("input", "jobs/a/B.yaml")][0]
    world.drop("jobs/a/_defaults.yaml", DRY)
    (attempt,) = world.dispatch()
    assert world.manifest(attempt).tasks[0].parameters.seed == 7


def dispatch_killed_before_it_claims(world: World) -> None:
    """An attempt is planned, and none of its tasks is claimed."""

    def killed(*_: object, **__: object) -> None:
        raise Transient("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("functions.stages.launch.claim_tasks", killed)
        with pytest.raises(Transient):
            world.dispatch()


def test_an_attempt_that_is_taken_over_claims_no_job_with_newer_defaults(world: World) -> None:
    """A dispatch is killed before it has claimed a task. Then the model changes, too."""
    for name in ("B", "C"):
        world.drop(f"jobs/{name.lower()}/{name}.yaml")

    dispatch_killed_before_it_claims(world)
    world.drop("jobs/b/_defaults.yaml", DRY, event=False)
    world.drop("jobs/c/_defaults.yaml", "model: cogvideox-2b\n")
    world.clock.move(minutes=5)
    attempts = world.dispatch()
    assert [world.manifest(name).model for name in attempts] == ["cogvideox-2b"]
    assert status(world, "b/B").state == State.PLANNED


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("preset: draft\n", [[("standard", None)], [("draft", None)]]),
        ("lora: ink\n", [[("standard", None)], [("standard", "ink")]]),
    ],
)
def test_an_attempt_that_is_taken_over_claims_no_task_that_does_not_suit_it_now(
    world: World, changed: str, expected: object
) -> None:
    """The worker refuses a manifest with several presets or LoRAs, so all tasks would fail."""
    world.files.write("work", s3_keys.lora("ink"), b"weights", "application/octet-stream")
    for name in ("B", "C"):
        world.drop(f"jobs/{name.lower()}/{name}.yaml")

    dispatch_killed_before_it_claims(world)
    world.drop("jobs/c/_defaults.yaml", changed)
    world.set(max_processing_jobs=2)
    world.clock.move(minutes=5)
    manifests = [world.manifest(name) for name in world.dispatch()]
    parameters = [[task.parameters for task in manifest.tasks] for manifest in manifests]
    assert [[(one.preset, one.lora) for one in some] for some in parameters] == expected


def test_thousands_of_jobs_are_planned_again_a_few_at_a_time(world: World) -> None:
    for number in range(300):
        world.drop(f"jobs/a/{number}.yaml", "prompt: a\nnotify: false\nenhance: false\n")
    world.clock.move(minutes=5)
    world.drop("jobs/a/_defaults.yaml", DRY, event=False)
    announced = len(world.announced)
    assert world.dispatch() == []
    while queue(world):
        before = len(world.announced)
        assert world.dispatch() == []
        assert 0 < len(world.announced) - before <= 100
    assert len(world.announced) - announced == 300
    assert {job.state for job in jobs(world)} == {State.PLANNED}
    assert not world.ledger.query(DEFAULTS, NotedDefaults)


def test_an_image_that_is_a_job_stays_one_if_its_folder_animates_no_images_any_more(
    world: World,
) -> None:
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/bee.png", PNG)
    world.delete("jobs/a/_defaults.yaml")
    (attempt,) = world.dispatch()
    assert world.manifest(attempt).tasks[0].image


def test_a_repeated_event_does_not_plan_again(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "fps: 8\n")
    world.drop("jobs/a/B.yaml")
    (job,) = jobs(world)
    submit(world.ports, "input", job.source.key, job.source.version)
    assert jobs(world) == [job]
