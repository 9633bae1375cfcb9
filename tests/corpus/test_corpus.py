"""Every bad drop is refused at once, with the position of the mistake, and harms nothing else."""

import resource
import sys

import pytest

from contract.errors import MEANINGS, Code
from functions import s3_keys
from functions.adapters.child_reader import ChildReader, Request, Usage
from functions.reading.limits import LIMITS
from functions.spec.fields import FolderDefaults
from functions.stages.sweep import sweep
from functions.table.records import Job, State, Task
from tests.corpus import drops, fields, images, lists, sounds, texts, videos
from tests.corpus.specimen import Bad, Harmless
from tests.fakes import InProcessReader, World

BAD: list[Bad] = [
    *texts.YAML, *texts.BYTES, *texts.JSON,
    *fields.ONE_FIELD, *fields.SEVERAL, *fields.IN_JSON,
    *drops.KEYS, *drops.REFERENCES, *drops.DEFAULTS,
    *images.bad(), *videos.bad(), *sounds.bad(), *lists.LISTS,
]  # fmt: skip
HARMLESS: list[Harmless] = [
    *texts.HARMLESS, *fields.HARMLESS, *drops.HARMLESS, *images.harmless(), *videos.harmless(),
    *sounds.harmless(),
]  # fmt: skip
# These are about the name of the file, or about a line that is missing.
WITHOUT_PLACE = {
    Code.KEY_SUFFIX, Code.KEY_PLACE, Code.KEY_TOO_DEEP, Code.KEY_CHARACTER, Code.PROMPT_EMPTY,
}  # fmt: skip
MOST_BYTES = 256 * 1024 * 1024


class WatchedReader(ChildReader):
    """Records the resources that every reading process used."""

    def __init__(self) -> None:
        self.used: list[tuple[str, Usage]] = []

    def _answer(self, request: Request) -> tuple[bytes, bytes]:
        try:
            return super()._answer(request)
        finally:
            if self.usage is not None:
                self.used.append((request.call, self.usage))


@pytest.fixture
def world() -> World:
    world = World()
    world.reader = WatchedReader()
    return world


def job_of(world: World, key: str) -> Job:
    (job,) = (
        job
        for (_, sort), (_, body) in world.ledger.items.items()
        if sort == "JOB" and (job := Job.from_json(body)).source.key == key
    )
    return job


def tasks(world: World) -> list[Task]:
    items = world.ledger.items.items()
    return [Task.from_json(body) for (_, sort), (_, body) in items if sort.startswith("TASK#")]


def check_usage(world: World) -> None:
    """Check that no process took more than a second of CPU time or 256 MB of memory.

    Linux also counts the memory of the process that started it.
    """
    assert isinstance(world.reader, WatchedReader)
    unit = 1 if sys.platform == "darwin" else 1024
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    for call, used in world.reader.used:
        assert used.cpu_seconds < 1, (call, used)
        assert used.max_rss_bytes <= max(MOST_BYTES, ours), (call, used)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_answered(world: World, bad: Bad) -> None:
    for key, body in bad.others.items():
        world.drop(key, body, event=False)
    world.drop(bad.key, bad.body)

    job = job_of(world, bad.key)
    assert job.state == State.REJECTED
    problem = job.problems[0]
    said = f"{problem.code}: {problem.message} {problem.hint} {problem.place}"
    assert problem.code == bad.code, said
    assert problem.message and problem.hint, said
    if bad.code not in WITHOUT_PLACE:
        assert problem.place.line and problem.place.column, said
    for name in ("line", "column", "file"):
        expected = getattr(bad, name)
        if expected is not None:
            assert getattr(problem.place, name) == expected, said
    if bad.field is not None:
        assert f"{problem.place.field}.".startswith(f"{bad.field}."), said
    for word in bad.words:
        assert word in f"{problem.message} {problem.hint}", said

    answer = world.files.read("output", s3_keys.rejected(job.path)).decode()
    assert "What:" in answer and "Fix:" in answer and bad.code in answer
    assert len(answer) < 20_000
    if bad.line is not None:
        assert f"line {bad.line}" in answer
    if job.digest is not None:
        world.clock.move(minutes=3)
        sweep(world.ports)
    (mail,) = world.post.sent
    assert mail.attributes["status"] in {"rejected", ("rejected",)}

    assert not world.dispatch() and not tasks(world), "nothing may be rendered"
    check_usage(world)
    world.reader = InProcessReader()
    world.drop("jobs/good.txt", "a bee")
    assert job_of(world, "jobs/good.txt").state == State.QUEUED
    assert len(world.dispatch()) == 1


@pytest.mark.parametrize("harmless", HARMLESS, ids=lambda harmless: harmless.name)
def test_what_only_looks_bad_works(world: World, harmless: Harmless) -> None:
    for key, body in harmless.others.items():
        world.drop(key, body, event=False)
    world.drop(harmless.key, harmless.body)
    job = job_of(world, harmless.key)
    assert job.state == State.QUEUED, job.problems
    about_the_text = [n.code for n in job.warnings if n.code != "outside-its-world"]
    assert about_the_text == list(harmless.warnings)
    if harmless.prompt is not None:
        assert job.spec is not None and job.spec.prompt == harmless.prompt
    (attempt,) = world.dispatch()
    world.render(attempt)
    assert all(mail.subject.isprintable() for mail in world.post.sent)
    check_usage(world)


def test_the_corpus_is_large_and_every_specimen_has_a_name_of_its_own() -> None:
    names = [bad.name for bad in BAD] + [harmless.name for harmless in HARMLESS]
    assert len(names) == len(set(names))
    assert len(BAD) >= 170


def test_every_field_and_every_code_is_in_the_corpus() -> None:
    seen = {bad.field.split(".")[0] for bad in BAD if bad.field}
    assert set(FolderDefaults.model_fields) <= seen
    of_a_drop = list(MEANINGS)[: list(MEANINGS).index(Code.PROMPT_BLOCKED)]
    # These have their own tests: they need a deadline, a process that is killed, and a key.
    elsewhere = {Code.REFERENCE_NEVER_CAME, Code.SPEC_UNREADABLE, Code.FILE_ENCRYPTED}
    assert set(of_a_drop) - {bad.code for bad in BAD} == elsewhere


def test_no_process_may_have_more_than_256_mb() -> None:
    # PyAV touches less than 48 MB of the libraries that it maps.
    for limits in LIMITS.values():
        touched = min(limits.address_bytes, limits.data_bytes + 48 * 1024 * 1024)
        assert touched <= MOST_BYTES
