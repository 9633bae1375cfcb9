"""The output of the worker: the files in the folder of one task.

video.mp4, poster.jpg       when the task succeeded
video.gif                   also, when the task asks for a GIF
video.h265.mp4, video.webm  also, when the task asks for them
scene-<number>.mp4          also, each scene by itself, when the task asks for it; and the scenes
                            before one that failed
sample-<number>.jpg         also, when a guardrail is to judge the video
progress-<percent>.json     while the task runs
result.json                 written last; its upload is the completion event
"""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field

from contract.document import Document
from contract.errors import Notice, Problem
from contract.manifest import Parameters
from contract.memory import MemoryMode

VIDEO_FILE = "video.mp4"
POSTER_FILE = "poster.jpg"
GIF_FILE = "video.gif"
H265_FILE = "video.h265.mp4"
WEBM_FILE = "video.webm"
PUBLISHED_FILES = (VIDEO_FILE, POSTER_FILE, GIF_FILE, H265_FILE, WEBM_FILE)
"""The files of a task that succeeded. Some of them are written only if the task asks for them."""
RESULT_FILE = "result.json"
SAMPLES = 8
"""How many frames of a video a guardrail looks at."""

MACHINE_VARIABLE = "REELDROP_MACHINE"


def sample_file(number: int) -> str:
    """The name of the file with sample `number`, counted from 1."""
    return f"sample-{number}.jpg"


def scene_file(number: int) -> str:
    """The name of the file with scene `number` by itself, counted from 1."""
    return f"scene-{number:02d}.mp4"


def progress_file(percent: int) -> str:
    """The name of the progress file for `percent`, 0 to 99.

    Each percentage has its own file, because SageMaker does not promise to upload a file again
    when it has changed.
    """
    return f"progress-{percent:02d}.json"


class Progress(Document):
    """How much of a task is done."""

    attempt_id: str
    task_id: str
    percent: int
    expected_seconds_left: float
    scene: int | None = None
    """The scene that is being made, counted from 1. None: the video is not made of scenes."""


class Seconds(Document):
    """How long each part of a task took. All tasks of a processing job share one loading."""

    loading: float
    text_encoding: float
    denoising: float
    decoding: float
    encoding: float

    @property
    def rendering(self) -> float:
        """How long the video was rendered, without the loading, which all videos share."""
        return self.text_encoding + self.denoising + self.decoding

    @property
    def occupied(self) -> float:
        """For how long the video kept the machine from the next one.

        Its files are encoded while the next video is rendered.
        """
        return max(self.rendering, self.encoding)


class VideoFacts(Document):
    """The properties of a written video file, read back from the file."""

    codec: str
    pixel_format: str
    height: int
    width: int
    num_frames: int
    fps: float
    duration_seconds: float
    size_bytes: int
    sha256: str
    audio_codec: str | None = None
    """None: the file has no sound."""
    audio_duration_seconds: float | None = None

    def signed(self, sha256: str, size_bytes: int) -> Self:
        """The properties of the same video after it was signed."""
        return self.model_copy(update={"sha256": sha256, "size_bytes": size_bytes})


class Quality(Document):
    """Simple statistics of a video, in levels from 0 to 255. They reveal a broken one."""

    brightness: float
    """Mean of all samples."""
    contrast: float
    """Standard deviation of a colour within a frame, as the mean of all frames and colours."""
    motion: float
    """Mean absolute difference between neighbouring frames."""
    flicker: float = 0.0
    """Mean change of the brightness of a frame against the frames before and after it."""
    sharpness: float = 0.0
    """Mean absolute difference between neighbouring pixels."""


class Machine(Document):
    """The machine and the libraries that the worker used."""

    name: str
    """The instance type from the environment variable MACHINE_VARIABLE, or else the host name."""
    device: str
    dtype: str
    versions: dict[str, str]
    """Library name to version."""


class Guidance(Document):
    """How strongly the prompt guided each step, as the pipeline of diffusers computed it."""

    use_dynamic_cfg: bool
    """Whether the model's pipeline derives the guidance of each step from `guidance_scale`. The
    result jumps between 1 and guidance_scale + 1 from step to step."""
    scales: tuple[float, ...]
    """The scale that each step was made with, in order. All are 1 without guidance."""


class Profile(Document):
    """How the steps of a video were computed. The preset and the GPU decide it.

    On a CPU, all is as in stock diffusers: nothing is compiled, rounded or left out.
    """

    compiled: bool
    """Whether PyTorch compiled the blocks of the transformer. This changes the order of operations,
    so numbers differ in their last digits."""
    own_attention_blocks: int
    """In how many blocks reeldrop's own attention kernel worked. It is as exact as PyTorch's."""
    fp8: bool
    """Whether the large matrix products rounded their inputs to eight bits."""
    computed_steps: int
    """The steps that were computed in full. In the others, all blocks but the first one were
    replaced by what they had added in the step before."""
    lacking: tuple[str, ...] = ()
    """What the preset would have used, with the reason why it could not."""


class MemoryUse(Document):
    """How the worker shared the memory of the GPU for a task."""

    mode: MemoryMode
    stepped_down: bool
    """Whether the mode that was chosen first did not fit, so that `mode` was used instead. The
    other tasks of the processing job are not affected."""
    gpu_gib: float | None
    """The free memory that the choice was made for, in GiB. None: there is no GPU."""


class WeightsSource(Document):
    """Where the weights come from, as their model.json says."""

    repository: str | None
    revision: str | None


class Interpolation(Document):
    """What made the frames between those of the model."""

    method: Literal["search", "rife"]
    """Our own search for motion, or the network RIFE."""
    weights_sha256: str | None = None
    """SHA-256 over the folder with the weights of RIFE. None without it."""


class SceneMade(Document):
    """A scene that was made."""

    first_frame: int
    """Where it begins among the shown frames of the video, counted from 0. If it fades in, that is
    the first frame in which it can be seen."""
    num_frames: int
    """How many shown frames it has, up to the first frame of the next scene."""
    guidance: Guidance
    profile: Profile
    clip_sha256: str | None = None
    """SHA-256 of the scene by itself. None: it was not asked for."""


class Rendered(Document):
    """A task that succeeded."""

    status: Literal["succeeded"] = "succeeded"
    attempt_id: str
    task_id: str
    model: str | None
    """None, as the next ones: no model was used, because a clip was only finished."""
    weights_sha256: str | None
    """SHA-256 over the model folder, as contract.model_folder.fingerprint computes it."""
    weights_source: WeightsSource | None = None
    """None: the folder has no model.json, so nobody could check whether its files are complete and
    undamaged."""
    image_weights_sha256: str | None = None
    """The same for the folder ROOT/image-model. None: the task does not use it."""
    image_weights_source: WeightsSource | None = None
    lora_sha256: str | None = None
    """SHA-256 of the file of the LoRA. None: the task has none."""
    scheduler: str | None
    source_type: str | None = None
    """How the video came into being, in the words of the IPTC, if it does not follow from its mode:
    its clip was generated, or RIFE made some frames."""
    parameters: Parameters
    """The parameters that were used."""
    guidance: Guidance | None = None
    """None with scenes, of which each has its own."""
    profile: Profile | None = None
    """The same."""
    interpolation: Interpolation | None = None
    """None: all frames are those of the model."""
    scenes: tuple[SceneMade, ...] = ()
    started_at: datetime
    finished_at: datetime
    seconds: Seconds
    machine: Machine
    memory: MemoryUse | None = None
    video: VideoFacts
    poster_sha256: str
    gif_sha256: str | None = None
    """SHA-256 of video.gif, or None if the task did not ask for a GIF."""
    h265_sha256: str | None = None
    """The same for video.h265.mp4."""
    webm_sha256: str | None = None
    samples_sha256: tuple[str, ...] = ()
    """SHA-256 of each sample, in order. Empty if the task did not ask for samples."""
    quality: Quality
    warnings: tuple[Notice, ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file of the task."""
        found = {
            VIDEO_FILE: self.video.sha256,
            POSTER_FILE: self.poster_sha256,
            GIF_FILE: self.gif_sha256,
            H265_FILE: self.h265_sha256,
            WEBM_FILE: self.webm_sha256,
            **{sample_file(n): sha256 for n, sha256 in enumerate(self.samples_sha256, 1)},
            **{scene_file(n): scene.clip_sha256 for n, scene in enumerate(self.scenes, 1)},
        }
        return {name: sha256 for name, sha256 in found.items() if sha256 is not None}


class Failed(Document):
    """A task that failed. The other tasks of its manifest go on."""

    status: Literal["failed"] = "failed"
    attempt_id: str
    task_id: str
    started_at: datetime
    finished_at: datetime
    problem: Problem
    detail: str = ""
    """The traceback, for the administrator. It is never sent by mail."""
    scene_clips_sha256: tuple[str, ...] = ()
    """SHA-256 of each scene before the one that failed, by itself. They are kept. Empty if the task
    has no scenes, or if the first one failed."""


class Outcome(Document):
    """The content of result.json: a success or a failure. `status` says which."""

    result: Annotated[Rendered | Failed, Field(discriminator="status")]
