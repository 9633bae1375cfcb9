"""Of two drops of a path, the newer one has the last word, however their handlers interleave."""

from collections.abc import Callable
from typing import Any

import pytest

from functions import s3_keys
from functions.replies.status import Status
from functions.table.ledger import shown_key
from functions.table.records import State
from tests.fakes import World

KEY = "jobs/bee.yaml"
OLDER = {
    "good": "prompt: good\n",
    "refused": "prompt: [",
    "review": "prompt: x\nenhance: review\n",
}
NEWER = {
    "good": ("prompt: better\n", State.QUEUED),
    "refused": ("prompt: x\nstep: 3\n", State.REJECTED),
    "dry run": ("prompt: x\ndry_run: true\n", State.PLANNED),
    "review": ("prompt: y\nenhance: review\n", State.PLANNED),
    "waiting": ("prompt: x\nimage: never.png\n", State.WAITING),
}


class CutIn:
    """Has a newer version dropped and handled before one call of S3 for the output bucket."""

    def __init__(self, world: World, body: str, before: int) -> None:
        self._world, self._body, self._before = world, body, before
        self._calls = 0
        self.happened = False
        for name in ("write", "remove"):
            setattr(world.files, name, self._watched(getattr(world.files, name)))

    def _watched(self, call: Callable[..., None]) -> Callable[..., None]:
        def watched(bucket: str, *arguments: Any, **options: Any) -> None:
            if bucket == self._world.settings.output_bucket:
                self._calls += 1
                if self._calls > self._before and not self.happened:
                    self.happened = True
                    self._world.clock.move(seconds=1)
                    self._world.drop(KEY, self._body)
            call(bucket, *arguments, **options)

        return watched


def published(world: World) -> tuple[bool, bool, State, State]:
    """What is published: the newer drop's refusal, its review, the states that files show."""

    def says(key: str, text: bytes) -> bool:
        there = world.files.exists("output", key)
        return there and text in world.files.read("output", key)

    status = Status.from_json(world.files.read("output", s3_keys.status("bee")))
    entry = world.ledger.get(shown_key("bee"))
    assert entry is not None
    return (
        says(s3_keys.rejected("bee"), b"step"),
        says(s3_keys.review("bee"), b"#   y\n"),
        status.state,
        entry.document.state,
    )


@pytest.mark.parametrize("older", OLDER)
@pytest.mark.parametrize("newer", NEWER)
def test_a_drop_that_comes_while_an_older_one_is_published(newer: str, older: str) -> None:
    body, state = NEWER[newer]
    expected = (newer == "refused", newer == "review", state, state)
    for before in range(100):
        world = World()
        cut_in = CutIn(world, body, before)
        world.drop(KEY, OLDER[older])
        if not cut_in.happened:
            break
        assert published(world) == expected, f"before call {before}"
        refusal = world.files.exists("output", s3_keys.rejected("bee"))
        assert refusal == (newer == "refused"), f"before call {before}"
    assert before >= 2
