"""Files that were uploaded under somebody else's key are answered, and harm nothing else."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from contract.errors import Code, Transient
from functions import s3_keys
from functions.adapters.s3 import S3Files
from functions.ports import Locked, Missing
from functions.stages.submit import submit
from functions.table.records import State
from tests.fakes import PNG, World
from tests.functions.stored import jobs

OURS = "arn:aws:kms:us-east-1:000000000000:key/ours"
_DENIED = (
    "User: arn:aws:sts::000000000000:assumed-role/submit/submit is not authorized to perform: "
    "kms:Decrypt on the resource associated with this ciphertext because the resource does not "
    "exist in this Region, no resource-based policies allow access, or a resource-based policy "
    "explicitly denies access"
)


def _dropped_locked(world: World, key: str, body: bytes | str = "prompt: a bee\n") -> None:
    world.drop(key, body, event=False)
    world.files.lock("input", key)
    submit(world.ports, "input", key)


def _answer(world: World, key: str) -> str:
    job = next(job for job in reversed(jobs(world)) if job.source.key == key)
    assert job.state == State.REJECTED
    assert job.problems[0].code == Code.FILE_ENCRYPTED
    return world.files.read("output", s3_keys.rejected(job.path)).decode()


def test_a_spec_under_somebody_elses_key_is_answered() -> None:
    world = World()
    _dropped_locked(world, "jobs/bee.yaml")
    answer = _answer(world, "jobs/bee.yaml")
    assert "jobs/bee.yaml is encrypted with a key of KMS" in answer
    assert "--sse-kms-key-id" in answer and "Upload the same file again" in answer


def test_a_job_begins_again_when_its_reference_comes_without_the_key() -> None:
    world = World()
    _dropped_locked(world, "jobs/bee.png", PNG)
    world.drop("jobs/bee.yaml", "prompt: a\nimage: bee.png\n")
    assert jobs(world)[-1].problems[0].place.line == 2
    assert "jobs/bee.png is encrypted" in _answer(world, "jobs/bee.yaml")
    world.drop("jobs/bee.png", PNG)
    assert jobs(world)[-1].state == State.QUEUED


def test_folder_defaults_under_somebody_elses_key_are_named() -> None:
    world = World()
    _dropped_locked(world, "jobs/a/_defaults.yaml", "fps: 8\n")
    assert "jobs/a/_defaults.yaml is encrypted" in _answer(world, "jobs/a/_defaults.yaml")
    world.drop("jobs/a/bee.yaml")
    assert "Where: file jobs/a/_defaults.yaml" in _answer(world, "jobs/a/bee.yaml")


def test_the_version_before_is_made() -> None:
    world = World()
    world.drop("jobs/bee.yaml", "prompt: good\n", event=False)
    _dropped_locked(world, "jobs/bee.yaml", "prompt: locked\n")
    assert {job.state for job in jobs(world)} == {State.REJECTED, State.QUEUED}


def _files(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str, head: dict[str, Any] | None = None
) -> S3Files:
    """Files of which S3 does not give the content.

    Args:
        head: what S3 says about the file.
    """
    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stubber = Stubber(client)
    stubber.add_client_error("get_object", code, message)
    if head is not None:
        stubber.add_response("head_object", head)
    stubber.activate()
    monkeypatch.setattr(boto3, "client", lambda *_args, **_more: client)
    return S3Files(OURS if head is not None else "")


@pytest.mark.parametrize(
    ("code", "message", "head", "raised"),
    [
        ("AccessDenied", _DENIED, None, Locked),
        ("KMS.DisabledException", "arn:aws:kms:::key/x is disabled.", None, Locked),
        ("AccessDenied", _DENIED, {"SSEKMSKeyId": "arn:aws:kms:::key/theirs"}, Locked),
        # These are for an administrator, so the message returns to its queue.
        ("AccessDenied", _DENIED, {"SSEKMSKeyId": OURS}, ClientError),
        ("AccessDenied", "not authorized to perform: s3:GetObject", None, ClientError),
        ("ThrottlingException", "You have exceeded the rate for KMS.", None, Transient),
        ("NoSuchKey", "", None, Missing),
    ],
)
def test_only_a_foreign_key_locks_a_file(
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    message: str,
    head: dict[str, Any] | None,
    raised: type[Exception],
) -> None:
    files = _files(monkeypatch, code, message, head)
    with pytest.raises(raised):
        files.read("input", "jobs/bee.yaml", "v1")
