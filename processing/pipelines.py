"""CogVideoX: diffusers' own pipelines, unmodified, loaded from a folder and never from a network.

The order is chosen for memory: all prompts of a manifest are encoded first, then the text encoder
(half of the weights) is freed, then transformer and VAE are loaded. torch, diffusers and
transformers are imported by `load`, not by this module: they take seconds.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.catalogue import Mode, Model
from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Parameters
from contract.outcome import MACHINE_VARIABLE, Machine
from processing.weights import PIPELINE_CLASSES, damaged

if TYPE_CHECKING:
    import torch

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow", "av")
_CUT_TEXT_CHARACTERS = 80

StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each denoising step."""

Reference = Image.Image | NDArray[np.uint8]
"""What a video starts from, at the video's height and width: an image, or frames of the shape
(num_frames, height, width, 3), RGB."""


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """One text as the transformer reads it."""

    embeds: torch.Tensor
    """Shape (1, prompt_tokens, text width), on the CPU."""
    tokens: int
    """How many the text has, its end token included, before it was cut."""
    cut: str
    """The text behind the model's limit; empty when it all fits."""
    seconds: float


def load(*, model: Model, mode: Mode, folder: Path, texts: Collection[str]) -> Pipeline:
    """Encode `texts` (prompts and negative prompts), then load the rest of the model.

    `folder` must have passed `weights.check`.

    Raises:
        TaskFailed: `weights-damaged` names the part that cannot be loaded; `out-of-memory`.
        ModuleNotFoundError: the tokenizer needs a package that is not installed.
    """
    began = time.perf_counter()
    torch, diffusers, transformers = _import_libraries()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # On a CPU, half types are slower than float32 where they exist at all, and float16 overflows.
    dtype = getattr(torch, model.dtype) if device.type == "cuda" else torch.float32
    pipeline_class = getattr(diffusers, PIPELINE_CLASSES[mode])
    with _reading("scheduler"):
        scheduler_class = getattr(diffusers, model.scheduler)
        scheduler = scheduler_class.from_config(
            scheduler_class.load_config(folder / "scheduler", local_files_only=True),
            # As the models' own programs do: the first step then starts at pure noise.
            timestep_spacing="trailing",
        )

    tokenizer = _load_tokenizer(transformers.T5Tokenizer, folder)
    text_encoder = _load_text_encoder(transformers.T5EncoderModel, folder, dtype, device)
    text_pipeline = pipeline_class(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        transformer=None,
        vae=None,
        scheduler=scheduler,
    )
    encoded = {
        text: _encode(text_pipeline, text, device, model.prompt_tokens)
        for text in sorted(set(texts))
    }
    del text_pipeline, text_encoder
    _free_memory()

    with _reading("transformer"):
        transformer = _load_diffusers_part(
            diffusers.CogVideoXTransformer3DModel, folder / "transformer", dtype
        ).to(device)
    with _reading("vae"):
        vae = _load_diffusers_part(diffusers.AutoencoderKLCogVideoX, folder / "vae", dtype)
        vae = vae.to(device)
    pipe = pipeline_class(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer,
        vae=vae,
        scheduler=scheduler,
    )
    pipe.set_progress_bar_config(disable=True)
    text_seconds = sum(prompt.seconds for prompt in encoded.values())
    return Pipeline(
        pipe=pipe,
        model=model,
        mode=mode,
        encoded=encoded,
        loading_seconds=_clock(device) - began - text_seconds,
        machine=Machine(
            name=os.environ.get(MACHINE_VARIABLE, platform.node()),
            device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            dtype=str(dtype).removeprefix("torch."),
            versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        ),
    )


class Pipeline:
    """A model in memory, with the prompts of its manifest already encoded. Made by `load`."""

    def __init__(
        self,
        *,
        pipe: Any,
        model: Model,
        mode: Mode,
        encoded: dict[str, EncodedPrompt],
        loading_seconds: float,
        machine: Machine,
    ) -> None:
        self._pipe = pipe
        self._model = model
        self._mode = mode
        self._encoded = encoded
        self.loading_seconds = loading_seconds
        """Libraries and weights; without the encoding of the prompts."""
        self.machine = machine

    def text_encoding_seconds(self, parameters: Parameters) -> float:
        """What encoding the texts of this task took. A text that tasks share counts for each."""
        return sum(self._encoded[text].seconds for text in texts_of(parameters))

    def notices(self, parameters: Parameters) -> tuple[Notice, ...]:
        """What a person should know about the prompts of this task."""
        limit = self._model.prompt_tokens
        return tuple(
            Notice(
                code="prompt-cut",
                message=(
                    f"The {name} has {self._encoded[text].tokens} tokens and the model reads "
                    f"{limit}: it did not see the end, “{self._encoded[text].cut}”."
                ),
            )
            for name, text in zip(("prompt", "negative prompt"), texts_of(parameters), strict=False)
            if self._encoded[text].tokens > limit
        )

    def use_less_memory(self) -> None:
        """Give back what is cached, and let the VAE work in tiles from now on.

        Tiles cost about 40 percent more time in decoding and may change pixels near their edges,
        so this is for when the plain way did not fit.
        """
        self._pipe.vae.enable_tiling()
        self._pipe.vae.enable_slicing()
        _free_memory()

    def denoise(
        self, parameters: Parameters, reference: Reference | None, on_step: StepReport
    ) -> torch.Tensor:
        """The latents of one video, shape (1, latent frames, channels, latent height, width).

        `reference` is the image of image to video, the frames of video to video, or None.
        """
        import torch  # noqa: PLC0415

        device = self._pipe._execution_device
        prompt, *negative = (self._encoded[text].embeds.to(device) for text in texts_of(parameters))

        def step_done(
            pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]
        ) -> dict[str, Any]:
            # Kernels are queued: without waiting, all steps would be reported at once.
            _clock(device)
            # Video to video leaves out the first steps, which would make all of it anew.
            on_step(index + 1, pipe.num_timesteps)
            return tensors

        latents = self._pipe(
            **_inputs(parameters, reference),
            prompt_embeds=prompt,
            negative_prompt_embeds=negative[0] if negative else None,
            height=parameters.height,
            width=parameters.width,
            num_inference_steps=parameters.num_inference_steps,
            guidance_scale=parameters.guidance_scale,
            use_dynamic_cfg=self._model.use_dynamic_cfg,
            # Drawn on the CPU, so that a seed means the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(parameters.seed),
            # Decoding is a step of its own here: when it does not fit into memory, the denoising,
            # which is nearly all of the work, need not be done again.
            output_type="latent",
            callback_on_step_end=step_done,
            max_sequence_length=self._model.prompt_tokens,
        ).frames
        # CogVideoX 1.5 puts latent frames in front to fill its temporal patches. The pipeline drops
        # them only when it decodes by itself.
        wanted = (parameters.num_frames - 1) // self._pipe.vae_scale_factor_temporal + 1
        kept: torch.Tensor = latents[:, latents.shape[1] - wanted :]
        return kept

    def decode(self, latents: torch.Tensor, parameters: Parameters) -> NDArray[np.uint8]:
        """The frames of one video, RGB, shape (num_frames, height, width, 3).

        Raises:
            TaskFailed: `render-failed`; the model made another number or size of frames.
        """
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            decoded = self._pipe.decode_latents(latents)  # (1, 3, frames, height, width)
            # (frames, 3, height, width), 0 to 1
            video = self._pipe.video_processor.postprocess_video(decoded, output_type="pt")[0]
            frames: NDArray[np.uint8] = (
                (video.float() * 255)
                .round()
                .to(torch.uint8)
                .permute(0, 2, 3, 1)  # (frames, height, width, 3)
                .contiguous()
                .cpu()
                .numpy()
            )
        wanted = (parameters.num_frames, parameters.height, parameters.width, 3)
        if frames.shape != wanted:
            raise TaskFailed(
                Problem(
                    code=Code.RENDER_FAILED,
                    message=(
                        f"The model made {frames.shape[0]} frames of "
                        f"{frames.shape[1]}x{frames.shape[2]} pixels instead of "
                        f"{wanted[0]} of {wanted[1]}x{wanted[2]}."
                    ),
                    hint="Ask for a size and a number of frames that the catalogue lists.",
                )
            )
        return frames


def _inputs(parameters: Parameters, reference: Reference | None) -> dict[str, Any]:
    """The arguments that the modes do not share."""
    if isinstance(reference, np.ndarray):
        # The pipeline takes the number of frames from the video.
        return {
            "video": [Image.fromarray(frame) for frame in reference],
            "strength": parameters.strength,
        }
    if reference is not None:
        return {"image": reference, "num_frames": parameters.num_frames}
    return {"num_frames": parameters.num_frames}


def texts_of(parameters: Parameters) -> tuple[str, ...]:
    """The prompt and, where guidance uses one, the negative prompt."""
    if parameters.guidance_scale > 1:
        return (parameters.prompt, parameters.negative_prompt)
    return (parameters.prompt,)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory, of the accelerator or of the machine, did not suffice."""
    import torch  # noqa: PLC0415

    # On a CPU, torch's allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether `error` leaves the accelerator unusable for this process, so that all else fails."""
    import torch  # noqa: PLC0415

    return isinstance(error, torch.AcceleratorError)


def _import_libraries() -> tuple[Any, Any, Any]:
    """torch, diffusers and transformers, offline and quiet."""
    # Before the imports, which read them. The worker runs without a network; without these, a
    # missing file would become a minute of connection attempts.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # On a processor that others use too, threads that spin while they wait for each other take the
    # time of those they wait for: decoding took 8 to 37 s instead of 2 to 3.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The imports make a million objects that stay. Looking through them again and again for
    # garbage is a quarter of the time they take.
    gc.disable()
    try:
        import diffusers  # noqa: PLC0415
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415

        # Both libraries import their classes on first use; that belongs here as well.
        _ = transformers.T5EncoderModel, transformers.T5Tokenizer
        _ = diffusers.CogVideoXPipeline, diffusers.CogVideoXDDIMScheduler
        gc.freeze()
    finally:
        gc.enable()
    # Stdout carries events and stderr errors: no progress bars, no advice.
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    return torch, diffusers, transformers


def _load_tokenizer(tokenizer_class: Any, folder: Path) -> Any:
    if (
        not (folder / "tokenizer" / "tokenizer.json").is_file()
        and importlib.util.find_spec("sentencepiece") is None
    ):
        # transformers would go on to guess another format and blame the file.
        raise ModuleNotFoundError(
            "the tokenizer of this model is a spiece.model, and the package sentencepiece, "
            "which reads it, is not installed"
        )
    with _reading("tokenizer"):
        return tokenizer_class.from_pretrained(folder / "tokenizer", local_files_only=True)


def _load_text_encoder(
    encoder_class: Any, folder: Path, dtype: torch.dtype, device: torch.device
) -> Any:
    with _reading("text_encoder"):
        text_encoder, info = encoder_class.from_pretrained(
            folder / "text_encoder", dtype=dtype, local_files_only=True, output_loading_info=True
        )
        _check_nothing_missing(info)
        return text_encoder.to(device)


def _load_diffusers_part(part_class: Any, folder: Path, dtype: torch.dtype) -> Any:
    part, info = part_class.from_pretrained(
        folder, torch_dtype=dtype, local_files_only=True, output_loading_info=True
    )
    _check_nothing_missing(info)
    return part


def _check_nothing_missing(info: dict[str, Any]) -> None:
    # Both libraries fill a missing tensor with random numbers, and warn.
    if info["missing_keys"]:
        raise ValueError(f"tensors are missing, among them {sorted(info['missing_keys'])[0]}")


@contextmanager
def _reading(part: str) -> Iterator[None]:
    """Turn what goes wrong while loading `part` into a failure that names it."""
    from safetensors import SafetensorError  # noqa: PLC0415

    try:
        yield
    except TaskFailed:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise TaskFailed(
                Problem(
                    code=Code.OUT_OF_MEMORY,
                    message=f"The {part} of the model does not fit into memory.",
                    hint="Use a smaller model, or a machine with more memory.",
                )
            ) from error
        raise damaged(part, error) from error


def _encode(pipe: Any, text: str, device: torch.device, limit: int) -> EncodedPrompt:
    import torch  # noqa: PLC0415

    began = _clock(device)
    ids = pipe.tokenizer(text).input_ids
    with torch.inference_mode():
        embeds, _ = pipe.encode_prompt(
            text,
            do_classifier_free_guidance=False,
            max_sequence_length=limit,
            device=device,
        )
    # The last token that is read is the end token; the one behind it all is the text's own.
    cut = pipe.tokenizer.decode(ids[limit - 1 : -1]) if len(ids) > limit else ""
    return EncodedPrompt(
        embeds=embeds.cpu(),
        tokens=len(ids),
        cut=cut if len(cut) <= _CUT_TEXT_CHARACTERS else f"{cut[:_CUT_TEXT_CHARACTERS]}…",
        seconds=_clock(device) - began,
    )


def _clock(device: torch.device) -> float:
    """Seconds, read when the accelerator has done what it was asked for."""
    if device.type == "cuda":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize(device)
    return time.perf_counter()


def _free_memory() -> None:
    import torch  # noqa: PLC0415

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
