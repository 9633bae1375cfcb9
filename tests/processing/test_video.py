"""MP4: written so that all players can show it, and read back with all damage noticed."""

from pathlib import Path

import av
import numpy as np
import pytest

from contract.errors import Code, TaskFailed
from processing import video


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A bright square that moves over a gradient: (12, 64, 96, 3)."""
    y, x = np.mgrid[0:64, 0:96]
    frames = np.stack([np.stack([x * 2, y * 3, 255 - x], axis=-1)] * 12).astype(np.uint8)
    for index, frame in enumerate(frames):
        frame[20:40, index * 4 : index * 4 + 20] = (250, 240, 30)
    return frames


@pytest.fixture
def path(tmp_path: Path, frames: np.ndarray) -> Path:
    video.encode(frames, fps=8, path=tmp_path / "video.mp4")
    return tmp_path / "video.mp4"


def boxes(data: bytes) -> list[bytes]:
    names, at = [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def test_it_starts_while_it_loads_and_plays_everywhere(path: Path, frames: np.ndarray) -> None:
    names = boxes(path.read_bytes())
    assert names.index(b"moov") < names.index(b"mdat")

    facts = video.probe(path)

    assert (facts.codec, facts.pixel_format) == ("h264", "yuv420p")
    assert (facts.num_frames, facts.height, facts.width, facts.fps) == (12, 64, 96, 8.0)
    assert facts.duration_seconds == 1.5
    assert facts.size_bytes == path.stat().st_size


def test_it_says_its_colours_and_means_what_it_says(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0].codec_context
        tags = (stream.colorspace, stream.color_primaries, stream.color_trc, stream.color_range)
        planes = np.stack([frame.to_ndarray() for frame in container.decode(video=0)])
    assert tags == (1, 1, 1, 1)  # BT.709, limited range
    # Compares the planes, because converting them back to RGB has errors of its own.
    red, green, blue = np.moveaxis(frames.astype(float), -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [
        16 + luma * 219 / 255,
        128 + (blue - luma) / 1.8556 * 224 / 255,
        128 + (red - luma) / 1.5748 * 224 / 255,
    ]
    written = [planes[:, :64], planes[:, 64:80], planes[:, 80:96]]
    for plane, exact in zip(written, expected, strict=True):
        assert plane.mean() == pytest.approx(exact.mean(), abs=0.5)
    assert np.abs(written[0] - expected[0]).mean() < 1.5


def test_it_carries_its_tags_and_no_others(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path)) as container:
        assert not {"title", "comment", "description"} & set(container.metadata)

    tags = {"title": "a bee; ünï“côdé” = 🐝 " + "very " * 400, "comment": "seed 7"}
    video.encode(frames, fps=8, path=path, metadata=video.Metadata(tags=tags))

    with av.open(str(path)) as container:
        assert {name: container.metadata[name] for name in tags} == tags
    assert video.probe(path).num_frames == 12


@pytest.mark.parametrize("fps", [0.5, 7.5, 24000 / 1001, 16, 60])
def test_fractional_rates_are_kept(tmp_path: Path, frames: np.ndarray, fps: float) -> None:
    video.encode(frames, fps=fps, path=tmp_path / "video.mp4")

    facts = video.probe(tmp_path / "video.mp4")

    assert facts.fps == pytest.approx(fps, rel=1e-6)
    assert facts.duration_seconds == pytest.approx(12 / fps, rel=1e-3)


def test_damage_is_found(path: Path) -> None:
    data = path.read_bytes()
    for damaged in (b"", data[:200], data[:-2000] + bytes(2000), b"no video" * 100):
        path.write_bytes(damaged)
        with pytest.raises(TaskFailed) as failure:
            video.probe(path)
        assert failure.value.problems[0].code == Code.VIDEO_DAMAGED


def test_damage_that_a_player_would_conceal_is_found(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    random = np.random.default_rng(1)
    video.encode(random.integers(0, 255, (9, 64, 96, 3), np.uint8), fps=8, path=path)
    whole = path.read_bytes()
    concealed = found = 0
    # Within the pictures, after the note that x264 writes at the start of the data.
    for at in range(whole.index(b"mdat") + 1000, len(whole) - 100, len(whole) // 30):
        path.write_bytes(whole[:at] + random.bytes(30) + whole[at + 30 :])
        try:
            with av.open(str(path)) as container:
                concealed += sum(1 for _ in container.decode(video=0)) == 9
        except av.FFmpegError:
            continue
        try:
            video.probe(path)
        except TaskFailed:
            found += 1

    # Some damage cannot be found, because the changed bytes are valid as well.
    assert concealed > 20
    assert found > concealed / 4


def test_a_video_that_is_cut_short_has_fewer_frames_or_cannot_be_read(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    try:
        assert video.probe(path).num_frames < 12
    except TaskFailed as failure:
        assert failure.problems[0].code == Code.VIDEO_DAMAGED
