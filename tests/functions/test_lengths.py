"""How long a video will be, and at which rate, is said before it is made and afterwards."""

import json

import pytest

from functions.replies.sidecar import Sidecar
from functions.replies.status import Length
from tests.fakes import World
from tests.functions.resolved_specs import read
from tests.functions.stored import status, tasks

SLOW = "prompt: a red circle\nfps: 24\nslow_motion: 2\nloop: true\n"


def test_a_dry_run_says_how_long_the_videos_would_be(world: World) -> None:
    world.drop("jobs/slow.yaml", f"{SLOW}dry_run: true\n")
    said = status(world, "slow")
    assert said.message.startswith("Dry run: this would make 1 video of 3.5 s at 24 fps.")
    assert said.tasks[0].length == Length(duration_seconds=3.54, fps=24, num_frames=85)
    assert "01: 3.5 s at 24 fps, 64 x 96 (height x width), model demo" in world.post.sent[-1].body


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("{seed: [1, 2]}", "2 videos of 3.5 s at 24 fps each."),
        ("{fps: [8, 24]}", "2 videos. "),
        ("{slow_motion: [1, 2, 4]}", "3 videos. "),
    ],
)
def test_videos_of_one_length_are_said_together(world: World, matrix: str, words: str) -> None:
    world.drop("jobs/slow.yaml", f"{SLOW}dry_run: true\nmatrix: {matrix}\n")
    assert f"this would make {words}" in status(world, "slow").message


def test_a_made_video_has_both_rates_in_its_sidecar_which_makes_it_again(world: World) -> None:
    world.drop("jobs/slow.yaml", f"{SLOW}enhance: false\n")
    (attempt,) = world.dispatch()
    (task,) = world.manifest(attempt).tasks
    parameters = task.parameters
    assert (parameters.fps, parameters.generated_fps, parameters.num_frames) == (24, 8, 17)
    assert (parameters.slow_motion, parameters.loop) == (2, "cross-fade")
    world.render(attempt)
    body = world.files.read("output", "videos/slow.json")
    sidecar = Sidecar.from_json(body)
    assert (sidecar.generated_fps, sidecar.video.fps, sidecar.spec.loop) == (8, 24, "cross-fade")
    assert sidecar.video.num_frames == 85
    assert "3.5 s at 24 fps" in world.post.sent[-1].body
    again = read(json.dumps(json.loads(body)["spec"]), "jobs/b/again.json")
    assert again == tasks(world)[0].spec
