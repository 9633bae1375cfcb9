"""The gallery: an entry for each path, the newest drop first."""

from collections.abc import Sequence
from typing import Any

import pytest

from contract.errors import Transient
from functions.replies import gallery as entries
from functions.replies.publish import publish_status
from functions.stages.sweep import sweep
from functions.table.ledger import (
    GALLERY,
    LOOKED_AT,
    Conflict,
    Put,
    RecordKey,
    WithLedger,
    job_key,
    shown_key,
)
from functions.table.records import GalleryEntry, State
from tests.fakes import PNG, World
from tests.functions.stored import as_before_the_gallery, jobs


def gallery(world: World) -> list[GalleryEntry]:
    return [record.document for record in world.ledger.query(GALLERY, GalleryEntry)]


def test_the_newest_drop_comes_first_and_says_what_became_of_it(world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee lands\ntags: [garden]\nvariations: 2\n")
    world.clock.move(seconds=10)
    world.drop("jobs/wrong.yaml", "prompt: a bee\nstpes: 4\n")
    (attempt,) = world.dispatch()
    assert [(entry.path, entry.state) for entry in gallery(world)] == [
        ("wrong", State.REJECTED),
        ("a/bee", State.RUNNING),
    ]
    world.render(attempt)
    wrong, bee = gallery(world)
    assert bee.state == State.SUCCEEDED and (bee.videos, bee.percent) == (2, 100)
    assert (bee.prompt, bee.tags) == ("a bee lands", ("garden",))
    assert bee.poster == "videos/a/bee-01.jpg" and bee.poster in world.files.keys("output")
    assert "stpes" in wrong.problem and wrong.poster is None


def test_a_newer_drop_replaces_the_entry_of_its_path(world: World) -> None:
    world.drop("jobs/a.yaml")
    world.clock.move(seconds=10)
    world.drop("jobs/b.yaml")
    world.clock.move(seconds=10)
    world.drop("jobs/a.yaml", "prompt: another bee\n")
    assert [(entry.path, entry.prompt) for entry in gallery(world)] == [
        ("a", "another bee"),
        ("b", "a bee"),
    ]


def test_an_older_job_does_not_come_back(world: World) -> None:
    world.drop("jobs/a.yaml", "prompt: first\ndry_run: true\n")
    world.clock.move(seconds=10)
    world.drop("jobs/a.yaml", "prompt: second\ndry_run: true\n")
    before = gallery(world)
    for job in jobs(world):
        publish_status(world.ports, job.job_id)
    assert gallery(world) == before and [entry.prompt for entry in before] == ["second"]


def test_the_rendering_of_an_older_drop_does_not_show_it(world: World) -> None:
    """It goes on, because the newer drop cannot be used."""
    world.drop("jobs/a.yaml")
    world.clock.move(seconds=10)
    world.drop("jobs/a.yaml", "prompt: [")
    (attempt,) = world.dispatch()
    assert [entry.state for entry in gallery(world)] == [State.REJECTED]
    world.render(attempt)
    assert [entry.state for entry in gallery(world)] == [State.REJECTED]


def test_corrected_folder_defaults_leave_the_gallery(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "stpes: 4\n")
    assert [entry.path for entry in gallery(world)] == ["a/_defaults"]
    world.clock.move(seconds=10)
    world.drop("jobs/a/_defaults.yaml", "preset: draft\n")
    assert gallery(world) == []
    assert world.ledger.get(shown_key("a/_defaults")) is None


def test_of_two_handlers_the_one_that_read_first_reads_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("jobs/a.yaml")
    (job,) = jobs(world)
    commit, tries = world.ledger.commit, []

    def overtaken(*changes: object) -> None:
        tries.append(changes)
        if len(tries) == 1:
            raise Conflict("another handler was faster")
        commit(*changes)  # type: ignore[arg-type]

    monkeypatch.setattr(world.ledger, "commit", overtaken)
    (shown,) = gallery(world)
    # The entry is out of date, as if the handler before had been killed.
    key = shown_key("a")
    record = world.ledger.get(key)
    assert record is not None
    world.ledger.items[key.partition, key.sort] = (
        record.revision,
        shown.model_copy(update={"percent": 7}).model_dump_json(),
    )
    publish_status(world.ports, job.job_id)
    assert len(tries) == 2 and gallery(world) == [shown]

    def always(*changes: object) -> None:
        raise Conflict("another handler was faster")

    monkeypatch.setattr(world.ledger, "commit", always)
    world.ledger.items[key.partition, key.sort] = (
        record.revision,
        shown.model_copy(update={"percent": 7}).model_dump_json(),
    )
    with pytest.raises(Transient):
        publish_status(world.ports, job.job_id)


def test_the_prompts_of_all_scenes_are_shown(world: World) -> None:
    world.drop("jobs/a.yaml", "scenes: [{prompt: a bee lands}, {prompt: it flies away}]\n")
    (entry,) = gallery(world)
    assert entry.prompt == "a bee lands it flies away"


def drop_some(world: World, count: int) -> None:
    world.drop("jobs/_defaults.yaml", "stpes: 4\n")
    for number in range(count):
        world.drop(f"jobs/{number:03}.yaml", "prompt: [")  # it is refused, which is fast
    world.clock.move(seconds=10)
    world.drop("jobs/_defaults.yaml", "preset: draft\n")  # corrected, so it has no entry
    world.drop("jobs/bee.png", PNG, event=False)
    world.drop("jobs/bee.yaml", "prompt: a bee\n")
    world.render(*world.dispatch())


def test_jobs_that_ended_before_there_was_a_gallery_are_added_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_some(world, 210)
    before = gallery(world)
    assert len(before) == 211
    as_before_the_gallery(world.ledger, world.clock())
    world.clock.move(hours=9)
    sweep(world.ports)
    assert gallery(world) == before

    get_all, asked = world.ledger.get_all, list[object]()

    def counted(keys: Sequence[RecordKey[Any]]) -> Any:
        asked.extend(keys)
        return get_all(keys)

    monkeypatch.setattr(world.ledger, "get_all", counted)
    world.clock.move(hours=1)
    sweep(world.ports)
    assert asked == [], "it is done, so no sweep asks for entries again"


def test_an_entry_that_cannot_be_added_is_added_by_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_some(world, 3)
    before = gallery(world)
    as_before_the_gallery(world.ledger, world.clock())
    world.clock.move(hours=9)
    show = entries.show

    def broken(ports: WithLedger, job_id: str) -> None:
        if "001" in str(world.ledger.get(job_key(job_id))):
            raise Transient("the table is away")
        show(ports, job_id)

    monkeypatch.setattr(entries, "show", broken)
    with pytest.raises(ExceptionGroup):
        sweep(world.ports)
    assert len(gallery(world)) < len(before)
    monkeypatch.setattr(entries, "show", show)
    sweep(world.ports)
    assert gallery(world) == before


def test_a_round_that_is_under_way_when_the_version_changes_does_not_count(world: World) -> None:
    drop_some(world, 3)
    before = gallery(world)
    as_before_the_gallery(world.ledger, world.clock())
    world.clock.move(hours=9)
    record = world.ledger.get(LOOKED_AT)
    assert record is not None
    under_way = record.document.model_copy(
        update={"round_until": world.clock(), "round_after": "jobs/001.yaml"}
    )
    world.ledger.commit(Put(LOOKED_AT, under_way, record.revision))
    sweep(world.ports)
    sweep(world.ports)
    assert gallery(world) == before


def test_a_new_deployment_looks_for_no_older_jobs(world: World) -> None:
    sweep(world.ports)
    record = world.ledger.get(LOOKED_AT)
    assert record is not None and record.document.gallery_filled
