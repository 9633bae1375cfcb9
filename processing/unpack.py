"""Starts a program in the container: `python3 worker.zip ...` starts the worker, and
`python3 worker.zip import ...` starts the import of weights.

The zip contains compiled packages. Python cannot import them from inside of a zip, so this program
unpacks it first. It becomes __main__.py in the root of the zip, and until the zip is unpacked it
can only import from the standard library.
"""

import importlib
import sys
import tempfile
import zipfile


def main() -> int:
    """Unpack the zip that Python was started with, and run the program. Returns its exit status."""
    archive, arguments = sys.path[0], sys.argv[1:]
    package = "processing"
    if arguments[:1] == ["import"]:
        package, arguments = "model_import", arguments[1:]
    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        sys.path[0] = folder
        status: int = importlib.import_module(f"{package}.__main__").main(arguments)
        return status


if __name__ == "__main__":
    sys.exit(main())
