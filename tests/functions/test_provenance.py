"""What files say about where a video comes from: the fields of the spec, and the signatures."""

from datetime import timedelta
from pathlib import Path

import pytest

from contract.origin import GENERATED, PARTLY_GENERATED
from functions import s3_keys
from functions.log import Event
from functions.replies.sidecar import Sidecar
from functions.stages.finish import file_written
from functions.stages.signing import CannotSign, Claim
from functions.stages.sweep import sweep
from functions.table.records import State
from tests.corpus.videos import mp4
from tests.fakes import World
from tests.functions.stored import jobs, status


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


# --- Content Credentials ---------------------------------------------------------------------

KEY = "arn:aws:kms:us-east-1:000000000000:key/one"
DENIED = CannotSign("AccessDeniedException: not authorized to perform kms:Sign")


@pytest.fixture
def signing() -> World:
    world = World()
    world.set(signing_key=KEY)
    return world


def sidecar(world: World, name: str = "a") -> Sidecar:
    return Sidecar.from_json(world.files.read("output", f"videos/{name}.json"))


def test_without_a_key_nothing_is_signed() -> None:
    world = World()
    world.drop("jobs/a.yaml")
    world.render(*world.dispatch())
    assert world.files.read("output", "videos/a.mp4") == b"mp4"
    assert sidecar(world).unsigned_sha256 is None and not world.signer.claims


def test_the_signed_video_is_published_and_the_sidecar_is_about_it(signing: World) -> None:
    signing.drop("jobs/a.yaml")
    signing.render(*signing.dispatch())

    published = signing.files.read("output", "videos/a.mp4")
    found = sidecar(signing)
    assert published == b"mp4 signed 1"
    assert found.video.size_bytes == len(published)
    assert found.video.sha256 == signing.files.sha256("output", "videos/a.mp4")
    assert found.unsigned_sha256 not in {None, found.video.sha256}


def test_a_claim_says_what_the_spec_allows(signing: World) -> None:
    signing.files.write("input", "jobs/b.mp4", mp4(), "video/mp4")
    signing.drop("jobs/a.yaml", "prompt: a bee\nseed: 7\nenhance: false\n")
    signing.drop("jobs/b.yaml", "video: b.mp4\nprompt: a\nprompt_in_file: false\nseed: 8\n")
    for attempt in signing.dispatch():
        signing.render(attempt)

    claims = {claim.seed: claim for claim in signing.signer.claims}
    generated = Claim(source_type=GENERATED, model="demo", revision=None, seed=7, prompt="a bee")
    assert claims[7] == generated
    assert (claims[8].source_type, claims[8].prompt) == (PARTLY_GENERATED, None)


def test_two_handlers_publish_one_signed_file(
    signing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes in while the first one signs."""
    signing.drop("jobs/a.yaml")
    (attempt,) = signing.dispatch()
    (task,) = signing.manifest(attempt).tasks
    signing.write_result(attempt, task)
    result = s3_keys.task_result(attempt, task.task_id)
    sign = signing.signer.sign

    def slowly(source: Path, target: Path, claim: Claim, clip: Path | None) -> None:
        monkeypatch.setattr(signing.signer, "sign", sign)
        sign(source, target, claim, clip)
        file_written(signing.ports, result)

    monkeypatch.setattr(signing.signer, "sign", slowly)
    file_written(signing.ports, result)

    assert len(signing.signer.claims) == 2
    assert len(signing.files.objects["output", "videos/a.mp4"]) == 1
    assert sidecar(signing).video.sha256 == signing.files.sha256("output", "videos/a.mp4")


def test_a_video_that_cannot_be_signed_waits_and_says_why(signing: World) -> None:
    signing.signer.away = DENIED
    signing.drop("jobs/a.yaml", "prompt: a bee\nvariations: 2\n")
    (attempt,) = signing.dispatch()
    signing.render(attempt)
    for _ in range(3):
        signing.clock.move(minutes=5)
        sweep(signing.ports)

    assert not signing.files.exists("output", "videos/a-01.mp4")
    assert "cannot be signed: AccessDeniedException" in status(signing, "a").message
    assert [event for event, _ in signing.logged].count(Event.NOT_SIGNED) >= 8
    (job,) = jobs(signing)
    assert job.state == State.RUNNING and not signing.post.sent

    signing.signer.away = None
    signing.clock.at += timedelta(minutes=5)
    sweep(signing.ports)

    assert jobs(signing)[0].state == State.SUCCEEDED
    assert sidecar(signing, "a-02").unsigned_sha256
    assert [mail.attributes["status"] for mail in signing.post.sent] == ["succeeded"]
    signing.drop("jobs/next.yaml")
    assert signing.dispatch(), "the instance is free again"


def test_whoever_deletes_the_spec_gives_the_instance_back(signing: World) -> None:
    signing.signer.away = DENIED
    signing.drop("jobs/a.yaml")
    signing.render(*signing.dispatch())
    signing.delete("jobs/a.yaml")
    sweep(signing.ports)
    signing.drop("jobs/next.yaml")
    assert signing.dispatch()


def test_a_video_that_was_published_before_there_was_a_key_is_replaced_as_a_whole() -> None:
    """The handler was killed after it had copied the MP4."""
    world = World()
    world.drop("jobs/a.yaml")
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    world.write_result(attempt, task)
    world.files.write("output", "videos/a.mp4", b"mp4", "x", mark=f"{attempt} {task.task_id}")

    world.set(signing_key=KEY)
    file_written(world.ports, s3_keys.task_result(attempt, task.task_id))

    assert sidecar(world).video.sha256 == world.files.sha256("output", "videos/a.mp4")
    assert sidecar(world).unsigned_sha256
