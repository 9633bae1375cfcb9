"""The tables and the plot of docs/performance.md from the results: `python -m bench.gpu.report`."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "gpu_h200.json"
DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "gpu-5b-seconds.png"
_MARKED = re.compile(r"(<!-- gpu:begin[^>]*-->\n).*?(<!-- gpu:end -->)", re.S)

Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way to make a 5b video, and the rows that say what it takes."""

    name: str
    run: str
    step: str | None
    """The row of one step."""
    video: str | None = None
    """The row of a whole video, or None: computed from the step and from the decode."""
    decode: str = ""


WAYS = (
    Way("sequential offload", "run 1", "5b step, sequential offload",
        decode="5b decode, stock (tiled)"),
    Way("stock", "run 3", "5b step, stock", decode="5b decode, stock (tiled)"),
    Way("compiled, cuDNN attention", "run 1", "5b step, exact", "5b video, exact"),
    Way("exact (own attention)", "run 3", "5b step, exact", "5b video, exact"),
    Way("exact + fp8", "run 3", "5b step, exact + fp8", decode="5b decode, untiled"),
    Way("standard", "run 3", None, "5b video, standard"),
    Way("draft (cuDNN attention)", "run 1", None, "5b video, draft"),
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """What one way takes for a video."""

    way: Way
    step_seconds: float | None
    denoise_seconds: float
    decode_seconds: float

    @property
    def seconds(self) -> float:
        return self.denoise_seconds + self.decode_seconds

    @property
    def how(self) -> str:
        return "measured whole" if self.way.video else "50 x step + decode"


def figures(results: Row) -> list[Figure]:
    found = []
    for way in WAYS:
        step = _row(results, way.run, way.step) if way.step else None
        if way.video:
            video = _row(results, way.run, way.video)
            parts = (video["denoise_seconds"], video["decode_seconds"])
        else:
            assert step is not None
            parts = (step["seconds_50_steps"], _row(results, way.run, way.decode)["seconds"])
        found.append(Figure(way, step["seconds"] if step else None, *parts))
    return found


def _row(results: Row, run: str, name: str) -> Row:
    [rows] = [r["rows"] for r in results["runs"] if r["name"] == run]
    [row] = [row for row in rows if row.get("name") == name]
    return dict(row)


def tables(results: Row) -> str:
    """What stands between the markers."""
    parts = (_videos(results), _others(results), _attention(results))
    return "\n\n".join(parts) + "\n"


def _videos(results: Row) -> str:
    found = figures(results)
    [stock] = [figure for figure in found if figure.way.name == "stock"]
    price = results["price"]
    lines = [
        (
            figure.way.name,
            f"{figure.step_seconds:.3f}" if figure.step_seconds else "",
            f"{figure.denoise_seconds:.1f}",
            f"{figure.decode_seconds:.1f}",
            f"{figure.seconds:.1f}",
            figure.how,
            f"{stock.seconds / figure.seconds:.2f}",
            f"{figure.seconds / 3600 * price['usd_per_hour']:.3f}",
            figure.way.run,
        )
        for figure in found
    ]
    head = (
        "5b, 49 frames of 480x720", "step, s", "denoise, s", "decode, s", "video, s", "how",
        "times stock", f"$ at {price['usd_per_hour']} an hour", "from",
    )  # fmt: skip
    return _table(head, lines)


def _others(results: Row) -> str:
    lines = [
        (
            label,
            f"{(row := _row(results, 'run 1', name))['seconds']:.3f}",
            f"{row['seconds_50_steps']:.1f}" if "seconds_50_steps" in row else "",
            f"{row['peak_gib']:.1f}",
        )
        for label, name in (
            ("2b step, stock", "2b step, stock"),
            ("2b step, compiled", "2b step, exact"),
            ("Wan2.2-5B, 121 frames of 480x832, one forward, stock", "Wan2.2-5B forward, stock"),
            ("the same, compiled", "Wan2.2-5B forward, exact"),
            ("Wan2.2-5B decode in float32", "Wan2.2-5B decode, float32"),
        )
    ]
    return _table(("other models (run 1)", "s", "50 steps, both halves, s", "peak GiB"), lines)


def _attention(results: Row) -> str:
    first = {
        name: _row(results, "run 1", f"attention of 5b, {name}")["tflops"]
        for name in ("flash", "cuDNN")
    }
    settings = results["runs"][1]["attention_settings"]["rows"]
    [stock] = [row for row in settings if row.get("stock")]
    own = [row for row in settings if not row.get("stock")]
    lines = [
        ("PyTorch's flash attention", f"{first['flash']:.1f}", "", "run 1"),
        ("cuDNN", f"{first['cuDNN']:.1f}", "", "run 1"),
        ("PyTorch's choice (cuDNN)", f"{stock['tflops']:.1f}", f"{stock['error']:.6f}", "run 2"),
    ]
    for name, bounded in (("own, running maximum", False), ("own, bounded", True)):
        best = max((r for r in own if r["BOUNDED"] is bounded), key=lambda r: float(r["tflops"]))
        lines.append((name, f"{best['tflops']:.1f}", f"{best['error']:.6f}", "run 2"))
    return _table(("attention at 5b's shape", "TFLOP/s", "error against float32", "from"), lines)


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    head = list(head)
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 1100, 250, 240, 76, 44
_DENOISE, _DECODE, _INK = "#1f5fbf", "#e08e2b", "#222222"


def draw(path: Path, found: list[Figure], device: str) -> None:
    """Horizontal bars; what is computed and not measured whole is striped."""
    height = _TOP + _ROW * len(found) + 56
    picture = Image.new("RGB", (_WIDTH, height), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(17)
    title = f"Seconds for one CogVideoX-5b video (49 frames of 480x720) on one {device}"
    pen.text((20, 14), title, fill=_INK, font=ImageFont.load_default(20))
    pen.text((20, 44), "random weights, from prompt embeddings to frames", fill=_INK, font=font)
    scale = (_WIDTH - _LEFT - _RIGHT) / max(figure.seconds for figure in found)
    for number, figure in enumerate(found):
        top = _TOP + _ROW * number + 8
        middle, bottom = top + 14, top + 28
        pen.text((_LEFT - 12, middle), figure.way.name, fill=_INK, font=font, anchor="rm")
        between = _LEFT + figure.denoise_seconds * scale
        end = _LEFT + figure.seconds * scale
        striped = figure.way.video is None
        _bar(picture, (_LEFT, top, round(between), bottom), _DENOISE, striped=striped)
        _bar(picture, (round(between), top, round(end), bottom), _DECODE, striped=striped)
        text = f"{figure.seconds:.1f} s, {figure.how}"
        pen.text((end + 10, middle), text, fill=_INK, font=font, anchor="lm")
    at = _LEFT
    legend = (
        ("denoise", _DENOISE, False),
        ("decode", _DECODE, False),
        ("striped: computed, not measured whole", _DENOISE, True),
    )
    for name, colour, striped in legend:
        _bar(picture, (at, height - 38, at + 28, height - 22), colour, striped=striped)
        pen.text((at + 36, height - 30), name, fill=_INK, font=font, anchor="lm")
        at += 60 + round(pen.textlength(name, font=font))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def _bar(
    picture: Image.Image, box: tuple[int, int, int, int], colour: str, *, striped: bool
) -> None:
    left, top, right, bottom = box
    if right <= left:
        return
    part = Image.new("RGB", (right - left, bottom - top), colour)
    if striped:
        pen = ImageDraw.Draw(part)
        for start in range(-part.height, part.width, 10):
            pen.line([(start, part.height), (start + part.height, 0)], fill="white", width=3)
        pen.rectangle((0, 0, part.width - 1, part.height - 1), outline=colour, width=2)
    picture.paste(part, (left, top))


def main() -> None:
    results = json.loads(RESULTS.read_text())
    text = tables(results)
    DOCUMENT.write_text(_MARKED.sub(lambda m: m[1] + text + m[2], DOCUMENT.read_text()))
    draw(PLOT, figures(results), results["device"]["name"])


if __name__ == "__main__":
    main()
