"""The tables and the plot of docs/performance.md from the results: `python -m bench.gpu.report`."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "gpu_h100.json"
DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "gpu-5b-seconds.png"
_MARKED = re.compile(r"(<!-- gpu:begin[^>]*-->\n).*?(<!-- gpu:end -->)", re.S)

Row = dict[str, Any]


_TILED, _UNTILED = "5b decode, stock (tiled)", "5b decode, untiled"


@dataclass(frozen=True)
class Way:
    """One way to make a 5b video, and the rows that say what it takes."""

    name: str
    step: str | None = None
    """The row of one step."""
    video: str | None = None
    """The row of a whole video, or None: computed from the step and from the decode."""
    decode: str = _UNTILED
    run: str = "run 1"
    """The run of the step and of the whole video. The decode is always from run 1."""


WAYS = (
    Way("sequential offload", "5b step, sequential offload", decode=_TILED),
    Way("stock", "5b step, stock", "5b video, stock"),
    Way("compiled", "5b step, compiled"),
    Way("exact", "5b step, exact", "5b video, exact"),
    Way("exact, tuned kernels", "5b step, exact", run="run 2"),
    Way("exact + fp8", "5b step, exact + fp8"),
    Way("standard", video="5b video, standard"),
    Way("draft", video="5b video, draft"),
)


@dataclass(frozen=True)
class Figure:
    """What one way takes for a video."""

    way: Way
    step_seconds: float | None
    denoise_seconds: float
    decode_seconds: float
    stock_seconds: float
    """A video with stock diffusers: measured whole if this one is, otherwise computed like it."""

    @property
    def seconds(self) -> float:
        return self.denoise_seconds + self.decode_seconds

    @property
    def times_stock(self) -> float:
        return self.stock_seconds / self.seconds

    @property
    def how(self) -> str:
        return "measured whole" if self.way.video else "50 x step + decode"


def figures(results: Row) -> list[Figure]:
    return [_figure(results, way) for way in WAYS]


def _figure(results: Row, way: Way) -> Figure:
    step = _row(results, way.step, way.run) if way.step else None
    if way.video:
        video = _row(results, way.video, way.run)
        parts = (video["denoise_seconds"], video["decode_seconds"])
        stock = _row(results, "5b video, stock")["seconds"]
    else:
        assert step is not None
        parts = (step["seconds_50_steps"], _row(results, way.decode)["seconds"])
        stock_step = _row(results, "5b step, stock", way.run)
        stock = stock_step["seconds_50_steps"] + _row(results, _TILED)["seconds"]
    return Figure(way, step["seconds"] if step else None, *parts, stock)


def _row(results: Row, name: str, run: str = "run 1") -> Row:
    [rows] = [r["rows"] for r in results["runs"] if r["name"] == run]
    [row] = [row for row in rows if row["name"] == name]
    return dict(row)


def tables(results: Row) -> str:
    """What stands between the markers."""
    parts = (_videos(results), _others(results), _attention(results), _kernels(results))
    return "\n\n".join(parts) + "\n"


def _videos(results: Row) -> str:
    price = results["price"]["usd_per_hour"]
    lines = [
        (
            figure.way.name,
            f"{figure.step_seconds:.3f}" if figure.step_seconds else "",
            f"{figure.denoise_seconds:.1f}",
            f"{figure.decode_seconds:.1f}",
            f"{figure.seconds:.1f}",
            figure.how,
            f"{figure.times_stock:.2f}",
            f"{figure.seconds / 3600 * price:.3f}",
            figure.way.run,
        )
        for figure in figures(results)
    ]
    head = (
        "5b, 49 frames of 480x720", "step, s", "denoise, s", "decode, s", "video, s", "how",
        "times stock", f"$ at {price} an hour", "from",
    )  # fmt: skip
    return _table(head, lines)


def _others(results: Row) -> str:
    lines = [
        (
            label,
            f"{(row := _row(results, name))['seconds']:.3f}",
            f"{row['seconds_50_steps']:.1f}" if "seconds_50_steps" in row else "",
        )
        for label, name in (
            ("2b step, stock", "2b step, stock"),
            ("2b step, exact", "2b step, exact"),
            ("Wan2.2-5B, 121 frames of 480x832, one forward, stock", "Wan2.2-5B forward, stock"),
            ("the same, compiled", "Wan2.2-5B forward, compiled"),
            ("T5-XXL, prompt and negative prompt", "T5-XXL, prompt and negative prompt"),
        )
    ]
    return _table(("other models (run 1)", "s", "50 steps, both halves, s"), lines)


def _attention(results: Row) -> str:
    lines = [
        (label, f"{(row := _row(results, f'attention of 5b, {name}'))['seconds'] * 1000:.1f}",
         f"{row['tflops']:.0f}")
        for label, name in (
            ("PyTorch's flash attention", "flash"),
            ("cuDNN, which PyTorch chooses here", "cuDNN"),
            ("own, running maximum", "own, running maximum"),
            ("own, bounded", "own"),
        )
    ]  # fmt: skip
    return _table(("attention at 5b's shape (run 1)", "ms", "TFLOP/s"), lines)


def _kernels(results: Row) -> str:
    [profile] = [run for run in results["runs"] if run["name"] == "profile"]
    step = 1000 * _row(results, "5b step, exact", "profile")["seconds"]
    parts = [(part["part"], part["milliseconds"]) for part in profile["kernels"]["parts"]]
    parts.append(("everything else", step - sum(milliseconds for _, milliseconds in parts)))
    lines = [(name, f"{taken:.0f}", f"{100 * taken / step:.1f} %") for name, taken in parts]
    return _table((f"an exact step of {step:.0f} ms (profile)", "ms", "of the step"), lines)


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
