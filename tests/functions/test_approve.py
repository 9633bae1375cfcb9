"""A file in approve/ makes the final of a draft."""

import json

import pytest

from contract.errors import Code
from functions import s3_keys
from functions.stages.cancel import deleted
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.records import Job, State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

DRAFT = "prompt: a bee\npreset: draft\n"


def made(world: World, body: str = DRAFT, key: str = "jobs/a/bee.yaml") -> Job:
    """A job whose videos are made."""
    world.drop(key, body)
    while attempts := world.dispatch():
        for attempt in attempts:
            world.render(attempt)
    world.clock.move(minutes=1)
    return next(job for job in jobs(world) if job.source.key == key)


def approve(world: World, name: str = "a/bee") -> Job:
    """Approve a draft, and deliver the events of what was dropped for it."""
    world.clock.move(seconds=5)
    before = set(versions(world))
    world.drop(f"approve/{name}", b"")
    for key, version in versions(world):
        if (key, version) not in before and not key.startswith("approve/"):
            submit(world.ports, "input", key, version)
    return next(j for j in reversed(jobs(world)) if j.source.key == f"approve/{name}")


def versions(world: World) -> list[tuple[str, str]]:
    return [
        (key, one.version)
        for (bucket, key), found in world.files.objects.items()
        if bucket == "input"
        for one in found
        if not one.is_delete_marker
    ]


def codes(job: Job) -> list[Code]:
    return [problem.code for problem in job.problems]


@pytest.mark.parametrize("name", ["a/bee", "a/bee.yaml", "a/bee.mp4"])
def test_the_final_of_a_draft_has_its_seed_and_its_prompt(world: World, name: str) -> None:
    draft = made(world, DRAFT + "tags: [x]\nfps: 4\nnotify: false\n")
    (first,) = tasks(world)
    approval = approve(world, name)
    assert approval.state == State.HANDED_ON
    final = jobs(world)[-1]
    assert (final.path, final.state) == ("a/bee-final", State.QUEUED), final.problems
    (task,) = [task for task in tasks(world) if task.job_id == final.job_id]
    changed = {"preset": "standard", "num_inference_steps": 25}
    assert task.spec == first.spec.model_copy(update=changed)
    assert first.spec.num_inference_steps == 10 and draft.spec is not None
    assert task.spec.prompt == "A bee lands. It is warm." != draft.spec.prompt
    assert len(world.language_model.asked) == 1, "the prompt is not enhanced twice"
    said = status(world, f"(approve)/{name.removesuffix('.yaml')}")
    assert (said.state, said.dropped) == (State.HANDED_ON, ("jobs/a/bee-final.json",))
    assert "jobs/a/bee-final.json" in said.message and "delete" in said.message
    mails = [mail.attributes["path"] for mail in world.post.sent]
    assert mails == [], "an approval has no mail of its own"


def test_newer_defaults_of_the_folder_change_nothing(world: World) -> None:
    made(world)
    (first,) = tasks(world)
    defaults = "num_inference_steps: 3\nimage: bee.png\nmatrix: {seed: [1, 2]}\ndry_run: true\n"
    world.drop("jobs/a/_defaults.yaml", defaults)
    approve(world)
    final = jobs(world)[-1]
    assert final.state == State.QUEUED, final.problems
    (task,) = [task for task in tasks(world) if task.job_id == final.job_id]
    assert task.spec.num_inference_steps == 25 and task.spec.seed == first.spec.seed
    assert task.spec.image is None


@pytest.mark.parametrize(
    "more",
    ["variations: 3\n", "matrix: {seed: [5, 6], fps: [4, 8]}\n",
     "matrix:\n  include: [{prompt: a fly}, {prompt: an ant, seed: 3}]\n"],
)  # fmt: skip
def test_all_videos_of_a_draft_become_one_job_and_one_becomes_its_own(
    world: World, more: str
) -> None:
    made(world, DRAFT + more)
    drafts = tasks(world)
    approve(world)
    finals = [task for task in tasks(world) if task not in drafts]
    assert [t.spec.seed for t in finals] == [t.spec.seed for t in drafts]
    assert [t.spec.fps for t in finals] == [t.spec.fps for t in drafts]
    assert len({t.job_id for t in finals}) == 1
    approve(world, "a/bee-02")
    (one,) = [task for task in tasks(world) if task not in (*drafts, *finals)]
    changed = {"preset": "standard", "num_inference_steps": 25}
    assert one.spec == drafts[1].spec.model_copy(update=changed)
    assert jobs(world)[-1].path == "a/bee-02-final"


def test_scenes_and_references_are_those_of_the_draft(world: World) -> None:
    world.drop("jobs/a/bee.png", PNG)
    scenes = "scenes: [{image: bee.png}, it lands]\npreset: draft\nvariations: 2\n"
    made(world, scenes)
    drafts = tasks(world)
    approve(world)
    finals = [task for task in tasks(world) if task not in drafts]
    assert [task.spec.scenes for task in finals] == [task.spec.scenes for task in drafts]
    assert finals[0].spec.scenes and finals[0].spec.scenes[0].image == "/a/bee.png"


def test_only_the_drafts_of_a_job_are_made_again(world: World) -> None:
    made(world, "prompt: a bee\nmatrix: {preset: [draft, best], seed: [1, 2]}\n")
    drafts = tasks(world)
    approve(world)
    finals = [task for task in tasks(world) if task not in drafts]
    assert [task.spec.seed for task in finals] == [1, 2]
    assert {task.spec.preset for task in finals} == {"standard"}


def test_an_approval_makes_a_final_once(world: World) -> None:
    made(world)
    approve(world)
    key = "jobs/a/bee-final.json"
    (version,) = world.files.versions("input", key)
    approved = world.files.facts("input", "approve/a/bee").version
    for _ in range(2):
        submit(world.ports, "input", "approve/a/bee", approved)  # its event comes again
    approve(world)  # and the person does
    assert world.files.versions("input", key) == [version]
    world.delete(key)
    submit(world.ports, "input", "approve/a/bee", approved)
    assert not world.files.exists("input", key), "an old event does not bring it back"
    approve(world)
    assert world.files.exists("input", key)


def test_a_newer_draft_has_another_final(world: World) -> None:
    made(world)
    approve(world)
    world.drop("jobs/a/bee.yaml", DRAFT + "seed: 77\n")
    for attempt in world.dispatch():
        world.render(attempt)
    approve(world)
    spec = json.loads(world.files.read("input", "jobs/a/bee-final.json"))
    assert spec["seed"] == 77


def test_an_approval_is_of_a_draft_that_was_there(world: World) -> None:
    """Its event comes late, after a newer draft that nobody has looked at."""
    made(world)
    world.drop("approve/a/bee", b"", event=False)
    approved = world.files.facts("input", "approve/a/bee").version
    world.clock.move(minutes=1)
    made(world, DRAFT + "seed: 77\n")
    submit(world.ports, "input", "approve/a/bee", approved)
    job = next(j for j in jobs(world) if j.source.key == "approve/a/bee")
    assert codes(job) == [Code.APPROVE_NOT_READY], job.problems
    assert "uploaded before" in job.problems[0].message
    assert not world.files.exists("input", "jobs/a/bee-final.json")
    assert approve(world).state == State.HANDED_ON


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".csv"])
def test_a_file_of_a_person_is_not_replaced_by_a_final(world: World, suffix: str) -> None:
    key = f"jobs/a/bee-final{suffix}"
    mine = b'{"prompt": "mine"}\n' if suffix != ".csv" else b"prompt\nmine\n"
    made(world)
    world.drop(key, mine)
    before = {job.job_id: job.state for job in jobs(world)}
    job = approve(world)
    assert codes(job) == [Code.NAME_TAKEN] and key in job.problems[0].message, job.problems
    text = world.files.read("output", "rejected/(approve)/a/bee.txt").decode()
    assert f"Delete {key}" in text and "under a name that fits" not in text, text
    assert world.files.read("input", key) == mine
    assert {j.job_id: j.state for j in jobs(world) if j != job} == before
    world.delete(key)
    assert approve(world).state == State.HANDED_ON, "the hint works"


def test_a_final_that_a_person_has_changed_stays(world: World) -> None:
    made(world)
    approve(world)
    key = "jobs/a/bee-final.json"
    changed = world.files.read("input", key).replace(b"standard", b"best")
    world.drop(key, changed)
    made(world, DRAFT + "seed: 77\n")
    job = approve(world)
    assert codes(job) == [Code.NAME_TAKEN] and key in job.problems[0].message
    assert world.files.read("input", key) == changed
    world.delete(key)
    assert approve(world).state == State.HANDED_ON
    assert json.loads(world.files.read("input", key))["seed"] == 77


def test_a_spec_of_a_row_is_not_replaced_by_a_final(world: World) -> None:
    world.drop("jobs/a/x.csv", "name,prompt,preset\nbee,a bee,draft\nbee-final,my final,draft\n")
    key = "jobs/a/x/bee-final.json"
    row = world.files.read("input", key)
    made(world, row.decode(), "jobs/a/x/bee.json")
    job = approve(world, "a/x/bee")
    assert codes(job) == [Code.NAME_TAKEN] and key in job.problems[0].message
    assert world.files.read("input", key) == row
    world.delete(key)
    assert approve(world, "a/x/bee").state == State.HANDED_ON, "the hint works"


def test_a_final_is_not_replaced_by_a_row(world: World) -> None:
    made(world, DRAFT, "jobs/a/x/bee.yaml")
    approve(world, "a/x/bee")
    key = "jobs/a/x/bee-final.json"
    final = world.files.read("input", key)
    world.drop("jobs/a/x.csv", "name,prompt\nbee-final,of the list\nant,an ant\n")
    job = next(one for one in jobs(world) if one.path == "a/x")
    assert [(one.code, one.place.line) for one in job.problems] == [(Code.NAME_TAKEN, 2)]
    assert key in job.problems[0].message and f"delete {key}" in job.problems[0].hint
    assert world.files.read("input", key) == final


def test_a_row_of_a_list_is_approved_and_not_the_list(world: World) -> None:
    world.drop("jobs/a/list.csv", b"name,prompt,preset\nbee,a bee,draft\nant,an ant,draft\n")
    job = approve(world, "a/list")
    assert codes(job) == [Code.APPROVE_NOT_READY]
    assert "approve/a/list/bee" in job.problems[0].hint
    for key, version in versions(world):
        submit(world.ports, "input", key, version)
    for attempt in world.dispatch():
        world.render(attempt)
    assert approve(world, "a/list/bee").state == State.HANDED_ON


MIXED = "prompt: a bee\nmatrix: {preset: [best, draft, draft]}\n"


def test_only_drafts_are_proposed(world: World) -> None:
    made(world, MIXED.replace("draft, draft", "draft") + "variations: 2\n")
    assert "approve/a/bee-04" in status(world, "a/bee").message
    job = approve(world, "a/bee-01")
    assert codes(job) == [Code.APPROVE_NO_DRAFT]
    assert job.problems[0].message.startswith("Video 1 of a/bee is no draft")
    assert "approve/a/bee-03" in job.problems[0].hint
    assert approve(world, "a/bee-03").state == State.HANDED_ON


def test_one_draft_of_many_videos_is_approved_as_a_whole(world: World) -> None:
    made(world, "prompt: a bee\nmatrix: {preset: [draft, best]}\n")
    assert "approve/a/bee to" in status(world, "a/bee").message


def test_of_a_job_that_failed_a_draft_that_was_made_is_proposed(world: World) -> None:
    world.drop("jobs/a/bee.yaml", DRAFT + "variations: 2\n")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=tasks(world)[0].task_id)
    job = approve(world)
    assert codes(job) == [Code.APPROVE_NOT_READY]
    assert "approve/a/bee-02" in job.problems[0].hint
    assert approve(world, "a/bee-02").state == State.HANDED_ON


def test_the_answer_stays_if_the_file_is_there_again(world: World) -> None:
    """The event of a deletion comes late."""
    approve(world, "bee")
    world.delete("approve/bee", event=False)
    approve(world, "bee")
    deleted(world.ports, "input", "approve/bee")
    assert "rejected/(approve)/bee.txt" in world.files.keys("output")


@pytest.mark.parametrize(
    ("body", "name", "code", "words"),
    [
        (DRAFT, "a/ant", Code.APPROVE_NAME, "approve/a/ant"),
        (DRAFT, "null", Code.APPROVE_NAME, "approve/"),
        (DRAFT, "a/bee-02", Code.APPROVE_NAME, "approve/a/bee"),
        (DRAFT + "variations: 2\n", "a/bee-03", Code.APPROVE_NAME, "approve/a/bee-02"),
        (DRAFT + "variations: 2\n", "a/bee-00", Code.APPROVE_NAME, "approve/a/bee-02"),
        ("prompt: a bee\n", "a/bee", Code.APPROVE_NO_DRAFT, "preset: draft"),
        (DRAFT + "dry_run: true\n", "a/bee", Code.APPROVE_NOT_READY, "planned"),
        ("prompt: [", "a/bee", Code.APPROVE_NOT_READY, "rejected"),
    ],
)
def test_what_cannot_be_approved_is_answered(
    world: World, body: str, name: str, code: Code, words: str
) -> None:
    made(world, body)
    sent = len(world.post.sent)
    job = approve(world, name)
    assert (job.state, codes(job)) == (State.REJECTED, [code])
    text = world.files.read("output", s3_keys.rejected(f"(approve)/{name}")).decode()
    assert words in text and code in text, text
    assert len(world.post.sent) == sent + 1
    assert "jobs/a/bee-final.json" not in world.files.keys("input")


def test_a_draft_that_has_not_ended_is_approved_later(world: World) -> None:
    world.drop("jobs/a/bee.yaml", DRAFT)
    job = approve(world)
    assert codes(job) == [Code.APPROVE_NOT_READY] and "queued" in job.problems[0].message
    for attempt in world.dispatch():
        world.render(attempt)
    assert approve(world).state == State.HANDED_ON
    assert "rejected/(approve)/a/bee.txt" not in world.files.keys("output")


def test_a_video_of_a_job_that_failed_can_be_approved(world: World) -> None:
    world.drop("jobs/a/bee.yaml", DRAFT + "variations: 2\n")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=tasks(world)[0].task_id)
    assert "failed" in approve(world).problems[0].message
    assert codes(approve(world, "a/bee-01")) == [Code.APPROVE_NOT_READY]
    assert approve(world, "a/bee-02").state == State.HANDED_ON


LONG = [f"{number:02d} {'ü' * 40}{'x' * 1957}" for number in range(32)]


@pytest.mark.parametrize(
    "more",
    ["scenes: [a bee lands, it flies away]\nmatrix: {model: [wan2.2-5b, cogvideox-5b]}\n",
     f"matrix: {{prompt: [{', '.join(LONG)}]}}\n"],
    ids=["other scenes", "too long"],
)  # fmt: skip
def test_what_does_not_fit_into_one_spec_is_approved_one_by_one(world: World, more: str) -> None:
    world.set(max_tasks_per_job=32, default_model="wan2.2-5b")
    draft = made(world, f"enhance: false\npreset: draft\n{more}")
    assert draft.state == State.SUCCEEDED, draft.problems
    job = approve(world)
    assert codes(job) == [Code.APPROVE_NAME] and "approve/a/bee-01" in job.problems[0].hint
    assert approve(world, "a/bee-01").state == State.HANDED_ON
    assert jobs(world)[-1].state == State.QUEUED


def test_the_sweep_finds_an_approval_without_an_event(world: World) -> None:
    made(world)
    world.drop("approve/a/bee", b"", event=False)
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert "approve/a/bee" in world.announced
    assert world.files.exists("input", "jobs/a/bee-final.json")
    world.clock.move(minutes=10)
    world.announced.clear()
    sweep(world.ports)
    assert "approve/a/bee" not in world.announced


def test_the_answer_goes_with_the_file(world: World) -> None:
    approve(world, "bee")
    assert "rejected/(approve)/bee.txt" in world.files.keys("output")
    world.delete("approve/bee", event=False)
    deleted(world.ports, "input", "approve/bee")
    assert [key for key in world.files.keys("output") if "(approve)" in key] == []


def test_status_and_mail_of_a_draft_say_how_to_approve_it(world: World) -> None:
    made(world)
    said = status(world, "a/bee").message
    assert said.startswith("Ready.") and "approve/a/bee" in said and "can differ" in said
    (mail,) = world.post.sent
    assert "aws s3api put-object --bucket input --key approve/a/bee" in mail.body
    approve(world)
    for attempt in world.dispatch():
        world.render(attempt)
    assert status(world, "a/bee-final").message == "Ready."
    assert "approve" not in world.post.sent[-1].body
