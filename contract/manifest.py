"""The input of the worker: manifest.json, and the folders below the worker's root.

    ROOT/input/manifest.json            this document
    ROOT/input/references/<file>        references
    ROOT/input/lora.safetensors         the LoRA, if the tasks have one
    ROOT/model/                         weights, one folder in diffusers' layout
    ROOT/interpolation/                 weights of RIFE, if they were imported and are needed
    ROOT/image-model/                   weights for the scenes that start from an image, if the
                                        tasks also need others, which are in ROOT/model then
    ROOT/output/<task_id>/              what the worker writes (see outcome.py)
    ROOT/scenes/<task_id>/              scenes that wait for the others of their video, for the
                                        worker only; removed when the task has its result

In SageMaker, ROOT is /opt/ml/processing.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contract.catalogue import Mode, Preset
from contract.document import Document

LORA_FILE = "lora.safetensors"
INTERPOLATION_INPUT = "interpolation"
CONTAINER_ROOT = "/opt/ml/processing"
# SageMaker shows the first 1,024 bytes of this file as ExitMessage of the processing job.
CONTAINER_MESSAGE = "/opt/ml/output/message"
# SageMaker shows this much of the message file.
MESSAGE_BYTES = 1024

# A task id becomes a folder name and part of S3 keys, so dots and slashes are refused.
TASK_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,80}$"
TaskId = Annotated[str, Field(pattern=TASK_ID_PATTERN)]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,80}\.[a-z0-9]{1,5}$")]


Fit = Literal["crop", "pad"]
"""What happens to a reference with another aspect ratio than the video.

`crop` cuts out its middle, `pad` puts black bars around it.
"""


SlowMotion = Literal[1, 2, 4, 8]
"""How many times as long a video takes as its motion did."""

Loop = Literal["cross-fade", "ping-pong"]
"""How the end of a video leads into its beginning.

`cross-fade` blends its end with its beginning, `ping-pong` plays it backwards after its end.
"""

Transition = Literal["continue", "cut", "fade"]
"""How a scene follows the one before.

`continue` starts from the last frame of the scene before, `fade` blends into it, and `cut` does
neither.
"""


class SceneParameters(Document):
    """One scene of a video. What it does not say is the same for all scenes of the video."""

    mode: Mode
    """Image to video also if it continues the scene before."""
    prompt: str
    num_frames: int
    """How many frames the model makes. Not all of them are in the video; see contract/scenes.py."""
    seed: int
    transition: Transition
    """That of the first scene is `cut`."""


class Parameters(Document):
    """Everything that decides what a video looks like, under the names that diffusers uses."""

    mode: Mode
    """With scenes: that of the first one."""
    prompt: str
    """Empty with scenes."""
    negative_prompt: str = ""
    height: int
    width: int
    num_frames: int
    """How many frames the model makes. With scenes: how many they have when they are joined. For
    finishing: how many the clip has at `generated_fps`."""
    fps: int
    """Frames shown per second."""
    generated_fps: int | None = None
    """Frames per second at which the model makes motion, or at which the clip shows it. If `fps`
    differs, frames are interpolated or left out, and the motion keeps its speed. None: the same as
    `fps`."""
    slow_motion: SlowMotion = 1
    loop: Loop | None = None
    preset: Preset = Preset.STANDARD
    """How the steps are computed on a GPU. Their number is below."""
    num_inference_steps: int
    """This and the next two are 0 for finishing, which has no steps."""
    guidance_scale: float
    seed: int
    strength: float | None = None
    """How much the video may differ from its reference, 0 to 1. Only for video to video."""
    fit: Fit = "crop"
    label: str = ""
    """A note that is shown in the lower right corner of the whole video. Empty: none."""
    lora: str | None = None
    """The name of the LoRA that is added to the transformer."""
    lora_scale: float | None = None
    """How strongly. None without a LoRA."""
    scenes: tuple[SceneParameters, ...] = ()
    """Empty: the video is not made of scenes."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that the video needs, each once."""
        return tuple(dict.fromkeys((self.mode, *(scene.mode for scene in self.scenes))))


class ManifestTask(Document):
    """One video to make.

    `image` (for image to video), `video` (the clip for video to video and finishing) and `audio`
    (the sound; finishing keeps that of the clip without it, if the video is neither slowed down nor
    a loop) are file names in input/references. With `gif`, the worker also writes an animated GIF,
    with `h265` the video as H.265, and with `webm` the video as VP9. With
    `scene_clips`, each scene is also written as a video of its own.
    """

    task_id: TaskId
    parameters: Parameters
    image: FileName | None = None
    video: FileName | None = None
    audio: FileName | None = None
    scene_images: tuple[FileName | None, ...] = ()
    """For each scene, the image that it starts from. None: it starts from text, or continues."""
    scene_clips: bool = False
    gif: bool = False
    h265: bool = False
    webm: bool = False
    prompt_in_file: bool = True
    """Whether the files themselves may say what the prompt was."""
    samples: bool = False
    """Whether to write some frames as JPEGs, for a guardrail to look at."""
    interrupted: bool = False
    """Whether an earlier processing job ended while this task was in work.

    The worker has no other task in work together with this one. So if it ends again, the first task
    without a result is known to be the cause.
    """


class Manifest(Document):
    """All tasks of one processing job.

    They share a model folder, a preset and a LoRA, because the model is loaded once. Modes may
    differ. If they are to be finished, there is no model folder, and all have this mode.
    """

    version: Literal[1] = 1
    attempt_id: str
    model: str
    mode: Mode
    """The mode whose weights are in ROOT/model: that of the first task, or text to video if the
    tasks need two folders. Each task has its own in its parameters."""
    tasks: Annotated[tuple[ManifestTask, ...], Field(min_length=1)]


class Layout:
    """The folders of the worker below `root`. Only this class knows their names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / "input" / "manifest.json"
        self.references = root / "input" / "references"
        self.lora = root / "input" / LORA_FILE
        self.model = root / "model"
        self.interpolation = root / INTERPOLATION_INPUT
        self.image_model = root / "image-model"
        self.output = root / "output"
        self.scenes = root / "scenes"

    def task_output(self, task_id: str) -> Path:
        """The folder for the files of one task."""
        return self.output / task_id

    def task_scenes(self, task_id: str) -> Path:
        """The folder for the scenes of one task that wait for the others."""
        return self.scenes / task_id
