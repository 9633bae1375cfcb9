"""Wan2.2-TI2V-5B: one set of weights for videos from a text and from an image.

The Wan2.1 models and the larger Wan2.2 models are built in another way, and are not supported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from contract.catalogue import Mode, Model
from contract.manifest import Parameters
from processing.families.family import Family, Parts

if TYPE_CHECKING:
    import torch
    from torch import nn

    from processing.gpu.profiles import Abilities
    from processing.pipelines import Reference

_UNTRIED = "it was not tried with Wan yet"


class Wan(Family):
    """A video from an image has that image as its first latent frame, which stays as it is."""

    parts = Parts(
        pipelines={
            Mode.TEXT_TO_VIDEO: "WanPipeline",
            Mode.IMAGE_TO_VIDEO: "WanImageToVideoPipeline",
        },
        folders={Mode.TEXT_TO_VIDEO: "WanPipeline", Mode.IMAGE_TO_VIDEO: "WanPipeline"},
        text_encoder="UMT5EncoderModel",
        transformer="WanTransformer3DModel",
        vae="AutoencoderKLWan",
        scheduler="UniPCMultistepScheduler",
        # Each latent frame has its own time, because that of an image has no noise.
        pipeline_options={"expand_timesteps": True},
        # As the repository asks for it.
        vae_dtype="float32",
    )
    # An image is one frame, so tiles would save little, and they would change it.
    encodes_in_tiles = False

    def arguments(
        self, pipe: Any, model: Model, parameters: Parameters, reference: Reference | None
    ) -> dict[str, Any]:
        """The number of frames, and the image if there is one."""
        arguments: dict[str, Any] = {"num_frames": parameters.num_frames}
        if reference is not None:
            arguments["image"] = reference
        return arguments

    def kept(self, pipe: Any, latents: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """All: shape (1, channels, latent frames, latent height, latent width)."""
        return latents

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """The frames. The pipelines have no function for this, so it is done here as they do it."""
        import torch  # noqa: PLC0415

        config = pipe.vae.config
        latents = latents.to(pipe.vae.dtype)
        shape = (1, config.z_dim, 1, 1, 1)
        mean = torch.tensor(config.latents_mean).view(shape).to(latents)
        scale = 1.0 / torch.tensor(config.latents_std).view(shape).to(latents)
        frames: torch.Tensor = pipe.vae.decode(latents / scale + mean, return_dict=False)[0]
        return frames

    def blocks(self, transformer: Any) -> nn.ModuleList:
        """The blocks."""
        blocks: nn.ModuleList = transformer.blocks
        return blocks

    def able(self, device: Abilities) -> Abilities:
        """Compiled blocks, which were measured. Nothing that rounds or leaves out was tried.

        Our attention is for heads of 64 channels, and Wan's have 128. PyTorch chooses cuDNN's
        attention by itself where it is the fastest.
        """
        return replace(
            device,
            own_attention=False,
            why_no_own_attention="",
            why_no_fp8=device.why_no_fp8 or _UNTRIED,
            why_no_cache=device.why_no_cache or _UNTRIED,
        )

    def make_exact(self, transformer: Any, able: Abilities) -> None:
        """Compile the blocks."""
        from processing.gpu import profiles  # noqa: PLC0415 - imports torch

        profiles.compiled(transformer.blocks)
