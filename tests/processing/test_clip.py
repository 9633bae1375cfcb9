"""Reference videos: which frames are taken, how they are converted, and what is refused."""

import gc
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from contract.errors import Code, TaskFailed
from processing import clip, video
from processing.clip import Clip, load_clip
from tests import clips

ONE = 1 << 16  # the number 1 in a display matrix


def greys(count: int, *, height: int = 64, width: int = 96) -> np.ndarray:
    """Grey frames. The brightness of each is 4 times its number."""
    levels = 4 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3))


def write(
    path: Path,
    frames: np.ndarray,
    *,
    fps: Fraction | int = 8,
    times: Sequence[int] | None = None,
    matrix: Sequence[int] | None = None,
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write an MP4 with features that our own do not have. `times` are in units of 1 / fps."""
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "5"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / Fraction(fps)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def load(path: Path, num_frames: int = 9, **changes: Any) -> Clip:
    values: dict[str, Any] = {"height": 64, "width": 96, "fps": 8, "fit": "crop"}
    loaded = load_clip(path, num_frames=num_frames, **{**values, **changes})
    shape = (num_frames, {**values, **changes}["height"], {**values, **changes}["width"], 3)
    assert loaded.frames.shape == shape and loaded.frames.dtype == np.uint8
    return loaded


def numbers(loaded: Clip) -> list[int]:
    """The numbers of the frames of `greys` that were loaded."""
    return [round(float(frame.mean()) / 4) for frame in loaded.frames]


def refused(path: Path) -> str:
    with pytest.raises(TaskFailed) as failure:
        load(path)
    (problem,) = failure.value.problems
    assert problem.code == Code.REFERENCE_UNREADABLE
    assert path.name in problem.message
    assert problem.hint
    return problem.message


def test_our_own_videos_come_back_as_they_were(tmp_path: Path) -> None:
    y, x = np.mgrid[0:64, 0:96]
    frames = np.stack([np.stack([x * 2, y * 3, 255 - x], axis=-1)] * 17).astype(np.uint8)
    for index, frame in enumerate(frames):
        frame[20:40, index * 4 : index * 4 + 20] = (250, 240, 30)
    metadata = video.Metadata(tags={"title": "a bee"})
    video.encode(frames, fps=8, path=tmp_path / "bee.mp4", metadata=metadata)

    loaded = load(tmp_path / "bee.mp4", 17)

    assert loaded.notices == ()
    assert np.abs(loaded.frames.astype(int) - frames).mean() < 2


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (24, 8, [0, 3, 6, 9, 12, 15, 18, 21, 24]),
        (4, 8, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
        (30, 8, [0, 3, 7, 11, 15, 18, 22, 26, 30]),
        (23, 8, [0, 2, 5, 8, 11, 14, 17, 20, 23]),
        (Fraction(24_000, 1001), 8, [0, 3, 6, 9, 12, 15, 18, 21]),
        (8, 1, [0, 8, 16, 24, 32, 40, 48, 56]),
    ],
)
def test_frames_are_taken_by_time(
    tmp_path: Path, rate: Fraction | int, fps: int, expected: list[int]
) -> None:
    write(tmp_path / "bee.mp4", greys(60), fps=rate)

    assert numbers(load(tmp_path / "bee.mp4", len(expected), fps=fps)) == expected


def test_frames_without_a_steady_rate_are_taken_by_time(tmp_path: Path) -> None:
    # In hundredths of a second.
    times = [0, 10, 11, 12, 13, 90, 91]
    write(tmp_path / "bee.mp4", greys(7), fps=100, times=times)

    assert numbers(load(tmp_path / "bee.mp4", 8)) == [0, 3, 4, 4, 4, 4, 4, 4]


def test_time_begins_with_the_first_picture(tmp_path: Path) -> None:
    # Half a second late, as in a file whose sound begins earlier.
    write(tmp_path / "bee.mp4", greys(9), times=range(4, 13))

    loaded = load(tmp_path / "bee.mp4")

    assert numbers(loaded) == list(range(9))
    assert loaded.notices == ()


def test_times_that_a_file_has_rounded_are_in_time(tmp_path: Path) -> None:
    # Thirds of a second, rounded to milliseconds: 0.333, 0.667, 1.000.
    times = [round(1000 * index / 3) for index in range(6)]
    write(tmp_path / "bee.mp4", greys(6), fps=1000, times=times)

    assert numbers(load(tmp_path / "bee.mp4", 6, fps=3)) == [0, 1, 2, 3, 4, 5]


def test_a_short_video_is_held_on_its_last_frame_with_a_notice(tmp_path: Path) -> None:
    write(tmp_path / "bee.mp4", greys(4))

    loaded = load(tmp_path / "bee.mp4")

    assert numbers(loaded) == [0, 1, 2, 3, 3, 3, 3, 3, 3]
    (notice,) = loaded.notices
    assert notice.code == "reference-short"
    assert "bee.mp4 ends after 0.50 seconds, but 1.00 are needed" in notice.message


@pytest.mark.parametrize(("frames", "notices"), [(10, 0), (9, 0), (8, 0), (7, 1)])
def test_one_frame_may_be_missing_without_a_word(tmp_path: Path, frames: int, notices: int) -> None:
    write(tmp_path / "bee.mp4", greys(frames))

    loaded = load(tmp_path / "bee.mp4")

    assert numbers(loaded) == [min(index, frames - 1) for index in range(9)]
    assert len(loaded.notices) == notices


@pytest.mark.parametrize(("ends", "notices"), [(998, 0), (990, 0), (960, 0), (700, 1)])
def test_a_notice_never_names_the_same_time_twice(tmp_path: Path, ends: int, notices: int) -> None:
    """Nobody understands that it ends after 1.00 seconds, but 1.00 are needed."""
    times = [*range(0, ends - 30, 100), ends - 2, ends - 1]  # the last one is shown for 1 ms
    write(tmp_path / "bee.mp4", greys(len(times)), fps=1000, times=times)

    found = load(tmp_path / "bee.mp4").notices

    assert [notice.code for notice in found] == ["reference-short"] * notices
    assert not any("1.00 seconds" in notice.message for notice in found)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(1, 0)], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([(1, 2)], [16, 17, 18, 19, 20, 21, 22, 23]),
        ([(1, 1.5)], [12, 13, 14, 15, 16, 17, 18, 19]),
        ([(0.5, None), (1, 0.5)], [4, 5, 6, 7, 8, 9, 10, 11]),
        ([(0.5, 0), (0.5, 2)], [0, 1, 2, 3, 16, 17, 18, 19]),
        ([(0.5, 2), (0.5, 0)], [16, 17, 18, 19, 0, 1, 2, 3]),
    ],
    ids=["the-end", "the-beginning", "between-keyframes", "begins-late", "two-parts", "reordered"],
)
def test_a_trimmed_video_begins_and_ends_where_it_was_trimmed(
    tmp_path: Path, parts: list[tuple[float, float | None]], expected: list[int]
) -> None:
    (tmp_path / "cut.mov").write_bytes(clips.edited(clips.numbered(), parts))

    loaded = load(tmp_path / "cut.mov", 8)

    assert [round(float(frame.mean()) / 8) for frame in loaded.frames] == expected
    assert not loaded.notices


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip"])
def test_quicktime_without_a_brand_is_read(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "old.mov").write_bytes(clips.without_ftyp(clips.numbered(), first))

    assert [round(f.mean() / 8) for f in load(tmp_path / "old.mov", 8).frames] == list(range(8))


def test_no_more_is_decoded_than_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bee.mp4", greys(60), fps=24)

    # The ninth frame is number 24. Number 25 is decoded to know until when number 24 is shown.
    monkeypatch.setattr(clip, "MAX_FRAMES", 26)
    load(tmp_path / "bee.mp4")

    monkeypatch.setattr(clip, "MAX_FRAMES", 25)
    assert "more than 25 frames" in refused(tmp_path / "bee.mp4")


def test_only_what_is_taken_is_turned_into_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    picture = clip._picture

    def counted(*given: Any) -> Image.Image:
        made.append(1)
        return picture(*given)

    monkeypatch.setattr(clip, "_picture", counted)
    write(tmp_path / "bee.mp4", greys(60), fps=24)

    load(tmp_path / "bee.mp4")
    assert len(made) == 9

    made.clear()
    load(tmp_path / "bee.mp4", fps=60)
    assert len(made) == 4


def test_what_is_not_needed_any_more_is_not_kept(tmp_path: Path) -> None:
    # A frame in 4K takes 12 MB. The garbage collector counts objects and not bytes, so it would run
    # too late.
    write(tmp_path / "bee.mp4", greys(60), matrix=[0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30])
    gc.collect()
    gc.disable()
    try:
        load(tmp_path / "bee.mp4", 60)
        # `isinstance` would ask each object for its class, which some objects of torch warn about.
        kept = sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()

    assert kept <= 2


def test_a_video_has_limits_of_bytes_pixels_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "bee.mp4", greys(9))

    with monkeypatch.context() as patch:
        patch.setattr(clip, "MAX_PIXELS", 96 * 64 - 1)
        assert "96 x 64 pixels" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(clip, "MAX_SECONDS", -1.0)
        assert "to decode" in refused(path)
    with path.open("r+b") as file:
        file.truncate(clip.MAX_BYTES + 1)
    assert "50 MiB" in refused(path)


def test_a_picture_that_grows_too_large_is_where_the_video_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bee.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=8)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p"
        for index, frame in enumerate(greys(9)):
            # Each picture of this codec is a JPEG with its own size.
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width = (64, 96) if index < 5 else (80, 112)
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 8)
            pixels = np.ascontiguousarray(np.resize(frame, (encoder.height, encoder.width, 3)))
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in encoder.encode(picture) + encoder.encode(None):
                packet.stream = stream
                packet.pts = packet.dts = index
                packet.time_base = Fraction(1, 8)
                container.mux(packet)
    assert numbers(load(path)) == list(range(9))

    monkeypatch.setattr(clip, "MAX_PIXELS", 128 * 64)  # ffmpeg rounds widths up
    loaded = load(path)

    assert numbers(loaded) == [0, 1, 2, 3, 4, 4, 4, 4, 4]
    assert [notice.code for notice in loaded.notices] == ["reference-short"]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("right", [1, -1])
@pytest.mark.parametrize("down", [1, -1])
def test_every_display_matrix_ends_upright(
    tmp_path: Path, swapped: bool, right: int, down: int
) -> None:
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48] = (250, 30, 30)
    stored[:32, 48:] = (30, 250, 30)
    stored[32:, :48] = (30, 30, 250)
    # (x, y) belongs at (x, y) * matrix. This computes it pixel by pixel.
    a, b, c, d = (0, right, down, 0) if swapped else (right, 0, 0, down)
    height, width = (96, 64) if swapped else (64, 96)
    expected = np.zeros((height, width, 3), np.uint8)
    for y in range(64):
        for x in range(96):
            expected[(b * x + d * y) % height, (a * x + c * y) % width] = stored[y, x]
    if -1 in (right, down):
        # -1 * 0 is 0, but it should be the last row or column.
        expected = np.roll(
            expected, [-1 if -1 in (b, d) else 0, -1 if -1 in (a, c) else 0], axis=(0, 1)
        )
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    write(tmp_path / "phone.mp4", np.stack([stored] * 3), matrix=matrix)

    loaded = load(tmp_path / "phone.mp4", 2, height=height, width=width)

    assert np.abs(loaded.frames[0].astype(int) - expected).mean() < 6


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    # As on a widescreen DVD: 720 x 576 pixels with the aspect ratio 64:45 show 1024 x 576.
    y, x = np.mgrid[0:144, 0:180]
    circle = ((((y - 72) * 1.0) ** 2 + ((x - 90) * 64 / 45) ** 2) < 50**2)[..., None] * 255
    frames = np.stack([np.repeat(circle, 3, axis=2).astype(np.uint8)] * 3)
    write(tmp_path / "dvd.mp4", frames, pixel_aspect=Fraction(64, 45))

    loaded = load(tmp_path / "dvd.mp4", 2, height=144, width=256)

    rows, columns = np.nonzero(loaded.frames[0, ..., 0] > 127)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 3
    assert abs(np.ptp(rows) - 100) <= 3


@pytest.mark.parametrize(("height", "expected"), [(720, (214, 101, 41)), (480, (204, 94, 44))])
def test_colours_without_a_tag_are_those_of_their_size(
    tmp_path: Path, height: int, expected: tuple[int, int, int]
) -> None:
    """The samples Y 120, Cb 90, Cr 180 are read as BT.709 in HD and as BT.601 below it."""
    planes = np.full((height * 3 // 2, 640), 120, np.uint8)
    planes[height : height + height // 4] = 90
    planes[height + height // 4 :] = 180
    with av.open(str(tmp_path / "bee.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = height, 640, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))

    loaded = load(tmp_path / "bee.mp4", 1)

    assert np.abs(loaded.frames[0, 32, 48].astype(int) - expected).max() <= 3


# What FFmpeg 8.1 and 9.0 make of `clips.CHART`:  scale=out_primaries=bt709:out_transfer=bt709
_HLG = (
    (255, 255, 255), (0, 0, 0), (143, 143, 143), (77, 77, 77), (254, 254, 254),
    (252, 53, 24), (94, 151, 45), (41, 98, 222), (251, 179, 165), (156, 34, 129),
)  # fmt: skip
_PQ = (
    (255, 255, 255), (0, 0, 0), (183, 183, 183), (62, 62, 62), (255, 255, 255),
    (255, 71, 45), (0, 208, 15), (43, 168, 255), (255, 154, 132), (211, 21, 163),
)  # fmt: skip
_WIDE = (
    (255, 255, 255), (0, 0, 0), (127, 128, 127), (69, 69, 69), (191, 191, 191),
    (220, 36, 0), (73, 133, 17), (17, 85, 199), (199, 153, 141), (153, 16, 125),
)  # fmt: skip
_P3 = (
    (255, 255, 255), (0, 0, 0), (127, 128, 127), (69, 69, 69), (191, 191, 191),
    (207, 79, 0), (89, 131, 32), (64, 83, 194), (192, 158, 142), (144, 52, 120),
)  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # The transfer curve, the primaries and the matrix, as FFmpeg numbers them; 2 is no tag.
        pytest.param((18, 9, 9), _HLG, id="hlg"),
        pytest.param((16, 9, 9), _PQ, id="pq"),
        pytest.param((18, 2, 2), _HLG, id="hlg-without-other-tags"),
        pytest.param((14, 9, 9), _WIDE, id="bt2020"),
        pytest.param((1, 12, 1), _P3, id="display-p3"),
    ],
)
def test_hdr_and_wide_gamuts_look_as_they_do_on_a_usual_screen(
    tmp_path: Path, tags: tuple[int, int, int], expected: Sequence[tuple[int, int, int]]
) -> None:
    trc, primaries, matrix = tags
    frame = clips.chart(trc, primaries, matrix=matrix)
    (tmp_path / "phone.mov").write_bytes(clips.video_of(frame))

    loaded = load(tmp_path / "phone.mov", 2, height=frame.height, width=frame.width)

    found = clips.patches(loaded.frames[1])
    assert np.abs(np.array(found) - np.array(expected)).max() <= 6, found


def test_crop_fills_and_pad_keeps_the_whole_picture(tmp_path: Path) -> None:
    tall = np.full((192, 64, 3), 200, np.uint8)
    tall[:16], tall[-16:] = (250, 30, 30), (30, 30, 250)
    write(tmp_path / "tall.mp4", np.stack([tall] * 3))

    cropped = load(tmp_path / "tall.mp4", 2, fit="crop").frames[1].astype(int)
    padded = load(tmp_path / "tall.mp4", 2, fit="pad").frames[1].astype(int)

    assert np.abs(cropped - 200).max() < 12
    # The picture is a third as wide as high: 21 of 96 columns, in the middle.
    assert padded[:, :36].max() < 12
    assert padded[:, -36:].max() < 12
    assert padded[32, 48].min() > 180
    assert np.abs(padded[1, 48] - (250, 30, 30)).max() < 25
    assert np.abs(padded[-2, 48] - (30, 30, 250)).max() < 25


def test_a_cover_and_sound_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        cover = container.add_stream("png", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "rgb24"
        cover.disposition = Disposition.attached_pic
        sound = container.add_stream("aac", rate=8000)
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        white = np.full((64, 96, 3), 255, np.uint8)
        container.mux(cover.encode(av.VideoFrame.from_ndarray(white, format="rgb24")))
        for frame in greys(9):
            pixels = np.ascontiguousarray(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        for each in (sound, stream):
            container.mux(each.encode(None))

    assert numbers(load(path)) == list(range(9))


FFCONCAT = "ffconcat version 1.0\nfile secret.mp4\n"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("text", [FFCONCAT, PLAYLIST], ids=["ffconcat", "m3u8"])
def test_a_playlist_is_refused_and_what_it_names_is_not_opened(tmp_path: Path, text: str) -> None:
    secret = write(tmp_path / "secret.mp4", greys(9))
    (tmp_path / "bee.mp4").write_text(text)
    # In the past, because some file systems only update old access times.
    os.utime(secret, (1_000_000_000, 1_500_000_000))

    message = refused(tmp_path / "bee.mp4")

    assert "MP4" in message
    assert secret.stat().st_atime == 1_000_000_000


def test_a_reader_that_guesses_would_follow_a_playlist(tmp_path: Path) -> None:
    """Shows that the test above would fail if ffmpeg guessed the format."""
    write(tmp_path / "secret.mp4", greys(9))
    (tmp_path / "bee.mp4").write_text(FFCONCAT)

    with av.open(str(tmp_path / "bee.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("A bee on a flower.\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(100_000))

    for name in ("text.mp4", "empty.mp4", "noise.mp4"):
        assert "could not be decoded as MP4" in refused(tmp_path / name)
    assert "did not reach" in refused(tmp_path / "absent.mp4")


def test_another_container_is_refused_whatever_its_name(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "bee.mp4"), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for frame in greys(9):
            pixels = np.ascontiguousarray(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))

    assert "could not be decoded as MP4" in refused(tmp_path / "bee.mp4")


def test_a_video_without_a_picture_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with av.open(str(tmp_path / "cover.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "rgb24"
        stream.disposition = Disposition.attached_pic
        cover = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(cover))
        container.mux(stream.encode(None))
    # The header has a video stream, but the stream has no frames.
    write(tmp_path / "none.mp4", greys(9), options={"movflags": "frag_keyframe+empty_moov"})
    data = (tmp_path / "none.mp4").read_bytes()
    (tmp_path / "none.mp4").write_bytes(data[: data.index(b"moof") - 4])

    assert "no moving picture" in refused(tmp_path / "sound.mp4")
    assert "no moving picture" in refused(tmp_path / "cover.mp4")
    assert "no picture" in refused(tmp_path / "none.mp4")


def test_a_cut_file_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (17, 64, 96, 3), np.uint8)
    video.encode(noise, fps=8, path=tmp_path / "bee.mp4")
    whole = (tmp_path / "bee.mp4").read_bytes()
    pictures = whole.index(b"mdat") + 4
    complete = load(tmp_path / "bee.mp4", 17).frames

    # Cut in the header and in the first frame.
    for end in (100, pictures - 50, pictures + 900):
        (tmp_path / "bee.mp4").write_bytes(whole[:end])
        refused(tmp_path / "bee.mp4")

    for share in (0.12, 0.5, 0.9):
        end = pictures + int(share * (len(whole) - pictures))
        (tmp_path / "bee.mp4").write_bytes(whole[:end])
        loaded = load(tmp_path / "bee.mp4", 17)

        same = sum(np.array_equal(*pair) for pair in zip(loaded.frames, complete, strict=True))
        assert share * 17 - 4 <= same <= share * 17 + 1
        # The incomplete frame at the end is not used.
        assert all(np.array_equal(frame, complete[same - 1]) for frame in loaded.frames[same:])
        assert [notice.code for notice in loaded.notices] == ["reference-short"]


def test_damage_in_the_middle_ends_in_a_video_or_in_words(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    noise = random.integers(0, 255, (9, 64, 96, 3), np.uint8)
    video.encode(noise, fps=8, path=tmp_path / "bee.mp4")
    whole = (tmp_path / "bee.mp4").read_bytes()

    for at in range(0, len(whole) - 40, len(whole) // 60):
        (tmp_path / "bee.mp4").write_bytes(whole[:at] + random.bytes(40) + whole[at + 40 :])
        try:
            load(tmp_path / "bee.mp4")
        except TaskFailed as failure:
            assert failure.problems[0].code == Code.REFERENCE_UNREADABLE
