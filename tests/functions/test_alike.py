"""A reference is found although its name differs in letter case, Unicode form or spaces."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Code
from functions import s3_keys
from functions.log import Event
from functions.ports import Listed, Page
from functions.spec import alike
from functions.stages.sweep import sweep
from functions.table.records import State
from local.command.validate import validate
from tests.fakes import PNG, Clock, World
from tests.functions.stored import jobs, status

SCREENSHOT = "Screenshot 2026-11-26 at 9.41.00{}AM.png"
PAIRS = [
    ("Photo.JPG", "photo.jpg"),
    ("photo.jpg", "PHOTO.Jpg"),
    ("Pictures/Photo.png", "pictures/photo.PNG"),
    ("/Shared/bee.png", "/shared/Bee.png"),
    (unicodedata.normalize("NFC", "Müller.png"), unicodedata.normalize("NFD", "müller.png")),
    (unicodedata.normalize("NFD", "É.png"), unicodedata.normalize("NFC", "é.png")),
    (SCREENSHOT.format(" "), SCREENSHOT.format("\u202f")),
    (SCREENSHOT.format("\u202f"), SCREENSHOT.format(" ")),
    ("a\u00a0bee.png", "A bee.png"),
    ("ΣΊΣΥΦΟΣ.png", "σίσυφος.png"),
]


def key_of(name: str) -> str:
    return f"jobs{name}" if name.startswith("/") else f"jobs/a/{name}"


@pytest.mark.parametrize("spec_first", [True, False])
@pytest.mark.parametrize(("written", "there"), PAIRS)
def test_the_only_file_that_may_be_meant_is_taken(
    world: World, written: str, there: str, spec_first: bool
) -> None:
    if not spec_first:
        world.drop(key_of(there), PNG)
    world.drop("jobs/a/bee.yaml", f'prompt: it flies\nimage: "{written}"\n')
    if spec_first:
        assert status(world, "a/bee").state == State.WAITING
        world.drop(key_of(there), PNG)
        assert world.announced == ["jobs/a/bee.yaml"]
    found = status(world, "a/bee")
    assert found.state == State.QUEUED
    (notice,) = [one for one in found.warnings if one.code == "reference-name"]
    assert "was taken" in notice.message
    if " " in there and "\u202f" in written:
        assert "<U+202F>" in notice.message


def test_a_name_in_another_unicode_form_needs_no_notice(world: World) -> None:
    world.drop("jobs/" + unicodedata.normalize("NFD", "Müller.png"), PNG)
    world.drop("jobs/bee.yaml", f"image: {unicodedata.normalize('NFC', 'Müller.png')}\n")
    found = status(world, "bee")
    assert found.state == State.QUEUED
    assert "reference-name" not in {one.code for one in found.warnings}


def test_the_sweep_finds_a_file_whose_event_was_lost(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: Photo.png\n")
    world.drop("jobs/photo.png", PNG, event=False)
    sweep(world.ports)
    assert status(world, "bee").state == State.QUEUED


def test_a_file_that_came_between_the_look_and_the_note_is_found(world: World) -> None:
    page = world.files.page

    def page_then_upload(*args: object, **kwargs: object) -> Page:
        answer = page(*args, **kwargs)  # type: ignore[arg-type]
        if not world.files.exists("input", "jobs/photo.png"):
            world.drop("jobs/photo.png", PNG)
        return answer

    world.files.page = page_then_upload  # type: ignore[method-assign]
    world.drop("jobs/bee.yaml", "image: Photo.png\n")
    assert status(world, "bee").state == State.QUEUED


def test_a_file_that_is_deleted_after_it_was_listed_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Page((Listed("jobs/photo.png", world.clock()),), False)
    with monkeypatch.context() as patched:
        patched.setattr(world.files, "page", lambda *_args: listed)
        world.drop("jobs/bee.yaml", "image: Photo.png\n")
        sweep(world.ports)
    assert status(world, "bee").state == State.WAITING
    assert Event.DROP_GONE not in [event for event, _ in world.logged]


def test_several_files_that_may_be_meant_are_named_and_the_advice_helps(world: World) -> None:
    for name in ("photo.png", "PHOTO.png"):
        world.drop(f"jobs/{name}", PNG)
    world.drop("jobs/bee.yaml", "prompt: it flies\nimage: Photo.png\n")
    (problem,) = status(world, "bee").problems
    assert problem.code == Code.REFERENCE_AMBIGUOUS and problem.place.line == 2
    assert "'PHOTO.png', 'photo.png'" in problem.message
    world.drop("jobs/bee.yaml", "prompt: it flies\nimage: photo.png\n")
    found = status(world, "bee")
    assert found.state == State.QUEUED
    assert "reference-name" not in {one.code for one in found.warnings}


def test_several_files_that_come_before_the_job_is_looked_at_again_are_named(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: Photo.png\n")
    world.drop("jobs/photo.png", PNG, event=False)
    world.drop("jobs/PHOTO.png", PNG)
    assert status(world, "bee").problems[0].code == Code.REFERENCE_AMBIGUOUS


def test_the_folder_of_somebody_else_is_not_looked_into(world: World) -> None:
    world.drop("jobs/ann/photo.png", PNG)
    world.drop("jobs/Ann/bee.yaml", "image: Photo.png\n")
    world.drop("jobs/ann/photo.png", PNG)
    assert jobs(world)[0].state == State.WAITING and not world.announced


def test_a_picture_that_becomes_a_job_is_kept_from_it_only_by_a_spec_that_means_it(
    world: World,
) -> None:
    world.drop("jobs/ann/_defaults.yaml", "animate_images: true\n")
    world.drop("jobs/Ann/bee.yaml", "image: Photo.png\n")
    world.drop("jobs/ann/photo.png", PNG)
    assert [job.path for job in jobs(world) if job.state == State.QUEUED] == ["ann/photo.png"]


@pytest.mark.parametrize("name", ["IMG_0500.JPG", "img_0500.jpg", "Img_7999.jpg", "img_9999.jpg"])
def test_a_few_listings_are_enough_among_eight_thousand_files(name: str) -> None:
    keys = sorted(f"jobs/{n}" for i in range(4000) for n in (f"IMG_{i:04}.JPG", f"dsc_{i:04}.jpg"))
    calls = []

    def list_after(after: str) -> Page:
        calls.append(after)
        found = [Listed(key, Clock().at) for key in keys if key > after]
        return Page(tuple(found[:1000]), len(found) > 1000)

    found = alike.alike(list_after, f"jobs/{name}", "jobs/")
    assert found == [key for key in keys if key.lower() == f"jobs/{name}".lower()]
    assert len(calls) <= 4


LETTERS = st.lists(
    st.sampled_from(
        ["a", "A", "é", "É", "e\u0301", "E\u0301", "b", "Z", "ß", " ", "\u202f", "/", "_"]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@given(names=st.lists(LETTERS, max_size=12), wanted=LETTERS, size=st.integers(1, 4))
def test_every_file_that_is_alike_is_found(names: list[str], wanted: str, size: int) -> None:
    keys = sorted({f"jobs/{name}" for name in names})

    def list_after(after: str) -> Page:
        found = [Listed(key, Clock().at) for key in keys if key > after]
        return Page(tuple(found[:size]), len(found) > size)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(alike, "MAX_LISTINGS", 1000)
        found = alike.alike(list_after, f"jobs/{wanted}", "jobs/")
    assert found == [k for k in keys if s3_keys.folded(k) == s3_keys.folded(f"jobs/{wanted}")]


@pytest.mark.parametrize(("written", "there"), PAIRS)
def test_validate_finds_the_same_files_on_a_disk(tmp_path: Path, written: str, there: str) -> None:
    file = tmp_path / key_of(there)
    file.parent.mkdir(parents=True)
    file.write_bytes(PNG)
    spec = tmp_path / "jobs" / "a" / "bee.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(f'prompt: it flies\nimage: "{written}"\n')
    (verdict,) = validate([spec], default_model="demo")
    assert verdict.ok and "reference-name" in {notice.code for notice in verdict.warnings}


def test_validate_names_several_files_on_a_disk(tmp_path: Path) -> None:
    for name in ("photo.png", "PHOTO.png"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "bee.yaml").write_text("image: Photo.png\n")
    (verdict,) = validate([tmp_path / "bee.yaml"], default_model="demo")
    assert [error.code for error in verdict.errors] == [Code.REFERENCE_AMBIGUOUS]
