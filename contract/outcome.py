"""What the worker answers: the files of one task's folder.

video.mp4, poster.jpg       of a task that succeeded, and video.gif when it was asked for
progress-<percent>.json     while it runs
result.json                 last; its upload is the completion event
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from contract.document import Document
from contract.errors import Notice, Problem
from contract.manifest import Parameters

VIDEO_FILE = "video.mp4"
POSTER_FILE = "poster.jpg"
GIF_FILE = "video.gif"
RESULT_FILE = "result.json"

MACHINE_VARIABLE = "REELDROP_MACHINE"


def progress_file(percent: int) -> str:
    """Name of the file that says that a task is `percent` (0-99) done.

    A new name each time, because whether SageMaker uploads a changed file again is not promised.
    """
    return f"progress-{percent:02d}.json"


class Progress(Document):
    """How far a task is."""

    attempt_id: str
    task_id: str
    percent: int
    expected_seconds_left: float


class Seconds(Document):
    """Where the time of one task went. Loading is shared by all tasks of a processing job."""

    loading: float
    text_encoding: float
    denoising: float
    decoding: float
    encoding: float


class VideoFacts(Document):
    """What the written MP4 is, read back from the file."""

    codec: str
    pixel_format: str
    height: int
    width: int
    num_frames: int
    fps: float
    duration_seconds: float
    size_bytes: int
    sha256: str


class Quality(Document):
    """Plain figures of the picture, 0 to 255: enough to notice a black, flat or frozen video."""

    brightness: float
    """Mean of all samples."""
    contrast: float
    """Standard deviation of all samples."""
    motion: float
    """Mean absolute difference of neighbouring frames."""


class Machine(Document):
    """What the worker ran on."""

    name: str
    """The instance type, or what stands in for one: the environment variable MACHINE_VARIABLE."""
    device: str
    dtype: str
    versions: dict[str, str]
    """Library name to version."""


class Rendered(Document):
    """A task that succeeded."""

    status: Literal["succeeded"] = "succeeded"
    attempt_id: str
    task_id: str
    model: str
    weights_sha256: str
    """SHA-256 over the model folder: see processing.weights."""
    scheduler: str
    parameters: Parameters
    """As they were used."""
    started_at: datetime
    finished_at: datetime
    seconds: Seconds
    machine: Machine
    video: VideoFacts
    poster_sha256: str
    gif_sha256: str | None = None
    """Of video.gif, when one was asked for."""
    quality: Quality
    warnings: tuple[Notice, ...] = ()


class Failed(Document):
    """A task that failed alone. The others of its manifest go on."""

    status: Literal["failed"] = "failed"
    attempt_id: str
    task_id: str
    started_at: datetime
    finished_at: datetime
    problem: Problem
    detail: str = ""
    """The exception, for the one who runs the system; never shown in mail."""


class Outcome(Document):
    """result.json: one of the two, told apart by `status`."""

    result: Annotated[Rendered | Failed, Field(discriminator="status")]
