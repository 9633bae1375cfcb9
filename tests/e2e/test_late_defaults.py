"""Folder defaults that want a dry run and are uploaded together with their specs, in any order."""

import json
import os
import random
import time
from pathlib import Path

from functions.log import Event
from functions.table.records import State
from local import ROOT
from tests.e2e.conftest import Person

JOBS = 25
RUNS = int(os.environ.get("REELDROP_LATE_DEFAULTS_RUNS", "1"))


def test_nothing_is_rendered_of_an_upload_with_a_dry_run(person: Person, tmp_path: Path) -> None:
    """25 specs, 25 pictures and folder defaults in one `aws s3 sync`.

    It uploads in the order of the names. Capital letters come before `_defaults.yaml`.
    """
    picture = (ROOT / "samples" / "star.png").read_bytes()
    sagemaker = person.cloud.client("sagemaker")
    for run in range(RUNS):
        before = len(sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"])
        folder = tmp_path / f"run-{run}"
        folder.mkdir()
        (folder / "_defaults.yaml").write_text("dry_run: true\n")
        # In the first run the folder defaults come last of all.
        first = random.Random(run).choices("AZam" if run else "A", k=JOBS)
        names = [f"{letter}{number}" for number, letter in enumerate(first)]
        for name in names:
            (folder / f"{name}.png").write_bytes(picture)
            (folder / f"{name}.yaml").write_text(
                f"image: {name}.png\nnum_inference_steps: 2\nenhance: false\n"
            )
        target = f"jobs/late-{run}/"
        person.aws("s3", "sync", str(folder), f"s3://{person.folder.input_bucket}/{target}")
        for name in names:
            path = f"late-{run}/{name}"
            status = person.final(path)
            assert status.state == State.PLANNED, (path, status)
        after = len(sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"])
        assert after == before


def test_a_drop_that_comes_alone_does_not_wait_for_others(person: Person, tmp_path: Path) -> None:
    logs, since = person.cloud.client("logs"), time.time_ns() // 1_000_000
    spec = tmp_path / "alone.yaml"
    spec.write_text("prompt: a bee\nnum_inference_steps: 2\n")
    person.aws("s3", "cp", str(spec), f"s3://{person.folder.input_bucket}/jobs/alone/")
    assert person.final("alone/alone").state == State.SUCCEEDED
    said = [
        event["message"]
        for group in logs.describe_log_groups()["logGroups"]
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], startTime=since
        )
        for event in page["events"]
    ]
    events = {json.loads(line).get("message") for line in said if line.startswith("{")}
    assert Event.STARTED in events and Event.UPLOADS_CONTINUE not in events
