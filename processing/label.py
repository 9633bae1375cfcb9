"""Burns a small visible note into the frames of a video, in the lower right corner."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# As shares of the shorter side of the video.
_TEXT_SIDE: Final = 1 / 28
_MARGIN_SIDE: Final = 1 / 50
# Smaller letters cannot be read.
_MIN_TEXT: Final = 9
_INK: Final = 255
# How much of the picture shows through the ground of the note.
_GROUND_ALPHA: Final = 0.6


@dataclass(frozen=True)
class Label:
    """A note that is drawn once and put on any number of frames of one size."""

    rows: slice
    columns: slice
    alpha: NDArray[np.float64]
    """How much of the picture the note hides, shape (rows, columns, 1)."""
    ink: NDArray[np.float64]
    """What the note adds to it, the same shape."""

    @classmethod
    def drawn(cls, text: str, *, height: int, width: int) -> Self:
        """Draw `text` for frames of a size. A long text has several lines.

        The text is white on a dark ground, so it can be read on every picture.

        Raises:
            ValueError: The text is blank.
        """
        side = min(height, width)
        margin = max(2, round(side * _MARGIN_SIDE))
        font = ImageFont.load_default(max(_MIN_TEXT, round(side * _TEXT_SIDE)))
        assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
        lines = _lines(text, font, width - 4 * margin)
        draw = ImageDraw.Draw(Image.new("L", (1, 1)))
        shown = "\n".join(lines)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), shown, font=font, align="right")
        box_width = min(width - 2 * margin, round(right - left) + 2 * margin)
        box_height = min(height - 2 * margin, round(bottom - top) + 2 * margin)
        picture = Image.new("L", (box_width, box_height))
        ImageDraw.Draw(picture).multiline_text(
            (margin - left, margin - top), shown, font=font, fill=255, align="right"
        )
        letters = np.asarray(picture, dtype=np.float64)[..., np.newaxis] / 255
        return cls(
            rows=slice(height - margin - box_height, height - margin),
            columns=slice(width - margin - box_width, width - margin),
            alpha=_GROUND_ALPHA + (1 - _GROUND_ALPHA) * letters,
            ink=_INK * letters,
        )

    def on(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of `frame`, shape (height, width, 3), with the note."""
        shown = frame.copy()
        below = shown[self.rows, self.columns]
        shown[self.rows, self.columns] = np.rint(below * (1 - self.alpha) + self.ink)
        return shown


def _lines(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken between words if that is possible."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for character in word:
            if lines[-1] and font.getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    if not lines:
        raise ValueError("a note needs a text")
    return lines
