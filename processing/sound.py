"""Opens a sound file, which may be damaged or hostile, and fits it to the length of a video.

Only the part that is needed is decoded, so a sound of three hours takes no more memory than a short
one.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from contract.errors import Code, Problem, TaskFailed

RATE = 48_000
"""Samples per second of all sounds. AAC and Opus both have it."""
FADE_SECONDS = 1.0
"""How long the end of a sound fades out."""
# The same as a share of the video, for short videos.
_MOST_FADE = 0.25
# Where a sound begins again, its end and its beginning overlap for so long. It hides the click, and
# is too short to change a rhythm.
_JOIN_SAMPLES = RATE // 100
MAX_SECONDS = 120.0
"""For how long a file is decoded at most."""
# Players skip what is damaged, and many MP3s have something else than sound at their end. With more
# than this share of its packets damaged, a file is refused.
_MOST_DAMAGED = 0.1
_MOV = {b"ftyp", b"wide", b"mdat", b"moov", b"free", b"skip", b"pnot"}
"""The second word of an MP4, or of an old QuickTime file."""
_MOV_OPTIONS = {"enable_drefs": "0"}
_FORMATS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "flac", b"OggS": "ogg"}
"""By the first word of a file."""


def load_sound(path: Path, *, seconds: float) -> NDArray[np.float32]:
    """The sound of a file at the length of a video: cut off or repeated, and faded out at the end.

    Mono becomes stereo with the same volume on both sides, and more channels are mixed.

    Args:
        path: An MP3, M4A, WAV, AAC, FLAC or Ogg file, or a video with sound.
        seconds: How long the video is.

    Returns:
        Samples of 48 kHz stereo from -1 to 1, shape (number of samples, 2).

    Raises:
        TaskFailed: `reference-unreadable`; the file is absent, damaged, or has no sound.
    """
    needed = round(seconds * RATE)
    sound = _looped(_decoded(path, needed), needed)
    fade = round(min(FADE_SECONDS, seconds * _MOST_FADE) * RATE)
    if fade > 0:
        # The curve of a cosine has no corners, at which the change of volume would be heard.
        falling = (1 + np.cos(np.linspace(0, np.pi, fade))) / 2
        sound[-fade:] *= falling[:, np.newaxis].astype(np.float32)
    return sound


def own_sound(path: Path, *, seconds: float) -> NDArray[np.float32] | None:
    """The own sound of a clip, as it is heard with its picture, at the length of a video.

    It is neither repeated nor faded out. Where it has none, the video is silent.

    Args:
        path: An MP4 or MOV file.
        seconds: How long the video is.

    Returns:
        As `load_sound`. None: the clip has no sound that can be decoded.
    """
    needed = round(seconds * RATE)
    try:
        late = round(_seconds_after_picture(path) * RATE)
        heard = _decoded(path, needed - late)[max(0, -late) :]
    except Exception:
        # Whatever is wrong with the sound, the pictures may be good. If they are not, they tell.
        return None
    sound = np.zeros((needed, 2), np.float32)
    begin = max(0, late)
    part = heard[: max(0, needed - begin)]
    sound[begin : begin + len(part)] = part
    return sound


def _seconds_after_picture(path: Path) -> float:
    """How much later than its first picture the sound of a clip begins. It may be earlier."""
    with path.open("rb") as file, av.open(file, "r", format="mov", options=_MOV_OPTIONS) as clip:
        begins = []
        for streams in (clip.streams.video, clip.streams.audio):
            if not streams or streams[0].time_base is None:
                return 0.0
            begins.append(float((streams[0].start_time or 0) * streams[0].time_base))
    return begins[1] - begins[0]


def _looped(sound: NDArray[np.float32], needed: int) -> NDArray[np.float32]:
    """Exactly `needed` samples of `sound`, which begins again as often as it must."""
    if len(sound) >= needed:
        return sound[:needed].copy()
    join = min(_JOIN_SAMPLES, len(sound) // 2)
    rising = np.linspace(0, 1, join, dtype=np.float32)[:, np.newaxis]
    once = sound[: len(sound) - join]
    again = once.copy()
    again[:join] = sound[:join] * rising + sound[len(sound) - join :] * (1 - rising)
    times = -(-needed // len(once))
    return np.concatenate([once, *[again] * (times - 1)])[:needed]


def _decoded(path: Path, needed: int) -> NDArray[np.float32]:
    """The first `needed` samples of a file, or all if it has fewer; shape (samples, 2)."""
    parts: list[NDArray[np.float32]] = []
    length = 0
    try:
        # Python opens the file, because ffmpeg would look for a protocol in its name.
        with path.open("rb") as file:
            format_ = _format(file.read(12))
            file.seek(0)
            options = _MOV_OPTIONS if format_ == "mov" else {}
            with av.open(
                file, "r", format=format_, options=options, metadata_errors="replace"
            ) as container:
                if not container.streams.audio:
                    raise _unreadable(path, "contains no sound")
                stream = container.streams.audio[0]
                if format_ == "mov" and stream.duration and stream.time_base:
                    # The last piece of AAC is longer than the sound, and its rest is silent.
                    needed = min(needed, round(stream.duration * stream.time_base * RATE))
                for part in _parts(container, stream, path):
                    parts.append(part)
                    length += len(part)
                    if length >= needed:
                        break
    except TaskFailed:
        raise
    except FileNotFoundError as error:
        raise TaskFailed(
            Problem(
                code=Code.REFERENCE_UNREADABLE,
                message=f"The sound {path.name} did not reach the worker.",
                hint="Drop the spec and its sound again.",
            )
        ) from error
    except Exception as error:
        # Most errors are av.FFmpegError, but damaged headers also cause others. All of them mean
        # that the file cannot be used.
        raise _unreadable(path, "could not be decoded") from error
    if length == 0:
        raise _unreadable(path, "contains no sound that can be decoded")
    sound = np.concatenate(parts)[:needed]
    # Mixing channels and lossy formats give samples outside of -1 to 1, which encoders would cut.
    return sound / max(1.0, float(np.abs(sound).max()))


def _parts(
    container: InputContainer, stream: AudioStream, path: Path
) -> Iterator[NDArray[np.float32]]:
    """Decode a sound piece by piece, each of the shape (samples, 2)."""
    began = time.monotonic()
    packets = damaged = 0
    resampler: AudioResampler | None = None
    for packet in container.demux(stream):
        if time.monotonic() - began > MAX_SECONDS:
            raise _unreadable(path, f"takes more than {MAX_SECONDS:.0f} s to decode")
        packets += packet.size > 0
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if isinstance(frame, AudioFrame):
                resampler = resampler or _resampler(frame)
                yield from _stereo(resampler.resample(frame))
    if resampler is not None:
        yield from _stereo(resampler.resample(None))
    if damaged > packets * _MOST_DAMAGED:
        raise _unreadable(path, "is damaged")


def _format(head: bytes) -> str:
    """ffmpeg's name for the format of a file that begins with `head`.

    Without a fixed format, ffmpeg would also read playlists, and through them any file on this
    machine.
    """
    if head[4:8] in _MOV:
        return "mov"
    if head[:1] == b"\xff" and head[1] & 0xF6 == 0xF0:
        return "aac"  # not in an MP4
    return _FORMATS.get(head[:4], "mp3")


def _resampler(first: AudioFrame) -> AudioResampler:
    """What converts all frames of a sound. Mono stays mono: ffmpeg's stereo would be quieter."""
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    return AudioResampler(format="fltp", layout=layout, rate=RATE)


def _stereo(frames: list[AudioFrame]) -> Iterator[NDArray[np.float32]]:
    for frame in frames:
        channels = frame.to_ndarray().astype(np.float32)  # (1 or 2, samples)
        yield np.broadcast_to(channels.T, (channels.shape[1], 2))


def _unreadable(path: Path, what: str) -> TaskFailed:
    return TaskFailed(
        Problem(
            code=Code.REFERENCE_UNREADABLE,
            message=f"The sound {path.name} {what}.",
            hint="If it plays on your computer, convert it and upload the result: "
            "ffmpeg -i in.mp3 -vn -c:a aac out.m4a",
        )
    )
