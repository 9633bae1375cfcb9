"""The first thing that runs in the container: `python3 worker.zip ...`.

The zip holds compiled packages, which cannot be imported from inside it, so it is unpacked once.
Copied to the root of the zip as __main__.py; imports nothing of ours before it has unpacked.
"""

import sys
import tempfile
import zipfile


def main() -> int:
    """Unpack the zip that Python was started with, and run the worker from there."""
    archive = sys.path[0]
    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        sys.path[0] = folder
        from processing.__main__ import main as work  # noqa: PLC0415 - there only now

        return work()


if __name__ == "__main__":
    sys.exit(main())
