"""`reeldrop` as a package: a small wheel, whose `validate` needs only its few dependencies."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from local import ROOT
from local.__main__ import main
from local.command.deployment import Deployment
from tests.fakes import PNG

# Runs the command with its own dependencies alone, as pipx would.
ALONE = """
import importlib.machinery, sys
allowed, path, *arguments = eval(sys.argv[1])

class Alone(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        own = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        return super().find_spec(name, path, target) if own or top in allowed else None

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Alone
sys.path[:] = [path, *(p for p in sys.path if p)]
from local.__main__ import main
sys.exit(main(arguments))
"""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0]


def with_needs(names: list[str]) -> dict[str, Distribution]:
    """Distributions and all that they need, by name."""
    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        name = name_of(left.pop()).lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # only needed on another platform
        needs = found[name].requires or []
        left += [need for need in needs if "extra ==" not in need]
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", str(folder), str(source(folder))],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("reeldrop-*.whl")
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "installed")
    return folder / "installed"


def source(folder: Path) -> Path:
    """A copy of what the wheel is made from, because setuptools writes beside it."""
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "contract", "functions", "local"):
        (copy / name).symlink_to(ROOT / name)
    return copy


def run(installed: Path, *arguments: str, extra: str = "") -> subprocess.CompletedProcess[str]:
    given = project()["project"]
    more = given["optional-dependencies"][extra] if extra else []
    needs = with_needs([*given["dependencies"], *more])
    modules = {"contract", "functions", "local"}
    for one in needs.values():
        modules |= {str(file).split("/")[0].removesuffix(".py") for file in one.files or ()}
    return subprocess.run(
        [sys.executable, "-c", ALONE, repr([modules, str(installed), *arguments])],
        cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_wheel_checks_a_spec_with_its_own_dependencies_alone(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "bee.png").write_bytes(PNG)
    spec = tmp_path / "bee.yaml"
    spec.write_text("prompt: a bee\nimage: bee.png\nmodel: cogvideox-5b\n")
    done = run(installed, "validate", str(spec))
    assert done.returncode == 0 and "good, 1 video" in done.stdout, done.stdout + done.stderr
    assert " USD" in done.stdout
    spec.write_text("prompt: a bee\nvideo: bee.mp4\n")
    (tmp_path / "bee.mp4").write_bytes(b"any")
    done = run(installed, "validate", str(spec))
    assert done.returncode == 0 and "was not read, because that needs PyAV" in done.stdout
    done = run(installed, "ls")
    assert done.returncode == 2 and "pipx inject reeldrop 'reeldrop[aws]'" in done.stdout
    done = run(installed, "demo")
    assert done.returncode == 2 and "needs the whole repository" in done.stdout


def test_with_boto3_the_wheel_uses_a_drop_folder(installed: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(
        '{"Endpoint": "http://127.0.0.1:9", "InputBucket": "in", "OutputBucket": "out"}'
    )
    done = run(installed, "ls", "--outputs", str(outputs), extra="aws")
    assert done.returncode == 1 and "http://127.0.0.1:9" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_dependencies_are_small_and_those_of_the_locks() -> None:
    given = project()
    names = given["project"]["dependencies"]
    size = sum(
        Path(str(one.locate_file(file))).stat().st_size
        for one in with_needs(names).values()
        for file in one.files or ()
        if Path(str(one.locate_file(file))).is_file() and "__pycache__" not in str(file)
    )
    assert size < 60_000_000
    groups = {
        requirement
        for group in given["dependency-groups"].values()
        for requirement in group
        if isinstance(requirement, str)
    }
    extras = [one for extra in given["project"]["optional-dependencies"].values() for one in extra]
    assert {*names, *extras, *given["build-system"]["requires"]} <= groups


def test_the_model_and_the_type_come_from_the_outputs_of_the_deployment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "cdk-outputs.json"
    outputs.write_text(
        '{"reeldrop": {"DefaultModel": "cogvideox-2b", '
        '"InstanceTypes": "ml.g5.xlarge,ml.g6e.xlarge"}}'
    )
    spec = tmp_path / "bee.yaml"
    spec.write_text("prompt: a bee\n")
    assert main(["validate", "--outputs", str(outputs), str(spec)]) == 0
    said = capsys.readouterr().out
    assert "cogvideox-2b" in said and "ml.g5.xlarge" in said
    for broken in ("", "[]", "{", '{"reeldrop": {"Other": "x"}}'):
        outputs.write_text(broken)
        assert Deployment.found([outputs]) == Deployment()


def test_nothing_is_said_about_dollars_for_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "bee.yaml"
    spec.write_text("prompt: a bee\n")
    assert main(["--home", str(tmp_path), "validate", str(spec)]) == 0
    assert "USD" not in capsys.readouterr().out


def test_a_folder_and_standard_input_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "_defaults.yaml").write_text("fps: 11\n")
    (tmp_path / "a" / "bee.yaml").write_text("prompt: a bee\n")
    (tmp_path / "a" / "bee.png").write_bytes(PNG)
    (tmp_path / "bad.txt").write_text("")

    def validate(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local", "validate", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            input=given, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = validate(str(tmp_path))
    assert done.returncode == 1
    assert "bee.yaml: good" in done.stdout and " at 11 fps" in done.stdout
    assert "bad.txt:1:1: " in done.stdout and "bee.png" not in done.stdout
    done = validate("-", given="prompt: a bee\nsteps: 3\n")
    assert done.returncode == 1 and "standard-input.yaml:2:1: " in done.stdout
    done = validate("-", given="prompt: a bee\n")
    assert done.returncode == 0 and " at 11 fps" in done.stdout


def test_a_misspelled_command_is_told_and_the_version_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["validte"]) == 2
    assert "Did you mean 'validate'?" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("reeldrop")
