"""The documents: each link leads somewhere, the pictures are current, and the examples are true."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pictures import FOLDER, is_current, pictures
from functions.table.records import State
from local import ROOT
from local.command.validate import validate
from tests.fakes import World
from tests.functions.stored import tasks

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").rglob("*.md")]
)
CONSOLE = ROOT / "docs" / "console.md"
PICTURES = dict(pictures())
# The specs of the documents that are there to show a refusal.
REFUSED = {"prompt: a red star moves left\nsteps: 5\n"}


def _prose(document: Path) -> str:
    """A document without its code."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
    text = re.sub(r"^(    |\t).*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`", "`", text)


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+?)\s*$", text, flags=re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


def _links(document: Path) -> list[str]:
    links: list[str] = re.findall(r"\]\(([^)\s]+)\)", _prose(document))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def _leads_somewhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _blocks(document: Path) -> Iterator[str]:
    """The blocks of indented code in a document, without their indentation."""
    for block in re.findall(r"(?:^    .*\n)+", document.read_text(), flags=re.M):
        yield re.sub(r"^    ", "", block, flags=re.M)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in _links(document) if not _leads_somewhere(document, link)] == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Who: `a_b` & I\n## Two\n## Two\n"
        "[a](#who-a_b--i) [b](#two-1) [c](page.md#two) [d](#two-2)\n"
        "![e](no.png) [f](page.md#no) `[g](h)` [i](https://example.org)\n\n    [j](k)\n"
    )
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == [
        "#two-2", "no.png", "page.md#no",
    ]  # fmt: skip


@pytest.mark.parametrize("file", PICTURES, ids=lambda f: f.stem)
def test_a_picture_is_what_the_program_draws(file: Path) -> None:
    assert is_current(file, PICTURES[file]), "run `make docs`"


def test_every_picture_of_the_console_is_drawn_and_shown_with_a_description() -> None:
    assert set(FOLDER.glob("console-*.png")) == set(PICTURES)
    shown = re.findall(r"!\[.{40,}\]\((.+?)\)", CONSOLE.read_text())
    assert sorted(shown) == sorted(f"images/{file.name}" for file in PICTURES)


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md", "docs/console.md"])
def test_every_spec_in_a_document_can_be_used(name: str, tmp_path: Path) -> None:
    specs = [block for block in _blocks(ROOT / name) if block.startswith("prompt:")]
    assert specs
    for spec in specs:
        file = tmp_path / "bee.yaml"
        file.write_text(spec)
        (verdict,) = validate([file], default_model="cogvideox-5b", instance_type="ml.g6e.xlarge")
        assert verdict.ok == (spec not in REFUSED), (spec, verdict)


@pytest.mark.parametrize("document", [ROOT / "README.md", CONSOLE], ids=lambda d: d.name)
def test_the_refusal_in_a_document_is_the_one_that_people_get(document: Path) -> None:
    world = World()
    (spec,) = REFUSED
    world.drop("jobs/bad.yaml", spec)
    given = world.files.read("output", "rejected/bad.txt").decode()
    (shown,) = (block for block in _blocks(document) if "What:" in block)
    assert shown[shown.index("What:") :].strip() in given


def test_the_page_for_the_console_explains_every_state() -> None:
    text = CONSOLE.read_text()
    table = text[text.index("| `state` |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \| [A-Z]", table, flags=re.M)) == set(State)


def test_the_emails_have_the_subjects_that_the_page_for_the_console_names() -> None:
    world = World()
    world.drop("jobs/bee.yaml", "prompt: a bee\nsteps: 5\n")
    world.drop("jobs/bee.yaml", "prompt: a bee\nenhance: review\n")
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.render(attempt)
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.render(attempt, failing=world.manifest(attempt).tasks[0].task_id)
    named = re.findall(r'email "(.+?)"', CONSOLE.read_text(), flags=re.I)
    sent = {mail.subject.removeprefix("reeldrop: ") for mail in world.post.sent}
    assert len(set(named)) == 4 and set(named) == sent


def test_a_sidecar_under_a_new_name_makes_the_video_again() -> None:
    assert "`bee-again.json`, and upload it to `jobs/` as it is" in CONSOLE.read_text()
    world = World()
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    world.render(attempt)
    world.drop("jobs/bee-again.json", world.files.read("output", "videos/bee.json"))
    states = {task.state: task.spec for task in tasks(world)}
    assert set(states) == {State.SUCCEEDED, State.QUEUED}
    assert states[State.QUEUED] == states[State.SUCCEEDED]
