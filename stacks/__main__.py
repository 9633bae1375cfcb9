"""The CDK app: `python -m stacks` synthesises into cdk.out, offline and without credentials.

The CDK CLI runs it with the context in the environment; without the CLI, cdk.json's is read here.
"""

import json
import os
from pathlib import Path

import aws_cdk as cdk

from stacks.config import Config
from stacks.reeldrop import Reeldrop


def app(outdir: str | None = None, **context: object) -> cdk.App:
    """The app with cdk.json's context and `context` over it."""
    cdk_json = json.loads((Path(__file__).parent.parent / "cdk.json").read_text())
    made = cdk.App(outdir=outdir, context={**cdk_json["context"], **context})
    config = Config.from_context(made)
    Reeldrop(made, config.stack_name, config=config)
    return made


if __name__ == "__main__":
    app(os.environ.get("CDK_OUTDIR")).synth()
