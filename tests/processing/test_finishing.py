"""From the shown frames of a task to all its files, in one pass."""

import gc
import hashlib
import io
import itertools
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from contract.catalogue import Mode, Preset
from contract.errors import Code, TaskFailed
from contract.manifest import ManifestTask, Parameters
from contract.outcome import GIF_FILE, H265_FILE, POSTER_FILE, VIDEO_FILE, WEBM_FILE
from processing import finishing
from processing.xmp import Origin
from tests.processing.decoding import decoded

HEIGHT, WIDTH = 64, 96
ORIGIN = Origin(mode=Mode.TEXT_TO_VIDEO, model="demo", revision=None, seed=1, prompt="a bee")


def task(
    num_frames: int = 9,
    *,
    gif: bool = False,
    h265: bool = False,
    webm: bool = False,
    **changes: Any,
) -> ManifestTask:
    values: dict[str, Any] = {
        "mode": Mode.TEXT_TO_VIDEO, "prompt": "a bee", "height": HEIGHT, "width": WIDTH,
        "num_frames": num_frames, "fps": 8, "num_inference_steps": 2, "guidance_scale": 4.0,
        "seed": 1,
    }  # fmt: skip
    parameters = Parameters(**{**values, **changes})
    return ManifestTask(task_id="bee", parameters=parameters, gif=gif, h265=h265, webm=webm)


def moving(num_frames: int, height: int = HEIGHT, width: int = WIDTH) -> Iterator[np.ndarray]:
    """A bright square that moves over a gradient."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([x * 2, y * 3, 255 - x], axis=-1).astype(np.uint8)
    for index in range(num_frames):
        frame = ground.copy()
        at = index % (width - 20)
        frame[20:40, at : at + 20] = (250, 240, 30)
        yield frame


def published(folder: Path, asked: ManifestTask, num_frames: int = 9) -> finishing.Finished:
    folder.mkdir(exist_ok=True)
    frames = moving(num_frames, asked.parameters.height, asked.parameters.width)
    finished = finishing.finish(frames, asked, folder=folder, origin=ORIGIN)
    finishing.publish(finished)
    return finished


def test_one_pass_over_the_frames_makes_every_file(tmp_path: Path) -> None:
    finished = published(tmp_path, task(gif=True, h265=True, webm=True))

    names = {VIDEO_FILE, POSTER_FILE, GIF_FILE, H265_FILE, WEBM_FILE}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name, sha256 in {**finished.also, VIDEO_FILE: finished.video.sha256}.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha256
    assert set(finished.also) == names - {VIDEO_FILE, POSTER_FILE}
    frames = np.stack(list(moving(9))).astype(int)
    for name in (VIDEO_FILE, H265_FILE, WEBM_FILE):
        shown = decoded(tmp_path / name).astype(int)
        assert shown.shape == frames.shape
        assert np.abs(shown - frames).mean() < 3, name
    with Image.open(io.BytesIO((tmp_path / POSTER_FILE).read_bytes())) as poster:
        assert poster.size == (WIDTH, HEIGHT)


def test_only_what_a_task_asks_for_is_written(tmp_path: Path) -> None:
    published(tmp_path, task())

    assert {path.name for path in tmp_path.iterdir()} == {VIDEO_FILE, POSTER_FILE}


def test_frames_are_taken_one_by_one_and_not_kept(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in moving(200):
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            most = max(most, sum(ref() is not None for ref in alive))

    gc.disable()
    try:
        finishing.finish(counted(), task(200, h265=True, webm=True), folder=tmp_path, origin=ORIGIN)
    finally:
        gc.enable()

    # The poster keeps the best and the latest one.
    assert 0 < most <= 4


def test_other_frames_than_asked_for_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as failure:
        finishing.finish(moving(8), task(9), folder=tmp_path, origin=ORIGIN)

    assert failure.value.problems[0].code == Code.VIDEO_DAMAGED


def test_the_gif_of_a_long_video_is_cut_off_and_says_so(tmp_path: Path) -> None:
    finished = published(tmp_path, task(300, gif=True, height=16, width=32), 300)

    with Image.open(tmp_path / GIF_FILE) as image:
        assert getattr(image, "n_frames", 0) == 240
    (notice,) = finished.notices
    assert notice.code == "gif-shortened"
    assert "30 s" in notice.message


def test_the_gif_of_a_fast_video_leaves_frames_out_instead(tmp_path: Path) -> None:
    finished = published(tmp_path, task(300, gif=True, height=16, width=32, fps=30), 300)

    assert finished.notices == ()
    durations = []
    with Image.open(tmp_path / GIF_FILE) as image:
        for index in range(getattr(image, "n_frames", 0)):
            image.seek(index)
            durations.append(image.info["duration"])
    assert len(durations) == 150
    assert sum(durations) == pytest.approx(10_000, abs=5)


@pytest.mark.parametrize("name", [VIDEO_FILE, H265_FILE])
def test_phones_and_macs_play_it(tmp_path: Path, name: str) -> None:
    published(tmp_path, task(h265=True))

    with av.open(str(tmp_path / name)) as container:
        context = container.streams.video[0].codec_context
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    if name == VIDEO_FILE:
        assert (context.profile, context.codec_tag) == ("High", "avc1")
    else:
        assert (context.profile, context.codec_tag) == ("Main", "hvc1")
    data = (tmp_path / name).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    assert len({after - before for before, after in itertools.pairwise(times)}) == 1


def test_there_is_a_keyframe_every_four_seconds(tmp_path: Path) -> None:
    published(tmp_path, task(81, h265=True, webm=True), 81)

    for name in (VIDEO_FILE, H265_FILE, WEBM_FILE):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            seconds = [
                float(packet.pts * packet.time_base)
                for packet in container.demux(stream)
                if packet.is_keyframe and packet.pts is not None and packet.time_base
            ]
        assert seconds[0] == 0
        assert max(np.diff([*seconds, 81 / 8])) <= 4.01, name


def test_a_better_preset_is_a_better_and_larger_file(tmp_path: Path) -> None:
    errors, sizes = [], []
    frames = np.stack(list(moving(9))).astype(int)
    for preset in (Preset.DRAFT, Preset.STANDARD, Preset.BEST):
        folder = tmp_path / preset
        published(folder, task(h265=True, webm=True, preset=preset))
        for name in (VIDEO_FILE, H265_FILE, WEBM_FILE):
            sizes.append((folder / name).stat().st_size)
            errors.append(float(((decoded(folder / name) - frames) ** 2).mean()))

    for offset in range(3):
        assert sizes[offset] < sizes[offset + 3] < sizes[offset + 6]
        assert errors[offset] > errors[offset + 3] > errors[offset + 6]


SATURATED = [
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255),
    (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 60, 20), (20, 90, 200), (250, 180, 150),
]  # fmt: skip


def test_saturated_colours_are_kept_and_the_files_say_which_they_are(tmp_path: Path) -> None:
    side = 32
    row = np.array(SATURATED, np.uint8).repeat(side, 0)
    frame = np.broadcast_to(row, (64, *row.shape)).copy()
    asked = task(h265=True, webm=True, height=64, width=frame.shape[1])
    finished = finishing.finish([frame] * 9, asked, folder=tmp_path, origin=ORIGIN)
    finishing.publish(finished)

    middles = list(range(side // 2, frame.shape[1], side))
    for name in (VIDEO_FILE, H265_FILE, WEBM_FILE):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0].codec_context
            tags = (stream.colorspace, stream.color_primaries, stream.color_trc, stream.color_range)
        assert tags == (1, 1, 1, 1), name  # BT.709, limited range
        shown = decoded(tmp_path / name)[:, 32, middles].astype(int)
        assert np.abs(shown - np.array(SATURATED)).max() <= 4, name


SAME = """
import os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[2].split(",")})
from pathlib import Path
from tests.processing.test_finishing import published, task

asked = task(16, gif=True, h265=True, webm=True, height=192, width=256, fps=24)
published(Path(sys.argv[1]), asked, 16)
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores, and a system that can take one away",
)
def test_the_same_frames_make_the_same_files_with_any_number_of_cores(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    for name, some in (("one", cores[:1]), ("all", cores)):
        subprocess.run(
            [sys.executable, "-c", SAME, str(tmp_path / name), ",".join(map(str, some))],
            cwd=Path(__file__).parents[2],
            check=True,
        )

    one, both = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "all")
    )
    assert {name for name in one if one[name] != both[name]} == set()
    assert len(one) == 5
