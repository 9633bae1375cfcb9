"""The embedded cloud (`local.cloud`) and the `reeldrop` command that uses it (`local.command`)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the repository, or where the package is installed."""
INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""
