"""Decodes the videos that the pipeline published."""

from pathlib import Path

import av


def decoded(body: bytes, folder: Path) -> tuple[int, int, int, float]:
    """Decode an MP4 and return its number of frames, height, width and fps."""
    file = folder / "decoded.mp4"
    file.write_bytes(body)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.average_rate is not None
        return len(frames), frames[0].shape[0], frames[0].shape[1], float(stream.average_rate)
