"""Rows of figures that are written as they come, and the clock that they are taken with."""

import contextlib
import gc
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

Facts = dict[str, Any]

STEPS = 50
# Names of PyTorch's own clocks. None of them runs inside another.
_COMPILING = (
    "_compile.compile_inner",
    "CachingAutotuner.benchmark_all_configs",
    "CachingAutotuner.coordinate_descent_tuning",
)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeat: int = 3, warm: int = 1) -> float:
    """The median of `repeat` runs after `warm` that do not count, in seconds."""
    for _ in range(warm):
        work()
    synchronize()
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        synchronize()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]


def compile_seconds() -> float:
    """What PyTorch has spent on compiling so far, with the tuning at a kernel's first launch."""
    spent = torch._dynamo.utils.compilation_time_metrics
    return sum(sum(spent.get(what, ())) for what in _COMPILING)


def tera(operations: float, taken_seconds: float) -> float:
    return round(operations / taken_seconds / 1e12, 1)


class Rows:
    """Each row is in the file as soon as it is measured, so an early end leaves the rows so far."""

    def __init__(
        self,
        file: Path,
        until_seconds: float,
        skip: Collection[str] = (),
        only: Collection[str] = (),
    ) -> None:
        self._file = file
        self._until_seconds = until_seconds
        self._skip = skip
        self._only = only
        self._began = time.monotonic()
        self._rows: list[Facts] = []

    def row(self, name: str, work: Callable[[], Facts]) -> Facts:
        """Measure one row. A row that fails says so and the next one is measured all the same."""
        passed = time.monotonic() - self._began
        if name in self._skip or (self._only and name not in self._only):
            return {}
        if passed > self._until_seconds:
            return self._write({"name": name, "not_measured": "out of time"})
        gc.collect()  # models of earlier rows are in cycles, and would count as memory of this one
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            facts = work()
        except Exception as error:
            facts = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        if torch.cuda.is_available():
            facts["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            torch.cuda.empty_cache()
        facts["row_seconds"] = round(time.monotonic() - self._began - passed, 1)
        return self._write({"name": name, **facts})

    def _write(self, facts: Facts) -> Facts:
        print(json.dumps(facts), flush=True)
        self._rows.append(facts)
        self._file.write_text(
            json.dumps({"device": device_facts(), "rows": self._rows}, indent=1) + "\n"
        )
        return facts


@dataclass
class Setup:
    """One run: its rows, the machine's kind, and the rows that every model has."""

    rows: Rows
    tiny: bool
    compiled: Path | None = None
    """A folder: what is compiled is kept there, and what an earlier run kept is used."""

    def __post_init__(self) -> None:
        self.gpu = torch.cuda.is_available()
        self.device = "cuda" if self.gpu else "cpu"
        self.dtype = torch.bfloat16 if self.gpu else torch.float32
        self.repeat = 1 if self.tiny else 3

    def step(
        self,
        model: Any,
        work: Callable[[Any], Any],
        flops: float,
        reference: torch.Tensor | None = None,
    ) -> Facts:
        """One denoising step, and how far its result is from the reference."""
        taken = seconds(lambda: work(model), self.repeat)
        out = work(model).float()
        facts = {
            "seconds": round(taken, 4),
            "seconds_50_steps": round(STEPS * taken, 2),
            "tflops": tera(flops, taken),
            "finite": bool(torch.isfinite(out).all()),
        }
        if reference is not None:
            distance = float((out - reference).norm() / reference.norm())
            facts["distance_from_stock"] = round(distance, 6)
        return facts

    def compiled_step(
        self,
        name: str,
        model: Any,
        work: Callable[[Any], Any],
        flops: float,
        reference: torch.Tensor | None = None,
    ) -> Facts:
        """A step, and how long the first one took, which compiles."""
        kept = self.compiled / f"{name}.compiled" if self.compiled else None
        if kept and kept.exists():
            torch.compiler.load_cache_artifacts(kept.read_bytes())
        began = time.perf_counter()
        work(model)
        synchronize()
        facts = {"first_seconds": round(time.perf_counter() - began, 2)}
        facts.update(self.step(model, work, flops, reference))
        if kept and (artifacts := torch.compiler.save_cache_artifacts()):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(artifacts[0])
            facts["compiled_bytes"] = len(artifacts[0])
        return facts


def device_facts() -> Facts:
    """The card and the versions that a figure holds for."""
    facts: Facts = {"torch": torch.__version__}
    for package in ("triton", "diffusers", "torchao", "cache-dit"):
        with contextlib.suppress(PackageNotFoundError):
            facts[package.replace("-", "_")] = version(package)
    if not torch.cuda.is_available():
        return {"name": "cpu", **facts}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        **facts,
    }
