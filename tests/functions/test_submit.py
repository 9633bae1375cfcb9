"""Accepting drops: one job for each version of a spec, references in any order, and refusals."""

import io
import json
from datetime import timedelta

import pytest
from PIL import Image

from functions import s3_keys
from functions.log import Event
from functions.spec.language_model import Answer, LanguageModelUnavailable
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.ledger import QUEUE, WAITING, Change
from functions.table.records import QueueEntry, State, Waiting
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks


def test_a_drop_becomes_a_queued_job_with_a_status_and_a_wake_up(world: World) -> None:
    world.drop("jobs/birthday/bee.yaml", "prompt: a bee\n")
    (job,) = jobs(world)
    (task,) = tasks(world)
    assert job.state == task.state == State.QUEUED
    assert job.path == "birthday/bee"
    assert [e.document.task_id for e in world.ledger.query(QUEUE, QueueEntry)] == [task.task_id]
    assert status(world, "birthday/bee").message == "In the queue."
    assert world.wakes == 1


def test_a_prompt_outside_the_demo_models_world_is_rendered_with_a_warning(world: World) -> None:
    for path, prompt in (("bee", "a bee"), ("star", "a red star moves left")):
        world.drop(f"jobs/{path}.yaml", f"prompt: {prompt}\nmodel: demo\nenhance: false\n")
    world.drop("jobs/many.yaml", "prompt: a bee\nmodel: demo\nvariations: 3\n")
    said = {
        path: [warning.code for warning in status(world, path).warnings]
        for path in ("bee", "star", "many")
    }
    assert said == {"bee": ["outside-its-world"], "star": [], "many": ["outside-its-world"]}
    world.render(world.dispatch()[0])
    sidecar = json.loads(world.files.read("output", "videos/bee.json"))
    assert sidecar["warnings"][0]["code"] == "outside-its-world"


def test_an_event_that_comes_many_times_makes_one_job(world: World) -> None:
    world.drop("jobs/bee.yaml")
    for _ in range(4):
        submit(world.ports, "input", "jobs/bee.yaml", "v1")
        submit(world.ports, "input", "jobs/bee.yaml", None)
    assert len(jobs(world)) == 1
    assert len(world.language_model.asked) == 1


def test_dropping_the_same_text_again_makes_a_new_job(world: World) -> None:
    world.drop("jobs/bee.yaml")
    world.drop("jobs/bee.yaml")
    assert len(jobs(world)) == 2


def test_the_version_that_the_event_names_is_read(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: first\n", event=False)
    version = world.files.facts("input", "jobs/bee.yaml").version
    submit(world.ports, "input", "jobs/bee.yaml", version)
    assert tasks(world)[0].enhancement.original == "first"


def test_a_version_that_was_overwritten_before_it_was_read_is_not_rendered(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: first\n", event=False)
    version = world.files.facts("input", "jobs/bee.yaml").version
    world.drop("jobs/bee.yaml", "prompt: second\n")
    submit(world.ports, "input", "jobs/bee.yaml", version)
    (task,) = tasks(world)
    assert task.enhancement.original == "second"


def test_a_refusal_is_written_to_the_bucket_and_mailed_once(world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee\nsteps: 50\n")
    submit(world.ports, "input", "jobs/a/bee.yaml", "v1")
    (job,) = jobs(world)
    assert job.state == State.REJECTED and not tasks(world)
    text = world.files.read("output", "rejected/a/bee.txt").decode()
    assert "no field called 'steps'" in text and "line 2, column 1" in text
    assert "Fix:" in text and "field-unknown" in text
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: a/bee was refused"
    assert "no field called 'steps'" in mail.body
    assert mail.attributes["status"] == "rejected"
    console = "https://us-east-1.console.aws.amazon.com/s3"
    assert f"{console}/object/output?region=us-east-1&prefix=rejected/a/bee.txt\n" in mail.body
    assert f"{console}/buckets/input?region=us-east-1&prefix=jobs/a/\n" in mail.body


def test_a_corrected_spec_removes_the_old_refusal(world: World) -> None:
    world.drop("jobs/bee.yaml", "nonsense")
    assert "rejected/bee.txt" in world.files.keys("output")
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    assert "rejected/bee.txt" not in world.files.keys("output")
    assert status(world, "bee").state == State.QUEUED


@pytest.mark.parametrize(
    "key",
    ["jobs/bee.yaml.txt", "jobs/bee.yamll", "jobs/bee", "jobs/bee.docx", "jobs/_Defaults.yml"],
)
def test_a_file_with_a_wrong_name_gets_an_answer(world: World, key: str) -> None:
    world.drop(key)
    (job,) = jobs(world)
    assert [p.code for p in job.problems] == ["key-suffix"]
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert len(world.post.sent) == 1


@pytest.mark.parametrize(
    "key", ["jobs/", "jobs/a/", "jobs/.DS_Store", "jobs/a/_defaults.yaml", "other/bee.yaml"]
)
def test_files_that_are_not_drops_are_ignored(world: World, key: str) -> None:
    world.drop(key)
    assert not jobs(world) and not world.post.sent and not world.files.keys("output")


@pytest.mark.parametrize("key", ["JOBS/bee.PNG", "Jobs/a/bee.jpg", "job/bee.mp4", "/jobs/bee.webp"])
def test_a_reference_beside_the_folder_is_told_where_it_belongs(world: World, key: str) -> None:
    world.drop(key, PNG)
    (job,) = jobs(world)
    assert [problem.code for problem in job.problems] == ["key-place"]
    name = key.rpartition("/")[2]
    below = f"a/{name}" if "/a/" in key else name
    assert f"Move it to s3://input/jobs/{below}:" in job.problems[0].hint
    assert not world.post.sent, "one mail a day lists all of them"


@pytest.mark.parametrize("suffix", ["yaml", "yml", "YAML", "json", "txt"])
def test_every_format_of_spec_is_accepted(world: World, suffix: str) -> None:
    body = {"json": '{"prompt": "a bee"}', "txt": "a bee\n"}.get(suffix, "prompt: a bee\n")
    world.drop(f"jobs/bee.{suffix}", body)
    (job,) = jobs(world)
    assert job.state == State.QUEUED and job.path == "bee"
    assert tasks(world)[0].enhancement.original == "a bee"


@pytest.mark.parametrize(
    "name",
    ["a b", "ä ö", "a+b%2Fc", "😀", "../../etc/passwd", "x" * 1014, "ü" * 507],
    ids=["space", "umlaut", "plus", "emoji", "dots", "long", "long-unicode"],
)
def test_every_key_gets_its_video(world: World, name: str) -> None:
    world.drop(f"jobs/{name}.yaml")
    (attempt,) = world.dispatch()
    world.render(attempt)
    (job,) = jobs(world)
    assert job.state == State.SUCCEEDED
    assert len([key for key in world.files.keys("output") if key.endswith(".mp4")]) == 1
    assert len(world.post.sent) == 1


def test_the_prompt_is_enhanced_and_the_original_kept(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: eine <b>Biene</b>\n")
    (task,) = tasks(world)
    assert task.parameters.prompt == "A bee lands. It is warm."
    assert (task.enhancement.status, task.enhancement.original) == ("enhanced", "eine <b>Biene</b>")
    assert task.enhancement.answered_by == "fake"
    system, user = world.language_model.asked[0]
    assert user == "<prompt>\neine &lt;b&gt;Biene&lt;/b&gt;\n</prompt>"
    assert "<role>" in system and "<task>" in system


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (LanguageModelUnavailable("ThrottlingException: slow down"), "ThrottlingException"),
        (Answer("", "end_turn", "fake"), "empty"),
        (Answer("A bee la", "max_tokens", "fake"), "max_tokens"),
        (Answer("", "content_filtered", "fake"), "content_filtered"),
    ],
)
def test_without_an_answer_the_prompt_is_kept_and_the_reason_recorded(
    world: World, answer: Answer | LanguageModelUnavailable, reason: str
) -> None:
    world.language_model.answer = answer
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    (task,) = tasks(world)
    assert task.parameters.prompt == "a bee"
    assert task.enhancement.status == "kept"
    assert reason in task.enhancement.reason
    logged = [facts for event, facts in world.logged if event == Event.NOT_ENHANCED]
    assert len(logged) == 1 and logged[0]["reasons"], "an alarm counts it"


def test_a_prompt_that_the_guardrail_blocks_is_rejected(world: World) -> None:
    world.language_model.answer = Answer("no", "guardrail_intervened", "fake")
    world.drop("jobs/bee.yaml")
    (job,) = jobs(world)
    assert [p.code for p in job.problems] == ["prompt-blocked"]


def test_enhancement_can_be_turned_off(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\nenhance: false\n")
    assert not world.language_model.asked
    assert tasks(world)[0].parameters.prompt == "a bee"


@pytest.mark.parametrize("reference_first", [True, False])
def test_a_reference_may_come_before_or_after_its_spec(world: World, reference_first: bool) -> None:
    if reference_first:
        world.drop("jobs/a/bee.png", PNG)
    world.drop("jobs/a/bee.yaml", "prompt: it flies\nimage: bee.png\n")
    if not reference_first:
        (job,) = jobs(world)
        assert job.state == State.WAITING and not tasks(world)
        assert status(world, "a/bee").message == "Waiting for jobs/a/bee.png to be uploaded."
        world.drop("jobs/a/bee.png", PNG)
    (job,), (task,) = jobs(world), tasks(world)
    assert job.state == State.QUEUED and not world.ledger.query(WAITING, Waiting)
    assert task.parameters.mode == "image-to-video"
    (reference,) = task.references
    assert (reference.field, reference.source) == ("image", "jobs/a/bee.png")
    with Image.open(io.BytesIO(world.files.read("work", reference.key))) as kept:
        assert kept.size == (96, 64)


COMPOSED, DECOMPOSED = "gr\u00fcn.png", "gru\u0308n.png"


@pytest.mark.parametrize("when", ["before", "after", "after, and its event is lost"])
@pytest.mark.parametrize(("written", "uploaded"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_reference_is_found_in_both_unicode_forms_of_its_name(
    world: World, written: str, uploaded: str, when: str
) -> None:
    """macOS decomposes "ü" in the names of files, most editors do not."""
    if when == "before":
        world.drop(f"jobs/{uploaded}", PNG)
    world.drop("jobs/bee.yaml", f"image: {written}\n")
    if when == "after":
        world.drop(f"jobs/{uploaded}", PNG)
    elif when != "before":
        world.files.write("input", f"jobs/{uploaded}", PNG, "image/png")
        sweep(world.ports)
    (job,), (task,) = jobs(world), tasks(world)
    assert job.state == State.QUEUED and not world.ledger.query(WAITING, Waiting)
    (reference,) = task.references
    assert reference.key in world.files.keys("work")


def test_a_reference_with_the_exact_name_is_preferred(world: World) -> None:
    world.drop(f"jobs/{DECOMPOSED}", b"no picture")
    world.drop(f"jobs/{COMPOSED}", PNG)
    world.drop("jobs/bee.yaml", f"image: {COMPOSED}\n")
    assert jobs(world)[0].state == State.QUEUED


def test_a_name_that_is_too_long_in_one_unicode_form_is_refused(world: World) -> None:
    """U+0958 has three bytes, and six in its normal form. A sort key has at most 1,024."""
    name = "\u0958" * 290 + ".png"
    world.drop("jobs/bee.yaml", f"image: {name}\n")
    world.drop(f"jobs/{name}", PNG)
    assert [p.code for p in jobs(world)[0].problems] == ["reference-place"]


def test_a_reference_that_comes_between_check_and_note_is_found(world: World) -> None:
    """The event of the reference finds no waiting job, so the job has to look again."""
    commit = world.ledger.commit

    def late(*changes: Change) -> None:
        world.ledger.commit = commit  # type: ignore[method-assign]
        world.drop("jobs/bee.png", PNG)
        commit(*changes)

    world.ledger.commit = late  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml", "image: bee.png\n")
    assert jobs(world)[0].state == State.QUEUED


def test_a_job_whose_reference_never_comes_is_rejected_after_the_deadline(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: bee.png\n")
    world.clock.move(minutes=59)
    sweep(world.ports)
    assert jobs(world)[0].state == State.WAITING
    world.clock.move(minutes=2)
    sweep(world.ports)
    sweep(world.ports)
    (job,) = jobs(world)
    assert [p.code for p in job.problems] == ["reference-never-came"]
    assert "rejected/bee.txt" in world.files.keys("output")
    assert len(world.post.sent) == 1 and not world.ledger.query(WAITING, Waiting)


def test_a_spec_deleted_while_it_waits_is_canceled_by_the_next_sweep(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: bee.png\ntags: [spring]\n")
    del world.files.objects[("input", "jobs/bee.yaml")]
    world.drop("jobs/bee.png", PNG)
    assert jobs(world)[0].state == State.WAITING
    sweep(world.ports)
    assert jobs(world)[0].state == State.CANCELED
    assert world.post.sent[0].attributes["tags"] == ("spring",)


def test_a_late_event_of_an_older_version_changes_no_reply(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: [")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    submit(world.ports, "input", "jobs/bee.yaml", "v1")
    assert status(world, "bee").state == State.QUEUED
    assert "rejected/bee.txt" not in world.files.keys("output")
    assert len(world.post.sent) == 1


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("../../secret.png", "reference-place"),
        ("http://example.org/a.png", "reference-place"),
        ("s3://input/jobs/a.png", "reference-place"),
        ("file:///etc/passwd.png", "reference-place"),
        ("folder/", "reference-place"),
        ("bee.yaml", "reference-place"),
        ("\U0001f41d" * 250 + ".png", "reference-place"),
        ("other.yaml", "reference-kind"),
        ("bee.gif", "reference-kind"),
        ("text.png", "reference-kind"),
    ],
)
def test_references_of_the_wrong_place_or_kind_are_refused(
    world: World, value: str, code: str
) -> None:
    world.drop("jobs/text.png", b"I am a text")
    world.drop("jobs/bee.yaml", json.dumps({"image": value}, ensure_ascii=False))
    (job,) = jobs(world)
    assert [p.code for p in job.problems] == [code]


def test_the_refusal_of_a_mode_names_models_that_have_it(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "image: bee.png\nmodel: cogvideox-2b\n")
    (problem,) = jobs(world)[0].problems
    assert problem.code == "mode-unsupported" and "cogvideox-5b" in problem.hint


def test_a_spec_that_is_deleted_before_it_is_read_makes_no_job(world: World) -> None:
    submit(world.ports, "input", "jobs/gone.yaml", "v9")
    assert not jobs(world) and not world.files.keys("output")


def test_the_sweep_finds_a_drop_whose_event_was_lost(world: World) -> None:
    world.drop("jobs/bee.yaml", event=False)
    sweep(world.ports)
    assert not jobs(world), "its event may still come for two minutes"
    world.clock.move(minutes=5)
    sweep(world.ports)
    sweep(world.ports)
    (job,) = jobs(world)
    assert job.state == State.QUEUED and job.created_at == world.clock() + timedelta(0)


@pytest.mark.parametrize(
    ("key", "belongs"),
    [
        ("bee.yaml", "s3://input/jobs/bee.yaml"),
        ("prompt.TXT", "s3://input/jobs/prompt.TXT"),
        ("Jobs/a/bee.yaml", "s3://input/jobs/a/bee.yaml"),
        ("job/bee.json", "s3://input/jobs/bee.json"),
        ("jbos/bee.yml", "s3://input/jobs/bee.yml"),
        ("jobs /bee.yml", "s3://input/jobs/bee.yml"),
        ("/jobs/bee.yml", "s3://input/jobs/bee.yml"),
        ("jobs", "aws s3 cp FILE s3://input/jobs/"),
    ],
)
def test_a_spec_beside_the_folder_is_told_where_it_belongs(
    world: World, key: str, belongs: str
) -> None:
    world.drop("jobs/bee.yaml", "prompt: the real one\n")
    world.drop(key)
    (job,) = [job for job in jobs(world) if job.state == State.REJECTED]
    assert job.path.startswith("(not in jobs)/")
    refusal = world.files.read("output", s3_keys.rejected(job.path)).decode()
    assert belongs in refusal and "Code:  key-place" in refusal
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert len(world.post.sent) == 1 and belongs in world.post.sent[0].body
    assert status(world, "bee").state == State.QUEUED, "it has a status of its own"
    world.delete(key)
    assert not [k for k in world.files.keys("output") if "(not in jobs)" in k]
    if key != "jobs":  # the advice works
        before = len(tasks(world))
        world.drop(belongs.removeprefix("s3://input/"), '{"prompt": "moved"}' if ".json" in key
                   else "moved" if ".TXT" in key else "prompt: moved\n")  # fmt: skip
        assert len(tasks(world)) == before + 1


@pytest.mark.parametrize("key", ["logs/x.yaml", "videos/a.json", "bee.png", "x/jobs/a.yaml"])
def test_other_files_in_the_bucket_are_no_drops(world: World, key: str) -> None:
    world.drop(key)
    assert jobs(world) == [] and world.files.keys("output") == []
