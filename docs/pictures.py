"""Draws the pictures of docs/console.md: `make docs` writes them to docs/images/.

They are schematic drawings of the pages of the S3 console, not screenshots. A drawing shows only
what a reader has to find, and it does not age with each change of the console. What is orange is
our explanation and is not on the page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).resolve().parent / "images"

# Sizes are in points. Shapes are drawn with twice the pixels, because Pillow does not smooth edges.
_WIDTH = 800
_PIXELS_PER_POINT = 2
_SMOOTHING = 2
_SCALE = _PIXELS_PER_POINT * _SMOOTHING

_INK = "#16191f"
_GREY = "#5f6b7a"
_LINE = "#d5dbe3"
_PALE = "#f2f4f7"
_BLUE = "#0b5cad"
_CHOSEN = "#e6f1fb"
_ORANGE = "#c2410c"
_WHITE = "#ffffff"

_INPUT = "reeldrop-input-123456789012-…"
_OUTPUT = "reeldrop-output-123456789012-…"


@dataclass(frozen=True)
class Button:
    """A button of the page."""

    label: str
    mark: int | None = None
    """The number of the step in the text that uses it."""
    main: bool = False


@dataclass(frozen=True)
class Row:
    """A line in a list of buckets, folders or files."""

    name: str
    note: str = ""
    """Our explanation."""
    mark: int | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Listing:
    """A page of the console that lists buckets, folders or files."""

    way: tuple[str, ...]
    """The names at the top of the page that lead to it."""
    tabs: tuple[str, ...]
    rows: tuple[Row, ...]
    buttons: tuple[Button, ...] = ()
    find: str = ""
    """What was typed into the search field."""
    find_mark: int | None = None
    way_mark: int | None = None


@dataclass(frozen=True)
class Details:
    """A page of the console about one file."""

    way: tuple[str, ...]
    tabs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    buttons: tuple[Button, ...]


@dataclass
class _Sheet:
    """A white sheet to draw on, in points."""

    height: int
    image: Image.Image = field(init=False)
    draw: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (_WIDTH * _SCALE, self.height * _SCALE), _WHITE)
        self.draw = ImageDraw.Draw(self.image)

    def finished(self) -> Image.Image:
        """The picture in its final size, with few colours so that the file is small."""
        return self.image.reduce(_SMOOTHING).quantize(64, dither=Image.Dither.NONE).convert("P")

    def box(
        self, at: tuple[float, float, float, float], fill: str, line: str = "", *,
        radius: float = 4, below: bool = True,
    ) -> None:  # fmt: skip
        """A rectangle from left and top to right and bottom.

        Args:
            radius: how round the corners are.
            below: whether the lower corners are round, too.
        """
        left, top, right, bottom = (value * _SCALE for value in at)
        self.draw.rounded_rectangle(
            (left, top, right, bottom), radius * _SCALE, fill, line or None, width=_SCALE,
            corners=(True, True, below, below),
        )  # fmt: skip

    def text(
        self, at: tuple[float, float], text: str, colour: str = _INK, *,
        size: float = 13, bold: bool = False, anchor: str = "lm",
    ) -> float:  # fmt: skip
        """A line of text. Returns its width. There is no bold font, so its lines get thicker."""
        # The font comes with Pillow. The basic layout does not depend on other libraries.
        font = ImageFont.load_default(size * _SCALE)
        assert isinstance(font, ImageFont.FreeTypeFont)
        self.draw.text(
            (at[0] * _SCALE, at[1] * _SCALE), text, colour, font, anchor,
            stroke_width=0.35 * _SCALE if bold else 0,
        )  # fmt: skip
        return font.getlength(text) / _SCALE

    def mark(self, x: float, y: float, number: int) -> None:
        """The number of a step, in a circle around the point."""
        self.box((x - 11, y - 11, x + 11, y + 11), _ORANGE, radius=11)
        self.text((x, y), str(number), _WHITE, size=14, bold=True, anchor="mm")

    def arrow(self, x: float, y: float, to: float) -> None:
        """An arrow to the right."""
        self.box((x, y - 1, to - 6, y + 1), _ORANGE, radius=1)
        head = [(to, y), (to - 9, y - 6), (to - 9, y + 6)]
        self.draw.polygon([(a * _SCALE, b * _SCALE) for a, b in head], _ORANGE)


def _frame(sheet: _Sheet, way: tuple[str, ...], mark: int | None = None) -> None:
    """The window of the browser, the way to the page, and the title of the page.

    Args:
        mark: the number of the step that opens the page.
    """
    sheet.box((1, 1, _WIDTH - 1, sheet.height - 1), _WHITE, _LINE, radius=8)
    sheet.box((1, 1, _WIDTH - 1, 31), _PALE, _LINE, radius=8, below=False)
    for n in range(3):
        sheet.box((14 + 16 * n, 11, 23 + 16 * n, 20), _LINE, radius=4.5)
    sheet.text((76, 16), "S3 in the AWS console", _GREY, size=12)
    x = 24.0
    for n, name in enumerate(way):
        last = n == len(way) - 1
        x += sheet.text((x, 52), name, _GREY if last else _BLUE, size=12) + 8
        if not last:
            x += sheet.text((x, 52), "/", _GREY, size=12) + 8
    if mark is not None:
        sheet.mark(x + 8, 52, mark)
    sheet.text((24, 82), way[-1], size=20, bold=True)


def _tabs(sheet: _Sheet, names: tuple[str, ...], y: float) -> None:
    x = 24.0
    for n, name in enumerate(names):
        width = sheet.text((x, y), name, _INK if n == 0 else _GREY, bold=n == 0)
        if n == 0:
            sheet.box((x, y + 13, x + width, y + 16), _BLUE, radius=1.5)
        x += width + 28
    sheet.box((24, y + 16, _WIDTH - 24, y + 17), _LINE, radius=0)


def _buttons(sheet: _Sheet, buttons: tuple[Button, ...], y: float) -> None:
    """The buttons, from the right edge to the left."""
    right = _WIDTH - 24.0
    for button in reversed(buttons):
        left = right - 8 * len(button.label) - 28
        sheet.box((left, y - 14, right, y + 14), _BLUE if button.main else _WHITE, _BLUE, radius=14)
        middle = (left + right) / 2
        sheet.text((middle, y), button.label, _WHITE if button.main else _BLUE, anchor="mm")
        if button.mark is not None:
            sheet.mark(middle, y - 28, button.mark)
        right = left - 10


def listing(page: Listing) -> Image.Image:
    """Draw a page that lists buckets, folders or files."""
    sheet = _Sheet(248 + 34 * len(page.rows))
    _frame(sheet, page.way, page.way_mark)
    _tabs(sheet, page.tabs, 118)
    _buttons(sheet, page.buttons, 178)
    find_right = 300
    sheet.box((24, 164, find_right, 192), _WHITE, _GREY, radius=6)
    sheet.text((36, 178), page.find or "Find by name", _INK if page.find else _GREY)
    if page.find_mark is not None:
        sheet.mark(find_right + 20, 178, page.find_mark)
    sheet.box((24, 204, _WIDTH - 24, 232), _PALE, radius=0)
    sheet.text((58, 218), "Name", bold=True)
    for n, row in enumerate(page.rows):
        y = 249 + 34 * n
        if row.chosen:
            sheet.box((24, y - 17, _WIDTH - 24, y + 17), _CHOSEN, radius=0)
        _check_box(sheet, y, chosen=row.chosen)
        end = 58 + sheet.text((58, y), row.name, _BLUE)
        if row.mark is not None:
            sheet.mark(end + 22, y, row.mark)
        if row.note:
            sheet.text((330, y), row.note, _ORANGE)
        sheet.box((24, y + 16, _WIDTH - 24, y + 17), _LINE, radius=0)
    return sheet.finished()


def _check_box(sheet: _Sheet, y: float, *, chosen: bool) -> None:
    sheet.box(
        (34, y - 7, 48, y + 7), _BLUE if chosen else _WHITE, _BLUE if chosen else _GREY, radius=3
    )
    if chosen:
        tick = [(37, y), (40, y + 3.5), (45, y - 3.5)]
        sheet.draw.line([(a * _SCALE, b * _SCALE) for a, b in tick], _WHITE, round(1.8 * _SCALE))


def details(page: Details) -> Image.Image:
    """Draw a page about one file."""
    sheet = _Sheet(186 + 32 * len(page.facts))
    _frame(sheet, page.way)
    _buttons(sheet, page.buttons, 92)
    _tabs(sheet, page.tabs, 136)
    for n, (name, value) in enumerate(page.facts):
        y = 176 + 32 * n
        sheet.text((24, y), name, _GREY)
        sheet.text((190, y), value)
    return sheet.finished()


def way_of_a_file() -> Image.Image:
    """Draw where files go: from the reader's device through two buckets to the inbox."""
    sheet = _Sheet(282)
    for at, title, lines in (
        ((16, 16, 196, 266), "Your device", (("bee.yaml", ""), ("bee.png", ""))),
        ((246, 16, 426, 266), "Input bucket", (("jobs/bee.yaml", ""), ("jobs/bee.png", ""))),
        (
            (476, 16, 784, 204),
            "Output bucket",
            (
                ("status/bee.json", "where it is"),
                ("videos/bee.mp4", "the video"),
                ("rejected/bee.txt", "what is wrong"),
                ("failed/bee.txt", "why it failed"),
                ("review/bee.yaml", "the new prompt"),
            ),
        ),
        ((476, 220, 784, 266), "Your inbox", ()),
    ):
        left, top, *_ = at
        sheet.box(at, _PALE, _LINE, radius=8)
        sheet.text((left + 16, top + 23), title, size=15, bold=True)
        for n, (name, note) in enumerate(lines):
            y = top + 58 + 26 * n
            sheet.text((left + 16, y), name, _BLUE)
            sheet.text((left + 164, y), note, _ORANGE)
    sheet.text((640, 243), "“bee is ready”", _ORANGE)
    for x, y, word in ((196, 87, "Upload"), (426, 87, "reeldrop"), (426, 243, "email")):
        sheet.text((x + 25, y - 16), word, _ORANGE, size=11, anchor="mm")
        sheet.arrow(x + 4, y, x + 46)
    return sheet.finished()


_TABS = ("Objects", "Properties", "Permissions")

_PICTURES: dict[str, Callable[[], Image.Image]] = {
    "console-way": way_of_a_file,
    "console-buckets": lambda: listing(
        Listing(
            way=("Amazon S3", "Buckets"),
            tabs=("General purpose buckets",),
            find="reeldrop",
            find_mark=1,
            rows=(
                Row(_INPUT, "you upload here", mark=2),
                Row("reeldrop-logs-123456789012-…"),
                Row(_OUTPUT, "you find videos and answers here", mark=3),
                Row("reeldrop-work-123456789012-…"),
            ),
        )
    ),
    "console-upload": lambda: listing(
        Listing(
            way=("Amazon S3", "Buckets", _INPUT, "jobs/"),
            way_mark=1,
            tabs=_TABS[:2],
            buttons=(Button("Create folder"), Button("Upload", mark=2, main=True)),
            rows=(
                Row("birthday/", "a folder for your files, if you like one"),
                Row("bee.yaml", "a spec"),
                Row("bee.png", "its picture"),
            ),
        )
    ),
    "console-output": lambda: listing(
        Listing(
            way=("Amazon S3", "Buckets", _OUTPUT),
            tabs=_TABS,
            rows=(
                Row("failed/", "why a video could not be made"),
                Row("rejected/", "what is wrong with a spec, and how to fix it"),
                Row("review/", "specs with a new prompt, for you to check"),
                Row("status/", "where each job is, now"),
                Row("videos/", "the videos"),
            ),
        )
    ),
    "console-video": lambda: details(
        Details(
            way=("Amazon S3", "Buckets", _OUTPUT, "videos/", "bee.mp4"),
            tabs=("Properties", "Permissions", "Versions"),
            buttons=(Button("Download", mark=1, main=True), Button("Open", mark=2)),
            facts=(("Type", "mp4"), ("Key", "videos/bee.mp4")),
        )
    ),
    "console-delete": lambda: listing(
        Listing(
            way=("Amazon S3", "Buckets", _INPUT, "jobs/"),
            tabs=_TABS[:2],
            buttons=(Button("Delete", mark=2), Button("Upload", main=True)),
            rows=(
                Row("birthday/"),
                Row("bee.yaml", "the spec, not its picture", mark=1, chosen=True),
                Row("bee.png"),
            ),
        )
    ),
}


def pictures() -> Iterator[tuple[Path, Image.Image]]:
    """Every picture, with the file that it belongs to."""
    for name, drawn in _PICTURES.items():
        yield FOLDER / f"{name}.png", drawn()


def is_current(file: Path, picture: Image.Image) -> bool:
    """Whether the file has this picture. Its pixels count, because compression may differ."""
    if not file.exists():
        return False
    with Image.open(file) as old:
        return old.size == picture.size and old.convert("RGB").tobytes() == (
            picture.convert("RGB").tobytes()
        )
