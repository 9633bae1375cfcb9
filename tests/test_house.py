"""The rules of the house: imports bind every room, also a file that is new; functions are short."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import MEANINGS, Code
from local import ROOT

PACKAGES = (
    "contract", "functions", "processing", "model_import", "demo_model", "studio", "stacks",
    "local", "bench",
)  # fmt: skip

# Where a new file is planted, and what it must not import there.
STRAYS = [
    ("contract", "torch"),
    ("contract", "functions.settings"),
    ("functions/handlers", "boto3"),
    ("functions/stages", "boto3"),
    ("functions/stages", "functions.adapters.s3"),
    ("functions/replies", "functions.stages.submit"),
    ("functions/replies", "botocore"),
    ("functions/planning", "functions.replies.mail"),
    ("functions/table", "functions.planning.batching"),
    ("functions/table", "aws_lambda_powertools"),
    ("functions/spec", "functions.table.records"),
    ("functions/spec", "PIL"),
    ("functions/reading", "functions.settings"),
    ("functions/reading", "pydantic"),
    ("functions/adapters", "functions.handlers.runtime"),
    ("functions/adapters", "torch"),
    ("processing", "boto3"),
    ("processing", "demo_model.world"),
    ("model_import", "boto3"),
    ("demo_model", "boto3"),
    ("studio/api", "functions.stages.submit"),
    ("studio/api", "boto3"),
    ("studio/api", "stacks.config"),
    ("functions/replies", "studio.api.ports"),
    ("stacks", "studio.api.ports"),
    ("stacks", "functions.table.ledger"),
    ("stacks", "functions.handlers.runtime"),
    ("local/cloud", "local.command.demo"),
    ("local/command", "functions.stages.submit"),
]


def _name(number: int) -> str:
    return f"stray_{number}"


def _copied_to(house: Path) -> Path:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            copy = house / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copy(ROOT / "pyproject.toml", house)
    return house


def _refused(house: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=house,
        env={"PYTHONPATH": str(house), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the import rules say about a copy of the house with every stray import planted."""
    house = _copied_to(tmp_path_factory.mktemp("house"))
    for number, (room, imported) in enumerate(STRAYS):
        (house / room / f"{_name(number)}.py").write_text(f"import {imported}\n")
    return _refused(house)


@pytest.mark.parametrize(
    ("number", "room", "imported"), [(n, *stray) for n, stray in enumerate(STRAYS)]
)
def test_a_stray_import_is_refused(report: str, number: int, room: str, imported: str) -> None:
    assert f"{room.replace('/', '.')}.{_name(number)} -> {imported}" in report


def test_a_new_file_beside_the_rooms_has_to_be_given_a_place(tmp_path: Path) -> None:
    house = _copied_to(tmp_path)
    (house / "functions" / "helpers.py").write_text("")
    assert "helpers" in _refused(house)


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Code)
