"""What a family of models says about itself: everything in which it differs from other families.

Its scheduler, sizes, numbers of frames and data type are in `contract.catalogue`, and what it takes
of a GPU's memory is in `contract.memory`, because the functions need them, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contract.catalogue import Mode, Model
from contract.manifest import Parameters

if TYPE_CHECKING:
    import torch
    from torch import nn

    from processing.gpu.profiles import Abilities
    from processing.pipelines import Reference


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The classes of diffusers and transformers that a family is made of, and their settings."""

    pipelines: Mapping[Mode, str]
    """The pipeline that makes a video, for each mode."""
    folders: Mapping[Mode, str]
    """The pipeline that model_index.json must name for each mode."""
    text_encoder: str
    transformer: str
    vae: str
    scheduler: str
    """One of its schedulers. The catalogue says which one a model uses."""
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    """What is changed in the configuration of the scheduler in the model folder."""
    pipeline_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the pipeline."""
    vae_dtype: str | None = None
    """The data type of the VAE on a GPU. None: that of the model."""


class Family(ABC):
    """What is particular to a family of models. Nothing here needs torch before it is used."""

    parts: Parts
    encodes_in_tiles: bool
    """Whether a reference is encoded in tiles where frames are decoded in tiles."""

    @abstractmethod
    def arguments(
        self, pipe: Any, model: Model, parameters: Parameters, reference: Reference | None
    ) -> dict[str, Any]:
        """The arguments of the pipeline that only this family has, or gives in its own way."""

    @abstractmethod
    def kept(self, pipe: Any, latents: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """The latents of the video, out of those that the pipeline made."""

    @abstractmethod
    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Frames from latents: shape (1, 3, frames, height, width), numbers from -1 to 1."""

    @abstractmethod
    def blocks(self, transformer: Any) -> nn.ModuleList:
        """The blocks of the transformer, which are nearly all of it."""

    @abstractmethod
    def able(self, device: Abilities) -> Abilities:
        """What of the abilities of a device is known to be right for this family."""

    @abstractmethod
    def make_exact(self, transformer: Any, able: Abilities) -> None:
        """Make the transformer faster in ways that change nothing but the order of operations."""
