"""The CDK app: `python -m stacks` synthesises into cdk.out, offline and without credentials.

The CDK CLI passes the context in the environment. This module also reads the context in cdk.json,
so that synthesis works without the CLI.
"""

import json
import os
from pathlib import Path

import aws_cdk as cdk

from stacks.config import Config
from stacks.place import Place
from stacks.reeldrop import Reeldrop


def app(outdir: str | None = None, **context: object) -> cdk.App:
    """Create the app.

    Args:
        outdir: folder for the synthesised assembly; None is CDK's default, cdk.out.
        context: context values that override those in cdk.json.
    """
    cdk_json = json.loads((Path(__file__).parent.parent / "cdk.json").read_text())
    cdk_app = cdk.App(outdir=outdir, context={**cdk_json["context"], **context})
    config = Config.from_context(cdk_app)
    Reeldrop(cdk_app, config.stack_name, config=config, place=Place.from_environment(os.environ))
    return cdk_app


if __name__ == "__main__":
    app(os.environ.get("CDK_OUTDIR")).synth()
