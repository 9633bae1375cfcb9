"""The synthesised template. All tests share it, because jsii takes seconds to start."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.command.assembly import assembly
from stacks.__main__ import app

Template = dict[str, Any]


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Template]:
    """Return what synthesises a deployment with other settings. Each is synthesised once."""

    @cache
    def made(**settings: object) -> Template:
        folder = tmp_path_factory.mktemp("assembly")
        app(outdir=str(folder), code="embedded", **settings).synth()
        (file,) = folder.glob("*.template.json")
        parsed: Template = json.loads(file.read_text())
        return parsed

    return made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the template that the embedded cloud deploys."""
    folder: Path = assembly(tmp_path_factory.mktemp("assembly"))
    parsed: dict[str, Any] = json.loads((folder / "reeldrop.template.json").read_text())
    return parsed
