"""Writes the results of a benchmark, with the machine that they were measured on."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

QUIET_LOAD = 0.5
"""With a higher load of the machine at the beginning, seconds are not shown."""
FOLDER = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum, because single measurements vary from run to run."""
    return {
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }


def write(name: str, what: str, rows: object) -> Path:
    """Write `bench/results/<name>.json`.

    Args:
        what: one sentence that says what was measured.
    """
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.json"
    document = {
        "what": what,
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": {
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "rows": rows,
    }
    file.write_text(json.dumps(document, indent=2) + "\n")
    return file
