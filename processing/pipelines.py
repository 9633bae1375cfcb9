"""A model in memory: from a prompt to latents, and from latents to frames.

The model runs in diffusers' own, unmodified pipelines. `loading.load` creates a `Pipeline`, and
`families` says what is particular to a family of models.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.catalogue import Mode, Model
from contract.errors import Code, Notice, Problem, TaskFailed
from contract.manifest import Parameters
from contract.memory import MemoryMode, Shape, mode_for
from contract.outcome import Guidance, Machine, MemoryUse, Profile
from processing import device as devices
from processing.families import family_of

if TYPE_CHECKING:
    import torch

    from processing.gpu.profiles import Prepared

StepReport = Callable[[int, int], None]
"""Called after each denoising step with the number of steps done and the number of all steps."""

Reference = Image.Image | NDArray[np.uint8]
"""What a video starts from, at the height and width of the video: an image, or frames of the shape
(num_frames, height, width, 3), RGB."""


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """A prompt or negative prompt as the transformer reads it."""

    embeds: torch.Tensor
    """Shape (1, prompt_tokens, text width), on the CPU."""
    tokens: int
    """The number of tokens of the whole text, including its end token."""
    cut: str
    """The end of the text that the model does not read. Empty if it reads everything."""
    seconds: float
    """How long the encoding took."""


class Pipeline:
    """A model in memory, with all prompts of its manifest already encoded.

    Args:
        pipes: The pipeline of diffusers for each mode that will be used, with the same transformer
            and VAE, and without a text encoder.
        model: The model's entry in the catalogue.
        encoded: All prompts and negative prompts that will be used, by their text.
        loading_seconds: Time to import the libraries and load the weights, without encoding.
        machine: What the worker runs on.
        free: Memory that was free before the model was loaded. None on a CPU.
        prepared: What was done with the transformer for the preset.
    """

    def __init__(
        self,
        *,
        pipes: Mapping[Mode, Any],
        model: Model,
        encoded: dict[str, EncodedPrompt],
        loading_seconds: float,
        machine: Machine,
        free: devices.FreeMemory | None,
        prepared: Prepared,
    ) -> None:
        self._pipes = pipes
        self._pipe = next(iter(pipes.values()))
        """That of the latest task."""
        self._model = model
        self._family = family_of(model)
        self._encoded = encoded
        self.loading_seconds = loading_seconds
        self.machine = machine
        self._free = free
        self._prepared = prepared
        self._scales: list[float] = []
        self._device = self._pipe._execution_device
        self._memory = MemoryUse(mode=MemoryMode.WHOLE, stepped_down=False, gpu_gib=None)

    def text_encoding_seconds(self, parameters: Parameters) -> float:
        """How long the texts of this task took to encode. Shared texts count for each task."""
        return sum(self._encoded[text].seconds for text in texts_of(parameters))

    def notices(self, parameters: Parameters) -> tuple[Notice, ...]:
        """A warning for each prompt of this task that the model does not read to its end."""
        limit = self._model.prompt_tokens
        return tuple(
            Notice(
                code="prompt-cut",
                message=(
                    f"The {name} has {self._encoded[text].tokens} tokens, but the model reads only "
                    f"{limit}. It did not read the end: “{self._encoded[text].cut}”."
                ),
            )
            for name, text in zip(("prompt", "negative prompt"), texts_of(parameters), strict=False)
            if self._encoded[text].tokens > limit
        )

    @property
    def guidance(self) -> Guidance:
        """The guidance of the latest denoising."""
        return Guidance(use_dynamic_cfg=self._model.use_dynamic_cfg, scales=tuple(self._scales))

    @property
    def profile(self) -> Profile:
        """How the latest denoising was computed."""
        return self._prepared.profile(len(self._scales))

    @property
    def memory(self) -> MemoryUse:
        """How memory is shared now."""
        return self._memory

    def choose_memory(self, parameters: Parameters) -> None:
        """Share memory as a video of this size needs it, whatever the videos before it needed."""
        mode: MemoryMode | None = MemoryMode.WHOLE
        if self._free is not None:
            shape = Shape(
                height=parameters.height,
                width=parameters.width,
                num_frames=parameters.num_frames,
                from_video=parameters.mode == Mode.VIDEO_TO_VIDEO,
            )
            mode = mode_for(
                self._model.name,
                shape,
                gpu_gib=self._free.gpu_gib,
                host_gib=self._free.host_gib,
            )
        self._share(
            MemoryUse(
                # If nothing fits by our figures, the device decides.
                mode=mode or MemoryMode.ALTERNATING_TILES,
                stepped_down=False,
                gpu_gib=None if self._free is None else round(self._free.gpu_gib, 1),
            )
        )

    def use_less_memory(self) -> None:
        """Use as little memory as possible until `choose_memory` is called again.

        Call this only after work did not fit into memory. `MemoryMode` says what it costs.
        """
        change = {"mode": MemoryMode.ALTERNATING_TILES, "stepped_down": True}
        self._share(self._memory.model_copy(update=change))
        devices.free_memory()

    def _share(self, memory: MemoryUse) -> None:
        self._memory = memory
        self._use_tiles(memory.mode.tiles)

    def _use_tiles(self, wanted: bool) -> None:
        if wanted:
            self._pipe.vae.enable_tiling()
        else:
            self._pipe.vae.disable_tiling()

    def denoise(
        self, parameters: Parameters, reference: Reference | None, on_step: StepReport
    ) -> torch.Tensor:
        """Make the latents of one video: all of the work except for decoding.

        Args:
            parameters: What to make. Its texts must be among the encoded ones.
            reference: The image of image to video, the frames of video to video, or None.
            on_step: Called after each step.

        Returns:
            The latents of the video.

        Raises:
            TaskFailed: `render-failed`; a number in the latents is not finite.
        """
        from processing.gpu import profiles  # noqa: PLC0415 - imports torch

        try:
            return self._denoise(parameters, reference, on_step)
        except Exception as error:
            if not profiles.is_compiler_error(error):
                raise
            traceback.print_exception(error)
            why = f"compiling: it failed with {type(error).__name__}"
        # The same video without what makes it faster is better than none.
        self._use(None)
        devices.free_memory()
        self._use(self._prepared.load_stock())
        self._prepared = profiles.Prepared(load_stock=self._prepared.load_stock, lacking=(why,))
        return self._denoise(parameters, reference, on_step)

    def _use(self, transformer: Any) -> None:
        for pipe in self._pipes.values():
            pipe.transformer = transformer

    def _denoise(
        self, parameters: Parameters, reference: Reference | None, on_step: StepReport
    ) -> torch.Tensor:
        import torch  # noqa: PLC0415

        from processing.gpu import profiles  # noqa: PLC0415 - imports torch

        device = self._device
        self._scales = []
        self._pipe = self._pipes[parameters.mode]
        # It may have waited in the memory of the host while the video before was decoded.
        self._pipe.transformer.to(device)
        self._use_tiles(self._memory.mode.tiles and self._family.encodes_in_tiles)
        prompt, *negative = (self._encoded[text].embeds.to(device) for text in texts_of(parameters))

        def step_done(
            pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]
        ) -> dict[str, Any]:
            # Work on an accelerator is queued. Without waiting, all steps would be reported at
            # once.
            devices.clock(device)
            # Checked after each step, so that a broken video costs no further step and no decoding.
            _check_finite(tensors["latents"], f"in step {index + 1} of {pipe.num_timesteps}")
            scale = pipe.guidance_scale if negative else 1.0
            self._scales.append(round(float(scale), 3))
            # Video to video leaves out the first steps, because they would replace the reference.
            on_step(index + 1, pipe.num_timesteps)
            return tensors

        steps = _steps_of(parameters)
        with profiles.leaving_out(self._pipe, profiles.mask(steps, self._prepared.period)):
            latents = self._pipe(
                **self._family.arguments(self._pipe, self._model, parameters, reference),
                prompt_embeds=prompt,
                negative_prompt_embeds=negative[0] if negative else None,
                height=parameters.height,
                width=parameters.width,
                num_inference_steps=parameters.num_inference_steps,
                guidance_scale=parameters.guidance_scale,
                # Noise is drawn on the CPU, so that a seed gives the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(parameters.seed),
                # `decode` is separate: if it does not fit into memory, it can be repeated without
                # the denoising, which is nearly all of the work.
                output_type="latent",
                callback_on_step_end=step_done,
                max_sequence_length=self._model.prompt_tokens,
            ).frames
        return self._family.kept(self._pipe, latents, parameters)

    def decode(self, latents: torch.Tensor, parameters: Parameters) -> NDArray[np.uint8]:
        """Decode the latents that `denoise` made of the same `parameters`.

        Returns:
            The frames of the video, RGB, shape (num_frames, height, width, 3).

        Raises:
            TaskFailed: `render-failed`; the model made frames of another number or size, or
                numbers that are not finite.
        """
        import torch  # noqa: PLC0415

        if self._memory.mode.alternating:
            self._pipe.transformer.to("cpu")
            devices.free_memory()
        self._use_tiles(self._memory.mode.tiles)
        with torch.inference_mode():
            decoded = self._family.decoded(self._pipe, latents)
            _check_finite(decoded, "while decoding")
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
                    hint="Use a size and a number of frames that the guide lists for this model.",
                )
            )
        return frames


def texts_of(parameters: Parameters) -> tuple[str, ...]:
    """The texts to encode: the prompt and, if guidance is on, the negative prompt."""
    if parameters.guidance_scale > 1:
        return (parameters.prompt, parameters.negative_prompt)
    return (parameters.prompt,)


def _steps_of(parameters: Parameters) -> int:
    """How many steps are computed. Video to video leaves out the first ones."""
    steps = parameters.num_inference_steps
    return steps if parameters.strength is None else int(steps * parameters.strength)


def _check_finite(numbers: torch.Tensor, when: str) -> None:
    """Check that a video can be made from `numbers`. NaN would become black pixels."""
    broken = numbers.numel() - int(numbers.isfinite().sum())
    if broken:
        raise TaskFailed(
            Problem(
                code=Code.RENDER_FAILED,
                message=(
                    f"The model broke down {when}: {broken:,} of {numbers.numel():,} numbers are "
                    "not finite. The video would be black."
                ),
                hint="Drop the spec again with another seed. If it fails again, ask your "
                "administrator whether the model and its data type suit the instance type.",
            )
        )
