"""Specs name LoRAs that an administrator has uploaded to the work bucket."""

from functions import s3_keys
from functions.table.records import State
from tests.fakes import World
from tests.functions.stored import jobs, tasks


def upload(world: World, *names: str) -> None:
    for name in names:
        world.files.write("work", s3_keys.lora(name), name.encode(), "application/octet-stream")


def test_tasks_with_different_loras_or_scales_are_in_different_processing_jobs(
    world: World,
) -> None:
    world.set(max_processing_jobs=9)
    upload(world, "ink", "clay")
    for name, lines in {
        "plain": "", "one": "lora: ink\n", "two": "lora: ink\nlora_scale: 1.0\n",
        "less": "lora: ink\nlora_scale: 0.5\n", "other": "lora: clay\n",
    }.items():  # fmt: skip
        world.drop(f"jobs/{name}.yaml", f"prompt: a bee\n{lines}")
    attempts = {}
    for attempt in world.dispatch():
        manifest = world.manifest(attempt)
        kind = {(t.parameters.lora, t.parameters.lora_scale) for t in manifest.tasks}
        assert len(kind) == 1
        attempts[kind.pop()] = (attempt, len(manifest.tasks))
    counts = {kind: count for kind, (_, count) in attempts.items()}
    assert counts == {(None, None): 1, ("ink", 1.0): 2, ("ink", 0.5): 1, ("clay", 1.0): 1}
    for (lora, _), (attempt, _) in attempts.items():
        key = s3_keys.attempt_lora(attempt)
        assert world.files.exists("work", key) == (lora is not None)
        assert lora is None or world.files.read("work", key) == lora.encode()


def test_a_lora_that_is_deleted_fails_its_videos_only(world: World) -> None:
    upload(world, "ink")
    world.drop("jobs/ink.yaml", "prompt: a bee\nlora: ink\nvariations: 2\n")
    world.drop("jobs/plain.yaml", "prompt: a bee\n")
    world.files.remove("work", s3_keys.lora("ink"))
    world.dispatch()
    states = {job.path: job.state for job in jobs(world)}
    assert states["ink"] == State.FAILED and states["plain"] != State.FAILED
    problems = {task.problem.code for task in tasks(world) if task.problem}
    assert problems == {"lora-unknown"}


def test_a_scale_without_a_lora_is_refused(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\nlora_scale: 0.5\n")
    (problem,) = jobs(world)[0].problems
    assert (problem.code, problem.place.line) == ("field-conflict", 2)


def test_a_folder_may_have_a_scale_for_those_of_its_specs_that_name_a_lora(world: World) -> None:
    upload(world, "ink")
    world.drop("jobs/_defaults.yaml", "lora_scale: 0.5\n")
    world.drop("jobs/plain.yaml", "prompt: a bee\n")
    world.drop("jobs/ink.yaml", "prompt: a bee\nlora: ink\n")
    assert {task.lora for task in tasks(world)} == {"", "ink 0.5"}
    assert {job.state for job in jobs(world)} == {State.QUEUED}


def test_only_safetensors_files_are_loras() -> None:
    assert s3_keys.lora_name("loras/ink.safetensors") == "ink"
    for other in ("loras/ink.bin", "loras/", "models/ink.safetensors", "loras/a/b"):
        assert s3_keys.lora_name(other) is None
