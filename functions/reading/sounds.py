"""Checks untrusted sounds. Runs in the reading process.

The sound itself is not changed. The worker cuts or repeats it to the length of its video.

FFmpeg would guess the format of a file, and some formats make it open other files. Therefore the
kind of the file decides the demuxer, which reads from memory and must not follow any reference.
"""

import io
from itertools import islice
from typing import NamedTuple

import av
import av.audio.stream  # PyAV would import it too late, at the first stream
import av.error
import av.logging
import av.subtitles.stream
from av.container import InputContainer

from functions.reading.limits import (
    MAX_CHANNELS,
    MAX_SAMPLE_RATE,
    MAX_SOUND_PACKETS,
    MAX_SOUND_SECONDS,
)
from functions.reading.magic import EXPORT_SOUND, WITHOUT_DRM, kind_of
from functions.reading.values import Unusable

_MP4 = ("mov", {"enable_drefs": "0", "use_absolute_path": "0"})
_DEMUXERS: dict[str, tuple[str, dict[str, str]]] = {
    "an MP3 file": ("mp3", {}),
    "an audio file": _MP4,
    "an MP4 video": _MP4,
    "a QuickTime video": _MP4,
    "a WAV file": ("wav", {}),
    "an AAC file": ("aac", {}),
    "a FLAC file": ("flac", {}),
    "an Ogg file": ("ogg", {}),
}
_PROTECTED = {"drms", "enca"}
"""How MP4 marks a track that only the player of its shop can decrypt."""


class Facts(NamedTuple):
    """What a player shows of a sound."""

    duration_seconds: float
    """At most `MAX_SOUND_SECONDS`, because no more of it is looked at."""


def audio(body: bytes, name: str) -> Facts:
    """Check the sound of a file: decode its beginning and measure how long it is.

    Args:
        body: the content of the file. A video with sound will do.
        name: the file name, for messages.

    Raises:
        Unusable: the file has no sound, is protected or damaged, or its format is not read.
    """
    kind = kind_of(body)
    if kind not in _DEMUXERS:
        raise Unusable(
            "reference-kind",
            f"Despite its name, {name} is not a sound; it is {kind}.",
            EXPORT_SOUND,
        )
    format_name, options = _DEMUXERS[kind]
    av.logging.set_level(None)
    try:
        with av.open(
            io.BytesIO(body),
            mode="r",
            format=format_name,
            options={"protocol_whitelist": "none", **options},
        ) as container:
            if not container.streams.audio:
                raise _unreadable(name, "has no sound", "Choose a file with sound.")
            return Facts(_duration_seconds(container, container.streams.audio[0], name))
    except MemoryError:
        raise  # PyAV's MemoryError is also an FFmpegError
    except av.error.FFmpegError as error:
        raise _unreadable(name, "is damaged or cut short: it could not be decoded") from error


def _duration_seconds(container: InputContainer, stream: av.AudioStream, name: str) -> float:
    if stream.codec_context.codec_tag in _PROTECTED:
        raise _unreadable(
            name,
            "is protected, so only the player of its shop can decode it",
            WITHOUT_DRM,
        )
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    first: av.AudioFrame | None = None
    seconds = 0.0
    for packet in islice(container.demux(stream), MAX_SOUND_PACKETS):
        if packet.is_corrupt:
            raise _unreadable(name, "is damaged or cut short")
        if seconds >= MAX_SOUND_SECONDS:
            break
        if packet.size and not packet.is_discard and packet.duration and packet.time_base:
            seconds += float(packet.duration * packet.time_base)
        if first is None:
            first = next(iter(packet.decode()), None)
    if first is None or not first.samples or not seconds:
        raise _unreadable(name, "has no sound that can be decoded")
    if first.layout.nb_channels > MAX_CHANNELS or first.sample_rate > MAX_SAMPLE_RATE:
        raise _unreadable(
            name,
            f"has {first.layout.nb_channels} channels at {first.sample_rate:,} Hz; "
            f"{MAX_CHANNELS} channels and {MAX_SAMPLE_RATE:,} Hz are the most",
        )
    return min(seconds, MAX_SOUND_SECONDS)


def _unreadable(name: str, what: str, how: str = EXPORT_SOUND) -> Unusable:
    return Unusable("reference-unreadable", f"The sound {name} {what}.", how)
