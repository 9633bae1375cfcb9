"""The note in the corner: in every frame, in the corner, readable, and from the font of Pillow."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from contract.outcome import GIF_FILE, POSTER_FILE, VIDEO_FILE
from functions.spec.fields import LABEL_CHARACTERS, JobSpec
from processing.label import Label
from tests.processing.decoding import decoded
from tests.processing.test_finishing import published, task

LONGEST = "Made with a model by the press team 2026"
SIZES = [(64, 64), (64, 96), (480, 720), (720, 480), (1360, 768)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("text", ["AI-generated", LONGEST, "W" * 40, "i"])
@pytest.mark.parametrize("ground", [0, 255])
def test_a_note_is_seen_on_every_ground_and_stays_in_its_corner(
    height: int, width: int, text: str, ground: int
) -> None:
    frame = np.full((height, width, 3), ground, dtype=np.uint8)
    label = Label.drawn(text, height=height, width=width)

    shown = label.on(frame)

    assert (frame == ground).all(), "the frame itself stays as it is"
    outside = np.ones((height, width), dtype=bool)
    outside[label.rows, label.columns] = False
    assert (shown[outside] == ground).all()
    top, bottom = label.rows.start, label.rows.stop - 1
    left, right = label.columns.start, label.columns.stop - 1
    note = shown[label.rows, label.columns].astype(int)
    assert note.max() - np.quantile(note, 0.1) > 100, "light letters on a darker ground"
    assert min(top, left) >= 0 and bottom < height - 1 and right < width - 1, "with a margin"
    assert height - bottom <= height // 20 + 2 and width - right <= width // 20 + 2
    if text == "AI-generated":
        # A reader sees letters of 1/40 of the side. The letters have most of the box's height.
        assert bottom - top >= max(12, min(height, width) // 28)
        assert (bottom - top) * (right - left) < 0.25 * height * width


def test_every_allowed_character_is_in_the_font_and_others_are_not() -> None:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)

    def looks(character: str) -> tuple[bytes, float]:
        return bytes(font.getmask(character)), font.getlength(character)

    missing = looks("\uffff")
    allowed = re.compile(f"[{LABEL_CHARACTERS}]")
    for number in range(0x20, 0x3000):
        character = chr(number)
        if allowed.fullmatch(character):
            assert looks(character) != missing, character
    assert looks("ü") == looks("–") == missing
    JobSpec(label=LONGEST)


def test_a_note_is_in_the_video_its_poster_and_its_gif(tmp_path: Path) -> None:
    for folder, note in (("plain", ""), ("noted", "AI-generated")):
        published(tmp_path / folder, task(gif=True, label=note))

    plain, noted = tmp_path / "plain", tmp_path / "noted"
    label = Label.drawn("AI-generated", height=64, width=96)
    wanted = np.stack([label.on(frame) for frame in decoded(plain / VIDEO_FILE)]).astype(int)
    assert np.abs(decoded(noted / VIDEO_FILE) - wanted).mean() < 3
    outside = np.ones((64, 96), dtype=bool)
    outside[label.rows, label.columns] = False
    for name in (POSTER_FILE, GIF_FILE):
        with Image.open(plain / name) as one, Image.open(noted / name) as other:
            before, after = (np.asarray(image.convert("RGB"), int) for image in (one, other))
        change = np.abs(after - before)
        # Dithering changes the rest, too, because the palette has other colours.
        assert change[~outside].mean() > 3 * change[outside].mean()
