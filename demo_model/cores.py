"""Where training runs, and how many threads one of its steps should use just now.

Beside other programs, two threads on two cores can be many times slower than one: each waits for
the other, which has lost its core. Alone, they are nearly twice as fast. So both are tried again
and again, and the faster one is kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

_TRY_EVERY = 30
_KEEP = 0.7


def device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16() -> bool:
    """Whether the machine multiplies bfloat16. One that only imitates it takes ten times as long
    as in float32."""
    return device().type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def mixed_precision() -> AbstractContextManager[object]:
    """bfloat16 where it is faster."""
    return torch.autocast(device().type, torch.bfloat16, enabled=has_bfloat16())


class Cores:
    """Times steps and sets torch's number of threads to one or to that of the cores."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most or min(os.cpu_count() or 1, 2)
        self._seconds = {1: 0.0, self._most: 0.0}
        self._count = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run and time one step."""
        best = min(self._seconds, key=lambda threads: self._seconds[threads])
        others = [threads for threads in self._seconds if threads != best]
        trial = bool(others) and self._count % _TRY_EVERY < 2
        threads = others[0] if trial else best
        self._count += 1
        torch.set_num_threads(threads)
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        old = self._seconds[threads]
        self._seconds[threads] = _KEEP * old + (1 - _KEEP) * took if old else took
