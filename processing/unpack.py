"""Starts the worker in the container, which runs `python3 worker.zip ...`.

The zip contains compiled packages. Python cannot import them from inside of a zip, so this program
unpacks it first. It becomes __main__.py in the root of the zip, and until the zip is unpacked it
can only import from the standard library.
"""

import sys
import tempfile
import zipfile


def main() -> int:
    """Unpack the zip that Python was started with, and run the worker. Returns its exit status."""
    archive = sys.path[0]
    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        sys.path[0] = folder
        from processing.__main__ import main as work  # noqa: PLC0415 - exists only now

        return work()


if __name__ == "__main__":
    sys.exit(main())
