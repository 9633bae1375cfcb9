"""What people reported in public about other tools, and what a drop folder answers to it.

Each row is a kind of file that phones, editors, browsers and synced folders make. The files are
made here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from contract.errors import Code
from functions.adapters.child_reader import ChildReader
from functions.table.records import Job, State
from tests import clips
from tests.corpus import images
from tests.fakes import World
from tests.functions.stored import jobs

RTF = rb"{\rtf1\ansi\ansicpg1252\cocoartf2709 {\fonttbl\f0\fswiss Helvetica;} \f0 a bee}"
STAR = b"prompt: a yellow star moves left\n"
HLG = clips.video_of(clips.chart(18, 9), num_frames=17)


@dataclass(frozen=True)
class Field:
    """What is dropped, in this order, and the answer."""

    name: str
    drops: Sequence[tuple[str, Callable[[], bytes]]]
    states: Sequence[State]
    """The states of all jobs at the end, the oldest first."""
    code: Code | None = None
    """Of the last job, if it is refused."""
    words: Sequence[str] = ()
    """Words in its refusal, or in its notices."""
    notices: Sequence[str] = ()
    """Codes of the notices of the last job."""


def _photo() -> bytes:
    """48 megapixels, as phones make them."""
    grain = np.random.default_rng(0).integers(90, 166, (63, 84, 3), dtype=np.uint8)
    tiled = np.ascontiguousarray(np.tile(grain, (96, 96, 1)))
    return images.saved(Image.fromarray(tiled), "JPEG", quality=80)


def _spec(text: str) -> Callable[[], bytes]:
    return text.encode


def _is(body: bytes) -> Callable[[], bytes]:
    return lambda: body


FIELD = [
    Field(
        "01-iphone-hlg",
        [("phone.mov", _is(HLG)), ("a.yaml", _spec("prompt: a bee\nvideo: phone.mov\nfit: pad\n"))],
        [State.QUEUED],
        words=["HDR (HLG)", "converted"],
        notices=["reference-hdr"],
    ),
    Field(
        "03-quicktime-without-ftyp",
        [
            ("old.mov", lambda: clips.without_ftyp(clips.numbered())),
            ("a.yaml", _spec("video: old.mov\n")),
        ],
        [State.QUEUED],
    ),
    Field(
        "04-number-collision",
        [("clip-01.yaml", _is(STAR)), ("clip.yaml", _is(STAR + b"variations: 2\n"))],
        [State.QUEUED, State.REJECTED],
        Code.NAME_TAKEN,
        ["videos/clip-01.mp4", "jobs/clip-01.yaml", "another name"],
    ),
    Field(
        "06-hidden-folder",
        [("bee.yaml", _is(STAR)), (".ipynb_checkpoints/bee-checkpoint.yaml", _is(STAR))],
        [State.QUEUED],
    ),
    Field(
        "08-textedit-rtf",
        [("a.txt", _is(RTF))],
        [State.REJECTED],
        Code.NOT_A_SPEC,
        ["formatted text (RTF)", "Make Plain Text"],
    ),
    Field(
        "09-letter-case",
        [("IMG_7.JPG", _is(images.JPEG)), ("spec.yaml", _spec("image: IMG_7.jpg\n"))],
        [State.QUEUED],
        words=["'IMG_7.JPG' was taken"],
        notices=["reference-name"],
    ),
    Field(
        "10-saved",
        [("saved.jfif", _is(images.JPEG)), ("a.yaml", _spec("image: saved.jfif\n"))],
        [State.QUEUED],
    ),
    Field(
        "14-48-megapixels",
        [("photo.jpg", _photo), ("a.yaml", _spec("image: photo.jpg\n"))],
        [State.QUEUED],
    ),
    Field(
        "22-placeholder-first",
        [
            ("spec.yaml", _spec("image: z.png\n")),
            ("z.png", _is(b"")),
            ("z.png", _is(images.PLAIN)),
        ],
        [State.QUEUED],
    ),
    Field(
        "22-placeholder-first, and then a file that is no picture",
        [
            ("z.png", _is(b"")),
            ("spec.yaml", _spec("image: z.png\n")),
            ("z.png", _is(b"not yet")),
            ("z.png", _is(images.PLAIN)),
        ],
        [State.REJECTED, State.QUEUED],
    ),
]


@pytest.mark.parametrize("field", FIELD, ids=lambda field: field.name)
def test_what_people_drop_is_answered_as_it_should(field: Field) -> None:
    world = World()
    world.reader = ChildReader()  # with the limits of the process
    for name, body in field.drops:
        world.clock.move(seconds=20)
        world.drop(f"jobs/{name}", body())
    found: list[Job] = jobs(world)
    last = found[-1]
    assert [job.state for job in found] == list(field.states), last.problems
    assert [problem.code for problem in last.problems] == ([field.code] if field.code else [])
    said = [f"{problem.message} {problem.hint}" for problem in last.problems]
    notices = [notice for notice in last.warnings if notice.code != "outside-its-world"]
    if field.code is None:
        said = [notice.message for notice in notices]
        assert [notice.code for notice in notices] == list(field.notices)
    for word in field.words:
        assert word in " ".join(said)
    rejected = sum(state == State.REJECTED for state in field.states)
    assert [mail.attributes["status"] for mail in world.post.sent] == rejected * ["rejected"]
    if State.QUEUED in field.states:
        (attempt,) = world.dispatch()
        world.render(attempt)
        assert world.post.sent[-1].attributes["status"] == "succeeded"
