"""The models that reeldrop can run, and what each one can do.

Sizes, frame counts, token limits and data types come from the model cards and from diffusers' own
checks. Memory and speed are not here, because they are measured and not declared.
"""

import re
from enum import StrEnum

from contract.document import Document


class Mode(StrEnum):
    """What a video is made from. Each mode of a model has its own pipeline in diffusers."""

    TEXT_TO_VIDEO = "text-to-video"
    IMAGE_TO_VIDEO = "image-to-video"
    VIDEO_TO_VIDEO = "video-to-video"
    FINISHING = "finishing"
    """From a clip, without a model: only its rate, length, sound and formats change."""


NO_MODEL = "no-model"
"""What records and manifests say instead of the name of a model if the mode is finishing."""


class FamilyName(StrEnum):
    """Models that use the same pipelines. The worker has a file for each family."""

    COGVIDEOX = "cogvideox"
    WAN = "wan"


class Preset(StrEnum):
    """How a video is computed: quickly (draft), well (standard), or exactly (best).

    `draft` has fewer steps. On a GPU, `standard` and `draft` round some numbers and leave parts of
    some steps out; `best` computes every step as the model's authors do.
    """

    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"


class Size(Document):
    """A video size in pixels, height before width as in diffusers."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


class Weights(Document):
    """One model folder in diffusers' layout, and the sizes it can make.

    `folder` is its name under the models prefix. `repository` is where the weights come from on
    Hugging Face, or None for weights that this project trains.
    """

    folder: str
    repository: str | None
    sizes: tuple[Size, ...]
    """Valid sizes. The first one is the default."""


class World(Document):
    """The only subjects that a small model was trained on, as the words that name them."""

    words: tuple[tuple[str, ...], ...]
    """Groups of words in lower case.

    A prompt without a reference needs a word from each of the first two groups. A prompt with a
    reference needs a word from any group.
    """
    notice: str
    """What to tell a person whose prompt is about something else."""

    def has(self, prompt: str, *, reference: bool) -> bool:
        """Whether `prompt` is about this world.

        An empty prompt passes. A prompt without any Latin letters does not.

        Args:
            prompt: What the person wrote.
            reference: Whether an image or a video comes with the prompt.
        """
        said = set(re.findall(r"[a-z]+", prompt.lower()))
        groups = [not said.isdisjoint(group) for group in self.words]
        return not prompt.strip() or (any(groups) if reference else all(groups[:2]))


class Model(Document):
    """A model under the name that specs use, with one set of weights for each of its modes."""

    name: str
    family: FamilyName
    licence: str
    dtype: str
    weights: dict[Mode, Weights]
    num_frames: tuple[int, ...]
    """Valid frame counts. The first one is the default."""
    fps: int
    prompt_tokens: int
    """Number of tokens to which a prompt is padded or cut."""
    scheduler: str
    """Name of a scheduler class in diffusers."""
    use_dynamic_cfg: bool
    num_inference_steps: dict[Preset, int]
    """Steps of each preset. `standard` is the default and has what the model's authors use.

    All of CogVideoX divide 1,000, the number of steps in training. With other numbers, its
    schedulers in diffusers step to a time that is off by one from the time of the next step. Wan's
    scheduler takes its times from a formula, so any number is as good.
    """
    guidance_scale: float
    negative_prompt: str = ""
    """The negative prompt of a spec that has none: what the examples of the model use."""
    english_only: bool = True
    """Whether the model reads no other language than English."""
    world: World | None = None
    """None for a model without this restriction."""


def _size(height: int, width: int) -> Size:
    return Size(height=height, width=width)


def _steps(draft: int, standard: int, best: int) -> dict[Preset, int]:
    return {Preset.DRAFT: draft, Preset.STANDARD: standard, Preset.BEST: best}


_COGVIDEOX_LICENCE = "CogVideoX License (commercial use needs registration and has limits)"
# CogVideoX was trained on 480x720. Its frame counts are 8k + 1.
_FRAMES_1_0 = (49, 41, 33, 25, 17, 9)
# CogVideoX 1.5 takes 16n + 1 frames, n up to 10. 81 and 161 are those of its model card.
_FRAMES_1_5 = (81, *(frames for frames in range(161, 16, -16) if frames != 81))
_SIZES_1_5_IMAGE = tuple(
    size
    for long in range(1360, 767, -16)
    for size in ((_size(768, long),) if long == 768 else (_size(768, long), _size(long, 768)))
)

_WORLD_OF_DEMO = World(
    words=tuple(
        tuple(group.split())
        for group in (
            "circle circles ball disc round square squares box block triangle triangles sided "
            "pyramid star stars",
            "red crimson scarlet orange tangerine yellow golden lemon green emerald blue azure "
            "purple violet white black grey gray",
            "left right up down top bottom upwards downwards leftwards rightwards move moves "
            "moving still motionless rests resting grow grows growing bigger larger expands "
            "expanding shrink shrinks shrinking smaller contracts contracting rotate rotates "
            "rotating spin spins spinning turns turning",
        )
    ),
    notice="The demo model knows shapes, colours and motions: circles, squares, triangles and "
    "stars that move, turn, grow or shrink on a plain background. Name a shape and a colour. "
    "The model ignores everything else in the prompt.",
)

# Its authors name 704x1280 and 1280x704. At the smaller sizes a video has 44 percent of the pixels
# and takes a third of the computation.
_SIZES_WAN = (_size(704, 1280), _size(1280, 704), _size(480, 832), _size(832, 480))
# Wan takes 4n + 1 frames, and was trained on 121.
_FRAMES_WAN = tuple(range(121, 16, -4))
# The English form of the authors' Chinese text, as the documentation of diffusers has it.
_NEGATIVE_PROMPT_WAN = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, "
    "images, static, overall gray, worst quality, low quality, JPEG compression residue, ugly, "
    "incomplete, extra fingers, poorly drawn hands, poorly drawn faces, deformed, disfigured, "
    "misshapen limbs, fused fingers, still picture, messy background, three legs, many people in "
    "the background, walking backwards"
)
_WEIGHTS_WAN = Weights(
    folder="wan2.2-5b", repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers", sizes=_SIZES_WAN
)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="demo",
            family=FamilyName.COGVIDEOX,
            licence="Apache-2.0",
            dtype="float32",
            weights={
                # Its learned position embeddings only fit the size that it was trained on.
                Mode.TEXT_TO_VIDEO: Weights(folder="demo", repository=None, sizes=(_size(64, 96),)),
                Mode.IMAGE_TO_VIDEO: Weights(
                    folder="demo-i2v", repository=None, sizes=(_size(64, 96),)
                ),
                Mode.VIDEO_TO_VIDEO: Weights(
                    folder="demo", repository=None, sizes=(_size(64, 96),)
                ),
            },
            num_frames=(17,),
            fps=8,
            prompt_tokens=64,
            scheduler="CogVideoXDDIMScheduler",
            use_dynamic_cfg=False,
            num_inference_steps=_steps(10, 25, 50),
            guidance_scale=4.0,
            world=_WORLD_OF_DEMO,
        ),
        Model(
            name="cogvideox-2b",
            family=FamilyName.COGVIDEOX,
            licence="Apache-2.0",
            dtype="float16",
            weights={
                Mode.TEXT_TO_VIDEO: Weights(
                    folder="cogvideox-2b",
                    repository="zai-org/CogVideoX-2b",
                    sizes=(_size(480, 720),),
                ),
                Mode.VIDEO_TO_VIDEO: Weights(
                    folder="cogvideox-2b",
                    repository="zai-org/CogVideoX-2b",
                    sizes=(_size(480, 720),),
                ),
            },
            num_frames=_FRAMES_1_0,
            fps=8,
            prompt_tokens=226,
            scheduler="CogVideoXDDIMScheduler",
            use_dynamic_cfg=False,
            num_inference_steps=_steps(25, 50, 50),
            guidance_scale=6.0,
        ),
        Model(
            name="cogvideox-5b",
            family=FamilyName.COGVIDEOX,
            licence=_COGVIDEOX_LICENCE,
            dtype="bfloat16",
            weights={
                Mode.TEXT_TO_VIDEO: Weights(
                    folder="cogvideox-5b",
                    repository="zai-org/CogVideoX-5b",
                    sizes=(_size(480, 720),),
                ),
                Mode.IMAGE_TO_VIDEO: Weights(
                    folder="cogvideox-5b-i2v",
                    repository="zai-org/CogVideoX-5b-I2V",
                    sizes=(_size(480, 720),),
                ),
                Mode.VIDEO_TO_VIDEO: Weights(
                    folder="cogvideox-5b",
                    repository="zai-org/CogVideoX-5b",
                    sizes=(_size(480, 720),),
                ),
            },
            num_frames=_FRAMES_1_0,
            fps=8,
            prompt_tokens=226,
            scheduler="CogVideoXDPMScheduler",
            use_dynamic_cfg=True,
            num_inference_steps=_steps(25, 50, 50),
            guidance_scale=6.0,
        ),
        Model(
            name="cogvideox1.5-5b",
            family=FamilyName.COGVIDEOX,
            licence=_COGVIDEOX_LICENCE,
            dtype="bfloat16",
            weights={
                Mode.TEXT_TO_VIDEO: Weights(
                    folder="cogvideox1.5-5b",
                    repository="zai-org/CogVideoX1.5-5B",
                    sizes=(_size(768, 1360),),
                ),
                Mode.IMAGE_TO_VIDEO: Weights(
                    folder="cogvideox1.5-5b-i2v",
                    repository="zai-org/CogVideoX1.5-5B-I2V",
                    sizes=_SIZES_1_5_IMAGE,
                ),
                Mode.VIDEO_TO_VIDEO: Weights(
                    folder="cogvideox1.5-5b",
                    repository="zai-org/CogVideoX1.5-5B",
                    sizes=(_size(768, 1360),),
                ),
            },
            num_frames=_FRAMES_1_5,
            fps=16,
            prompt_tokens=224,
            scheduler="CogVideoXDPMScheduler",
            use_dynamic_cfg=True,
            num_inference_steps=_steps(25, 50, 50),
            guidance_scale=6.0,
        ),
        Model(
            name="wan2.2-5b",
            family=FamilyName.WAN,
            licence="Apache-2.0",
            dtype="bfloat16",
            weights={Mode.TEXT_TO_VIDEO: _WEIGHTS_WAN, Mode.IMAGE_TO_VIDEO: _WEIGHTS_WAN},
            num_frames=_FRAMES_WAN,
            fps=24,
            prompt_tokens=512,
            scheduler="UniPCMultistepScheduler",
            use_dynamic_cfg=False,
            num_inference_steps=_steps(25, 50, 50),
            guidance_scale=5.0,
            negative_prompt=_NEGATIVE_PROMPT_WAN,
            english_only=False,
        ),
    )
}


def folder_of(model: str, mode: Mode) -> str | None:
    """The model folder for a mode of a model, or None if the catalogue no longer has it."""
    weights = MODELS[model].weights.get(mode) if model in MODELS else None
    return weights.folder if weights else None


def model_with(folder: str) -> Model:
    """The model that has a model folder of this name.

    Raises:
        KeyError: No model has it.
    """
    for model in MODELS.values():
        if any(weights.folder == folder for weights in model.weights.values()):
            return model
    raise KeyError(folder)
