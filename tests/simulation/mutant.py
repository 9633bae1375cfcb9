"""Runs the simulation with one guard removed: `python -m tests.simulation.mutant MODULE OLD NEW`.

A fourth argument is the beginning of the name of the story to tell first, and saves time.

Prints the first violation and exits with 1. Exits with 0 if there was no violation.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.cloud import Simulation

SEEDS = 200
KILLS = 250


class Mutator(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with some of its text replaced."""

    def __init__(self, module: str, old: str, new: str) -> None:
        self._module, self._old, self._new = module, old, new

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the changed module. Returns None for all other modules, so Python finds them."""
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed text of the module."""
        spec = importlib.machinery.PathFinder.find_spec(
            self._module, sys.modules[self._module.rpartition(".")[0]].__path__
        )
        assert spec is not None and spec.origin is not None
        text = Path(spec.origin).read_text()
        if self._old != self._new:
            count = text.count(self._old)
            assert count == 1, f"{self._old!r} occurs {count} times"
        exec(compile(text.replace(self._old, self._new), spec.origin, "exec"), module.__dict__)


def main() -> int:
    """Look for a violation. Returns the exit status."""
    sys.meta_path.insert(0, Mutator(*sys.argv[1:4]))
    first = sys.argv[4] if len(sys.argv) > 4 else ""
    from tests.simulation.cloud import Faults, Simulation
    from tests.simulation.stories import FAULTS, any_schedule, few

    def runs() -> Iterator[tuple[str, Simulation]]:
        stories = sorted(FAULTS.items(), key=lambda one: not one[0].startswith(first))
        for name, (story, faults) in stories:
            if faults.end_seconds > 30_000:
                continue  # simulating a day takes long and finds nothing more than some hours
            for seed in range(3):
                simulation = Simulation(seed=seed, faults=Faults(**vars(faults)))
                story(simulation)
                yield f"{name}, seed {seed}", simulation
        for kill_at in range(1, KILLS):
            simulation = Simulation(seed=1, faults=Faults(no_quota=0.6), kill_at=kill_at)
            few(simulation)
            yield f"no quota, killed at call {kill_at}", simulation
        for seed in range(SEEDS):
            yield f"seed {seed}", any_schedule(seed)

    return int(any(seen(what, simulation) for what, simulation in runs()))


def seen(what: str, simulation: "Simulation") -> bool:
    """Whether the simulation finds a violation.

    Args:
        what: names the simulation in the output.
    """
    try:
        simulation.run(horizon_seconds=3 * 86_400)
        simulation.check()
    except Exception as error:
        print(f"{what}: {error!r}"[:300])
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
