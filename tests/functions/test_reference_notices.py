"""Nobody is surprised by what becomes of a picture or a clip."""

from pathlib import Path

import pytest
from PIL import Image

from contract.errors import Notice
from functions.table.records import State
from local.command.validate import validate
from tests import clips
from tests.corpus.images import coloured, saved
from tests.fakes import World
from tests.functions.stored import status

PORTRAIT, LANDSCAPE, SQUARE = (300, 400), (400, 300), (300, 300)
ON_A_LANDSCAPE_MODEL = "image: bee.jpg\nprompt: it flies\nmodel: cogvideox-5b\n"


def picture(size: tuple[int, int], **options: object) -> bytes:
    return saved(coloured(size=size), "JPEG", **options)


def noticed(world: World, spec: str, **references: bytes) -> list[Notice]:
    """Drop a spec with references, and return what its status says about them."""
    for name, body in references.items():
        world.drop(f"jobs/{name.replace('_', '.')}", body, event=False)
    world.drop("jobs/bee.yaml", spec)
    found = status(world, "bee")
    assert found.state == State.QUEUED, found
    return [notice for notice in found.warnings if notice.code.startswith("reference-")]


def test_a_portrait_photo_on_a_landscape_model_is_not_beheaded_without_a_word(
    world: World,
) -> None:
    (notice,) = noticed(world, ON_A_LANDSCAPE_MODEL, bee_jpg=picture(PORTRAIT))
    assert notice.code == "reference-cut"
    assert "50% of the picture bee.jpg is cut off, at the top and at the bottom" in notice.message
    assert "480x720 pixels (height x width)" in notice.message
    assert "write  fit: pad  " in notice.message
    assert notice.message.endswith("use a model that has a size for its shape: cogvideox1.5-5b.")
    world.render(world.dispatch()[0])
    assert any(notice.message in mail.body for mail in world.post.sent)


@pytest.mark.parametrize("change", ["fit: pad\n", "model: cogvideox1.5-5b\n"])
def test_the_advice_of_the_notice_helps(world: World, change: str) -> None:
    spec = ON_A_LANDSCAPE_MODEL
    if change.startswith("model"):
        spec = spec.replace("model: cogvideox-5b\n", "")
    assert not noticed(world, spec + change, bee_jpg=picture(PORTRAIT))


def test_a_size_that_the_spec_names_is_the_cause(world: World) -> None:
    spec = ON_A_LANDSCAPE_MODEL.replace("x-5b", "x1.5-5b") + "aspect: landscape\n"
    (notice,) = noticed(world, spec, bee_jpg=picture(PORTRAIT))
    assert "leave out aspect, height and width: cogvideox1.5-5b has a size" in notice.message


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (LANDSCAPE, ""),
        ((1_600, 900), ""),
        (SQUARE, "33% of the picture bee.jpg is cut off, at the top"),
        ((1_600, 400), "62% of the picture bee.jpg is cut off, on the left and on the right"),
    ],
)
def test_only_what_is_missed_is_told(world: World, size: tuple[int, int], said: str) -> None:
    told = noticed(world, ON_A_LANDSCAPE_MODEL, bee_jpg=picture(size))
    assert [notice.message[: len(said)] for notice in told] == ([said] if said else [])


def test_a_photo_counts_as_it_is_shown_and_not_as_it_is_stored(world: World) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    (notice,) = noticed(world, ON_A_LANDSCAPE_MODEL, bee_jpg=picture(LANDSCAPE, exif=exif))
    assert "at the top and at the bottom" in notice.message


def test_many_videos_from_one_picture_get_one_notice(world: World) -> None:
    spec = ON_A_LANDSCAPE_MODEL + "variations: 4\n"
    assert len(noticed(world, spec, bee_jpg=picture(PORTRAIT))) == 1


def _on_its_side() -> bytes:
    """A clip as phones store it: landscape, with a matrix that turns it upright."""
    frame = clips.chart(1, 1, matrix=1)
    one = 1 << 16
    return clips.video_of(frame, turn=[0, one, 0, -one, 0, 0, 0, 0, 1 << 30])


def test_a_portrait_clip_is_not_beheaded_without_a_word_either(world: World) -> None:
    spec = "video: bee.mov\nprompt: a bee\nmodel: cogvideox-5b\n"
    (notice,) = noticed(world, spec, bee_mov=_on_its_side())
    assert "of the video bee.mov is cut off, at the top and at the bottom" in notice.message
    assert notice.message.endswith("write  fit: pad  (with black bars)."), "no model makes it"


@pytest.mark.parametrize(("trc", "name"), [(18, "HLG"), (16, "PQ")])
def test_a_notice_tells_that_hdr_is_converted(world: World, trc: int, name: str) -> None:
    spec = "video: bee.mov\nprompt: a bee\nmodel: cogvideox-5b\nfit: pad\n"
    (notice,) = noticed(world, spec, bee_mov=clips.video_of(clips.chart(trc, 9)))
    assert notice.code == "reference-hdr" and f"bee.mov is HDR ({name})" in notice.message


def test_validate_says_the_same_as_the_bucket(world: World, tmp_path: Path) -> None:
    clip = clips.video_of(clips.chart(18, 9))
    spec = "matrix:\n  include:\n  - {image: bee.jpg}\n  - {video: bee.mov, fit: pad}\n" \
        "prompt: a bee\nmodel: cogvideox-5b\n"  # fmt: skip
    said = noticed(world, spec, bee_jpg=picture(PORTRAIT), bee_mov=clip)
    assert [notice.code for notice in said] == ["reference-cut", "reference-hdr"]
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name, body in (("bee.jpg", picture(PORTRAIT)), ("bee.mov", clip), ("bee.yaml", spec)):
        (folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())
    (verdict,) = validate([folder / "bee.yaml"], default_model="cogvideox-5b")
    assert [n for n in verdict.warnings if n.code.startswith("reference-")] == said
