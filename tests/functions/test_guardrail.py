"""With a guardrail, nothing is rendered that it has not allowed. Without its answer, drops wait."""

import pytest

from contract.catalogue import MODELS
from contract.errors import Code, Problem
from functions.log import Event
from functions.spec.guardrail import GuardrailUnavailable
from functions.spec.language_model import Answer, LanguageModelUnavailable
from functions.stages.accept import ASK_AGAIN_BY, ENHANCE_UNTIL
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.records import State
from local.cloud.bedrock import BLOCKED_COLOUR, BLOCKED_WORD
from tests.corpus.videos import mp4, of_colours
from tests.fakes import BLOCKED_PNG, PNG, World, picture
from tests.functions.stored import jobs, status, tasks

DENIED = GuardrailUnavailable("AccessDeniedException: not authorized to perform ApplyGuardrail")
NOT_ENHANCED = "enhance: false\n"
BAD = f"a {BLOCKED_WORD} bee"


@pytest.fixture
def guarded(world: World) -> World:
    world.set(guardrail_id="guard", guardrail_version="1")
    return world


def refusal(world: World) -> Problem:
    (job,) = jobs(world)
    assert job.state == State.REJECTED and not tasks(world)
    (problem,) = job.problems
    assert problem.code == Code.PROMPT_BLOCKED
    return problem


@pytest.mark.parametrize(
    "body", ["", NOT_ENHANCED, "enhance: review\n", "dry_run: true\n", "variations: 3\n"]
)
def test_a_prompt_that_is_blocked_is_refused_whatever_else_the_spec_says(
    guarded: World, body: str
) -> None:
    guarded.drop("jobs/bee.yaml", f"{body}prompt: {BAD}\n")
    problem = refusal(guarded)
    assert problem.message == (
        f'The prompt was blocked by this account\'s content rules: the word "{BLOCKED_WORD}".'
    )
    assert problem.place.field == "prompt" and problem.place.line == body.count("\n") + 1
    assert not guarded.language_model.asked, "nobody needs to see it"
    assert "prompt-blocked" in guarded.files.read("output", "rejected/bee.txt").decode()


def test_a_negative_prompt_is_judged_too(guarded: World) -> None:
    guarded.drop("jobs/_defaults.yaml", f"negative_prompt: {BLOCKED_WORD}\n")
    guarded.drop("jobs/bee.yaml", "prompt: a bee\n")
    job = next(job for job in jobs(guarded) if job.path == "bee")
    (problem,) = job.problems
    assert (problem.code, problem.place.field) == (Code.PROMPT_BLOCKED, "negative_prompt")
    assert problem.place.file == "jobs/_defaults.yaml"


def test_the_negative_prompt_of_a_model_is_not_judged(guarded: World) -> None:
    """It names what should not be seen, and a guardrail might take that for a wish."""
    guarded.drop("jobs/bee.yaml", f"{NOT_ENHANCED}prompt: a bee\nmodel: wan2.2-5b\n")
    (task,) = tasks(guarded)
    assert task.spec.negative_prompt == MODELS["wan2.2-5b"].negative_prompt
    assert guarded.guardrail.asked == ["a bee"]


def test_of_many_prompts_the_blocked_one_is_named(guarded: World) -> None:
    guarded.drop("jobs/bee.yaml", f"matrix:\n  prompt:\n  - a bee\n  - {BAD}\n  - a wasp\n")
    assert refusal(guarded).place.line == 4


def test_an_enhanced_prompt_that_is_blocked_is_not_used(guarded: World) -> None:
    guarded.language_model.answer = Answer(f"A {BLOCKED_WORD} bee lands.", "end_turn", "fake")
    guarded.drop("jobs/bee.yaml", "prompt: a bee\n")
    (task,) = tasks(guarded)
    assert (task.spec.prompt, task.enhancement.status) == ("a bee", "kept")
    assert "the guardrail blocked" in task.enhancement.reason
    assert Event.NOT_ENHANCED in [event for event, _ in guarded.logged]


def test_the_own_prompt_was_judged_if_the_language_model_does_not_answer(guarded: World) -> None:
    guarded.language_model.answer = LanguageModelUnavailable("AccessDeniedException: no")
    guarded.drop("jobs/bee.yaml", "prompt: a bee\n")
    (task,) = tasks(guarded)
    assert task.spec.prompt == "a bee" and "a bee" in guarded.guardrail.allowed
    assert [w.code for w in status(guarded, "bee").warnings if w.code == "not-enhanced"]
    assert Event.NOT_ENHANCED in [event for event, _ in guarded.logged]


def test_each_text_is_judged_once(guarded: World) -> None:
    body = "matrix: {prompt: [a, b], seed: [1, 2, 3]}\nnegative_prompt: a\n"
    guarded.drop("jobs/bee.yaml", body)
    caption = "A bee lands. It is warm."
    assert guarded.guardrail.asked == ["a", "b", caption] and len(tasks(guarded)) == 6


def test_without_a_guardrail_nobody_judges(world: World) -> None:
    world.drop("jobs/bee.yaml", f"prompt: {BAD}\n")
    assert jobs(world)[0].state == State.QUEUED and not world.guardrail.asked


@pytest.mark.parametrize("body", ["", NOT_ENHANCED, "priority: high\n", "dry_run: true\n"])
def test_a_drop_waits_until_the_guardrail_answers_however_long_that_takes(
    guarded: World, body: str
) -> None:
    guarded.guardrail.away = DENIED
    guarded.drop("jobs/bee.yaml", f"prompt: a bee\n{body}")
    guarded.pass_time(2 * 86_400)
    (job,) = jobs(guarded)
    assert job.state == State.WAITING and not tasks(guarded) and not guarded.post.sent
    assert status(guarded, "bee").message == (
        "Nothing is rendered until the guardrail has judged this drop, and it does not answer: "
        "AccessDeniedException: not authorized to perform ApplyGuardrail. It is asked again every "
        "few minutes. If this lasts, your administrator has to correct it."
    )
    assert not guarded.language_model.asked
    guarded.guardrail.away = None
    guarded.pass_time(2 * ASK_AGAIN_BY.total_seconds())
    (job,) = jobs(guarded)
    assert job.state == (State.PLANNED if "dry_run" in body else State.QUEUED)
    assert "guardrail" not in status(guarded, "bee").message


def test_a_guardrail_that_does_not_answer_is_counted_in_each_quarter_of_an_hour(
    guarded: World,
) -> None:
    """So the alarm fires although there is only one drop."""
    guarded.guardrail.away = DENIED
    guarded.drop("jobs/bee.yaml")
    for _ in range(8):
        guarded.logged.clear()
        guarded.pass_time(900)
        assert 1 <= [event for event, _ in guarded.logged].count(Event.NOT_JUDGED) <= 15


def test_the_enhanced_prompt_waits_too(guarded: World) -> None:
    judge = guarded.guardrail.judge

    def only_people(text: str) -> object:
        if text.startswith("A "):
            raise DENIED
        return judge(text)

    guarded.guardrail.judge = only_people  # type: ignore[assignment,method-assign]
    guarded.drop("jobs/bee.yaml", "prompt: a bee\n")
    assert jobs(guarded)[0].state == State.WAITING and not tasks(guarded)


def test_a_guardrail_that_is_too_slow_for_many_prompts_counts_as_unavailable(
    guarded: World,
) -> None:
    judge = guarded.guardrail.judge

    def slowly(text: str) -> object:
        guarded.clock.move(seconds=ENHANCE_UNTIL.total_seconds() / 2 + 1)
        return judge(text)

    guarded.guardrail.judge = slowly  # type: ignore[assignment,method-assign]
    guarded.drop("jobs/bee.yaml", "matrix: {prompt: [a, b, c, d, e]}\n" + NOT_ENHANCED)
    assert len(guarded.guardrail.asked) == 2
    assert "takes too long" in status(guarded, "bee").message


def test_newer_folder_defaults_that_are_blocked_do_not_apply(guarded: World) -> None:
    guarded.drop("jobs/a/bee.yaml")
    guarded.clock.move(seconds=5)
    guarded.drop("jobs/a/_defaults.yaml", f"negative_prompt: {BLOCKED_WORD}\n")
    (attempt,) = guarded.dispatch()
    assert BLOCKED_WORD not in guarded.manifest(attempt).tasks[0].parameters.negative_prompt
    assert BLOCKED_WORD in str(status(guarded, "a/bee").warnings)


def test_newer_folder_defaults_that_are_not_judged_are_not_started(guarded: World) -> None:
    guarded.drop("jobs/a/bee.yaml")
    guarded.clock.move(seconds=5)
    guarded.guardrail.away = DENIED
    guarded.drop("jobs/a/_defaults.yaml", "negative_prompt: blurry\n")
    assert guarded.dispatch() == []
    told = status(guarded, "a/bee")
    assert told.state == State.QUEUED and "AccessDeniedException" in told.message
    guarded.guardrail.away = None
    guarded.pass_time(600)
    assert "guardrail" not in status(guarded, "a/bee").message
    (attempt,) = guarded.dispatch()
    assert guarded.manifest(attempt).tasks[0].parameters.negative_prompt == "blurry"


def test_events_and_sweeps_do_not_add_up_while_the_guardrail_does_not_answer(
    guarded: World,
) -> None:
    """Each of two drops is asked about every few minutes, whatever announces it meanwhile."""
    guarded.drop("jobs/a/queued.yaml")
    guarded.clock.move(seconds=5)
    guarded.guardrail.away = DENIED
    guarded.drop("jobs/a/_defaults.yaml", "negative_prompt: blurry\n")
    guarded.drop("jobs/bee.yaml", "prompt: a wasp\n")
    for _ in range(36):
        guarded.pass_time(300)
        guarded.guardrail.asked.clear()
        sweep(guarded.ports)
        guarded.dispatch()
        version = guarded.files.facts("input", "jobs/bee.yaml").version
        submit(guarded.ports, "input", "jobs/bee.yaml", version)
        assert len(guarded.announced_later) <= 2 and len(guarded.guardrail.asked) <= 2
    guarded.guardrail.away = None
    guarded.pass_time(600)
    assert [job.state for job in jobs(guarded)].count(State.QUEUED) == 2
    assert "guardrail" not in status(guarded, "a/queued").message


@pytest.mark.parametrize("late", [False, True])
def test_an_image_that_is_blocked_is_refused_until_another_one_is_uploaded(
    guarded: World, late: bool
) -> None:
    drops = [("jobs/bad.png", BLOCKED_PNG), ("jobs/bee.yaml", b"image: bad.png\n")]
    for key, body in drops[::-1] if late else drops:
        guarded.drop(key, body)
    (job,) = jobs(guarded)
    (problem,) = job.problems
    assert (problem.code, problem.place.line) == (Code.REFERENCE_BLOCKED, 1)
    assert problem.message == (
        "The image bad.png was blocked by this account's content rules: violence."
    )
    assert not tasks(guarded) and not guarded.language_model.asked
    refused = guarded.files.read("output", "rejected/bee.txt").decode()
    assert "Upload a corrected jobs/bad.png under the same name" in refused

    guarded.clock.move(seconds=5)
    guarded.drop("jobs/bad.png", PNG)
    guarded.pass_time(60)
    assert len(tasks(guarded)) == 1 and jobs(guarded)[-1].state == State.QUEUED


def test_an_image_that_is_a_job_by_itself_is_judged(guarded: World) -> None:
    guarded.drop("jobs/_defaults.yaml", "animate_images: true\n")
    guarded.drop("jobs/bad.png", BLOCKED_PNG)
    job = next(job for job in jobs(guarded) if job.path == "bad.png")
    assert [problem.code for problem in job.problems] == [Code.REFERENCE_BLOCKED]


def test_frames_of_a_video_are_judged(guarded: World) -> None:
    guarded.drop("jobs/clip.mp4", mp4())
    guarded.drop("jobs/a.yaml", "video: clip.mp4\nprompt: a bee\nvariations: 3\n")
    (seen,) = guarded.guardrail.seen
    assert len(seen) == 5 and len(set(seen)) == 5, "the same clip is judged once"
    guarded.drop("jobs/bad.mp4", late_magenta())
    guarded.drop("jobs/b.yaml", "video: bad.mp4\nprompt: a bee\n")
    job = next(job for job in jobs(guarded) if job.path == "b")
    assert [problem.code for problem in job.problems] == [Code.REFERENCE_BLOCKED]


def late_magenta() -> bytes:
    """A clip with one key frame. It is black at first, and has the blocked colour later."""
    colours = [(0, 0, 0)] * 9 + [BLOCKED_COLOUR] * 8
    return of_colours(colours)


def test_a_job_waits_until_its_image_is_judged(guarded: World) -> None:
    guarded.guardrail.away = DENIED
    guarded.drop("jobs/good.png", PNG)
    guarded.drop("jobs/bee.yaml", "image: good.png\n")
    guarded.pass_time(3600)
    assert jobs(guarded)[0].state == State.WAITING and not tasks(guarded)
    assert "AccessDeniedException" in status(guarded, "bee").message
    guarded.guardrail.away = None
    guarded.pass_time(2 * ASK_AGAIN_BY.total_seconds())
    assert jobs(guarded)[0].state == State.QUEUED


def test_without_a_guardrail_no_frames_are_decoded(world: World) -> None:
    world.drop("jobs/bad.png", BLOCKED_PNG)
    world.drop("jobs/bee.yaml", "image: bad.png\n")
    assert jobs(world)[0].state == State.QUEUED and not world.guardrail.seen


def rendered(world: World, colour: str = "red") -> None:
    """Drop a spec, and let the worker make a video of one colour."""
    world.drop("jobs/bee.yaml", NOT_ENHANCED + "prompt: a bee\n")
    (attempt,) = world.dispatch()
    world.sample = picture("JPEG", colour=colour)
    world.render(attempt)


def test_a_video_is_judged_before_anybody_can_see_it(guarded: World) -> None:
    rendered(guarded)
    assert len(guarded.guardrail.seen) == 1 and len(guarded.guardrail.seen[0]) == 2
    assert status(guarded, "bee").state == State.SUCCEEDED
    assert guarded.files.read("output", "videos/bee.mp4")


def test_a_video_that_is_blocked_is_withheld(guarded: World) -> None:
    rendered(guarded, "magenta")
    told = status(guarded, "bee")
    assert told.state == State.FAILED
    assert told.message == (
        "The finished video was blocked by this account's content rules: violence. Nobody can see "
        "it. Change the prompt or write another seed, and drop the file again."
    )
    assert not [key for key in guarded.files.keys("output") if key.startswith("videos/")]
    (mail,) = guarded.post.sent
    assert "violence" in mail.body and "X-Amz" not in mail.body
    guarded.pass_time(600)
    sweep(guarded.ports)
    assert status(guarded, "bee").state == State.FAILED


def test_a_video_waits_until_it_is_judged_and_nothing_else_begins(guarded: World) -> None:
    guarded.set(max_processing_jobs=1)
    guarded.drop("jobs/bee.yaml", NOT_ENHANCED + "prompt: a bee\n")
    (attempt,) = guarded.dispatch()
    guarded.drop("jobs/next.yaml", NOT_ENHANCED + "prompt: a wasp\nmodel: cogvideox-2b\n")
    guarded.guardrail.away = DENIED
    guarded.render(attempt)
    for _ in range(5):
        guarded.pass_time(300)
        sweep(guarded.ports)
        assert guarded.dispatch() == []
    told = status(guarded, "bee")
    assert told.state == State.RUNNING and told.message == (
        "1 video is finished, but not published yet: the guardrail does not answer: "
        "AccessDeniedException: not authorized to perform ApplyGuardrail. This is tried again "
        "every few minutes. If it lasts, your administrator has to correct it."
    )
    assert not [key for key in guarded.files.keys("output") if key.startswith("videos/")]
    assert Event.NOT_JUDGED in [event for event, _ in guarded.logged]
    guarded.guardrail.away = None
    guarded.pass_time(300)
    sweep(guarded.ports)
    assert status(guarded, "bee").state == State.SUCCEEDED
    assert len(guarded.dispatch()) == 1


def test_without_pictures_only_texts_are_judged(guarded: World) -> None:
    guarded.set(guardrail_pictures=False)
    guarded.drop("jobs/bad.png", BLOCKED_PNG)
    guarded.drop("jobs/bee.yaml", "image: bad.png\n")
    (attempt,) = guarded.dispatch()
    (task,) = guarded.manifest(attempt).tasks
    assert not task.samples
    guarded.render(attempt)
    assert status(guarded, "bee").state == State.SUCCEEDED and not guarded.guardrail.seen
