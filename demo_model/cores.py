"""The device that training runs on, and the number of CPU threads for its steps.

On two cores, two threads are nearly twice as fast as one. Beside other programs they can be many
times slower, because each of them waits while the other has no core. So both numbers of threads are
tried from time to time, and the faster one is used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

_TRY_EVERY = 30
_KEEP = 0.7


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16() -> bool:
    """Whether the hardware can multiply bfloat16.

    Where it must be emulated, it takes ten times as long as float32.
    """
    return device().type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def mixed_precision() -> AbstractContextManager[object]:
    """A context in which torch computes in bfloat16 if the hardware supports it."""
    return torch.autocast(device().type, torch.bfloat16, enabled=has_bfloat16())


class Cores:
    """Measures steps, and sets the number of torch's threads to the faster of two choices.

    Args:
        most: The larger choice; the other one is 1. By default as many as torch uses by itself (the
            number of cores, or OMP_NUM_THREADS), but at most 2.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or min(torch.get_num_threads(), 2)
        self._seconds = {1: 0.0, self._most: 0.0}
        self._count = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Measure the time of the step that runs in this context."""
        best = min(self._seconds, key=lambda threads: self._seconds[threads])
        others = [threads for threads in self._seconds if threads != best]
        trial = bool(others) and self._count % _TRY_EVERY < 2
        threads = others[0] if trial else best
        self._count += 1
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        began = time.monotonic()
        try:
            yield
        finally:
            # What comes after the steps, such as the next stage, has all of them again.
            torch.set_num_threads(before)
        took = time.monotonic() - began
        old = self._seconds[threads]
        self._seconds[threads] = _KEEP * old + (1 - _KEEP) * took if old else took
