"""Makes 200 drops at once on the embedded cloud: `python -m bench.embedded_200`.

Only AWS and the model are replaced, the model by a small random one. Uploads, events, functions and
processing jobs are real. The program checks that every drop gets its video and one mail, and that
a higher priority is rendered first.
"""

import json
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.results import spread, write
from functions import s3_keys
from functions.replies.sidecar import Sidecar
from functions.replies.status import Status
from functions.table.records import State
from local import ROOT
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from local.command.models import folders_of, import_folder
from tests import random_model

DROPS = 200
PRIORITIES = ("low", "normal", "high")
FOLDERS = 4
_DEADLINE_SECONDS = 900


def main() -> None:
    """Drop, wait, check, and write bench/results/embedded_200.json."""
    home = ROOT / ".reeldrop"
    make_ready(home)
    with tempfile.TemporaryDirectory() as state, EmbeddedCloud(Path(state)) as cloud:
        folder = open_drop_folder(home, cloud)
        _use_the_random_model(cloud, folder, Path(state) / "model")
        began = time.time()
        names = [_drop(cloud, folder, number) for number in range(DROPS)]
        uploaded = time.time() - began
        print(f"{DROPS} uploaded in {uploaded:.1f} s", flush=True)
        _wait(cloud, folder, names)
        finished = time.time() - began
        time.sleep(5)  # for the last mail to arrive
        rows = _facts(cloud, folder, names, began=began, uploaded=uploaded, finished=finished)
    what = f"{DROPS} drops at once on the embedded cloud; a small random model, 2 steps, 17 frames"
    print(write("embedded_200", what, rows).read_text())


def _use_the_random_model(cloud: EmbeddedCloud, folder: DropFolder, made: Path) -> None:
    random_model.write(made)
    _, (mode, _) = next(iter(folders_of("demo").items()))
    import_folder(
        cloud.client("s3"), folder.work_bucket, "demo", mode, made / "demo", lambda _line: None
    )


def _drop(cloud: EmbeddedCloud, folder: DropFolder, number: int) -> str:
    name = f"f{number % FOLDERS}/{PRIORITIES[number % len(PRIORITIES)]}-{number:03}"
    body = {
        "prompt": "a bee",
        "num_inference_steps": 2,
        "enhance": False,
        "priority": PRIORITIES[number % len(PRIORITIES)],
    }
    cloud.client("s3").put_object(
        Bucket=folder.input_bucket, Key=f"jobs/{name}.json", Body=json.dumps(body).encode()
    )
    return name


def _status(s3: Any, folder: DropFolder, name: str) -> Status | None:
    try:
        answer = s3.get_object(Bucket=folder.output_bucket, Key=s3_keys.status(name))
    except s3.exceptions.NoSuchKey:
        return None
    return Status.from_json(answer["Body"].read())


def _wait(cloud: EmbeddedCloud, folder: DropFolder, names: list[str]) -> None:
    s3, left = cloud.client("s3"), list(names)
    until = time.monotonic() + _DEADLINE_SECONDS
    while left:
        if time.monotonic() > until:
            raise RuntimeError(f"{len(left)} are not done\n{cloud.log_tail()}")
        time.sleep(3)
        # Looking at the first drop that is not done is enough to know that some are not.
        while left and (s := _status(s3, folder, left[0])) and s.state.terminal:
            if s.state != State.SUCCEEDED:
                raise RuntimeError(f"{left[0]}: {s}")
            left.pop(0)


def _facts(
    cloud: EmbeddedCloud,
    folder: DropFolder,
    names: list[str],
    *,
    began: float,
    uploaded: float,
    finished: float,
) -> list[dict[str, object]]:
    s3 = cloud.client("s3")
    sidecars: dict[str, Sidecar] = {}
    for name in names:
        body = s3.get_object(Bucket=folder.output_bucket, Key=s3_keys.published(name, 1, 1).sidecar)
        sidecars[name] = Sidecar.from_json(body["Body"].read())
    jobs = Counter(sidecar.attempt_id for sidecar in sidecars.values())
    _check_order(sidecars)
    mails = len(list((cloud.state / "outbox").glob("*.eml")))
    if mails != len(names) or any(sidecar.attempts != 1 for sidecar in sidecars.values()):
        raise RuntimeError(f"{mails} mails, {jobs}")
    waits = [_seconds(sidecar.timing.finished_at, began) for sidecar in sidecars.values()]
    return [
        {
            "drops": len(names),
            "succeeded": len(sidecars),
            "mails": mails,
            "uploaded_after_seconds": round(uploaded, 1),
            "all_done_after_seconds": round(finished, 1),
            "processing_jobs": len(jobs),
            "videos_per_job": sorted(jobs.values(), reverse=True),
            "rendered_after_seconds": spread(waits),
            "priority_order_kept": True,
        }
    ]


def _check_order(sidecars: dict[str, Sidecar]) -> None:
    """Check that within each attempt no video began before one of a higher priority.

    Raises:
        RuntimeError: a video did.
    """
    for attempt_id in {sidecar.attempt_id for sidecar in sidecars.values()}:
        mine = [s for s in sidecars.values() if s.attempt_id == attempt_id]
        mine.sort(key=lambda s: s.timing.started_at)
        ranks = [PRIORITIES.index(s.spec.priority) for s in mine]
        if ranks != sorted(ranks, reverse=True):
            raise RuntimeError(f"{attempt_id} rendered in the order {ranks}")


def _seconds(at: datetime, began: float) -> float:
    return at.timestamp() - began


if __name__ == "__main__":
    main()
