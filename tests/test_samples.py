"""Every sample works: it is valid by the published schema and by `validate`, and is accepted.

tests/e2e renders them.
"""

import json

import jsonschema
import pytest
import yaml

from functions import s3_keys
from functions.table.records import State
from local import ROOT
from local.command.validate import validate
from tests.fakes import World
from tests.functions.stored import jobs, tasks

SAMPLES = ROOT / "samples"
FILES = {
    s3_keys.JOBS_PREFIX + file.relative_to(SAMPLES).as_posix(): file
    for file in sorted(SAMPLES.rglob("*"))
    if file.is_file()
}
SPECS = [key for key in FILES if s3_keys.kind_of(key) == s3_keys.Kind.SPEC]
# The samples that are not rendered, and the number of videos of those that make more than one.
STATES = {"plan-first": State.PLANNED, "read-it-first": State.PLANNED}
COUNTS = {"four-seeds": 4, "compare": 4, "plan-first": 3}


def test_there_are_enough_to_start_from() -> None:
    assert len(SPECS) >= 10


@pytest.mark.parametrize("key", SPECS)
def test_a_sample_is_accepted(key: str) -> None:
    world = World()
    for other, file in FILES.items():
        if s3_keys.kind_of(other) in {s3_keys.Kind.DEFAULTS, s3_keys.Kind.REFERENCE}:
            world.files.write("input", other, file.read_bytes(), "x")
    world.drop(key, FILES[key].read_bytes())
    (job,) = jobs(world)
    assert job.state == STATES.get(job.path, State.QUEUED), job.problems
    assert len(tasks(world)) == COUNTS.get(job.path, 1)


@pytest.mark.parametrize("key", [key for key in FILES if key.endswith(".yaml")])
def test_a_sample_is_valid_by_the_schema_that_it_names_for_editors(key: str) -> None:
    text = FILES[key].read_text()
    named = text.partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((FILES[key].parent / named).read_text())
    jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"promt": "a bee"}, schema)


def test_every_file_of_the_samples_may_be_uploaded() -> None:
    """People sync the whole folder."""
    world = World()
    for key, file in FILES.items():
        world.drop(key, file.read_bytes())
    assert not [job.path for job in jobs(world) if job.state == State.REJECTED]


# The chime is shorter than the video, as its comment says.
NOTICES = {"jobs/with-sound.yaml": ["audio-repeated"]}


@pytest.mark.parametrize("key", SPECS)
def test_validate_finds_nothing_wrong_with_a_sample(key: str) -> None:
    (verdict,) = validate([FILES[key]], default_model="demo")
    assert verdict.ok, verdict
    assert [notice.code for notice in verdict.warnings] == NOTICES.get(key, [])


def test_an_image_alone_in_the_folder_of_photos_is_a_job() -> None:
    world = World()
    folder = "jobs/photos/"
    world.drop(folder + "_defaults.yaml", FILES[folder + "_defaults.yaml"].read_bytes())
    world.drop(folder + "square.jpg", FILES[folder + "square.jpg"].read_bytes())
    assert [job.path for job in jobs(world)] == ["photos/square.jpg"]
