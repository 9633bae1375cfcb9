"""The accelerator or CPU that the worker runs on: clock, memory, and errors that it causes.

torch is imported when it is used and not by this module, because that takes seconds.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that the memory of the accelerator or of the machine was too small."""
    import torch  # noqa: PLC0415

    # On a CPU, torch's allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether this process can no longer use the accelerator after `error`.

    Every later call on the accelerator would fail as well.
    """
    import torch  # noqa: PLC0415

    return isinstance(error, torch.AcceleratorError)
