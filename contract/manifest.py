"""What the worker is asked to do: manifest.json, and where files lie under its root.

    ROOT/input/manifest.json            this document
    ROOT/input/references/<file>        references
    ROOT/model/                         weights, one folder in diffusers' layout
    ROOT/output/<task_id>/              what the worker writes (see outcome.py)

In SageMaker ROOT is /opt/ml/processing.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contract.catalogue import Mode
from contract.document import Document

CONTAINER_ROOT = "/opt/ml/processing"
# SageMaker shows the first kilobyte of this file as the ExitMessage of the processing job.
CONTAINER_MESSAGE = "/opt/ml/output/message"

# A task id is a folder name, part of an S3 key and of a log line: no dots, no slashes.
TASK_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,80}$"
TaskId = Annotated[str, Field(pattern=TASK_ID_PATTERN)]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,80}\.[a-z0-9]{1,5}$")]


Fit = Literal["crop", "pad"]
"""How a reference of another shape becomes the video's: its middle cut out, or bars around it."""


class Parameters(Document):
    """Everything that decides what a video looks like, under diffusers' names."""

    mode: Mode
    prompt: str
    negative_prompt: str = ""
    height: int
    width: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    strength: float | None = None
    """How far a video may move away from its reference, 0 to 1; video to video only."""
    fit: Fit = "crop"


class ManifestTask(Document):
    """One video to make.

    `image` and `video` are file names under input/references, for image to video and video to
    video. `gif` asks for an animated GIF as well.
    """

    task_id: TaskId
    parameters: Parameters
    image: FileName | None = None
    video: FileName | None = None
    gif: bool = False


class Manifest(Document):
    """All tasks of one processing job. One pipeline serves them: they share model and mode."""

    version: Literal[1] = 1
    attempt_id: str
    model: str
    mode: Mode
    tasks: Annotated[tuple[ManifestTask, ...], Field(min_length=1)]


class Layout:
    """The worker's folders below `root`. The only place that knows their names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / "input" / "manifest.json"
        self.references = root / "input" / "references"
        self.model = root / "model"
        self.output = root / "output"

    def task_output(self, task_id: str) -> Path:
        """The folder that a task writes to."""
        return self.output / task_id
