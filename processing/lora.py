"""Adds a LoRA to the weights of a transformer, when they are loaded.

The LoRA becomes part of the weights, so that everything after it (compiling, fp8) is as without
one, and a step takes no longer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.errors import Code, Problem, TaskFailed
from contract.manifest import Layout, Parameters
from processing import device as devices

if TYPE_CHECKING:
    from torch import nn

_NAME = "lora"


@dataclass(frozen=True)
class Lora:
    """A LoRA file, and how strongly it is to work."""

    path: Path
    name: str
    scale: float

    @classmethod
    def of(cls, layout: Layout, parameters: Parameters) -> Lora | None:
        """The LoRA that a task asks for; None for a task without one."""
        if parameters.lora is None:
            return None
        scale = 1.0 if parameters.lora_scale is None else parameters.lora_scale
        return cls(layout.lora, parameters.lora, scale)

    def sha256(self) -> str:
        """The SHA-256 of the file.

        Raises:
            TaskFailed: `lora-unusable`; it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._unusable(error) from error

    def add_to(self, transformer: nn.Module, pipeline_class: Any) -> None:
        """Add the LoRA to the weights of `transformer`.

        Args:
            transformer: The transformer, as it was loaded.
            pipeline_class: Its pipeline in diffusers.

        Raises:
            TaskFailed: `lora-unusable`; the file is damaged, or does not fit the transformer.
            RuntimeError: There is not enough memory.
        """
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415

        pipe = pipeline_class(
            tokenizer=None, text_encoder=None, vae=None, scheduler=None, transformer=transformer
        )
        try:
            with safe_open(self.path, "pt") as file:
                if not all(file.get_tensor(key).isfinite().all() for key in file.keys()):  # noqa: SIM118
                    raise ValueError("it contains values that are not finite")
            state = pipeline_class.lora_state_dict(str(self.path), local_files_only=True)
            pipe.load_lora_weights(
                dict(state), adapter_name=_NAME, local_files_only=True, low_cpu_mem_usage=False
            )
            _check_all_used(transformer, state)
            pipe.fuse_lora(components=["transformer"], lora_scale=self.scale)
            pipe.unload_lora_weights()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            if devices.is_out_of_memory(error):
                raise
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> TaskFailed:
        first_line = (str(error) or type(error).__name__).splitlines()[0][:300]
        return TaskFailed(
            Problem(
                code=Code.LORA_UNUSABLE,
                message=f"The LoRA {self.name} cannot be used with this model: {first_line}.",
                hint="Use another LoRA, or the model that it was made for. If it should fit, ask "
                "your administrator to upload it again.",
            )
        )


def _check_all_used(transformer: nn.Module, state: dict[str, Any]) -> None:
    """Check that each pair of tensors became a layer. diffusers only warns about other ones."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

    pairs = sum(".lora_A." in key or ".lora_down." in key for key in state)
    layers = sum(isinstance(module, BaseTunerLayer) for module in transformer.modules())
    if pairs == 0 or pairs != layers:
        raise ValueError(f"{layers} of its {pairs} layers are layers of this model")
