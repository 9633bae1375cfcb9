"""The function of the studio, on fakes: sessions, the gallery, jobs, drops."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from contract.errors import Transient
from functions.stages.submit import submit
from functions.table.ledger import Put, gallery_key
from functions.table.records import GalleryEntry, State
from studio.api import handler
from studio.api.gallery import PAGE_ENTRIES
from tests.fakes import PNG, World
from tests.functions.stored import jobs, tasks
from tests.studio.conftest import Studio
from tests.waiting import PATIENCE_SECONDS

QUESTIONS = (
    "gallery", "job", "review", "cancel", "delete", "again", "approve", "upload", "plan", "enhance",
)  # fmt: skip


def paths(page: dict[str, Any]) -> list[str]:
    return [card["entry"]["path"] for card in page["cards"]]


@pytest.mark.parametrize("name", [*QUESTIONS, "nothing"])
def test_without_a_session_every_answer_is_401(studio: Studio, name: str) -> None:
    for client in (None, "another-client"):
        answer = studio.request("POST", f"/api/{name}", {"path": "bee"}, client)
        assert answer["statusCode"] == 401
        assert json.loads(answer["body"]) == {"message": "Sign in first."}


def test_the_list_of_questions_is_that_of_the_function() -> None:
    found = {route.path for route in handler.app._static_routes if route.path.startswith("/api/")}
    assert found == {f"/api/{name}" for name in QUESTIONS}


def test_only_the_addresses_of_the_list_get_an_answer(studio: Studio) -> None:
    studio.settings = studio.settings.model_copy(
        update={"allowed_ips": "198.51.100.0/24,2001:db8::/32"}
    )
    assert studio.request("GET", "/")["statusCode"] == 403
    assert studio.request("POST", "/api/gallery")["statusCode"] == 403
    for studio.address in ("198.51.100.9", "2001:db8::5"):
        assert studio.request("GET", "/")["statusCode"] == 200


def test_the_page_is_served_with_a_strict_policy(studio: Studio) -> None:
    answer = studio.request("GET", "/", client=None)
    assert answer["statusCode"] == 200 and "<!doctype html>" in answer["body"]
    policy = dict(
        part.split(" ", 1) for part in answer["headers"]["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
    assert not any("unsafe" in value or "*" in value for value in policy.values())
    assert studio.request("GET", "/nothing.js", client=None)["statusCode"] == 404
    assert studio.request("GET", "/../handler.py", client=None)["statusCode"] == 404


def test_the_gallery_shows_the_newest_first_with_links_to_posters(
    studio: Studio, world: World
) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee lands\ntags: [garden]\n")
    world.render(*world.dispatch())
    world.clock.move(seconds=10)
    world.drop("jobs/wrong.yaml", "stpes: 4\n")
    page = studio.ask("gallery")
    assert paths(page) == ["wrong", "a/bee"] and page["following"] is None
    assert "videos/a/bee.jpg" in page["cards"][1]["poster_link"]
    assert paths(studio.ask("gallery", search="BEE garden")) == ["a/bee"]
    assert paths(studio.ask("gallery", search="bee wrong")) == []
    assert paths(studio.ask("gallery", state="rejected")) == ["wrong"]


def fill(world: World, count: int) -> None:
    """Put entries into the gallery, the first of them the oldest."""
    for number in range(count):
        entry = GalleryEntry(
            path=f"{number:05}",
            job_id=f"job-{number:05}",
            key=f"jobs/{number:05}.yaml",
            state=State.SUCCEEDED if number % 100 else State.FAILED,
            dropped_at=world.clock() + timedelta(seconds=number),
            prompt=f"bee {number}",
            videos=1,
            percent=100,
        )
        world.ledger.commit(Put(gallery_key(entry), entry))


def test_the_first_page_of_10_000_jobs_is_one_query(
    studio: Studio, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, 10_000)
    query, limits = world.ledger.query, []

    def counted(*arguments: Any, **options: Any) -> Any:
        limits.append(options["limit"])
        return query(*arguments, **options)

    monkeypatch.setattr(world.ledger, "query", counted)
    first = studio.ask("gallery")
    assert limits == [PAGE_ENTRIES + 1]
    assert paths(first) == [f"{number:05}" for number in range(9_999, 9_975, -1)]
    second = studio.ask("gallery", after=first["following"])
    assert paths(second)[0] == "09975" and len(limits) == 2

    limits.clear()
    page = studio.ask("gallery", search="bee 7")
    assert sum(limits) <= 1_004  # and not all of them
    found = paths(page)
    while page["following"]:
        limits.clear()
        page = studio.ask("gallery", search="bee 7", after=page["following"])
        assert sum(limits) <= 1_004
        found += paths(page)
    assert found == [f"{n:05}" for n in range(9_999, -1, -1) if "7" in f"{n:05} {n}"]
    failed: list[str] = []
    after = ""
    for _ in range(20):
        page = studio.ask("gallery", state="failed", after=after)
        failed += paths(page)
        if not (after := page["following"] or ""):
            break
    assert len(failed) == len(set(failed)) == 100


def test_a_job_has_its_status_its_files_and_its_spec(studio: Studio, world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee\nvariations: 2\noutputs: [mp4, gif]\n")
    view = studio.ask("job", path="a/bee")
    assert view["status"]["state"] == "queued" and view["videos"] == []
    world.render(*world.dispatch())
    view = studio.ask("job", path="a/bee")
    assert [video["video"]["name"] for video in view["videos"]] == ["bee-01.mp4", "bee-02.mp4"]
    assert [one["name"] for one in view["videos"][0]["others"]] == ["bee-01.gif"]
    assert "videos/a/bee-01.mp4" in view["videos"][0]["video"]["link"]
    assert view["spec"]["prompt"] == "a bee"
    assert studio.ask("job", 404, path="b")["message"] == "There is no such job."


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_has_its_scenes_also_those_that_a_failed_video_kept(
    studio: Studio, world: World, fails: bool
) -> None:
    outputs = "" if fails else "outputs: [mp4, scenes]\n"
    world.drop("jobs/a/bee.yaml", f"scenes: [a bee, it lands, it flies]\n{outputs}")
    (attempt,) = world.dispatch()
    (task,) = tasks(world)
    world.render(attempt, failing=task.task_id if fails else "", at_scene=3)
    view = studio.ask("job", path="a/bee")
    names = [f"bee.scene0{number}.mp4" for number in ((1, 2) if fails else (1, 2, 3))]
    assert [one["name"] for one in view["scenes"]] == names
    assert "videos/a/bee.scene01.mp4" in view["scenes"][0]["link"]
    assert len(view["videos"]) == (not fails)


def test_a_form_allows_one_object_below_jobs(studio: Studio) -> None:
    form = studio.ask("upload", name="a/bee.yaml")
    assert form["fields"] == {"key": "jobs/a/bee.yaml", "Content-Type": "text/plain",
                              "most": "65536"}  # fmt: skip
    assert studio.ask("upload", name="bee.PNG")["fields"]["most"] == str(32 * 1024 * 1024)
    assert studio.ask("upload", name="bees.csv")["fields"]["most"] == str(1024 * 1024)
    for name in (
        "", "../videos/a.yaml", "a/../../b.yaml", "/a.yaml", "a//b.yaml", "a/./b.yaml", "a.exe",
        "a", "a\n.yaml", "${filename}.yaml", "a/${filename}", ".hidden.yaml", "é" * 600 + ".yaml",
    ):  # fmt: skip
        assert studio.ask("upload", 400, name=name)["message"]


def test_a_plan_says_what_the_bucket_would_say(studio: Studio, world: World) -> None:
    world.set(default_model="cogvideox-5b")
    world.files.write("input", "jobs/a/_defaults.yaml", b"preset: draft\n", "x")
    good = studio.ask("plan", name="a/bee.yaml", text="prompt: a bee\n")
    assert good["verdict"]["ok"] and good["verdict"]["tasks"][0]["preset"] == "draft"
    assert "USD" in good["takes"] and good["verdict"]["cost"] is not None
    text = "prompt: a bee\nstpes: 4\n"
    (error,) = studio.ask("plan", name="a/bee.yaml", text=text)["verdict"]["errors"]
    world.drop("jobs/a/bee.yaml", text)
    (problem,) = jobs(world)[0].problems
    assert (error["message"], error["hint"]) == (problem.message, problem.hint)
    assert (error["line"], error["code"]) == (2, problem.code)
    studio.ask("plan", name="a/bee.yaml", text="image: bee.png\n")
    assert world.files.keys("input") == ["jobs/a/_defaults.yaml", "jobs/a/bee.yaml"]


def test_a_prompt_is_enhanced_without_rendering(studio: Studio, world: World) -> None:
    wrong = studio.ask("enhance", name="bee.yaml", text="stpes: 4\n")
    assert wrong["dropped"] is None and not wrong["verdict"]["ok"]
    text = "prompt: a bee\nseed: 5\n"
    path = studio.ask("enhance", name="bee.yaml", text=text)["dropped"]["path"]
    assert studio.ask("review", 404, path=path)["message"] == "There is no such job."
    (key,) = world.files.keys("input")
    world.drop(key, world.files.read("input", key))
    review = studio.ask("review", path=path)
    assert "seed: 5" in review and jobs(world)[-1].state == State.PLANNED
    studio.ask("enhance", 400, name="_defaults.yaml", text="enhance: false\n")


def test_cancel_deletes_the_spec_of_an_open_job(studio: Studio, world: World) -> None:
    world.drop("jobs/bee.yaml")
    studio.ask("cancel", path="bee")
    assert world.files.keys("input") == []
    world.delete("jobs/bee.yaml")
    assert jobs(world)[0].state == State.CANCELED
    assert "ended" in studio.ask("cancel", 409, path="bee")["message"]


def test_files_of_a_large_job_are_deleted_at_the_same_time(
    studio: Studio, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\nvariations: 32\n")
    while attempts := world.dispatch():
        for attempt in attempts:
            world.render(attempt)
    (job,) = jobs(world)
    remove, meeting = world.files.remove, threading.Barrier(10, timeout=PATIENCE_SECONDS)

    def together(bucket: str, key: str) -> None:
        if key.endswith(
            (
                "-01.mp4",
                "-01.json",
                "-01.jpg",
                "-02.mp4",
                "-02.json",
                "-02.jpg",
                "-03.mp4",
                "-03.json",
                "-03.jpg",
                "-04.mp4",
            )
        ):
            meeting.wait()
        remove(bucket, key)

    monkeypatch.setattr(world.files, "remove", together)
    studio.ask("delete", path="bee")
    assert not any(world.files.exists("output", key) for key in job.outputs)


def test_a_file_that_cannot_be_deleted_leaves_the_job_in_the_gallery(
    studio: Studio, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    for attempt in world.dispatch():
        world.render(attempt)
    remove = world.files.remove

    def fails(bucket: str, key: str) -> None:
        if key.endswith(".jpg"):
            raise Transient("S3 did not answer")
        remove(bucket, key)

    with monkeypatch.context() as patch:
        patch.setattr(world.files, "remove", fails)
        studio.ask("delete", 503, path="bee")
    assert paths(studio.ask("gallery")) == ["bee"]
    studio.ask("delete", path="bee")
    assert paths(studio.ask("gallery")) == []


def test_delete_removes_what_was_published_and_nothing_else(studio: Studio, world: World) -> None:
    world.files.write("input", "jobs/bee.png", PNG, "image/png")
    world.drop("jobs/bee.yaml", "image: bee.png\nvariations: 2\noutputs: [gif]\n")
    assert "Cancel it first" in studio.ask("delete", 409, path="bee")["message"]
    world.render(*world.dispatch())
    assert jobs(world)[-1].state == State.SUCCEEDED
    world.drop("jobs/other.yaml")
    world.clock.move(seconds=5)
    world.drop("jobs/bee.yaml", "stpes: 4\n")  # the videos of the version before are still there
    studio.ask("delete", path="bee")
    assert [key for key in world.files.keys("output") if "bee" in key] == []
    assert "status/other.json" in world.files.keys("output")
    assert world.files.keys("input") == ["jobs/bee.png", "jobs/other.yaml"]
    assert paths(studio.ask("gallery")) == ["other"]
    studio.ask("delete", 404, path="bee")


def test_again_keeps_all_but_the_seed_or_the_preset(studio: Studio, world: World) -> None:
    world.files.write("input", "jobs/a/_defaults.yaml", b"enhance: false\nfps: 8\n", "x")
    world.drop("jobs/a/bee.yaml", "prompt: a bee\nenhance: true\npreset: draft\n")
    (first,) = tasks(world)
    made = []
    for best in (False, True):
        path = studio.ask("again", path="a/bee", best=best)["path"]
        key = f"jobs/{path}.json"
        world.drop(key, world.files.read("input", key))
        job = jobs(world)[-1]
        assert job.state == State.QUEUED, job.problems
        made += [task for task in tasks(world) if task.job_id == job.job_id]
    other_seed, best_one = made
    same = {"prompt", "enhance", "fps", "height", "width", "num_frames"}
    for task in made:
        for field in same:
            assert getattr(task.spec, field) == getattr(first.spec, field), field
    assert other_seed.spec.seed != first.spec.seed and other_seed.spec.preset == "draft"
    assert best_one.spec.seed == first.spec.seed and best_one.spec.preset == "best"
    assert best_one.spec.num_inference_steps != first.spec.num_inference_steps
    world.drop("jobs/wrong.yaml", "- a list\n")
    assert studio.ask("again", 409, path="wrong", best=True)["message"]


def test_a_draft_is_approved_by_a_file_of_its_path(studio: Studio, world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee\npreset: draft\n")
    assert "queued" in studio.ask("approve", 409, path="a/bee")["message"]
    world.render(*world.dispatch())
    assert studio.ask("approve", path="a/bee") == {"done": True}
    assert world.files.read("input", "approve/a/bee") == b""
    submit(world.ports, "input", "approve/a/bee")
    assert "jobs/a/bee-final.json" in world.files.keys("input")
    assert paths(studio.ask("gallery")) == ["a/bee"], "an approval is no video"
    world.drop("jobs/plain.yaml")
    world.render(*world.dispatch())
    assert "no draft" in studio.ask("approve", 409, path="plain")["message"]
    world.drop("jobs/wrong.yaml", "- a list\n")
    studio.ask("approve", 409, path="wrong")
    studio.ask("approve", 404, path="ant")
    assert [k for k in world.files.keys("input") if k.startswith("approve/")] == ["approve/a/bee"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_half_a_character_is_no_question(studio: Studio, name: str) -> None:
    for asked in (
        {"path": "\ud800"}, {"name": "\ud800.yaml", "text": "prompt: a bee\n"},
        {"name": "bee.yaml", "text": "prompt: \ud800\n"}, {"search": "\ud800"},
    ):  # fmt: skip
        assert studio.ask(name, 400, **asked)["message"]


def test_a_final_that_is_there_already_is_not_promised_again(studio: Studio, world: World) -> None:
    draft, key = "prompt: a bee\npreset: draft\n", "jobs/a/bee-final.json"

    def approve(status: int) -> str:
        answer = studio.ask("approve", status, path="a/bee")
        if status == 200:
            world.drop("approve/a/bee", b"")
        return str(answer.get("message"))

    world.drop("jobs/a/bee.yaml", draft)
    world.render(*world.dispatch())
    approve(200)
    assert key in world.files.keys("input")
    assert approve(409) == (
        f"{key} is there already. To have the final made again, delete that file first."
    )
    submit(world.ports, "input", key)
    world.render(*world.dispatch())
    approve(409)
    studio.ask("delete", path="a/bee-final")
    approve(200)
    assert key in world.files.keys("input")
    # That of a newer draft takes the place of the older one.
    world.clock.move(seconds=1)
    world.drop("jobs/a/bee.yaml", f"{draft}seed: 77\n")
    world.render(*world.dispatch())
    approve(200)
    assert json.loads(world.files.read("input", key))["seed"] == 77
    # But a file that a person has written does not.
    world.files.write("input", key, b'{"prompt": "mine"}', "application/json")
    approve(409)
    assert world.files.read("input", key) == b'{"prompt": "mine"}'


def test_what_is_no_question_is_refused_with_words(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studio.ask("job", 400, path=3)["message"].startswith("The page and its function")
    assert studio.ask("job", 400, paths="x")["message"]

    def busy(*_: object) -> None:
        raise Transient("slow down")

    monkeypatch.setattr(studio.world.ledger, "get", busy)
    assert studio.ask("job", 503, path="x")["message"] == "AWS is busy. Try again."

    def broken(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(studio.world.ledger, "get", broken)
    assert "secret" not in studio.ask("job", 500, path="x")["message"]
