"""Runs the same checks against the fakes and against the AWS adapters on the embedded cloud.

The stages rely on what is checked here, so it must hold for both.
"""

import hashlib
import io
import itertools
import json
import os
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import c2pa
import numpy as np
import pytest
from botocore.client import BaseClient
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from contract.origin import EDITED, GENERATED
from functions.adapters.bedrock import BedrockGuardrail
from functions.adapters.dynamodb import DynamoLedger
from functions.adapters.eventbridge import EventBridgeBus
from functions.adapters.s3 import S3Files
from functions.adapters.sagemaker import SageMakerRenderer
from functions.adapters.signing import VERSION, KmsSigner, numbers_of
from functions.ports import FileFacts, Files, Missing
from functions.replies.bus import DETAIL_TYPE, SOURCE
from functions.spec.guardrail import Guardrail, GuardrailUnavailable
from functions.stages.renderer import NameTaken, NoQuota, ProcessingJob, Renderer
from functions.stages.signing import CannotSign, Claim
from functions.table.ledger import Conflict, Ledger, Put, RecordKey, Remove
from functions.table.records import Letter
from local import ROOT
from local.cloud import signing
from local.cloud.bedrock import BLOCKED_WORD, MISSING_GUARDRAIL
from local.cloud.clients import OWNER
from local.cloud.process import EmbeddedCloud
from local.cloud.service_limits import violations
from tests import clips
from tests.corpus.videos import mp4
from tests.fakes import (
    SETTINGS,
    Clock,
    FakeBus,
    FakeFiles,
    FakeGuardrail,
    FakeLedger,
    FakeRenderer,
    picture,
)
from tests.local.roles import create_role
from tests.processing.decoding import decoded
from tests.waiting import eventually

_numbers = itertools.count()


@dataclass
class Services:
    """The ports of one of the two sides."""

    ledger: Ledger
    files: Files
    renderer: Renderer
    guardrail: Guardrail


_WITHOUT_COPY_SOURCE = [
    "Value null at 'copySource' failed to satisfy constraint: Member must not be null"
]


@pytest.fixture(autouse=True)
def every_request_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each request with the model of its service. The embedded cloud forgives more."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def checked(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        # boto3 makes a string of the source of a copy.
        sent = {name: part for name, part in parameters.items() if name != "CopySource"}
        assert violations(operation, sent, service) in ([], _WITHOUT_COPY_SOURCE)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", checked)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with (
        EmbeddedCloud(tmp_path_factory.mktemp("cloud")) as cloud,
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
        env.setenv("AWS_REGION", "us-east-1")
        env.setenv("AWS_DEFAULT_REGION", "us-east-1")
        env.setenv("AWS_ACCESS_KEY_ID", OWNER.access_key_id)
        env.setenv("AWS_SECRET_ACCESS_KEY", OWNER.secret_access_key)
        cloud.client("dynamodb").create_table(
            TableName="table",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
        )
        create_role(cloud, SETTINGS.role_arn)
        s3 = cloud.client("s3")
        for bucket in ("input", "work", "output", "assets"):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket="input", VersioningConfiguration={"Status": "Enabled"})
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("__main__.py", "import time; time.sleep(3600)")
        s3.put_object(Bucket="assets", Key="0123abcd.zip", Body=code.getvalue())
        for key in ("attempts/x/input/manifest.json", "models/demo/model_index.json"):
            s3.put_object(Bucket="work", Key=key, Body=b"{}")
        yield Services(
            DynamoLedger("table"),
            S3Files(),
            SageMakerRenderer(SETTINGS),
            BedrockGuardrail("embedded", "1"),
        )


@pytest.fixture(params=["fake", "embedded"])
def services(request: pytest.FixtureRequest) -> Services:
    if request.param == "embedded":
        found: Services = request.getfixturevalue("embedded")
        return found
    return Services(FakeLedger(), FakeFiles(Clock()), FakeRenderer(), FakeGuardrail())


@pytest.fixture
def partition() -> str:
    return f"P{next(_numbers)}"


def key(partition: str, sort: str) -> RecordKey[Letter]:
    return RecordKey(partition, sort, Letter)


# --- the event bus --------------------------------------------------------------------------


def test_an_event_reaches_who_listens_as_it_was_put(embedded: Services, partition: str) -> None:
    del embedded  # its cloud runs
    events, sqs = boto3.client("events"), boto3.client("sqs")
    events.create_event_bus(Name=partition)
    url = sqs.create_queue(QueueName=partition)["QueueUrl"]
    pattern = json.dumps({"source": [SOURCE], "detail-type": [DETAIL_TYPE]})
    events.put_rule(Name=partition, EventBusName=partition, EventPattern=pattern)
    arn = f"arn:aws:sqs:us-east-1:000000000000:{partition}"
    targets = [{"Id": "queue", "Arn": arn}]
    events.put_targets(Rule=partition, EventBusName=partition, Targets=targets)
    detail = json.dumps({"version": "1", "path": "ä\n😀"})
    fake = FakeBus()
    for bus in (EventBridgeBus(partition), fake):
        bus.put(detail)
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert [json.loads(message["Body"])["detail"]] == fake.details


# --- the table -----------------------------------------------------------------------------


def test_a_document_can_be_read_directly_after_it_was_put(
    services: Services, partition: str
) -> None:
    assert services.ledger.get(key(partition, "a")) is None
    services.ledger.commit(Put(key(partition, "a"), Letter(job_id="ä\n😀")))
    record = services.ledger.get(key(partition, "a"))
    assert record is not None
    assert (record.document.job_id, record.revision) == ("ä\n😀", 1)


def test_many_documents_are_read_together_in_the_given_order(
    services: Services, partition: str
) -> None:
    """Asks for more than DynamoDB returns in one call, for missing ones, and for one twice."""
    for start in range(0, 120, 60):
        changes = [
            Put(key(partition, f"{n:03}"), Letter(job_id=str(n))) for n in range(start, start + 60)
        ]
        services.ledger.commit(*changes)
    asked = [key(partition, f"{n:03}") for n in (*range(118, 125), 7, *range(110), 7)]
    found = services.ledger.get_all(asked)
    wanted = ["118", "119", *[None] * 5, "7", *map(str, range(110)), "7"]
    assert [record and record.document.job_id for record in found] == wanted
    assert services.ledger.get_all([]) == []


def test_a_query_begins_at_its_start_and_stays_in_its_prefix(
    services: Services, partition: str
) -> None:
    for sort in ("0#a#1", "1#a#1", "1#a#2", "1#b#1", "1#c#1", "2#a#1"):
        services.ledger.commit(Put(key(partition, sort), Letter(job_id=sort)))

    def found(start: str, limit: int | None = None, *, backwards: bool = False) -> list[str]:
        records = services.ledger.query(
            partition, Letter, prefix="1#", start=start, limit=limit, backwards=backwards
        )
        return [record.document.job_id for record in records]

    assert found("1#a#2") == ["1#a#2", "1#b#1", "1#c#1"]
    assert found("1#a#2!") == ["1#b#1", "1#c#1"]
    assert found("1#a$", limit=1) == ["1#b#1"]
    assert found("1#z") == []
    assert found("", backwards=True) == ["1#c#1", "1#b#1", "1#a#2", "1#a#1"]
    assert found("1#a#2", backwards=True) == ["1#a#2", "1#a#1"]
    assert found("1#a$", limit=1, backwards=True) == ["1#a#2"]
    assert found("1#", backwards=True) == []
    all_of_them = services.ledger.query(partition, Letter, start="1#a#2", backwards=True)
    assert [record.document.job_id for record in all_of_them] == ["1#a#2", "1#a#1", "0#a#1"]


def test_a_change_from_an_old_revision_conflicts(services: Services, partition: str) -> None:
    at = key(partition, "a")
    services.ledger.commit(Put(at, Letter(job_id="1")))
    services.ledger.commit(Put(at, Letter(job_id="2"), 1))
    for change in (Put(at, Letter(job_id="3"), 1), Put(at, Letter(job_id="3")), Remove(at, 1)):
        with pytest.raises(Conflict):
            services.ledger.commit(change)
    services.ledger.commit(Remove(at, 2))
    assert services.ledger.get(at) is None
    for change in (Remove(at, 2), Put(at, Letter(job_id="3"), 2)):
        with pytest.raises(Conflict):
            services.ledger.commit(change)


def test_a_commit_makes_all_changes_or_none(services: Services, partition: str) -> None:
    a, b, c = (key(partition, sort) for sort in "abc")
    services.ledger.commit(Put(a, Letter(job_id="a")), Put(b, Letter(job_id="b")))
    with pytest.raises(Conflict):
        services.ledger.commit(Put(c, Letter(job_id="c")), Remove(a, 1), Put(b, Letter(job_id="x")))
    assert services.ledger.get(c) is None and services.ledger.get(a) is not None


def test_queries_are_ordered_prefixed_and_limited(services: Services, partition: str) -> None:
    sorts = ["0#2", "1#1", "0#10", "é#1", "1#0"]
    for sort in sorts:
        services.ledger.commit(Put(key(partition, sort), Letter(job_id=sort)))
    found = [r.key.sort for r in services.ledger.query(partition, Letter)]
    assert found == sorted(sorts)
    assert len(services.ledger.query(partition, Letter, prefix="0#")) == 2
    assert [r.key.sort for r in services.ledger.query(partition, Letter, limit=2)] == [
        "0#10",
        "0#2",
    ]
    assert services.ledger.query(f"{partition}none", Letter) == []


def test_a_query_reads_every_page(services: Services, partition: str) -> None:
    big = "x" * 100_000
    for number in range(15):  # a page of DynamoDB has at most 1 MB
        services.ledger.commit(Put(key(partition, f"{number:02d}"), Letter(job_id=big)))
    assert len(services.ledger.query(partition, Letter)) == 15


# --- files ---------------------------------------------------------------------------------


def test_an_older_version_can_be_read(services: Services, partition: str) -> None:
    name = f"jobs/{partition} ü+%2F😀.yaml"
    services.files.write("input", name, b"one", "text/plain")
    first = services.files.facts("input", name)
    services.files.write("input", name, b"two!", "text/plain")
    second = services.files.facts("input", name)
    assert first.versioned and first.version != second.version
    assert (first.size_bytes, second.size_bytes) == (3, 4)
    assert services.files.read("input", name, first.version) == b"one"
    assert services.files.read("input", name) == b"two!"
    assert services.files.facts("input", name, first.version) == first
    services.files.copy(("input", name, first.version), ("work", name), "text/plain")
    assert services.files.read("work", name) == b"one"


def test_without_versions_the_etag_is_the_version(services: Services, partition: str) -> None:
    services.files.write("work", partition, b"one", "text/plain")
    first = services.files.facts("work", partition)
    services.files.write("work", partition, b"two", "text/plain")
    assert not first.versioned and services.files.facts("work", partition).version != first.version


def test_an_object_with_a_mark_is_written_once(services: Services, partition: str) -> None:
    """A bucket with versions gets one version for each mark."""

    def versions(name: str) -> int:
        return len(services.files.versions("input", name))

    services.files.write("work", partition, b"video", "video/mp4")
    written, copied = f"{partition}/written", f"{partition}/copied"
    for count, mark in enumerate(("attempt-1 a", "attempt-2 a"), 1):
        for body in (b"1", b"2"):
            services.files.write("input", written, body, "text/plain", mark=mark)
            source = ("work", partition, None)
            services.files.copy(source, ("input", copied), "video/mp4", mark=mark)
        assert (versions(written), versions(copied)) == (count, count)
        assert services.files.facts("input", written).mark == mark
    services.files.write("input", written, b"3", "text/plain")
    assert services.files.facts("input", written).mark == ""
    services.files.write("input", written, b"4", "text/plain", mark="attempt-2 a")
    assert versions(written) == 4, "without its mark it is written again"
    assert services.files.read("input", written) == b"4"
    assert services.files.read("input", copied) == b"video"


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("before", [b"", b"older"])
def test_only_one_of_two_callers_writes_an_object_with_a_mark(
    embedded: Services,
    partition: str,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes,
    is_copy: bool,
) -> None:
    """The second caller looks at the object before the first one has written it."""
    files = embedded.files
    assert isinstance(files, S3Files)
    source = f"{partition}/source"
    files.write("work", source, b"second", "text/plain")
    if before:
        files.write("input", partition, before, "text/plain")
    look = files._client.head_object

    def outrun(**arguments: Any) -> Any:
        monkeypatch.undo()
        try:
            return look(**arguments)
        finally:
            files.write("input", partition, b"first", "text/plain", mark="m")

    monkeypatch.setattr(files._client, "head_object", outrun)
    if is_copy:
        files.copy(("work", source, None), ("input", partition), "text/plain", mark="m")
    else:
        files.write("input", partition, b"second", "text/plain", mark="m")
    assert files.read("input", partition) == b"first"
    assert len(files.versions("input", partition)) == 1 + bool(before)


def test_objects_that_do_not_exist_are_missing(services: Services, partition: str) -> None:
    for call in (
        lambda: services.files.facts("work", partition),
        lambda: services.files.read("work", partition),
        lambda: services.files.sha256("work", partition),
        lambda: services.files.copy(("work", partition, None), ("work", "x"), "text/plain"),
    ):
        with pytest.raises(Missing):
            call()
    services.files.remove("work", partition)


def listed(services: Services, bucket: str, prefix: str, after: str = "") -> list[str]:
    page = services.files.page(bucket, prefix, after)
    assert not page.more
    return [one.key for one in page.objects]


def test_objects_are_read_in_part_hashed_listed_and_removed(
    services: Services, partition: str
) -> None:
    body = bytes(range(256)) * 10
    services.files.write("work", f"{partition}/a", body, "application/octet-stream")
    services.files.write("work", f"{partition}/b", b"", "application/octet-stream")
    assert services.files.read("work", f"{partition}/a", first_bytes=16) == body[:16]
    assert services.files.sha256("work", f"{partition}/a") == hashlib.sha256(body).hexdigest()
    assert listed(services, "work", f"{partition}/") == [f"{partition}/a", f"{partition}/b"]
    services.files.remove("work", f"{partition}/a")
    assert listed(services, "work", f"{partition}/") == [f"{partition}/b"]


@pytest.mark.parametrize("bucket", ["input", "work"])
def test_a_listing_names_each_object_that_exists(
    services: Services, partition: str, bucket: str
) -> None:
    for body in (b"1", b"2"):
        services.files.write(bucket, f"{partition}/a", body, "text/plain")
    services.files.write(bucket, f"{partition}/gone", b"1", "text/plain")
    services.files.remove(bucket, f"{partition}/gone")
    (found,) = services.files.page(bucket, f"{partition}/").objects
    facts = services.files.facts(bucket, f"{partition}/a")
    assert abs(found.modified_at - facts.modified_at).total_seconds() < 1.5


def test_a_listing_goes_on_after_any_key(services: Services, partition: str) -> None:
    names = ["A", "_a", "a b+c%2F&.yaml", "a/1", "a/2", "ä", "😀"]
    keys = [f"{partition}/{name}" for name in names]
    assert keys == sorted(keys, key=str.encode)
    for key_ in reversed(keys):
        services.files.write("input", key_, b"", "text/plain")
    after, pages = "", []
    while True:
        page = services.files.page("input", f"{partition}/", after, at_most=2)
        pages.append([one.key for one in page.objects])
        if not page.more:
            break
        after = pages[-1][-1]
    assert pages == [keys[:2], keys[2:4], keys[4:6], keys[6:]]
    assert listed(services, "input", f"{partition}/", f"{partition}/a0") == keys[5:]
    assert listed(services, "input", f"{partition}/", keys[-1]) == []


def test_the_facts_of_many_objects_are_found_together(services: Services, partition: str) -> None:
    names = [f"{partition}/{name}" for name in ("a b+c%2F&.yaml", "b", "c", "ä")]
    for name in names:
        for body in (b"1", b"22"):
            services.files.write("input", name, body, "text/plain")
    services.files.remove("input", names[1])
    found = services.files.facts_after("input", f"{partition}/", "")
    assert list(found) == [names[0], *names[2:]]
    for name, facts in found.items():
        known = services.files.facts("input", name)
        assert (facts.version, facts.size_bytes) == (known.version, 2) and facts.versioned
    assert list(services.files.facts_after("input", f"{partition}/", names[0])) == names[2:]


def test_the_versions_of_an_object_are_listed_until_it_was_deleted(
    services: Services, partition: str
) -> None:
    """Newest first, without versions of longer keys."""
    name = f"{partition}/a"
    assert services.files.versions("input", name) == []
    services.files.write("input", name, b"0", "text/plain")
    services.files.remove("input", name)
    assert services.files.versions("input", name) == []
    written: list[FileFacts] = []
    for body in (b"1", b"2", b"3"):
        services.files.write("input", name, body, "text/plain")
        services.files.write("input", f"{name}.yaml", body, "text/plain")
        written.insert(0, services.files.facts("input", name))
    found = services.files.versions("input", name)
    assert [one.version for one in found] == [facts.version for facts in written]
    for one, facts in zip(found, written, strict=True):
        assert one.versioned and one.size_bytes == 1
        assert abs(one.modified_at - facts.modified_at).total_seconds() < 1.5


def test_a_version_of_a_deleted_object_can_still_be_read(
    services: Services, partition: str
) -> None:
    """The input bucket gets a delete marker. It hides the object, but not its versions."""
    services.files.write("input", partition, b"1", "text/plain")
    version = services.files.facts("input", partition).version
    services.files.remove("input", partition)
    services.files.remove("input", partition)
    with pytest.raises(Missing):
        services.files.facts("input", partition)
    with pytest.raises(Missing):
        services.files.read("input", partition)
    assert listed(services, "input", partition) == []
    assert services.files.facts("input", partition, version).version == version
    assert services.files.read("input", partition, version) == b"1"
    services.files.write("input", partition, b"2", "text/plain")
    assert services.files.read("input", partition) == b"2"
    assert services.files.read("input", partition, version) == b"1"


def test_an_object_in_a_bucket_without_versions_has_one_version(
    services: Services, partition: str
) -> None:
    for body in (b"1", b"2"):
        services.files.write("work", partition, body, "text/plain")
    (found,) = services.files.versions("work", partition)
    assert found.version == services.files.facts("work", partition).version
    assert not found.versioned


def test_a_link_downloads_its_object(embedded: Services, partition: str) -> None:
    name = f"videos/{partition} ü.mp4"
    embedded.files.write("output", name, b"mp4", "video/mp4")
    with urllib.request.urlopen(embedded.files.link("output", name, 60), timeout=10) as answer:
        assert answer.read() == b"mp4" and answer.headers["Content-Type"] == "video/mp4"


# --- processing jobs -----------------------------------------------------------------------


def processing_job(name: str) -> ProcessingJob:
    return ProcessingJob(
        attempt_id=f"reeldrop-{name}",
        instance_type="ml.g6e.xlarge",
        manifest_sha256="0" * 64,
        input_uri="s3://work/attempts/x/input/",
        model_uri="s3://work/models/demo/",
        output_uri=f"s3://work/attempts/{name}/output",
    )


def test_the_name_of_a_processing_job_can_be_used_once(services: Services, partition: str) -> None:
    job = processing_job(partition)
    assert services.renderer.status(job.attempt_id) is None
    services.renderer.start(job)
    with pytest.raises(NameTaken):
        services.renderer.start(job)
    status = services.renderer.status(job.attempt_id)
    assert status is not None and not status.state.ended and status.manifest_sha256 == "0" * 64


def test_a_stopped_processing_job_ends_and_may_be_stopped_again(
    services: Services, partition: str
) -> None:
    job = processing_job(partition)
    services.renderer.stop(job.attempt_id)  # it does not exist
    services.renderer.start(job)
    services.renderer.stop(job.attempt_id)
    eventually(lambda: (s := services.renderer.status(job.attempt_id)) and s.state.ended)
    services.renderer.stop(job.attempt_id)
    with pytest.raises(NameTaken):
        services.renderer.start(job)


def test_a_start_without_quota_is_refused(services: Services, partition: str) -> None:
    if isinstance(services.renderer, FakeRenderer):
        services.renderer.quota = 0
    else:
        body = b'{"ml.g6e.xlarge": 0}'
        url = f"{os.environ['AWS_ENDPOINT_URL']}/_reeldrop/quota"
        urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10)
    with pytest.raises(NoQuota, match="g6e"):
        services.renderer.start(processing_job(partition))
    assert services.renderer.status(f"reeldrop-{partition}") is None


def test_a_file_is_downloaded_and_uploaded_once(services: Services, tmp_path: Path) -> None:
    files, path = services.files, tmp_path / "a"
    with pytest.raises(Missing):
        files.download("work", "disk/none", path)
    path.write_bytes(b"one" * 1_000_000)
    files.upload(path, "work", "disk/a", "video/mp4", mark="first")
    other = tmp_path / "b"
    other.write_bytes(b"two")
    files.upload(other, "work", "disk/a", "video/mp4", mark="first")
    files.download("work", "disk/a", other)
    assert other.read_bytes() == path.read_bytes()
    other.write_bytes(b"two")
    files.upload(other, "work", "disk/a", "video/mp4", mark="second")
    assert files.read("work", "disk/a") == b"two"


# --- Content Credentials -------------------------------------------------------------------


CLAIM = Claim(source_type=GENERATED, model="demo", revision="1137dac", seed=7, prompt="a bee")


def the_manifest(path: Path) -> tuple[dict[str, Any], set[str]]:
    """The credentials of a file, and what is wrong with them."""
    with path.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        found = json.loads(reader.json())
        manifest = reader.get_active_manifest()
    assert manifest is not None
    return manifest, {one["code"] for one in found.get("validation_status", ())}


@pytest.mark.usefixtures("embedded")
def test_a_signed_video_says_what_made_it_and_shows_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "unsigned.mp4", tmp_path / "video.mp4"
    source.write_bytes(mp4())

    KmsSigner(signing.KEY_ARN, signing.certificates()).sign(source, target, CLAIM)

    manifest, wrong = the_manifest(target)
    assert wrong == {"signingCredential.untrusted"}, "nobody trusts a test key"
    assert manifest["signature_info"]["common_name"] == signing.TEST_NAME
    assert manifest["claim_generator_info"][0]["name"] == "reeldrop"
    (actions,) = (a["data"] for a in manifest["assertions"] if a["label"].startswith("c2pa.act"))
    (action,) = actions["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", GENERATED)
    assert action["parameters"] == {"model": "demo", "seed": 7, "prompt": "a bee"}
    assert action["softwareAgent"] == {"name": "demo", "version": "1137dac"}
    assert np.array_equal(decoded(target), decoded(source))
    body = bytearray(target.read_bytes())
    body[-100] ^= 1
    target.write_bytes(body)
    assert "assertion.bmffHash.mismatch" in the_manifest(target)[1]


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("readable", [True, False])
def test_a_finished_clip_is_signed_as_edited_from_the_clip(
    tmp_path: Path, *, readable: bool
) -> None:
    signer = KmsSigner(signing.KEY_ARN, signing.certificates())
    source, clip, target = (tmp_path / name for name in ("unsigned.mp4", "clip.mp4", "video.mp4"))
    source.write_bytes(mp4())
    signer.sign(source, clip, CLAIM)
    if not readable:  # QuickTime files from before 2001 have no ftyp
        clip.write_bytes(clips.without_ftyp(clips.numbered(4)))
    claim = Claim(source_type=EDITED, model=None, revision=None, seed=0, prompt=None)

    signer.sign(source, target, claim, clip)

    manifest, wrong = the_manifest(target)
    assert wrong == {"signingCredential.untrusted"}
    (actions,) = (a["data"] for a in manifest["assertions"] if a["label"].startswith("c2pa.act"))
    opened, edited = actions["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"] == EDITED
    assert edited["softwareAgent"] == {"name": "reeldrop", "version": VERSION}
    (parent,) = manifest["ingredients"]
    assert parent["relationship"] == "parentOf"
    assert ("active_manifest" in parent) == readable, "the credentials of the clip stay"


@pytest.mark.usefixtures("embedded")
def test_who_cannot_sign_says_why(tmp_path: Path) -> None:
    source, target = tmp_path / "unsigned.mp4", tmp_path / "video.mp4"
    source.write_bytes(mp4())
    missing = KmsSigner(signing.KEY_ARN + "-missing", signing.certificates())
    with pytest.raises(CannotSign, match="NotFoundException"):
        missing.sign(source, target, CLAIM)
    with pytest.raises(CannotSign, match=r"none\.pem"):
        KmsSigner(signing.KEY_ARN, tmp_path / "none.pem").sign(source, target, CLAIM)
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(CannotSign):
        KmsSigner(signing.KEY_ARN, tmp_path / "bad.pem").sign(source, target, CLAIM)
    source.write_bytes(b"no video")
    with pytest.raises(CannotSign):
        KmsSigner(signing.KEY_ARN, signing.certificates()).sign(source, target, CLAIM)


def test_a_signature_of_kms_becomes_two_numbers_of_32_bytes() -> None:
    # Numbers with a leading zero are shorter in DER, and those with a high first bit longer.
    for one, other in ((1, 2**255), (2**256 - 1, 2**200), (2**247, 3)):
        der = encode_dss_signature(one, other)
        assert numbers_of(der) == one.to_bytes(32) + other.to_bytes(32)
    with pytest.raises(ValueError, match="not the DER"):
        numbers_of(b"\x00" * 64)


def test_files_name_the_version_of_reeldrop() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION


# --- the guardrail -------------------------------------------------------------------------


def test_a_guardrail_blocks_a_word_and_says_so(services: Services) -> None:
    assert not services.guardrail.judge("a bee, " * 200).blocked
    judgement = services.guardrail.judge(f"a {BLOCKED_WORD} bee")
    assert judgement.blocked and judgement.reasons == (f'the word "{BLOCKED_WORD}"',)


def test_a_guardrail_blocks_a_picture_among_others_and_says_why(services: Services) -> None:
    assert not services.guardrail.judge_pictures([picture("JPEG")] * 20).blocked
    bad = picture("JPEG", colour="magenta")
    judgement = services.guardrail.judge_pictures([picture("JPEG"), bad])
    assert judgement.blocked and judgement.reasons == ("violence",)


@pytest.mark.usefixtures("embedded")
def test_a_text_that_a_guardrail_would_mask_is_blocked() -> None:
    judgement = BedrockGuardrail("embedded", "DRAFT").judge("a letter to a@example.org")
    assert judgement.blocked and judgement.reasons == ("email",)


@pytest.mark.usefixtures("embedded")
def test_a_guardrail_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(GuardrailUnavailable, match="ResourceNotFoundException"):
        BedrockGuardrail(MISSING_GUARDRAIL, "1").judge("a bee")
