"""The synthesised template. All tests share it, because jsii takes seconds to start."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.command.assembly import assembly


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the template that the embedded cloud deploys."""
    folder: Path = assembly(tmp_path_factory.mktemp("assembly"))
    parsed: dict[str, Any] = json.loads((folder / "reeldrop.template.json").read_text())
    return parsed
