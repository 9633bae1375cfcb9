"""CogVideoX 1.0 and 1.5, and the demo model, which is a small CogVideoX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from contract.catalogue import Mode, Model
from contract.manifest import Parameters
from processing.families.family import Family, Parts

if TYPE_CHECKING:
    import torch
    from torch import nn

    from processing.gpu.profiles import Abilities
    from processing.pipelines import Reference

_PIPELINES = {
    Mode.TEXT_TO_VIDEO: "CogVideoXPipeline",
    Mode.IMAGE_TO_VIDEO: "CogVideoXImageToVideoPipeline",
    Mode.VIDEO_TO_VIDEO: "CogVideoXVideoToVideoPipeline",
}


class CogVideoX(Family):
    """All parts have the data type of the model. 1.5 also has patches in time."""

    parts = Parts(
        pipelines=_PIPELINES,
        # Video to video uses the weights of text to video, and starts from a noisy video instead
        # of noise.
        folders=_PIPELINES | {Mode.VIDEO_TO_VIDEO: _PIPELINES[Mode.TEXT_TO_VIDEO]},
        text_encoder="T5EncoderModel",
        transformer="CogVideoXTransformer3DModel",
        vae="AutoencoderKLCogVideoX",
        scheduler="CogVideoXDDIMScheduler",
        # The programs of the models' authors also use this. It makes the first step start from
        # pure noise.
        scheduler_options={"timestep_spacing": "trailing"},
    )
    encodes_in_tiles = True

    def arguments(
        self, pipe: Any, model: Model, parameters: Parameters, reference: Reference | None
    ) -> dict[str, Any]:
        """The guidance's rule, and the reference with the frames that it needs in front."""
        arguments: dict[str, Any] = {"use_dynamic_cfg": model.use_dynamic_cfg}
        if isinstance(reference, np.ndarray):
            in_front = reference[:1].repeat(_frames_in_front(pipe, parameters), axis=0)
            # The pipeline takes the number of frames from the video.
            return arguments | {
                "video": [Image.fromarray(frame) for frame in (*in_front, *reference)],
                "strength": parameters.strength,
            }
        arguments["num_frames"] = parameters.num_frames
        if reference is not None:
            arguments["image"] = reference
        return arguments

    def kept(self, pipe: Any, latents: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """The last ones: shape (1, latent frames, channels, latent height, latent width).

        CogVideoX 1.5 has latent frames at the front that only fill its temporal patches. The
        pipeline removes them only if it also decodes.
        """
        return latents[:, latents.shape[1] - _latent_frames(pipe, parameters) :]

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """The frames."""
        frames: torch.Tensor = pipe.decode_latents(latents)
        return frames

    def blocks(self, transformer: Any) -> nn.ModuleList:
        """The blocks."""
        blocks: nn.ModuleList = transformer.transformer_blocks
        return blocks

    def able(self, device: Abilities) -> Abilities:
        """All of them: docs/performance.md says what was measured."""
        return device

    def make_exact(self, transformer: Any, able: Abilities) -> None:
        """One product for q, k and v, our attention where it runs, and compiled blocks."""
        from processing.gpu import profiles  # noqa: PLC0415 - imports torch

        profiles.exact(transformer, own=able.own_attention)


def _latent_frames(pipe: Any, parameters: Parameters) -> int:
    return (parameters.num_frames - 1) // int(pipe.vae_scale_factor_temporal) + 1


def _frames_in_front(pipe: Any, parameters: Parameters) -> int:
    """How many frames a reference needs in front of it to fill the temporal patches.

    Without a reference, the pipeline fills them itself. With one, it refuses it.
    """
    patch = pipe.transformer.config.patch_size_t or 1
    missing = -_latent_frames(pipe, parameters) % patch
    return int(missing * pipe.vae_scale_factor_temporal)
