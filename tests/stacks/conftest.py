"""The synthesised stack, once for all tests: jsii takes seconds to start."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.assembly import assembly


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = assembly(tmp_path_factory.mktemp("assembly"))
    made: dict[str, Any] = json.loads((folder / "reeldrop.template.json").read_text())
    return made
