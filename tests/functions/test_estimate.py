"""Expected times and costs: stated at first, and later learned from finished jobs."""

from datetime import timedelta

import pytest

from contract.catalogue import MODELS, Mode, Preset
from contract.manifest import Parameters
from contract.outcome import Outcome, Rendered, Seconds
from functions.planning import estimate
from functions.spec.work import size_class_of, writing_seconds_of
from functions.stages.finish import attempt_ended
from functions.stages.learning import learn
from functions.table.ledger import (
    LEARNED,
    OPEN_ATTEMPTS,
    Change,
    Conflict,
    attempt_key,
    task_key,
)
from functions.table.rates import learned_rates
from functions.table.records import Attempt, Learned, QueueEntry
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks

G6E = "ml.g6e.xlarge"


def parameters(model: str = "cogvideox-5b", **changed: int) -> Parameters:
    m = MODELS[model]
    size = m.weights[Mode.TEXT_TO_VIDEO].sizes[0]
    return Parameters(
        mode=Mode.TEXT_TO_VIDEO, prompt="a", height=size.height, width=size.width,
        num_frames=m.num_frames[0], fps=8, num_inference_steps=50, guidance_scale=6.0, seed=1,
    ).model_copy(update=changed)  # fmt: skip


def test_stated_rates_are_used_until_something_is_learned() -> None:
    found = estimate.of_task(Learned(), parameters(), "cogvideox-5b", G6E)
    assert (found.startup_seconds, round(found.render_seconds)) == (360, 200)
    assert found.usd_high == pytest.approx((360 + 200) / 3600 * 2.61)
    assert found.usd_low == pytest.approx((360 / 128 + 200) / 3600 * 2.61)
    assert round(estimate.of_task(
        Learned(), parameters("cogvideox1.5-5b"), "cogvideox1.5-5b", "ml.p5.4xlarge"
    ).render_seconds) == 550  # fmt: skip


def test_wan_at_its_smaller_size_takes_half_of_the_computation_of_5b() -> None:
    """17.5 PFLOP against 33.2; times are proportional to the work, so they say it roughly."""
    small, own = (
        estimate.of_task(Learned(), one, "wan2.2-5b", "ml.p5.4xlarge").render_seconds
        for one in (parameters("wan2.2-5b", height=480, width=832), parameters("wan2.2-5b"))
    )
    five = estimate.of_task(Learned(), parameters(), "cogvideox-5b", "ml.p5.4xlarge")
    assert round(own) == 120
    assert 0.4 * five.render_seconds < small < 0.6 * five.render_seconds


def test_half_the_steps_or_frames_take_half_the_time() -> None:
    whole = estimate.of_task(Learned(), parameters(), "cogvideox-5b", G6E).render_seconds
    for changed in (parameters(num_inference_steps=25), parameters(num_frames=49 // 2)):
        half = estimate.of_task(Learned(), changed, "cogvideox-5b", G6E)
        assert half.render_seconds == pytest.approx(whole / 2, rel=0.03)


def test_interpolated_frames_count_where_they_take_longer_than_the_rendering() -> None:
    plain = parameters(num_frames=17, generated_fps=8)
    slow = plain.model_copy(update={"slow_motion": 8})
    rendered = estimate.of_task(Learned(), plain, "cogvideox-5b", G6E).render_seconds
    assert rendered > 60
    assert estimate.of_task(Learned(), slow, "cogvideox-5b", G6E).render_seconds == rendered
    # 17 frames, 112 between them, and 136 to encode
    assert writing_seconds_of(slow, ["mp4"]) == pytest.approx(11.96)
    fast = slow.model_copy(update={"num_inference_steps": 2, "fps": 48})
    found = estimate.of_task(Learned(), fast, "cogvideox-5b", G6E)
    assert found.render_seconds == writing_seconds_of(fast, ["mp4"]) > 50
    small = fast.model_copy(update={"height": 240, "width": 360})
    less = estimate.of_task(Learned(), small, "cogvideox-5b", G6E).render_seconds
    assert less == pytest.approx(found.render_seconds / 4)
    four = estimate.of_task(
        Learned(), fast, "cogvideox-5b", G6E, outputs=["mp4", "gif", "h265", "webm"]
    )
    assert found.usd_high and four.usd_high and four.usd_high > found.usd_high


def test_a_plan_and_a_queue_count_the_writing(world: World) -> None:
    body = "prompt: a\nmodel: cogvideox-5b\nnum_inference_steps: 2\nslow_motion: 8\nfps: 60\n"
    world.drop("jobs/plan.yaml", f"{body}dry_run: true\n")
    world.drop("jobs/slow.yaml", body)
    (planned, queued) = tasks(world)
    writing = writing_seconds_of(queued.parameters, ["mp4"])
    cost = status(world, "plan").expected.cost
    assert cost and cost.gpu_minutes == pytest.approx(writing / 60, abs=0.01)
    entry = QueueEntry.from_json(queued.queue_entry.to_json())
    rate = estimate.rate_of(Learned(), entry.model, entry.mode, entry.preset, G6E)
    rendering = rate.seconds_per_work * entry.work
    assert estimate.expected(Learned(), entry, G6E).render_seconds == writing > rendering
    older = entry.model_copy(update={"writing_seconds": 0.0})
    assert estimate.expected(Learned(), older, G6E).render_seconds == rendering
    assert planned.parameters == queued.parameters.model_copy(
        update={"seed": planned.parameters.seed}
    )


def test_writing_that_took_long_does_not_make_rendering_seem_slow(world: World) -> None:
    world.drop("jobs/bee.yaml", "prompt: a\nslow_motion: 8\n")
    finish_next(world, 101, [3])  # its files took 9 s
    (rate,) = learned_rates(world.ports).rates
    assert rate.seconds_per_work * tasks(world)[0].queue_entry.work == pytest.approx(3)


def test_a_type_without_a_known_price_has_no_cost() -> None:
    found = estimate.of_task(Learned(), parameters(), "cogvideox-5b", "ml.g4dn.2xlarge")
    assert found.usd_low is None and found.usd_high is None and found.render_seconds > 1000


def test_similar_sizes_are_in_one_class() -> None:
    sizes = [size_class_of(parameters(num_frames=n)) for n in (49, 41, 25, 9)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    flipped = parameters(height=720, width=480)
    assert size_class_of(flipped) == size_class_of(parameters())


def finish_one(world: World, name: str, *, startup: float, render: float) -> None:
    """Finish an attempt of two drops with these times."""
    world.drop(f"jobs/{name}/1.yaml")
    world.drop(f"jobs/{name}/2.yaml")
    finish_next(world, startup, [render, render])


def finish_next(world: World, startup: float, renders: list[float]) -> None:
    """Finish the next attempt, whose tasks take so long."""
    (attempt,) = world.dispatch()
    world.clock.move(seconds=startup)
    for task, render in zip(world.manifest(attempt).tasks, renders, strict=True):
        began = world.clock()
        world.clock.move(seconds=render + 5)  # the files are written beside the next video
        world.write_result(attempt, task)
        key = f"attempts/{attempt}/output/{task.task_id}/result.json"
        result = Outcome.from_json(world.files.read("work", key)).result
        assert isinstance(result, Rendered)
        seconds = result.seconds.model_copy(update={"denoising": render, "encoding": 9.0})
        timed = result.model_copy(update={"started_at": began, "seconds": seconds})
        world.files.write("work", key, Outcome(result=timed).to_json().encode(), "x")
    world.renderer.end(attempt, "Completed")
    attempt_ended(world.ports, attempt)


def test_rates_are_learned_from_finished_jobs(world: World) -> None:
    finish_one(world, "a", startup=101, render=10)
    (rate,) = learned_rates(world.ports).rates
    assert (rate.model, rate.instance_type, rate.jobs) == ("demo", G6E, 1)
    assert (rate.startup_seconds, rate.loading_seconds) == (100, 1)
    found = estimate.of_task(learned_rates(world.ports), tasks(world)[0].parameters, "demo", G6E)
    assert found.startup_seconds == 101 and found.render_seconds == pytest.approx(10)
    finish_one(world, "b", startup=201, render=20)
    (rate,) = learned_rates(world.ports).rates
    assert rate.startup_seconds == 150 and rate.jobs == 2, "the first few jobs have equal weight"
    for number in range(20):
        finish_one(world, f"c{number}", startup=301, render=20)
    (rate,) = learned_rates(world.ports).rates
    assert 280 < rate.startup_seconds < 300, "old jobs have little weight"


def test_modes_that_share_a_processing_job_have_rates_of_their_own(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    world.drop("jobs/1.yaml", "prompt: a\nmodel: wan2.2-5b\n")
    world.drop("jobs/2.yaml", "image: bee.png\nmodel: wan2.2-5b\n")
    finish_next(world, 101, [10, 30])

    learned = learned_rates(world.ports)

    assert {rate.mode for rate in learned.rates} == {Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO}
    for task, render in zip(tasks(world), [10, 30], strict=True):
        found = estimate.of_task(learned, task.parameters, "wan2.2-5b", G6E)
        assert found.startup_seconds == 101
        assert found.render_seconds == pytest.approx(render)


def test_each_preset_has_a_rate_of_its_own(world: World) -> None:
    """A video of `standard` takes about half of the time of one of `best`."""
    finish_one(world, "a", startup=101, render=10)
    learned = learned_rates(world.ports)
    standard = tasks(world)[0].parameters
    best = standard.model_copy(update={"preset": Preset.BEST})
    assert standard.preset == Preset.STANDARD
    assert estimate.of_task(learned, standard, "demo", G6E).startup_seconds == 101
    assert estimate.of_task(learned, best, "demo", G6E).startup_seconds == 302, "not learned yet"


def test_a_video_with_scenes_of_two_modes_teaches_no_rate(world: World) -> None:
    """It does not say how long the scenes of each mode took."""
    plain = "prompt: a\nmodel: wan2.2-5b\n"
    scenes = "scenes: [a, b]\nmodel: wan2.2-5b\n"
    for name, body in (("1", scenes), ("2", plain)):
        world.drop(f"jobs/{name}.yaml", body)
    finish_next(world, 101, [500, 10])
    assert learned_rates(world.ports) == Learned()
    for name, body in (("3", plain), ("4", scenes)):
        world.drop(f"jobs/{name}.yaml", body)
    finish_next(world, 101, [10, 500])
    (rate,) = learned_rates(world.ports).rates
    found = estimate.of_task(
        learned_rates(world.ports), tasks(world)[1].parameters, rate.model, G6E
    )
    assert rate.mode == Mode.TEXT_TO_VIDEO and found.render_seconds == pytest.approx(10)


@pytest.mark.parametrize("error", [Conflict("others learned too"), ConnectionError("away")])
def test_a_failure_to_learn_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    commit = world.ledger.commit

    def refusing(*changes: Change) -> None:
        if changes[0].key == LEARNED:
            raise error
        commit(*changes)

    monkeypatch.setattr(world.ledger, "commit", refusing)
    finish_one(world, "a", startup=101, render=10)
    assert all(job.state == "succeeded" for job in jobs(world))
    assert not world.ledger.query(OPEN_ATTEMPTS, Attempt)
    assert "estimate-not-learned" in [event for event, _ in world.logged]


def test_nothing_is_learned_from_dead_jobs_or_differing_clocks(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.renderer.end(attempt, "Failed", "the machine went away")
    attempt_ended(world.ports, attempt)
    (attempt,) = world.dispatch()
    world.clock.at -= timedelta(seconds=100)
    world.render(attempt)
    assert learned_rates(world.ports) == Learned()


def test_learning_from_a_job_takes_one_commit_and_few_reads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set(max_tasks_per_job=100)
    for number in range(50):
        world.drop(f"jobs/{number}.yaml")
    (attempt,) = world.dispatch()
    record = world.ledger.get(attempt_key(attempt))
    assert record is not None
    tasks = world.ledger.get_all([task_key(ref) for ref in record.document.tasks])
    for task in world.manifest(attempt).tasks:
        world.write_result(attempt, task)
    before = world.ledger.commits
    reads: list[tuple[str, str]] = []
    read = world.files.read

    def counted(
        bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        reads.append((bucket, key))
        return read(bucket, key, version, first_bytes)

    monkeypatch.setattr(world.files, "read", counted)
    learn(world.ports, record.document, [task.document for task in tasks if task])
    assert world.ledger.commits - before <= 1 and len(reads) == 4


def test_a_video_is_charged_for_the_time_in_which_no_other_can_be_rendered() -> None:
    """Its files are written while the next video is rendered."""
    seconds = Seconds(loading=60, text_encoding=1, denoising=80, decoding=9, encoding=5)
    assert seconds.occupied == 90
    assert seconds.model_copy(update={"encoding": 100.0}).occupied == 100, "the next one waits"
