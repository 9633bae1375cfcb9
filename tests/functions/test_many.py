"""Jobs of several videos, dry runs, reviews, folder defaults and images that become jobs."""

import io
import json
from contextlib import suppress

import pytest
from PIL import Image

from contract.errors import Code, JobRejected, Problem
from functions.replies.publish import settle
from functions.replies.sidecar import Sidecar
from functions.spec.fields import MAX_VIDEOS
from functions.spec.language_model import Answer
from functions.spec.parsed import Parsed
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.ledger import WAITING
from functions.table.records import State, Waiting
from tests.fakes import PNG, World, picture
from tests.functions.resolved_specs import read_all
from tests.functions.stored import jobs, status, tasks


def mp4s(world: World) -> list[str]:
    return [key for key in world.files.keys("output") if key.endswith(".mp4")]


def test_variations_are_numbered_and_have_a_contact_sheet(world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: x\nvariations: 3\noutputs: [mp4, gif]\n")
    (attempt,) = world.dispatch()
    assert [task.gif for task in world.manifest(attempt).tasks] == [True] * 3
    world.render(attempt)
    stems = [f"videos/a/bee-0{n}" for n in (1, 2, 3)]
    assert mp4s(world) == [f"{stem}.mp4" for stem in stems]
    assert all(f"{stem}.gif" in world.files.keys("output") for stem in stems)
    with Image.open(io.BytesIO(world.files.read("output", "videos/a/bee.jpg"))) as sheet:
        assert sheet.format == "JPEG" and sheet.width > 2 * 96
    (mail,) = world.post.sent
    assert mail.body.count(".mp4 .") == 3 and "videos/a/bee.jpg" in mail.body
    seeds = {
        Sidecar.from_json(world.files.read("output", f"{stem}.json")).spec.seed for stem in stems
    }
    assert len(seeds) == 3


def test_one_prompt_is_enhanced_once_for_all_its_videos(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a\nvariations: 4\nmatrix: {prompt: [b, c]}\n")
    assert len(world.language_model.asked) == 2 and len(tasks(world)) == 8


def test_the_other_prompts_are_kept_if_enhancing_takes_too_long(world: World) -> None:
    def slow(*_: object, **__: object) -> Answer:
        world.clock.move(seconds=21)
        return Answer("A caption.", "end_turn", "fake")

    world.language_model.converse = slow  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml", "prompt: a\nmatrix: {prompt: [b, c]}\n")
    first, second = (task.enhancement for task in tasks(world))
    assert (first.status, second.status) == ("enhanced", "kept") and second.reason


def test_a_dry_run_answers_with_the_plan_and_renders_nothing(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nvariations: 2\nseed: 5\ndry_run: true\n")
    (job,) = jobs(world)
    assert job.state == State.PLANNED and world.dispatch() == []
    told = status(world, "bee")
    assert "2 videos" in told.message
    assert [task.spec.seed for task in told.tasks if task.spec] == [5, 6]
    assert told.tasks[0].spec is not None
    assert told.tasks[0].spec.prompt == "A bee lands. It is warm."
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: bee was planned" and "2 videos" in mail.body
    assert mail.body.count("Prompt: A bee lands. It is warm.") == 2 and "seed 6" in mail.body


def test_a_dry_run_replaces_no_other_job(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\n")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "prompt: x\ndry_run: true\n")
    assert [job.state for job in jobs(world)] == [State.QUEUED, State.PLANNED]


def captions(world: World) -> None:
    """Let the language model answer each prompt differently."""

    def answer(system: str, user: str, *_: object, **__: object) -> Answer:
        world.language_model.asked.append((system, user))
        words = user.split("\n")[1]
        return Answer(f"A caption: {words}.", "end_turn", "fake")

    world.language_model.converse = answer  # type: ignore[method-assign]


def test_a_review_is_the_spec_with_rewritten_prompts(world: World) -> None:
    captions(world)
    body = "# mine\nprompt: ein Käfer\nenhance: review\n"
    body += "matrix: {seed: [1, 2], prompt: [b, ein Käfer]}\n"
    world.drop("jobs/a b/bee.yaml", body)
    planned = tasks(world)
    assert jobs(world)[0].state == State.PLANNED and world.dispatch() == []
    review = world.files.read("output", "review/a b/bee.yaml").decode()
    assert "#   ein Käfer" in review and '"A caption: ein Käfer."' in review
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: a b/bee needs your review"
    assert "'s3://input/jobs/a b/bee.yaml'" in mail.body
    console = "https://us-east-1.console.aws.amazon.com/s3"
    assert f"{console}/object/output?region=us-east-1&prefix=review/a%20b/bee.yaml" in mail.body
    assert f"{console}/buckets/input?region=us-east-1&prefix=jobs/a%20b/" in mail.body
    world.clock.move(seconds=5)
    world.drop("jobs/a b/bee.yaml", review)
    made = [task.spec for task in tasks(world) if task.state == State.QUEUED]
    assert made == [task.spec for task in planned], (
        "dropped unchanged, the review makes the same videos"
    )
    assert len(world.language_model.asked) == 2, "a reviewed prompt is not rewritten again"


@pytest.mark.parametrize(
    "body",
    [
        "prompt: |\n  a bee\n  seed: 7\n  # and more\nenhance: review\n",
        'prompt: "a \\u2028 bee: #1 \\"x\\" \u201csmart\u201d"\nenhance: review\n',
        "prompt: a\nenhance: review\nmatrix: {image: [a.png, b.png]}\n",
        "prompt: a\nenhance: review\nvariations: 1\nmatrix: {prompt: [a, b], seed: [1, 2], "
        "exclude: [{prompt: a, seed: 1}]}\n",
        "prompt: a\nenhance: review\nvariations: 1\npriority: normal\nnotify: true\ntags: []\n"
        "matrix: null\n",
    ],
)
def test_a_review_dropped_as_it_is_makes_what_was_planned(world: World, body: str) -> None:
    captions(world)
    world.drop("jobs/a.png", PNG)
    world.drop("jobs/b.png", picture("PNG", colour="blue"))
    world.drop(
        "jobs/_defaults.yaml",
        "variations: 3\npriority: low\nnotify: false\ntags: [x]\nmatrix: {fps: [8, 9]}\n",
    )
    world.drop("jobs/bee.yaml", body)
    planned = [task.spec for task in tasks(world)]
    review = world.files.read("output", "review/bee.yaml").decode()
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", review)
    made = [task.spec for task in tasks(world) if task.state == State.QUEUED]
    assert planned and made == planned, (review, jobs(world)[-1].problems)


def test_a_late_event_does_not_restore_an_old_review(world: World) -> None:
    captions(world)
    for prompt in ("old", "new"):
        world.drop("jobs/bee.yaml", f"prompt: {prompt}\nenhance: review\n")
        world.clock.move(seconds=5)
    submit(world.ports, "input", "jobs/bee.yaml", "v1")
    assert "caption: new" in world.files.read("output", "review/bee.yaml").decode()


@pytest.mark.parametrize("caption", ["x" * 2001, "a\0b", "a \u202e b"])
def test_a_malformed_caption_is_not_used(world: World, caption: str) -> None:
    world.language_model.answer = Answer(caption, "end_turn", "fake")
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    (task,) = tasks(world)
    assert task.spec.prompt == "a bee" and task.enhancement.status == "kept"
    assert world.dispatch()


def test_notify_false_sends_no_mail(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nnotify: false\n")
    world.render(world.dispatch()[0])
    assert jobs(world)[0].state == State.SUCCEEDED and not world.post.sent


def test_the_language_model_sees_the_image(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "prompt: it flies\nimage: bee.png\n")
    (shown,) = world.language_model.shown
    assert shown is not None
    with Image.open(io.BytesIO(shown)) as preview:
        assert preview.format == "JPEG"
    assert "first frame" in world.language_model.asked[0][0]


def test_a_job_waits_for_all_references_and_says_which_are_missing(world: World) -> None:
    world.drop("jobs/bee.yaml", "matrix: {image: [a.png, b.png, c.png, d.png]}\n")
    said = []
    for name in ("b", "d", "c", "a"):
        said.append(status(world, "bee").message)
        world.drop(f"jobs/{name}.png", picture("PNG", colour="blue"), event=name != "d")
        if name == "d":
            assert status(world, "bee").message == said[-1], "its event was lost"
            sweep(world.ports)
    assert said == [
        "Waiting for jobs/a.png, jobs/b.png, jobs/c.png and jobs/d.png to be uploaded.",
        "Waiting for jobs/a.png, jobs/c.png and jobs/d.png to be uploaded.",
        "Waiting for jobs/a.png and jobs/c.png to be uploaded.",
        "Waiting for jobs/a.png to be uploaded.",
    ]
    kept = {reference.key for task in tasks(world) for reference in task.references}
    assert jobs(world)[0].state == State.QUEUED and len(kept) == 4
    assert not world.ledger.query(WAITING, Waiting)


def test_a_job_waits_for_as_many_references_as_it_can_have(world: World) -> None:
    """Also if the commit with its tasks is as large as it can be."""
    names = [f"{number:02d}.png" for number in range(MAX_VIDEOS)]
    world.drop("jobs/a/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/a/bee-01.yaml", f"matrix: {{image: [{', '.join(names)}]}}\n")
    assert "00.png, jobs/a/01.png" in (said := status(world, "a/bee-01").message)
    assert said.endswith("jobs/a/04.png and 27 more to be uploaded.")
    for name in reversed(names):
        world.drop(f"jobs/a/{name}", PNG, event=name == names[0])
    assert [job.state for job in jobs(world)] == [State.QUEUED]
    assert len(tasks(world)) == MAX_VIDEOS and not world.ledger.query(WAITING, Waiting)


def test_missing_references_with_names_that_are_alike_are_waited_for(world: World) -> None:
    world.drop("jobs/bee.yaml", "matrix: {image: [a.png, A.png]}\n")
    assert status(world, "bee").message.startswith("Waiting for jobs/a.png and jobs/A.png")
    world.drop("jobs/A.png", PNG)
    assert jobs(world)[0].state == State.QUEUED, "one file may be meant by both names"


def test_every_reference_that_never_came_is_named(world: World) -> None:
    world.drop("jobs/bee.yaml", "matrix: {image: [a.png, b.png], seed: [1, 2]}\n")
    world.drop("jobs/b.png", b"")
    world.clock.move(minutes=61)
    sweep(world.ports)
    (job,) = jobs(world)
    assert [one.message.split()[2] for one in job.problems] == ["jobs/a.png", "jobs/b.png"]
    assert {(one.code, one.place.field) for one in job.problems} == {
        ("reference-never-came", "image")
    }
    assert len(world.post.sent) == 1
    for name in ("a", "b"):
        world.drop(f"jobs/{name}.png", PNG)
    assert jobs(world)[-1].state == State.QUEUED


def test_a_status_is_published_before_the_language_model_answers(world: World) -> None:
    seen: list[str] = []

    def look(*_: object, **__: object) -> Answer:
        seen.append(status(world, "bee").message)
        return Answer("A caption.", "end_turn", "fake")

    world.language_model.converse = look  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml")
    assert seen == ["The prompt is being enhanced."]


def test_the_sweep_accepts_a_drop_whose_handler_was_killed_while_reading(world: World) -> None:
    def die(*_: object, **__: object) -> Answer:
        raise MemoryError

    converse, world.language_model.converse = world.language_model.converse, die  # type: ignore[method-assign]
    with suppress(MemoryError):
        world.drop("jobs/bee.yaml")
    assert jobs(world)[0].state == State.WAITING
    world.language_model.converse = converse  # type: ignore[method-assign]
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert jobs(world)[0].state == State.QUEUED and len(tasks(world)) == 1


# --- folder defaults and images as jobs ------------------------------------------------------


@pytest.mark.parametrize("wrong", ["fps: fast\n", "model: cogvideo-5b\n"])
def test_wrong_defaults_are_refused_when_they_are_dropped(world: World, wrong: str) -> None:
    world.drop("jobs/a/_defaults.yaml", wrong)
    refusal = world.files.read("output", "rejected/a/_defaults.txt").decode()
    assert "jobs/a/_defaults.yaml" in refusal and "line 1" in refusal
    world.clock.move(seconds=5)
    world.drop("jobs/a/_defaults.yaml", "fps: 12\n")
    assert "rejected/a/_defaults.txt" not in world.files.keys("output")
    assert len(jobs(world)) == 1
    world.drop("jobs/a/bee.yaml", "prompt: x\n")
    assert tasks(world)[0].spec.fps == 12


def test_an_image_becomes_a_job_if_its_folder_animates_images(world: World) -> None:
    world.drop("jobs/a/photo.png", PNG)
    assert not jobs(world)
    world.drop("jobs/b/_defaults.yaml", "animate_images: true\nprompt: it moves\n")
    world.drop("jobs/b/photo.png", PNG)
    (task,) = tasks(world)
    assert task.spec.image == "/b/photo.png" and task.enhancement.original == "it moves"
    world.render(world.dispatch()[0])
    assert mp4s(world) == ["videos/b/photo.png.mp4"]


def test_an_image_that_a_spec_waits_for_does_not_become_a_job(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/bee.yaml", "prompt: x\nimage: bee.png\n")
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/other.png", PNG)
    version = world.files.facts("input", "jobs/bee.png").version
    submit(world.ports, "input", "jobs/bee.png", version)  # the event comes again
    assert sorted(job.path for job in jobs(world)) == ["bee", "other.png"]


def test_the_sidecar_of_each_video_makes_that_video_again(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: x\nmatrix: {seed: [3, 4], preset: [draft, best]}\n")
    # Videos of two presets are computed in different ways, so they share no processing job.
    for _ in range(2):
        world.render(world.dispatch()[0])
    for task in tasks(world):
        sidecar = world.files.read("output", f"videos/bee-{task.number:02d}.json")
        spec = json.dumps(json.loads(sidecar)["spec"])
        assert read_all(spec, "jobs/elsewhere/again.json") == [task.spec]


def test_references_in_long_folders_are_found(world: World) -> None:
    folder = "jobs/" + "f" * 505
    world.drop(f"{folder}/star.png", PNG)
    world.drop(f"{folder}/a.yaml", "prompt: x\nimage: star.png\n")
    assert jobs(world)[0].state == State.QUEUED


@pytest.mark.parametrize("event", [True, False])
def test_an_image_that_came_before_its_folders_defaults_becomes_a_job(
    world: World, event: bool
) -> None:
    world.drop("jobs/p/IMG_1.JPG", picture("JPEG"), event=event)
    world.drop("jobs/p/_defaults.yaml", "animate_images: true\nprompt: x\n")
    world.clock.move(minutes=5)
    sweep(world.ports)
    sweep(world.ports)
    assert [job.path for job in jobs(world)] == ["p/IMG_1.JPG"]


def test_the_sweep_refuses_wrong_defaults_whose_event_was_lost(world: World) -> None:
    world.drop("jobs/p/_defaults.yaml", "fps: fast\n", event=False)
    world.clock.move(minutes=5)
    sweep(world.ports)
    assert "rejected/p/_defaults.txt" in world.files.keys("output")


def test_correct_defaults_that_could_not_be_read_at_first_are_not_rendered(world: World) -> None:
    spec, asked = world.reader.spec, []

    def slow_once(body: bytes, key: str) -> Parsed:
        asked.append(key)
        if len(asked) == 1:
            raise JobRejected(Problem(code=Code.SPEC_UNREADABLE, message="slow", hint="again"))
        return spec(body, key)

    world.reader.spec = slow_once  # type: ignore[method-assign]
    world.drop("jobs/a/_defaults.yaml", "prompt: a bee\nfps: 9\n")
    assert [job.state for job in jobs(world)] == [State.REJECTED] and not world.dispatch()


@pytest.mark.parametrize("corrected", [True, False])
def test_no_reply_is_left_after_wrong_defaults_are_corrected_or_deleted(
    world: World, corrected: bool
) -> None:
    world.drop("jobs/p/_defaults.yaml", "fps: fast\n")
    world.clock.move(seconds=5)
    if corrected:
        world.drop("jobs/p/_defaults.yaml", "fps: 9\n")
    else:
        world.delete("jobs/p/_defaults.yaml")
    assert not world.files.keys("output")
    (job,) = jobs(world)
    settle(world.ports, job.job_id)  # an event came late, or the sweep finds something owed
    assert not world.files.keys("output")


def test_defaults_with_only_comments_are_ignored(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "# fps: 8\n")
    world.drop("jobs/a.yaml", "prompt: x\n")
    assert [job.state for job in jobs(world)] == [State.QUEUED]
