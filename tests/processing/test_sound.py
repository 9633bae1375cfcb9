"""A sound beside the spec becomes the sound of the video: as long as it, faded out, in stereo."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from contract.errors import Code, TaskFailed
from contract.outcome import H265_FILE, VIDEO_FILE, WEBM_FILE
from processing import finishing, loading, sound, worker
from processing.sound import FADE_SECONDS, RATE, load_sound
from tests.corpus.sounds import harmless
from tests.corpus.specimen import Harmless
from tests.processing.conftest import Jobs
from tests.processing.test_finishing import ORIGIN, moving, task

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
CODECS = {"mp3": ("mp3", "libmp3lame"), "m4a": ("ipod", "aac"), "wav": ("wav", "pcm_s16le")}


def tone(
    seconds: float, *, hertz: float = 440, rate: int = 44_100, channels: int = 1
) -> np.ndarray:
    """A tone at half of the highest volume, (channels, samples)."""
    times = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * hertz * times)[np.newaxis], channels, 0)


def sound_file(kind: str, samples: np.ndarray, rate: int = 44_100) -> bytes:
    """`samples`, shape (channels, number of samples), as an MP3, M4A or WAV file."""
    body = io.BytesIO()
    container_format, codec = CODECS[kind]
    layout = LAYOUTS[len(samples)]
    with av.open(body, "w", format=container_format) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 192_000
        for at in range(0, samples.shape[1], rate):
            part = np.ascontiguousarray(samples[:, at : at + rate].astype(np.float32))
            frame = AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return body.getvalue()


def written(path: Path, kind: str, samples: np.ndarray, rate: int = 44_100) -> Path:
    target = path / f"music.{kind}"
    target.write_bytes(sound_file(kind, samples, rate))
    return target


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt((samples.astype(float) ** 2).mean()))


def heard(path: Path) -> np.ndarray:
    """The sound of a video file as players hear it, (samples, 2)."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().T for frame in container.decode(audio=0)])


@pytest.mark.parametrize("kind", ["mp3", "m4a", "wav"])
@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_it_is_as_long_as_the_video(tmp_path: Path, kind: str, seconds: float) -> None:
    loaded = load_sound(written(tmp_path, kind, tone(seconds)), seconds=6.125)

    assert loaded.shape == (294_000, 2)
    # A tone of 0.5, without a gap. Where it begins again, the overlap is a little quieter.
    whole = loaded[: 5 * RATE, 0]
    windows = whole.reshape(-1, RATE // 100)
    assert min(rms(window) for window in windows) > 0.15
    assert rms(whole) == pytest.approx(0.5 / np.sqrt(2), rel=0.07)


@pytest.mark.parametrize("seconds", [0.25, 2.0, 6.0])
def test_it_fades_out(tmp_path: Path, seconds: float) -> None:
    path = written(tmp_path, "wav", tone(10))

    loaded = load_sound(path, seconds=seconds)[:, 0]

    fade = round(min(FADE_SECONDS, seconds / 4) * RATE)
    assert rms(loaded[:-fade]) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    quarters = [rms(part) for part in np.array_split(loaded[-fade:], 4)]
    assert quarters == sorted(quarters, reverse=True)
    assert quarters[-1] < 0.1 * quarters[0]
    assert abs(loaded[-1]) < 1e-4


def test_a_repeated_sound_has_no_click(tmp_path: Path) -> None:
    # A second of this tone ends at its highest point, far from its beginning.
    samples = tone(1, hertz=440.25, rate=RATE)
    path = written(tmp_path, "wav", samples, RATE)

    loaded = load_sound(path, seconds=5)[: 3 * RATE, 0]

    steps = np.abs(np.diff(samples[0])).max()
    assert abs(samples[0, -1] - samples[0, 0]) > 10 * steps
    assert np.abs(np.diff(loaded)).max() < 1.2 * steps


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_mono_and_surround_become_stereo_as_loud_as_they_were(
    tmp_path: Path, channels: int
) -> None:
    path = written(tmp_path, "wav", tone(3, channels=channels))

    loaded = load_sound(path, seconds=2)[:RATE]

    assert np.array_equal(loaded[:, 0], loaded[:, 1])
    assert np.abs(loaded).max() <= 1
    if channels < 6:
        assert np.abs(loaded).max() == pytest.approx(0.5, abs=0.01)


def test_left_stays_left(tmp_path: Path) -> None:
    both = tone(3, channels=2)
    both[1] = 0

    loaded = load_sound(written(tmp_path, "wav", both), seconds=2)

    assert rms(loaded[:RATE, 0]) > 0.3
    assert rms(loaded[:RATE, 1]) < 0.001


@pytest.mark.parametrize(
    "body",
    [b"", b"no sound" * 1000, b"RIFF\x10\x00\x00\x00WAVEfmt ", b"\x00\x00\x00\x18ftypM4A " * 50],
)
def test_a_damaged_file_is_named(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "music.mp3"
    path.write_bytes(body)

    with pytest.raises(TaskFailed) as failure:
        load_sound(path, seconds=1)

    (problem,) = failure.value.problems
    assert problem.code == Code.REFERENCE_UNREADABLE
    assert "music.mp3" in problem.message


def test_a_file_whose_middle_is_damaged_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "m4a", tone(10, channels=2))
    whole = path.read_bytes()
    begin = whole.index(b"mdat") + 2000
    random = np.random.default_rng(1)
    path.write_bytes(whole[:begin] + random.bytes(60_000) + whole[begin + 60_000 :])

    with pytest.raises(TaskFailed, match="damaged"):
        load_sound(path, seconds=10)


def test_a_video_without_sound_is_no_sound(tmp_path: Path) -> None:
    finishing.finish(moving(9), task(), folder=tmp_path, origin=ORIGIN)

    with pytest.raises(TaskFailed, match="contains no sound"):
        load_sound(tmp_path / f".{VIDEO_FILE}.part", seconds=1)


def test_a_long_file_is_decoded_only_as_far_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "mp3", tone(120, rate=22_050), 22_050)
    decoded = 0
    parts = sound._parts

    def counted(*args: Any) -> Iterator[np.ndarray]:
        nonlocal decoded
        for part in parts(*args):
            decoded += len(part)
            yield part

    monkeypatch.setattr(sound, "_parts", counted)

    load_sound(path, seconds=2)

    assert 2 * RATE <= decoded < 3 * RATE


@pytest.mark.parametrize(("num_frames", "fps"), [(9, 8), (49, 24)])
def test_every_video_of_a_task_has_the_sound(tmp_path: Path, num_frames: int, fps: int) -> None:
    times = np.arange(66_150) / 44_100
    rising = 0.4 * np.sin(2 * np.pi * (100 * times + 600 * times**2))
    music = written(tmp_path, "mp3", np.stack([rising, rising]))
    asked = task(num_frames, h265=True, webm=True, fps=fps)

    finished = finishing.finish(
        moving(num_frames), asked, folder=tmp_path, origin=ORIGIN, sound=music
    )
    finishing.publish(finished)

    assert finished.video.audio_codec == "aac"
    for name, codec in ((VIDEO_FILE, "aac"), (H265_FILE, "aac"), (WEBM_FILE, "opus")):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.name == codec
            assert (stream.rate, stream.channels) == (RATE, 2)
            assert container.streams.video[0].start_time in {0, None}
        played = heard(tmp_path / name)
        assert abs(len(played) / RATE - num_frames / fps) <= 1024 / RATE
        # In time with the picture: no delay of the encoder is heard.
        expected = load_sound(music, seconds=num_frames / fps)
        delays = range(-1500, 1501, 10)
        part = expected[2000:20_000, 0]
        likeness = [float(part @ played[2000 + d : 20_000 + d, 0]) for d in delays]
        assert abs(delays[int(np.argmax(likeness))]) <= 10, name


def test_the_same_sound_makes_the_same_files(tmp_path: Path) -> None:
    music = written(tmp_path, "m4a", tone(3))
    asked = task(h265=True, webm=True)

    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        finished = finishing.finish(
            moving(9), asked, folder=tmp_path / name, origin=ORIGIN, sound=music
        )
        found.append((finished.video.sha256, finished.also))

    assert found[0] == found[1]


def test_a_video_without_a_sound_has_no_stream_for_it(tmp_path: Path) -> None:
    finished = finishing.finish(moving(9), task(webm=True), folder=tmp_path, origin=ORIGIN)
    finishing.publish(finished)

    assert finished.video.audio_codec is None
    for name in (VIDEO_FILE, WEBM_FILE):
        with av.open(str(tmp_path / name)) as container:
            assert not container.streams.audio


def test_the_worker_adds_the_sound(jobs: Jobs) -> None:
    layout = jobs.root(jobs.task().model_copy(update={"audio": "music.mp3"}))
    written(layout.references, "mp3", tone(0.5))

    worker.render_manifest(layout)

    video = jobs.success(layout).video
    assert video.audio_codec == "aac"
    assert video.audio_duration_seconds == pytest.approx(9 / 8, abs=1024 / RATE)


def test_a_sound_that_cannot_be_used_fails_its_task_before_weights_are_loaded(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load", lambda **_: pytest.fail("loaded for nothing"))
    layout = jobs.root(jobs.task().model_copy(update={"audio": "absent.mp3"}))

    worker.render_manifest(layout)

    problem = jobs.failure(layout).problem
    assert problem.code == Code.REFERENCE_UNREADABLE
    assert "absent.mp3" in problem.message


@pytest.mark.parametrize("accepted", harmless(), ids=lambda one: str(one.name))
def test_every_sound_that_is_accepted_can_be_decoded(tmp_path: Path, accepted: Harmless) -> None:
    ((key, body),) = accepted.others.items()
    file = tmp_path / Path(key).name
    file.write_bytes(body)
    assert rms(load_sound(file, seconds=0.3)) > 0 or "mp4" in key, "the sound of the MP4 is silent"
