"""Makes small sounds as phones and editors write them."""

import io
import math
import wave
from functools import cache

import av
import numpy as np

RATE = 8_000


@cache
def wav(seconds: float = 1.0, *, hertz: float = 440.0, rate: int = RATE) -> bytes:
    """A tone that fades out, as a WAV of 16 bits."""
    count = round(seconds * rate)
    samples = (
        round(9_000 * (1 - at / count) * math.sin(2 * math.pi * hertz * at / rate))
        for at in range(count)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"".join(one.to_bytes(2, "little", signed=True) for one in samples))
    return file.getvalue()


@cache
def encoded(kind: str, codec: str, seconds: float = 1.0, *, rate: int = 44_100) -> bytes:
    """A tone in another format.

    Args:
        kind: FFmpeg's name of the file format.
        codec: FFmpeg's name of an encoder.
    """
    time = np.arange(round(seconds * rate), dtype=np.float32) / rate
    tone = np.sin(2 * np.pi * 440 * time, dtype=np.float32)[np.newaxis] * 0.3
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate = rate
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        encoder = stream.codec_context
        fitted = av.AudioResampler(encoder.format, "mono", rate, encoder.frame_size or None)
        for part in (*fitted.resample(frame), *fitted.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def m4a(seconds: float = 1.0) -> bytes:
    """A tone as phones record it."""
    return encoded("ipod", "aac", seconds)


@cache
def clip_with_sound(num_frames: int = 17) -> bytes:
    """A video of a grey picture with a tone."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(m4a()), "r") as song,
        av.open(file, "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream_from_template(song.streams.audio[0])
        grey = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 128, np.uint8), format="rgb24")
        for _ in range(num_frames):
            container.mux(stream.encode(grey))
        container.mux(stream.encode(None))
        for packet in song.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                container.mux(packet)
    return file.getvalue()
