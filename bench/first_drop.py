"""Measures one drop on the idle, warm embedded cloud: the time to its first status, to its
processing job and to its mail.

The times are measured from outside. The upload begins on our clock, the creation of the processing
job is the CreationTime in SageMaker's answer, and the mail arrives as a file.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results import spread, write
from functions import s3_keys
from functions.replies.status import Status
from functions.table.records import State
from local import ROOT
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder

DROPS = 10
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Drop:
    """The times of one drop, in seconds from the beginning of the upload."""

    answered: float
    """The first status is in the bucket."""
    created: float
    """The processing job is created."""
    mailed: float
    """The mail has arrived. This includes the rendering of 17 frames in 2 steps."""


def main() -> None:
    """Measure, and write bench/results/first_drop.json."""
    home = ROOT / ".reeldrop"
    make_ready(home)
    with tempfile.TemporaryDirectory() as state, EmbeddedCloud(Path(state)) as cloud:
        folder = open_drop_folder(home, cloud)
        _drop(cloud, folder, "warm-up")
        drops = []
        for number in range(DROPS):
            drops.append(_drop(cloud, folder, f"drop-{number}"))
            print(f"{number + 1}/{DROPS}  {drops[-1]}", flush=True)
    rows = [
        {"from": "upload begins", "to": to, "drops": DROPS, "seconds": spread(seconds)}
        for to, seconds in (
            ("first status", [d.answered for d in drops]),
            ("processing job created", [d.created for d in drops]),
            ("mail", [d.mailed for d in drops]),
        )
    ]
    what = "One drop at a time on the idle, warm embedded cloud; 17 frames, 2 steps, demo model"
    print(write("first_drop", what, rows).read_text())


def _drop(cloud: EmbeddedCloud, folder: DropFolder, name: str) -> Drop:
    s3, sagemaker = cloud.client("s3"), cloud.client("sagemaker")
    known = {job["ProcessingJobName"] for job in _jobs(sagemaker)}
    mails = set((cloud.state / "outbox").glob("*"))
    body = json.dumps({"prompt": "a bee", "num_inference_steps": 2}).encode()
    began = time.time()
    s3.put_object(Bucket=folder.input_bucket, Key=f"{s3_keys.JOBS_PREFIX}{name}.json", Body=body)
    answered = created = mailed = 0.0
    while not mailed:
        now = time.time() - began
        if not answered and _status(s3, folder, name):
            answered = now
        elif not created:
            new = [job for job in _jobs(sagemaker) if job["ProcessingJobName"] not in known]
            if new:
                created = new[0]["CreationTime"].timestamp() - began
        elif any(set((cloud.state / "outbox").glob("*.eml")) - mails):
            mailed = now
        time.sleep(_POLL_SECONDS if not created else 0.05)
    final = _status(s3, folder, name)
    if final is None or final.state != State.SUCCEEDED:
        raise RuntimeError(f"{name} did not succeed: {final}")
    # The system must be idle again before the next drop.
    while any(job["ProcessingJobStatus"] == "InProgress" for job in _jobs(sagemaker)):
        time.sleep(0.1)
    time.sleep(0.5)
    return Drop(answered, created, mailed)


def _jobs(sagemaker: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sagemaker.list_processing_jobs(MaxResults=100)[
        "ProcessingJobSummaries"
    ]
    return found


def _status(s3: Any, folder: DropFolder, name: str) -> Status | None:
    try:
        answer = s3.get_object(Bucket=folder.output_bucket, Key=s3_keys.status(name))
    except s3.exceptions.NoSuchKey:
        return None
    return Status.from_json(answer["Body"].read())


if __name__ == "__main__":
    main()
