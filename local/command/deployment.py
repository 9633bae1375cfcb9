"""What a deployment says about itself in the outputs of its stack."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from contract.document import Document


class Deployment(Document):
    """The facts of a deployment that the check of a spec depends on."""

    default_model: str = "demo"
    instance_type: str = "ml.g6e.xlarge"
    """The type that costs are estimated for: the first one that the deployment prefers."""
    finishing_instance_type: str = "ml.c5.2xlarge"
    """The same for clips that are only finished."""

    @classmethod
    def found(cls, files: Sequence[Path]) -> Self:
        """Read the first of some files that exists and has the outputs of a drop folder.

        Such a file is `{"Output": "value"}`, or one of these for each stack (`cdk deploy
        --outputs-file`). If there is none, the facts are those of the embedded cloud.
        """
        for file in files:
            for outputs in outputs_in(file):
                if "DefaultModel" in outputs:
                    return cls(
                        default_model=outputs["DefaultModel"],
                        instance_type=outputs["InstanceTypes"].partition(",")[0],
                        finishing_instance_type=outputs.get(
                            "FinishingInstanceType", cls().finishing_instance_type
                        ),
                    )
        return cls()


def outputs_in(file: Path) -> list[dict[str, str]]:
    """The outputs in a file: `{"Output": "value"}`, or one of these for each stack."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(content, dict):
        return []
    return [content, *(inner for inner in content.values() if isinstance(inner, dict))]
