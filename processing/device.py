"""The accelerator or CPU that the worker runs on: clock, memory, and errors that it causes.

torch is imported when it is used and not by this module, because that takes seconds.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import Code, MachineUnusable, Problem

if TYPE_CHECKING:
    import torch


_DRIVER_FILE = Path("/proc/driver/nvidia/version")

# What PyTorch and CUDA's libraries say when memory is too small, besides torch.OutOfMemoryError.
_OUT_OF_MEMORY = (
    "can't allocate memory",  # torch's allocator on a CPU
    "out of memory",  # "CUDA error: ..." and "CUDA driver error: ..."
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def usable(instance_type: str) -> torch.device:
    """The device to render on: the GPU, or the CPU of a machine that is no SageMaker instance.

    A video would take days on the CPU of a GPU instance, and nobody would know why.

    Args:
        instance_type: The instance type, or the name of another machine.

    Raises:
        MachineUnusable: `gpu-unusable`; SageMaker runs this on an instance whose GPU does not work.
    """
    import torch  # noqa: PLC0415

    on_sagemaker = instance_type.startswith("ml.")
    if not on_sagemaker and not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        # A GPU that is too old or too new is available, and only fails when it computes something.
        (torch.ones(1, device="cuda") + 1).item()
    except (RuntimeError, AssertionError) as error:
        raise MachineUnusable(_unusable(instance_type, error)) from error
    return torch.device("cuda")


def _unusable(instance_type: str, error: Exception) -> Problem:
    import torch  # noqa: PLC0415

    try:
        driver = _DRIVER_FILE.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        driver = "no NVIDIA driver is loaded"
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return Problem(
        code=Code.GPU_UNUSABLE,
        message=(
            f"PyTorch cannot use the GPU of {instance_type}: {reason}. PyTorch {torch.__version__} "
            f"was built for CUDA {torch.version.cuda or '(none)'}; driver: {driver}."
        ),
        hint="Deploy with another image_uri or other instance_types.",
    )


def clock(device: torch.device) -> float:
    """A monotonic time in seconds, read after `device` has finished its queued work."""
    if device.type == "cuda":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize(device)
    return time.perf_counter()


def free_memory() -> None:
    """Return unused memory, also the memory that torch keeps in its cache on an accelerator."""
    import torch  # noqa: PLC0415

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True, kw_only=True)
class FreeMemory:
    """Memory that the model may use, in GiB."""

    gpu_gib: float
    host_gib: float


def memory(device: torch.device) -> FreeMemory | None:
    """How much is free now, or None if `device` is a CPU, which needs no choice."""
    if device.type != "cuda":
        return None
    import torch  # noqa: PLC0415

    free, _total = torch.cuda.mem_get_info(device)
    host = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        # Also counts memory that Linux uses for files and would give back.
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                host = int(line.split()[1]) * 1024
    except OSError:
        pass
    return FreeMemory(gpu_gib=free / 2**30, host_gib=host / 2**30)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that the memory of the accelerator or of the machine was too small."""
    import torch  # noqa: PLC0415

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether this process can no longer use the accelerator after `error`.

    Every later call on the accelerator would fail as well. After too little memory, they would not.
    """
    import torch  # noqa: PLC0415

    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)
