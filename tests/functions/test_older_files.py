"""If a version makes fewer videos than the one before, its status names those that stay."""

import pytest

from tests.fakes import World
from tests.functions.stored import status


def older(world: World) -> list[str]:
    """The messages about older files."""
    return [one.message for one in status(world, "bee").warnings if one.code == "older-files"]


def make(world: World, variations: int) -> None:
    world.clock.move(minutes=10)
    world.drop(
        "jobs/bee.yaml", f"prompt: a\nseed: {world.clock().minute}\nvariations: {variations}\n"
    )
    (attempt,) = world.dispatch()
    world.render(attempt)


@pytest.mark.parametrize(
    ("before", "after", "stay"),
    [
        (3, 1, ["bee-01.mp4", "bee-02.mp4", "bee-03.mp4"]),
        (3, 2, ["bee-03.mp4"]),
        (1, 2, ["bee.mp4"]),
        (2, 2, []),
        (2, 3, []),
    ],
)
def test_the_videos_that_stay_are_named(
    world: World, before: int, after: int, stay: list[str]
) -> None:
    make(world, before)
    make(world, after)
    there = set(world.files.keys("output"))
    assert {f"videos/{name}" for name in stay} <= there, "nothing is deleted"
    named = " ".join(older(world))
    assert [name for name in stay if f"videos/{name}" in named] == stay
    assert named.count(".mp4") == len(stay)
    assert named in world.post.sent[-1].body


def test_other_formats_that_stay_are_named(world: World) -> None:
    for minute, outputs in enumerate(("[gif, h265, webm]", "[gif]")):
        world.clock.move(minutes=10)
        world.drop("jobs/bee.yaml", f"prompt: a\nseed: {minute}\noutputs: {outputs}\n")
        world.render(world.dispatch()[0])
    (named,) = older(world)
    assert "videos/bee.h265.mp4, videos/bee.webm. " in named


def test_videos_that_were_deleted_are_not_named(world: World) -> None:
    make(world, 2)
    world.files.remove("output", "videos/bee-01.mp4")
    make(world, 1)
    (message,) = older(world)
    assert "bee-02.mp4" in message and "bee-01.mp4" not in message


def test_they_are_still_named_after_newer_folder_defaults(world: World) -> None:
    make(world, 2)
    world.clock.move(minutes=10)
    world.drop("jobs/bee.yaml", "prompt: b\n")
    world.drop("jobs/_defaults.yaml", "num_inference_steps: 4\n")
    assert len(older(world)) == 1
