"""Processing jobs of the embedded cloud behave as in SageMaker, as far as we rely on it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.process import EmbeddedCloud
from tests.waiting import eventually

# Writes one result as the worker does, waits, and writes a second one.
TWO_STEPS = """
import os, pathlib, sys, time
assert sys.argv[1] == "--root", sys.argv
root = pathlib.Path(sys.argv[2])
out = root / "output" / "a"
out.mkdir(parents=True)
(out / ".result.json.part").write_text("half")
os.replace(out / ".result.json.part", out / "result.json")
(out / ".other.json.part").write_text("never")
print("first done")
time.sleep(float(os.environ["WAIT_SECONDS"]))
(root / "output" / "b.txt").write_text("second")
(root / "late").mkdir(exist_ok=True)
(root / "late" / "c.txt").write_text("third")
pathlib.Path(os.environ["MESSAGE"]).write_text("both are there")
print("all done", file=sys.stderr)
"""
SLEEP = "import time; print('asleep', flush=True); time.sleep(3600)"


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_job_runs_and_its_outputs_are_uploaded_while_it_runs(
    jobs: Any, unique: str, record: Any
) -> None:
    pattern = {"source": ["aws.sagemaker"], "detail": {"ProcessingJobName": [{"prefix": unique}]}}
    recorder = record(pattern)
    outputs = [jobs.output("Continuous"), jobs.output("EndOfJob", "late")]

    arn = jobs.start(
        unique,
        TWO_STEPS,
        Environment={"MESSAGE": "/opt/ml/output/message", "WAIT_SECONDS": "2"},
        ProcessingOutputConfig={"Outputs": outputs},
    )

    eventually(lambda: jobs.keys("output/"))
    assert jobs.status(unique) == "InProgress"
    assert jobs.keys("output/") == {"output/a/result.json"}
    assert jobs.keys("late/") == set()
    eventually(lambda: jobs.has_ended(unique))
    description = jobs.describe(unique)
    assert description["ProcessingJobStatus"] == "Completed"
    assert description["ExitMessage"] == "both are there"
    assert description["ProcessingJobArn"] == arn
    assert description["ProcessingEndTime"] > description["ProcessingStartTime"]
    assert description["Environment"]["WAIT_SECONDS"] == "2"
    assert jobs.keys("output/") == {"output/a/result.json", "output/b.txt"}
    assert jobs.keys("late/") == {"late/c.txt"}

    def statuses() -> list[str]:
        return [event["detail"]["ProcessingJobStatus"] for event in recorder.received()]

    eventually(lambda: len(statuses()) == 2)
    assert statuses() == ["InProgress", "Completed"]
    event = recorder.events[-1]
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Processing Job State Change"
    assert event["resources"] == [arn]
    detail = event["detail"]
    assert detail["ProcessingJobArn"] == arn
    assert detail["CreationTime"] > 1_000_000_000_000  # milliseconds
    assert "Environment" not in detail and "ExitMessage" not in detail
    assert {"ProcessingInputs", "ProcessingOutputConfig", "AppSpecification"} <= set(detail)


def test_the_output_of_a_program_is_in_the_log_group(
    jobs: Any, unique: str, cloud: EmbeddedCloud
) -> None:
    program = "import sys; print('to out'); print('to err', file=sys.stderr); print('25%\\r50%')"
    jobs.start(unique, program)
    eventually(lambda: jobs.has_ended(unique))
    logs = cloud.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{unique}/")
    (stream,) = [row["logStreamName"] for row in streams["logStreams"]]
    assert stream.startswith(f"{unique}/algo-1-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    assert {event["message"] for event in events["events"]} == {"to out", "to err", "50%"}


def test_inputs_are_placed_as_in_the_container(
    jobs: Any, bucket: str, unique: str, cloud: EmbeddedCloud
) -> None:
    s3 = cloud.client("s3")
    for key in ("one.json", "in/", "in/a.txt", "in/deep/b.txt", "inner.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    program = """
import json, os, pathlib
root = pathlib.Path(os.environ["ROOT"])
files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
names, home = sorted(os.environ), os.environ["HOME"]
facts = {"files": sorted(files - {"code/CODE"}), "env": names, "home": home}
facts["threads"] = os.environ.get("OMP_NUM_THREADS")
(root / "output" / "facts.json").write_text(json.dumps(facts))
""".replace("CODE", f"{unique}.zip")
    request = jobs.request(unique, program, Environment={"ROOT": "/opt/ml/processing"})
    request["ProcessingInputs"] += [
        jobs.input("one", f"s3://{bucket}/one.json", "/opt/ml/processing/input"),
        jobs.input("in", f"s3://{bucket}/in", "/opt/ml/processing/tree"),
    ]
    jobs.sagemaker.create_processing_job(**request)
    eventually(lambda: jobs.has_ended(unique))
    assert jobs.status(unique) == "Completed", jobs.describe(unique).get("FailureReason")
    facts = json.loads(s3.get_object(Bucket=bucket, Key="output/facts.json")["Body"].read())
    assert facts["files"] == ["input/one.json", "tree/a.txt", "tree/deep/b.txt"]
    assert not [name for name in facts["env"] if name.startswith("AWS")]
    assert facts["threads"] == os.environ.get("OMP_NUM_THREADS")
    assert facts["home"] == str(cloud.state / "jobs" / unique)
    eventually(lambda: not (cloud.state / "jobs" / unique).exists())


@pytest.mark.parametrize(
    ("program", "reason", "message"),
    [
        (
            "import os, sys; open(os.environ['M'], 'w').write('ü' * 2000); sys.exit(3)",
            "exit code: 3",
            "ü" * 512,
        ),
        ("import os; os.kill(os.getpid(), 9)", "exit code: 137", None),
        (
            "import os; open(os.environ['M'], 'wb').write(b'\\xff')",
            "not UTF-8",
            None,
        ),
    ],
    ids=["exit status", "killed", "message that is not text"],
)
def test_a_program_that_fails_fails_the_job(
    jobs: Any, unique: str, program: str, reason: str, message: str | None
) -> None:
    jobs.start(unique, program, Environment={"M": "/opt/ml/output/message"})
    eventually(lambda: jobs.has_ended(unique))
    description = jobs.describe(unique)
    assert description["ProcessingJobStatus"] == "Failed"
    assert reason in description["FailureReason"]
    assert description.get("ExitMessage") == message


def test_a_missing_input_fails_the_job(jobs: Any, unique: str) -> None:
    request = jobs.request(unique)
    request["ProcessingInputs"] += [
        jobs.input("weights", f"s3://{jobs.bucket}/nothing/", "/opt/ml/processing/model")
    ]
    jobs.sagemaker.create_processing_job(**request)
    eventually(lambda: jobs.has_ended(unique))
    assert "No S3 objects found" in jobs.describe(unique)["FailureReason"]


def test_a_stopped_job_can_clean_up_and_its_outputs_are_kept(jobs: Any, unique: str) -> None:
    program = """
import pathlib, signal, sys, time
out = pathlib.Path(sys.argv[2]) / "output"
def end(*_):
    (out / "last.txt").write_text("bye")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(out / "ready.txt").write_text("")
time.sleep(3600)
"""
    jobs.start(unique, program)
    eventually(lambda: jobs.keys("output/"))
    jobs.sagemaker.stop_processing_job(ProcessingJobName=unique)
    assert jobs.status(unique) in {"Stopping", "Stopped"}
    eventually(lambda: jobs.has_ended(unique))
    assert jobs.status(unique) == "Stopped"
    assert "output/last.txt" in jobs.keys("output/")
    with pytest.raises(ClientError) as error:
        jobs.sagemaker.stop_processing_job(ProcessingJobName=unique)
    assert code(error) == "ValidationException"


def test_a_program_that_ignores_sigterm_is_killed(jobs: Any, unique: str) -> None:
    program = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "(pathlib.Path(sys.argv[2]) / 'output' / 'ready.txt').touch()\n"
    )
    jobs.start(unique, program + SLEEP)
    eventually(lambda: jobs.keys("output/"))
    jobs.sagemaker.stop_processing_job(ProcessingJobName=unique)
    eventually(lambda: jobs.has_ended(unique))
    assert jobs.status(unique) == "Stopped"


def test_a_job_that_runs_too_long_fails(jobs: Any, unique: str) -> None:
    jobs.start(unique, SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 1})
    eventually(lambda: jobs.has_ended(unique))
    description = jobs.describe(unique)
    assert description["ProcessingJobStatus"] == "Failed"
    assert "MaxRuntimeExceeded" in description["FailureReason"]


def test_a_name_can_be_used_only_once(jobs: Any, unique: str) -> None:
    jobs.start(unique, "")
    for _ in range(2):
        with pytest.raises(ClientError) as error:
            jobs.start(unique, "")
        assert code(error) == "ResourceInUse"
        assert isinstance(error.value, jobs.sagemaker.exceptions.ResourceInUse)
        eventually(lambda: jobs.has_ended(unique))


def test_an_unknown_job_is_not_found(jobs: Any) -> None:
    for call in (jobs.sagemaker.describe_processing_job, jobs.sagemaker.stop_processing_job):
        with pytest.raises(ClientError) as error:
            call(ProcessingJobName="nobody")
        assert code(error) == "ResourceNotFound"


def set_quota(cloud: EmbeddedCloud, quota: dict[str, int]) -> None:
    import urllib.request

    body = json.dumps(quota).encode()
    address = f"{cloud.endpoint}/_reeldrop/quota"
    with urllib.request.urlopen(urllib.request.Request(address, body)) as answer:
        assert answer.status == 200


def test_a_quota_limits_what_runs_at_once(jobs: Any, unique: str, cloud: EmbeddedCloud) -> None:
    set_quota(cloud, {"ml.g4dn.xlarge": 1, "ml.g6.xlarge": 0})
    cluster = {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    resources = {"ClusterConfig": cluster}
    try:
        jobs.start(f"{unique}-1", SLEEP, ProcessingResources=resources)
        with pytest.raises(ClientError) as error:
            jobs.start(f"{unique}-2", ProcessingResources=resources)
        assert code(error) == "ResourceLimitExceeded"
        # The name of a refused request stays free. The next preference is used when the quota has
        # no room for the first one.
        preferences = [
            {"InstanceType": instance_type, "InstanceCount": 1}
            for instance_type in ("ml.g6.xlarge", "ml.g4dn.xlarge", "ml.g5.xlarge")
        ]
        cluster = {"InstancePreferences": preferences, "VolumeSizeInGB": 1}
        jobs.start(f"{unique}-2", ProcessingResources={"ClusterConfig": cluster})
        jobs.sagemaker.stop_processing_job(ProcessingJobName=f"{unique}-1")
        eventually(lambda: jobs.has_ended(f"{unique}-1"))
        jobs.start(f"{unique}-3", ProcessingResources=resources)
    finally:
        set_quota(cloud, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"ProcessingJobName": "-leading"},
        {"ProcessingJobName": "under_score"},
        {"ProcessingJobName": "x" * 64},
        {"Environment": {"LONG": "x" * 257}},
        {"Environment": {f"V{number}": "" for number in range(101)}},
        {"StoppingCondition": {"MaxRuntimeInSeconds": 777_601}},
        {"RoleArn": "arn:aws:iam::1:role/short-account"},
        {"Tags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]},
        {
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.p4d.24xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                }
            }
        },
        {
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.g5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                    "VolumeKmsKeyId": "abc",
                }
            }
        },
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_limits_of_sagemaker_apply(jobs: Any, unique: str, changes: dict[str, Any]) -> None:
    request = jobs.request(unique) | changes
    with pytest.raises(ClientError) as error:
        jobs.sagemaker.create_processing_job(**request)
    assert code(error) == "ValidationException"


def test_jobs_are_listed_and_tagged(jobs: Any, unique: str) -> None:
    arns = [
        jobs.start(f"{unique}-{number}", "", Tags=[{"Key": "a", "Value": "1"}])
        for number in range(3)
    ]
    eventually(lambda: all(jobs.has_ended(f"{unique}-{number}") for number in range(3)))
    pages = jobs.sagemaker.get_paginator("list_processing_jobs").paginate(
        NameContains=unique,
        StatusEquals="Completed",
        SortBy="Name",
        SortOrder="Ascending",
        PaginationConfig={"PageSize": 2},
    )
    rows = [row for page in pages for row in page["ProcessingJobSummaries"]]
    assert [row["ProcessingJobName"] for row in rows] == [f"{unique}-{n}" for n in range(3)]
    jobs.sagemaker.add_tags(ResourceArn=arns[0], Tags=[{"Key": "b", "Value": "2"}])
    tags = jobs.sagemaker.list_tags(ResourceArn=arns[0])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "2"}


def test_jobs_run_at_the_same_time(jobs: Any, unique: str, tmp_path: Path) -> None:
    """Each of them ends when all have begun."""
    names = [f"{unique}-{number}" for number in range(3)]
    meet = """
import os, pathlib, time
here = pathlib.Path(os.environ["HERE"])
(here / os.environ["NAME"]).touch()
while len(list(here.iterdir())) < 3:
    time.sleep(0.05)
"""
    (tmp_path / "here").mkdir()
    for name in names:
        jobs.start(name, meet, Environment={"HERE": str(tmp_path / "here"), "NAME": name})
    eventually(lambda: all(jobs.has_ended(name) for name in names))
    assert {jobs.status(name) for name in names} == {"Completed"}


def test_the_folder_of_a_job_is_removed(cloud: EmbeddedCloud, jobs: Any, unique: str) -> None:
    jobs.start(unique, "import time; time.sleep(1)")
    folder: Path = cloud.state / "jobs" / unique
    eventually(folder.exists)
    eventually(lambda: jobs.has_ended(unique))
    eventually(lambda: not folder.exists())
    assert not folder.exists()
