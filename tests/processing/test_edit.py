"""Clips that are finished without a model, as phones record them."""

import io
import itertools
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.catalogue import NO_MODEL, Mode
from contract.errors import Code
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.origin import EDITED, GENERATED
from contract.outcome import RESULT_FILE, VIDEO_FILE, Failed, Outcome, Rendered
from contract.timeline import timeline_of
from functions.reading import clips
from functions.spec.clip import Clip
from functions.spec.fields import JobSpec, parameters_of
from processing import video, worker
from processing.sound import RATE, own_sound
from processing.xmp import add_to_mp4
from tests.clips import numbered
from tests.processing.decoding import decoded
from tests.processing.scenes import HEIGHT, WIDTH, pan, psnr
from tests.sounds import clip_with_sound, wav

QUARTER = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
"""The display matrix of a phone that was held upright."""
CUT = 16
JITTER = (0, 1, -1, 0, 2, 0, -1, 1)
"""In ticks of 1/600 s."""


def phone(num_frames: int = 32, *, lost: int = 21) -> bytes:
    """A MOV as a phone records it: HEVC, 59.94 fps with variable times, held upright, with a cut.

    Args:
        num_frames: how many frames it has.
        lost: the number of a frame that is missing.
    """
    shown = [*pan(CUT, speed=3), *pan(num_frames - CUT, seed=2, speed=3)]
    file = io.BytesIO()
    options = {"crf": "6", "x265-params": "log-level=none:bframes=0:scenecut=0"}
    with av.open(file, "w", format="mov", options={"video_track_timescale": "600"}) as container:
        stream = container.add_stream("libx265", rate=60, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        stream.set_display_matrix(QUARTER)
        for number, pixels in enumerate(shown):
            if number == lost:
                continue
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round(number * 600 * 1001 / 60_000) + JITTER[number % 8]
            frame.time_base = Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def constant(frames: list[NDArray[np.uint8]], fps: int, kind: str = "mp4") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "5"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


class Finishing:
    """A worker root without a model, with one clip."""

    def __init__(self, folder: Path, clip: bytes, **spec: Any) -> None:
        self.layout = Layout(folder)
        self.layout.references.mkdir(parents=True)
        (self.layout.references / "clip.mp4").write_bytes(clip)
        self.clip = Clip(**clips.video(clip, "clip.mov")._asdict())
        self.parameters = parameters_of(JobSpec(video="clip.mov", **spec), self.clip)

    def run(self, **task: Any) -> Rendered | Failed:
        wanted = ManifestTask(task_id="bee", video="clip.mp4", parameters=self.parameters, **task)
        manifest = Manifest(attempt_id="one", model=NO_MODEL, mode=Mode.FINISHING, tasks=(wanted,))
        self.layout.manifest.write_text(manifest.to_json())
        worker.render_manifest(self.layout)
        body = (self.layout.task_output("bee") / RESULT_FILE).read_bytes()
        return Outcome.from_json(body).result

    def rendered(self, **task: Any) -> Rendered:
        result = self.run(**task)
        assert isinstance(result, Rendered), result
        return result

    @property
    def video(self) -> Path:
        return self.layout.task_output("bee") / VIDEO_FILE

    @property
    def frames(self) -> list[NDArray[np.uint8]]:
        return list(decoded(self.video))


def test_a_clip_of_a_phone_in_slow_motion(tmp_path: Path) -> None:
    job = Finishing(tmp_path, phone(), slow_motion=4, fps=60)

    result = job.rendered()

    assert job.clip.constant_fps == 60
    length = 32 * 1001 / 60_000
    assert abs(result.video.duration_seconds - 4 * length) <= 4 / 60
    assert result.video.fps == 60.0
    assert (result.video.height, result.video.width) == (WIDTH, HEIGHT), "held upright"
    frames = job.frames
    # The matrix turns clockwise. Turned back, they can be compared with what was filmed.
    turned = [np.rot90(frame) for frame in frames]
    first, second = pan(CUT, speed=3), pan(16, seed=2, speed=3)
    assert psnr(turned[0], first[0]) > 30
    assert psnr(turned[8], first[2]) > 28
    # No frame is a blend of both sides of the cut.
    before, after = first[-1], second[0]
    for frame in turned[4 * (CUT - 1) : 4 * CUT + 1]:
        assert max(psnr(frame, before), psnr(frame, after)) > 28
    # Where the phone lost a frame, the motion goes on.
    around = turned[4 * 20 + 1 : 4 * 22]
    steps = [psnr(one, other) for one, other in itertools.pairwise(around)]
    assert max(steps) < 50, "it stands still"


def test_the_duration_stays_at_another_rate(tmp_path: Path) -> None:
    job = Finishing(tmp_path, constant(pan(30, speed=2), 30), fps=24)

    result = job.rendered()

    assert (result.video.fps, result.video.num_frames) == (24.0, 24)
    assert result.video.duration_seconds == pytest.approx(1.0, abs=1 / 24)
    assert result.parameters.generated_fps == 30


def test_a_clip_that_is_only_encoded_again_keeps_its_frames(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(12))

    result = job.rendered()

    assert (result.video.num_frames, result.video.fps) == (12, 8.0)
    greys = [frame.mean() for frame in job.frames]
    assert np.allclose(greys, [8 * index for index in range(12)], atol=2.5)


def test_no_model_is_named_and_the_video_is_marked_as_edited(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(4))

    result = job.rendered()

    assert (result.model, result.weights_sha256, result.scheduler) == (None, None, None)
    content = job.video.read_bytes()
    assert EDITED.encode() in content
    assert b"trainedAlgorithmicMedia" not in content and b"AISystemUsed" not in content


def test_what_was_generated_stays_marked_as_generated(tmp_path: Path) -> None:
    file = tmp_path / "generated.mp4"
    file.write_bytes(numbered(4))
    add_to_mp4(file, f"<x>{GENERATED}</x>".encode())
    job = Finishing(tmp_path / "root", file.read_bytes())

    result = job.rendered()

    assert result.source_type == GENERATED
    assert GENERATED.encode() in job.video.read_bytes()
    assert EDITED.encode() not in job.video.read_bytes()


def test_the_own_sound_is_kept_unless_it_does_not_fit(tmp_path: Path) -> None:
    kept = Finishing(tmp_path / "a", clip_with_sound()).rendered()
    slowed = Finishing(tmp_path / "b", clip_with_sound(), slow_motion=2).rendered()
    loop = Finishing(tmp_path / "c", clip_with_sound(), loop="ping-pong").rendered()

    assert kept.video.audio_codec == "aac"
    assert kept.video.audio_duration_seconds == pytest.approx(17 / 8, abs=0.03)
    assert slowed.video.audio_codec is None and loop.video.audio_codec is None


def test_the_own_sound_is_neither_repeated_nor_late(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(clip_with_sound())  # a tone of one second in a clip of two

    sound = own_sound(file, seconds=17 / 8)

    assert sound is not None and len(sound) == round(17 / 8 * RATE)
    assert np.abs(sound[RATE // 10 : RATE // 2]).max() > 0.2
    assert np.abs(sound[round(1.2 * RATE) :]).max() == 0.0


def test_another_sound_replaces_it(tmp_path: Path) -> None:
    job = Finishing(tmp_path, clip_with_sound(), slow_motion=2)
    (job.layout.references / "song.wav").write_bytes(wav())

    result = job.rendered(audio="song.wav")

    assert result.video.audio_duration_seconds == pytest.approx(17 / 4, abs=0.03)


def test_a_ping_pong_is_the_same_from_the_disk(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(6), loop="ping-pong")

    job.rendered()

    greys = [frame.mean() / 8 for frame in job.frames]
    assert np.allclose(greys, [0, 1, 2, 3, 4, 5, 4, 3, 2, 1], atol=0.4)
    assert sorted(file.name for file in job.video.parent.iterdir()) == [
        "poster.jpg", "progress-10.json", "progress-20.json", "progress-30.json",
        "progress-40.json", "progress-50.json", "progress-60.json", "progress-70.json",
        "progress-80.json", "progress-90.json", "result.json", "video.mp4",
    ]  # fmt: skip


def test_a_large_clip_becomes_smaller_and_odd_sides_even(tmp_path: Path) -> None:
    wide = Clip(
        height=2160, width=3840, num_frames=9, fps=30.0, duration_seconds=0.3, has_sound=False,
        hdr=None,
    )  # fmt: skip
    assert str(wide.finished_size) == "1080x1920"
    assert str(wide.model_copy(update={"height": 3840, "width": 2160}).finished_size) == "1920x1080"
    assert str(wide.model_copy(update={"height": 1080, "width": 1440}).finished_size) == "1080x1440"
    job = Finishing(tmp_path, constant([np.full((66, 98, 3), 90, np.uint8)] * 4, 8))
    job.parameters = job.parameters.model_copy(update={"height": 32, "width": 48})
    assert job.rendered().video.height == 32


@pytest.mark.parametrize(
    ("fps", "constant_fps"),
    [
        (8.0, 8), (23.976, 24), (29.97, 30), (59.94, 60), (119.88, 120), (240.0, 240),
        (27.3, 30), (12.5, 15), (58.2, 60), (90.5, 120), (0.4, 12), (500.5, 240),
    ],
)  # fmt: skip
def test_the_constant_rate_of_a_clip(fps: float, constant_fps: int) -> None:
    clip = Clip(
        height=64, width=96, num_frames=9, fps=fps, duration_seconds=1.0, has_sound=False, hdr=None
    )
    assert clip.constant_fps == constant_fps


def test_a_picture_that_stands_still_does_not_turn_into_the_next_one(tmp_path: Path) -> None:
    """A screen recording has a frame only when something changes."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for at, grey in ((0, 40), (1, 44), (11, 60), (12, 64)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    job = Finishing(tmp_path, file.getvalue(), fps=20)
    job.parameters = job.parameters.model_copy(update={"generated_fps": 10, "num_frames": 13})

    job.rendered()

    greys = [frame.mean() for frame in job.frames]
    assert all(grey < 47 for grey in greys[3:20]), greys


def test_a_clip_that_ends_too_early_is_held_with_a_notice(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(8))
    job.parameters = job.parameters.model_copy(update={"num_frames": 24})

    result = job.rendered()

    assert result.video.num_frames == 24
    assert [notice.code for notice in result.warnings] == ["reference-short"]


def test_a_damaged_clip_fails_alone(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(8))
    (job.layout.references / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"x" * 500)

    result = job.run()

    assert isinstance(result, Failed)
    assert result.problem.code == Code.REFERENCE_UNREADABLE


def test_nothing_of_a_model_is_imported(tmp_path: Path) -> None:
    heavy = {"torch", "diffusers", "transformers"} & set(sys.modules)
    Finishing(tmp_path, numbered(4), fps=4).rendered()
    assert {"torch", "diffusers", "transformers"} & set(sys.modules) == heavy


def test_the_frames_of_a_long_clip_are_not_all_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    encode = video.encode

    def counting(frames: Any, **more: Any) -> None:
        def each() -> Any:
            nonlocal alive, most
            for frame in frames:
                alive += 1
                most = max(most, alive)
                yield frame.view(Counted)

        encode(each(), **more)

    monkeypatch.setattr(video, "encode", counting)
    grey = [np.full((64, 96, 3), index % 50, np.uint8) for index in range(200)]
    job = Finishing(tmp_path, constant(grey, 8))
    assert job.rendered().video.num_frames == 200
    assert most < 10


def test_the_timeline_is_that_of_the_clip(tmp_path: Path) -> None:
    job = Finishing(tmp_path, numbered(16), fps=24, slow_motion=2, loop="cross-fade")
    assert job.rendered().video.num_frames == timeline_of(job.parameters).num_frames
    assert isinstance(job.parameters, Parameters)
