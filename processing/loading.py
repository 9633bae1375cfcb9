"""Loads a model from its folder, never from a network, into a `pipelines.Pipeline`.

The order is chosen for memory: all prompts of a manifest are encoded first, then the text encoder
(half of the weights) is freed, then transformer and VAE are loaded. `load` imports torch, diffusers
and transformers, and this module does not, because importing them takes seconds.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.catalogue import Mode, Model, Preset
from contract.errors import Code, Problem, TaskFailed
from contract.outcome import MACHINE_VARIABLE, Machine
from processing import device as devices
from processing.families import family_of
from processing.families.family import Family
from processing.lora import Lora
from processing.pipelines import EncodedPrompt, Pipeline
from processing.weights import damaged

if TYPE_CHECKING:
    import torch

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow", "av")
_CUT_TEXT_CHARACTERS = 80
# diffusers, transformers and accelerate import these where they are installed, for what this worker
# never does. scipy alone takes half a second, and ftfy would change some prompts.
_UNUSED = ("boto3", "ftfy", "scipy", "sklearn")
# Only a LoRA needs it.
_FOR_LORA = "peft"


def machine_name() -> str:
    """The instance type, or the host name of a machine that SageMaker did not start."""
    return os.environ.get(MACHINE_VARIABLE, platform.node())


def usable_device(model: Model, *, with_lora: bool = False) -> torch.device:
    """Import the libraries that `model` needs, and return the device that they will use.

    Args:
        model: The model's entry in the catalogue.
        with_lora: Whether a LoRA will be loaded.

    Raises:
        MachineUnusable: `gpu-unusable`, see `device.usable`.
    """
    _import_libraries(family_of(model), with_lora=with_lora)
    return devices.usable(machine_name())


def load(
    *,
    model: Model,
    modes: Collection[Mode],
    folder: Path,
    texts: Collection[str],
    preset: Preset = Preset.STANDARD,
    lora: Lora | None = None,
    began: float | None = None,
) -> Pipeline:
    """Encode all prompts, then load the rest of the model.

    Args:
        model: The model's entry in the catalogue.
        modes: Which of its pipelines to load. They share all parts.
        preset: How the model is to compute.
        folder: Its weights. They must have passed `weights.check`.
        texts: All prompts and negative prompts that the pipeline will be used with.
        lora: What is added to its weights.
        began: When loading began, on `time.perf_counter`. By default, now.

    Raises:
        TaskFailed: `weights-damaged` names the part that cannot be loaded, `out-of-memory` the
            part that does not fit, `lora-unusable` a LoRA for another model.
        MachineUnusable: `gpu-unusable`, see `device.usable`.
        ModuleNotFoundError: The tokenizer needs a package that is not installed.
    """
    began = time.perf_counter() if began is None else began
    loader = _Loader.of(model, folder, lora)
    from processing.gpu import profiles  # noqa: PLC0415 - imports torch

    free = devices.memory(loader.device)
    scheduler = loader.scheduler()
    encoded = loader.encoded(texts, scheduler)
    devices.free_memory()
    able = profiles.abilities(loader.device, loader.dtype)
    transformer, prepared = profiles.prepare(loader.transformer, loader.family, preset, able)
    vae = loader.vae()
    pipes = {mode: loader.pipe(mode, transformer, vae) for mode in modes}
    text_seconds = sum(prompt.seconds for prompt in encoded.values())
    return Pipeline(
        pipes=pipes,
        model=model,
        encoded=encoded,
        loading_seconds=devices.clock(loader.device) - began - text_seconds,
        machine=loader.machine(),
        free=free,
        prepared=prepared,
    )


@dataclass(frozen=True, kw_only=True)
class _Loader:
    """Loads the parts of one model, all to the same device and with the same data type."""

    model: Model
    family: Family
    folder: Path
    diffusers: Any
    transformers: Any
    device: torch.device
    device_name: str
    dtype: torch.dtype
    lora: Lora | None

    @classmethod
    def of(cls, model: Model, folder: Path, lora: Lora | None) -> _Loader:
        """Import the libraries and choose the device: an accelerator if there is one."""
        family = family_of(model)
        torch, diffusers, transformers = _import_libraries(family, with_lora=lora is not None)
        device = devices.usable(machine_name())
        on_cuda = device.type == "cuda"
        return cls(
            model=model,
            family=family,
            folder=folder,
            diffusers=diffusers,
            transformers=transformers,
            device=device,
            device_name=torch.cuda.get_device_name() if on_cuda else "cpu",
            # CPUs compute half types more slowly than float32, if at all, and float16 overflows.
            dtype=getattr(torch, model.dtype) if on_cuda else torch.float32,
            lora=lora,
        )

    def scheduler(self) -> Any:
        """The scheduler class of the catalogue with the configuration in the folder."""
        with _reading("scheduler"):
            scheduler_class = getattr(self.diffusers, self.model.scheduler)
            return scheduler_class.from_config(
                scheduler_class.load_config(self.folder / "scheduler", local_files_only=True),
                **self.family.parts.scheduler_options,
            )

    def encoded(self, texts: Collection[str], scheduler: Any) -> dict[str, EncodedPrompt]:
        """Each of `texts` encoded. The text encoder can be freed when this returns."""
        # All pipelines of a family encode in the same way. Wan's for images, in diffusers 0.42,
        # cannot do it without ftfy.
        name = self.family.parts.pipelines[Mode.TEXT_TO_VIDEO]
        pipe = getattr(self.diffusers, name)(
            tokenizer=self._tokenizer(),
            text_encoder=self._text_encoder(),
            transformer=None,
            vae=None,
            scheduler=scheduler,
            **self.family.parts.pipeline_options,
        )
        return {
            text: _encode(pipe, text, self.device, self.model.prompt_tokens)
            for text in sorted(set(texts))
        }

    def pipe(self, mode: Mode, transformer: Any, vae: Any) -> Any:
        """The pipeline for a mode, without a text encoder and with a scheduler of its own."""
        pipe = getattr(self.diffusers, self.family.parts.pipelines[mode])(
            tokenizer=None,
            text_encoder=None,
            transformer=transformer,
            vae=vae,
            scheduler=self.scheduler(),
            **self.family.parts.pipeline_options,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def transformer(self) -> Any:
        """The transformer, as it is in stock diffusers, with the LoRA."""
        part = self._part("transformer", self.family.parts.transformer, self.dtype)
        if self.lora is not None:
            pipeline_class = self.family.parts.pipelines[Mode.TEXT_TO_VIDEO]
            with _reading("transformer"):
                self.lora.add_to(part, getattr(self.diffusers, pipeline_class))
        return part

    def vae(self) -> Any:
        """The VAE."""
        import torch  # noqa: PLC0415

        own = self.family.parts.vae_dtype
        on_gpu = self.device.type == "cuda"
        dtype = self.dtype if own is None or not on_gpu else getattr(torch, own)
        return self._part("vae", self.family.parts.vae, dtype)

    def _part(self, name: str, class_name: str, dtype: torch.dtype) -> Any:
        """The transformer or the VAE, from the subfolder `name`."""
        part_class = getattr(self.diffusers, class_name)
        options = {
            "torch_dtype": dtype,
            "local_files_only": True,
            "output_loading_info": True,
        }
        with _reading(name):
            try:
                # Each tensor goes to the device as it is read. Instances with 16 GiB of memory
                # cannot hold the weights of all parts.
                part, info = part_class.from_pretrained(
                    self.folder / name, device_map={"": self.device}, **options
                )
            except NotImplementedError:
                # A missing tensor has no data to move. Without a device, diffusers names it.
                _, info = part_class.from_pretrained(self.folder / name, **options)
                _check_nothing_missing(info)
                raise
            _check_nothing_missing(info)
            return _checked(part)

    def machine(self) -> Machine:
        """A description of the machine for the result of each task."""
        return Machine(
            name=machine_name(),
            device=self.device_name,
            dtype=str(self.dtype).removeprefix("torch."),
            versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        )

    def _tokenizer(self) -> Any:
        folder = self.folder / "tokenizer"
        if (
            not (folder / "tokenizer.json").is_file()
            and importlib.util.find_spec("sentencepiece") is None
        ):
            # transformers would try another format and then report a damaged file.
            raise ModuleNotFoundError(
                "the tokenizer of this model is a spiece.model, and the package sentencepiece, "
                "which reads it, is not installed"
            )
        with _reading("tokenizer"):
            return self.transformers.T5Tokenizer.from_pretrained(folder, local_files_only=True)

    def _text_encoder(self) -> Any:
        with _reading("text_encoder"):
            text_encoder, info = getattr(
                self.transformers, self.family.parts.text_encoder
            ).from_pretrained(
                self.folder / "text_encoder",
                dtype=self.dtype,
                local_files_only=True,
                output_loading_info=True,
                device_map={"": self.device},
            )
            _check_nothing_missing(info)
            return _checked(text_encoder)


def _import_libraries(family: Family, *, with_lora: bool) -> tuple[Any, Any, Any]:
    """Import torch, diffusers and transformers so that they stay offline and print nothing.

    Both libraries import a class when it is first used. The classes of `family` are imported here.
    """
    # The libraries read these when they are imported. The worker has no network: without the
    # variables, a missing file would cost a minute of connection attempts.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # Waiting threads must not spin. On a busy processor they would take time from the threads that
    # they wait for: decoding took 8 to 37 s instead of 2 to 3.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The imports create a million objects that are never freed. The garbage collector would search
    # them many times, which takes a quarter of the import time.
    gc.disable()
    try:
        import torch  # noqa: PLC0415

        with _without(*_UNUSED, *([] if with_lora else [_FOR_LORA])):
            import diffusers  # noqa: PLC0415
            import transformers  # noqa: PLC0415

            parts = family.parts
            _ = transformers.T5Tokenizer, getattr(transformers, parts.text_encoder)
            for name in (parts.pipelines[Mode.TEXT_TO_VIDEO], parts.scheduler):
                getattr(diffusers, name)
        gc.freeze()
    finally:
        gc.enable()
    # Stdout is for events and stderr for errors: no progress bars and no advice.
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    return torch, diffusers, transformers


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Import libraries as if `packages` were not installed, unless they are imported already."""
    hidden = [name for name in packages if name not in sys.modules]
    # Python takes a module that is None for one that cannot be found.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _check_nothing_missing(info: dict[str, Any]) -> None:
    # Both libraries only warn about a missing tensor and fill it with random numbers.
    if info["missing_keys"]:
        raise ValueError(f"tensors are missing, among them {sorted(info['missing_keys'])[0]}")


def _checked(part: Any) -> Any:
    """`part`, if all its numbers are finite. Damaged weights in half precision rarely are.

    This finds damage in folders without a model.json, and damage that is older than the model.json.
    """
    for name, tensor in part.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"the tensor {name} contains values that are not finite")
    return part


@contextmanager
def _reading(part: str) -> Iterator[None]:
    """Turn errors from loading `part` of the model into a failure that names it."""
    from safetensors import SafetensorError  # noqa: PLC0415

    try:
        yield
    except TaskFailed:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if devices.is_out_of_memory(error):
            raise TaskFailed(
                Problem(
                    code=Code.OUT_OF_MEMORY,
                    message=f"The {part} of the model does not fit into memory.",
                    hint="Use a smaller model, or ask your administrator for more memory.",
                )
            ) from error
        raise damaged(part, error) from error


def _encode(pipe: Any, text: str, device: torch.device, limit: int) -> EncodedPrompt:
    """`text` as the transformer reads it, at most `limit` tokens of it."""
    import torch  # noqa: PLC0415

    began = devices.clock(device)
    ids = pipe.tokenizer(text).input_ids
    with torch.inference_mode():
        embeds, _ = pipe.encode_prompt(
            text,
            do_classifier_free_guidance=False,
            max_sequence_length=limit,
            device=device,
        )
    # The model reads the first `limit` tokens, and the last of those is always the end token. The
    # last of `ids` is the end token of the whole text.
    cut = pipe.tokenizer.decode(ids[limit - 1 : -1]) if len(ids) > limit else ""
    return EncodedPrompt(
        embeds=embeds.cpu(),
        tokens=len(ids),
        cut=cut if len(cut) <= _CUT_TEXT_CHARACTERS else f"{cut[:_CUT_TEXT_CHARACTERS]}…",
        seconds=devices.clock(device) - began,
    )
