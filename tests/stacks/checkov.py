"""Compares what checkov finds with docs/decisions/0021-checkov.md: `make checkov`."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from local import ROOT
from stacks.__main__ import app

RECORD = ROOT / "docs" / "decisions" / "0021-checkov.md"
SETTINGS: tuple[dict[str, Any], ...] = (
    {"code": "embedded"},
    {"code": "embedded", "customer_key": True},
    {"code": "embedded", "vpc": True, "slack_secret": "slack"},
    {"code": "embedded", "customer_key": True, "vpc": True},
    {"keep_data": False},  # the embedded cloud empties buckets itself
)


def answered() -> dict[str, str]:
    """The checks that the record answers, each with the test that shows its answer."""
    rows = re.findall(r"^\| (CKV\w+) \|.*\| `(\S+)` \|$", RECORD.read_text(), re.MULTILINE)
    return dict(rows)


def main() -> int:
    """Run checkov over each deployment. Returns the exit status.

    The only argument is the program of checkov.
    """
    found: set[str] = set()
    for settings in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            app(outdir=folder, **settings).synth()
            found |= _findings(Path(folder) / "reeldrop.template.json")
    for check in sorted(found - set(answered())):
        print(f"{check} has no answer in {RECORD.relative_to(ROOT)}")
    for check in sorted(set(answered()) - found):
        print(f"{check} finds nothing any more")
    return int(found != set(answered()))


def _findings(template: Path) -> set[str]:
    done = subprocess.run(
        [
            sys.argv[1], "--file", str(template), "--framework", "cloudformation",
            "--skip-download", "--compact", "--quiet", "--output", "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return {one["check_id"] for one in json.loads(done.stdout)["results"]["failed_checks"]}


if __name__ == "__main__":
    sys.exit(main())
