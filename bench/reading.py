"""Measures what the process that reads untrusted files takes, for large files that it accepts.

The files are made here: photos of the sizes of phones, clips as phones record them, and long specs.
The time of the processor does not depend on what else the machine does; the wall time does. Both
include the start of the process.
"""

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image, ImageCms

from bench.results import spread, write
from functions.adapters.child_reader import Usage
from functions.reading.limits import MAX_SPEC_BYTES
from local import ROOT

RUNS = 5
MOST_BYTES = 256 * 1024 * 1024


class Case(NamedTuple):
    """A file to read."""

    name: str
    call: str
    body: bytes


def main() -> None:
    """Measure, and write bench/results/reading.json.

    Raises:
        SystemExit: a process took more memory than it may.
    """
    rows = []
    for case in (*_pictures(), *_clips(), *_specs()):
        used = _used(case)
        most = max(one.max_rss_bytes for one in used)
        if most > MOST_BYTES:
            raise SystemExit(f"{case.name} took {most:,} bytes")
        rows.append(
            {
                "file": case.name,
                "file_bytes": len(case.body),
                "runs": RUNS,
                "cpu_seconds": spread([one.cpu_seconds for one in used]),
                "wall_seconds": spread([one.wall_seconds for one in used]),
                "max_rss_mib": round(most / 2**20),
            }
        )
        print(rows[-1], flush=True)
    what = "One process for each file, from its start to its end, with its limits"
    print(write("reading", what, rows))


def _used(case: Case) -> list[Usage]:
    """What the process takes in each run.

    Linux adds the memory of the process that starts it, so that one must be small: it is another
    Python, which has not made the files.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(case.body)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", _STARTER, case.call, file.name, case.name, str(RUNS)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
    return [Usage(*values) for values in json.loads(done.stdout)]


_STARTER = """
import json, sys
from contract.errors import JobRejected
from functions.adapters.child_reader import ChildReader
_, call, path, name, runs = sys.argv
body, used = open(path, "rb").read(), []
for _ in range(int(runs)):
    reader = ChildReader()
    try:
        getattr(reader, call)(body, name)
    except JobRejected:
        if call != "spec":
            raise
    used.append(reader.usage)
print(json.dumps(used))
"""


def _pictures() -> Iterator[Case]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kinds: list[tuple[str, str, tuple[int, int], dict[str, Any]]] = [
        ("JPEG, 12 megapixels, colour profile.jpg", "JPEG", (4032, 3024), {"icc_profile": profile}),
        ("JPEG, 50 megapixels.jpg", "JPEG", (8192, 6144), {}),
        ("JPEG, 50 megapixels, progressive.jpg", "JPEG", (8192, 6144), {"progressive": True}),
        ("JPEG, 108 megapixels.jpg", "JPEG", (12000, 9000), {"quality": 50}),
        ("WebP, 12 megapixels.webp", "WEBP", (4080, 3072), {"method": 0}),
        ("WebP, 12 megapixels, lossless.webp", "WEBP", (4032, 3024), {"lossless": True}),
        ("PNG, 12 megapixels.png", "PNG", (4032, 3024), {"compress_level": 1}),
        ("PNG, 40 megapixels.png", "PNG", (8000, 5000), {"compress_level": 1}),
    ]
    for name, kind, size, options in kinds:
        file = io.BytesIO()
        _photo(*size).save(file, kind, **options)
        yield Case(name, "image", file.getvalue())
    file = io.BytesIO()
    Image.new("RGBA", (8000, 5000), "red").save(file, "PNG")
    yield Case("PNG, 40 megapixels, transparency.png", "image", file.getvalue())
    file = io.BytesIO()
    _photo(3000, 2000).convert("CMYK").save(file, "JPEG", quality=90)
    yield Case("JPEG, 6 megapixels, CMYK.jpg", "image", file.getvalue())


def _photo(width: int, height: int) -> Image.Image:
    """A picture with some detail, which takes decoders as long as a photo does."""
    grain = np.random.default_rng(0).integers(90, 166, (256, 256, 3), dtype=np.uint8)
    tiled = np.tile(grain, (-(-height // 256), -(-width // 256), 1))
    return Image.fromarray(np.ascontiguousarray(tiled[:height, :width]))


def _clips() -> Iterator[Case]:
    hdr = {"color_primaries": 9, "color_trc": 18, "colorspace": 9}
    yield Case("H.264, 1080p, 7 s.mp4", "video", _clip(1920, 1080, 210, "yuv420p", {}))
    yield Case("H.264, 4K, 1.5 s.mp4", "video", _clip(3840, 2160, 45, "yuv420p", {}))
    yield Case("H.264, 1080p, HLG, 2 s.mov", "video", _clip(1920, 1080, 60, "yuv420p10le", hdr))


def _clip(width: int, height: int, frames: int, pixels: str, tags: dict[str, int]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
            stream.height, stream.width, stream.pix_fmt = height, width, pixels
            for name, value in tags.items():
                setattr(stream.codec_context, name, value)
            photo = np.asarray(_photo(width + frames, height))
            for number in range(frames):
                moved = np.ascontiguousarray(photo[:, number : number + width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _specs() -> Iterator[Case]:
    lines = "".join(f"field{number}: {number}\n" for number in range(1900))
    yield Case("YAML, 1,900 unknown fields.yaml", "spec", lines.encode())
    yield Case("YAML, 64 KiB of brackets.yaml", "spec", b"[" * MAX_SPEC_BYTES)
    words = ("prompt: " + "bee " * (MAX_SPEC_BYTES // 4))[: MAX_SPEC_BYTES - 1]
    yield Case("YAML, a prompt of 64 KiB.yaml", "spec", words.encode())


if __name__ == "__main__":
    main()
