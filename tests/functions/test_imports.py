"""The handlers can be imported with only the packages of their zip, without settings and AWS."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

from local import ROOT

# In the embedded cloud every package is installed. On AWS only those of the lock are.
_PROGRAM = """
import importlib, json, sys

hidden = set(json.loads(sys.argv[1]))

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
for name in ("submit", "dispatch", "finish", "sweep"):
    assert callable(importlib.import_module(f"functions.handlers.{name}").handler)
# Only the reading process may load what reads foreign bytes.
print(json.dumps(sorted(sys.modules)))
"""


def _distribution(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def test_handlers_import_only_locked_packages_and_none_that_reads_foreign_bytes() -> None:
    lock = (ROOT / "locks" / "functions.txt").read_text()
    locked = {_distribution(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.M)}
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if not {_distribution(owner) for owner in owners} & locked
    ]
    assert {"torch", "diffusers", "numpy", "aws_cdk", "ministack"} <= set(hidden)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(hidden)],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "functions.adapters.child_reader" in loaded
    assert not {"PIL", "av", "yaml"} & loaded
