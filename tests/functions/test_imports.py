"""What a function loads: nothing of the worker, and nothing that its zip does not have."""

import json
import re
import subprocess
import sys

from local.assembly import ROOT

_PROGRAM = """
import importlib, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "diffusers", "transformers", "av", "PIL", "numpy"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
before = set(sys.modules)
for name in ("submit", "dispatch", "finish", "sweep"):
    assert callable(importlib.import_module(f"functions.handlers.{name}").handler)
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


def loaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_handlers_import_without_torch_and_without_any_setting() -> None:
    assert "functions" in loaded()


def test_whatever_handlers_import_is_in_their_lock() -> None:
    """The embedded cloud runs functions where every package is; AWS has the lock's only."""
    from importlib.metadata import packages_distributions

    locked = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "locks" / "functions.txt").read_text().splitlines()
        if re.match("[A-Za-z0-9]", line)
    }
    assert "pydantic" in locked and "torch" not in locked
    distributions = packages_distributions()
    for module in loaded():
        owners = {name.lower().replace("_", "-") for name in distributions.get(module, [])}
        assert not owners or owners & locked, module
