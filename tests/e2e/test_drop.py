"""The way from a dropped file to the mail, through the deployed stacks, as a user sees it."""

import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.exceptions import ClientError

from functions import s3_keys
from functions.table.records import State
from local import ROOT
from local.cloud.clients import Credentials, client
from tests.e2e.conftest import Person
from tests.e2e.decoding import decoded
from tests.e2e.test_deployments import NAME as OTHER_DEPLOYMENT

SAMPLES = ROOT / "samples"
SCHEMA = json.loads((ROOT / "docs" / "job-ended.schema.json").read_text())


def test_a_sample_dropped_with_the_aws_cli(person: Person, tmp_path: Path) -> None:
    person.aws(
        "s3", "cp", str(SAMPLES / "bee.yaml"), f"s3://{person.folder.input_bucket}/jobs/spring/"
    )
    status = person.final("spring/bee")
    assert status.state == State.SUCCEEDED
    sidecar = person.sidecar("spring/bee")
    video = sidecar.video
    assert decoded(person.read("videos/spring/bee.mp4"), tmp_path) == (
        video.num_frames,
        video.height,
        video.width,
        video.fps,
    )
    assert (video.num_frames, video.height, video.width) == (17, 64, 96)
    assert person.read("videos/spring/bee.jpg").startswith(b"\xff\xd8")
    assert sidecar.enhancement.answered_by == "reeldrop-stand-in"
    assert sidecar.enhancement.original == "a yellow circle moves right on a green background"
    assert "standing in for" in sidecar.machine.name
    mail = person.mail("spring/bee")
    assert mail["Subject"] == "reeldrop: spring/bee is ready"
    assert f"s3://{person.folder.output_bucket}/videos/spring/bee.mp4" in mail.get_content()


def test_an_image_and_a_name_with_a_space_and_an_umlaut(
    person: Person, tmp_path: Path, spec_file: Callable[..., Path]
) -> None:
    """The reference is uploaded after the spec."""
    s3 = person.cloud.client("s3")
    spec = spec_file("schöne Biene.json", image="star.png", prompt="it moves left")
    s3.upload_file(str(spec), person.folder.input_bucket, "jobs/schöne Biene.json")
    assert "jobs/star.png" in person.waiting("schöne Biene").message
    s3.upload_file(str(SAMPLES / "star.png"), person.folder.input_bucket, "jobs/star.png")
    assert person.final("schöne Biene").state == State.SUCCEEDED
    sidecar = person.sidecar("schöne Biene")
    assert sidecar.scheduler and sidecar.spec.image == "/star.png"
    assert decoded(person.read("videos/schöne Biene.mp4"), tmp_path)[0] == 17
    assert person.mail("schöne Biene")["Subject"] == "reeldrop: schone Biene is ready"


def test_a_draft_is_approved_with_the_command_in_its_mail(
    person: Person, spec_file: Callable[..., Path]
) -> None:
    spec = spec_file("draft.json", preset="draft")
    place = f"s3://{person.folder.input_bucket}/jobs/spring/"
    person.aws("s3", "cp", str(spec), place)
    assert "approve/spring/draft" in person.final("spring/draft").message
    (command,) = re.findall("In a terminal: aws (.*)", person.mail("spring/draft").get_content())
    person.aws(*shlex.split(command))
    assert person.final("spring/draft-final").state == State.SUCCEEDED
    draft, final = (person.sidecar(f"spring/{name}") for name in ("draft", "draft-final"))
    assert (final.spec.seed, final.prompt) == (draft.spec.seed, draft.prompt)
    assert (draft.spec.preset, final.spec.preset) == ("draft", "standard")
    assert final.spec.num_inference_steps == 25
    assert person.status("(approve)/spring/draft") is not None


def test_the_spec_in_a_sidecar_reproduces_the_video(
    person: Person, tmp_path: Path, spec_file: Callable[..., Path]
) -> None:
    s3 = person.cloud.client("s3")
    formats = ["mp4", "gif", "h265", "webm"]
    spec = spec_file("first.json", fps=24, slow_motion=2, loop=True, outputs=formats)
    s3.upload_file(str(spec), person.folder.input_bucket, "jobs/first.json")
    final = person.final("first")
    assert final.state == State.SUCCEEDED
    first = person.sidecar("first")
    # 17 frames at 8 fps, of which the last half second is blended with the first one.
    length = final.tasks[0].length
    assert length and (length.num_frames, length.fps, first.generated_fps) == (85, 24, 8)
    for name in (first.video_file, first.h265_file, first.webm_file):
        assert name is not None
        key = name.removeprefix(f"s3://{person.folder.output_bucket}/")
        assert decoded(person.read(key), tmp_path) == (85, 64, 96, 24.0)
    assert person.read("videos/first.gif").startswith(b"GIF89a")
    body = first.spec.to_json().encode()
    s3.put_object(Bucket=person.folder.input_bucket, Key="jobs/again.json", Body=body)
    assert person.final("again").state == State.SUCCEEDED
    again = person.sidecar("again")
    assert again.spec == first.spec
    # Each signature is another one. What was signed is the same.
    assert first.unsigned_sha256 and again.unsigned_sha256 == first.unsigned_sha256


def test_scenes_become_one_video_and_their_sidecar_makes_it_again(
    person: Person, tmp_path: Path
) -> None:
    s3, bucket = person.cloud.client("s3"), person.folder.input_bucket
    s3.upload_file(str(SAMPLES / "star.png"), bucket, "jobs/scenes/star.png")
    spec = (
        "scenes:\n- a red circle moves right on a blue background\n- the circle moves left\n"
        "- {image: star.png, transition: fade}\n"
        "outputs: [mp4, scenes]\nnum_inference_steps: 2\nseed: 3\n"
    )
    s3.put_object(Bucket=bucket, Key="jobs/scenes/three.yaml", Body=spec.encode())
    final = person.final("scenes/three")
    assert final.state == State.SUCCEEDED, final
    first = person.sidecar("scenes/three")
    assert [scene.first_frame for scene in first.scenes] == [0, 17, 25]
    assert first.video.num_frames == 17 + 16 + 17 - 8
    assert decoded(person.read("videos/scenes/three.mp4"), tmp_path)[0] == first.video.num_frames
    for scene, key in zip(first.scenes, final.tasks[0].scene_files, strict=True):
        assert scene.file == f"s3://{person.folder.output_bucket}/{key}"
        assert hashlib.sha256(person.read(key)).hexdigest() == scene.file_sha256
        assert decoded(person.read(key), tmp_path)[0] == (16 if scene.number == 2 else 17)
    assert first.scenes[1].prompt.startswith("the circle moves left. ")
    assert first.scenes[1].original_prompt == "the circle moves left"
    assert first.image_weights_sha256 not in {None, first.weights_sha256}
    body = first.spec.to_json().encode()
    s3.put_object(Bucket=bucket, Key="jobs/again/three.json", Body=body)
    assert person.final("again/three").state == State.SUCCEEDED
    again = person.sidecar("again/three")
    assert again.spec == first.spec and again.unsigned_sha256 == first.unsigned_sha256


def test_several_drops_while_one_runs_share_a_processing_job(
    person: Person, spec_file: Callable[..., Path]
) -> None:
    s3 = person.cloud.client("s3")
    for name in ("b0", "b1", "b2", "b3"):
        spec = spec_file(f"{name}.json", enhance=False)
        s3.upload_file(str(spec), person.folder.input_bucket, f"jobs/batch/{name}.json")
    for name in ("b0", "b1", "b2", "b3"):
        assert person.final(f"batch/{name}").state == State.SUCCEEDED
    attempts = {person.sidecar(f"batch/{name}").attempt_id for name in ("b0", "b1", "b2", "b3")}
    assert len(attempts) <= 2


def test_a_spec_with_an_error_is_refused_in_the_bucket_and_by_mail(
    person: Person, tmp_path: Path
) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("prompt: a bee\nstep: 50\n")
    person.aws("s3", "cp", str(spec), f"s3://{person.folder.input_bucket}/jobs/")
    assert person.final("bad").state == State.REJECTED
    answer = person.read("rejected/bad.txt").decode()
    assert "no field called 'step'" in answer and "line 2, column 1" in answer
    mail = person.mail("bad")
    assert mail["Subject"] == "reeldrop: bad was refused"
    assert "no field called 'step'" in mail.get_content()


def test_another_system_receives_the_end_of_each_job_in_its_folders(
    person: Person, tmp_path: Path, spec_file: Callable[..., Path]
) -> None:
    """A stranger has a queue, and the rule of docs/operations.md on the bus."""
    bus, s3 = person.folder.event_bus_name, person.cloud.client("s3")
    events, sqs = person.cloud.client("events"), person.cloud.client("sqs")
    page = (ROOT / "docs" / "operations.md").read_text()
    (pattern,) = re.findall(r"^ +'(\{\"source\".*)'$", page, re.MULTILINE)
    url = sqs.create_queue(QueueName="stranger")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="stranger", EventBusName=bus, EventPattern=pattern)
    targets = [{"Id": "queue", "Arn": arn["QueueArn"]}]
    events.put_targets(Rule="stranger", EventBusName=bus, Targets=targets)
    bad = tmp_path / "bad.yaml"
    bad.write_text("prompt: a bee\nstep: 50\n")
    for spec in (bad, spec_file("good.json"), spec_file("elsewhere.json", dry_run=True)):
        folder = "" if spec.stem == "elsewhere" else "weekly/"
        s3.upload_file(str(spec), person.folder.input_bucket, f"jobs/{folder}{spec.name}")
    person.final("elsewhere")
    received: dict[str, dict[str, Any]] = {}

    def both() -> bool:
        for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
            event = json.loads(message["Body"])
            assert (event["source"], event["detail-type"]) == ("reeldrop", "Job Ended")
            detail = event["detail"]
            jsonschema.validate(detail, SCHEMA)
            assert detail["id"] not in received, "nothing was killed"
            received[detail["id"]] = detail
        return len(received) == 2

    person.eventually(both)
    ended = {detail["path"]: detail for detail in received.values()}
    assert ended["weekly/bad"]["state"] == "rejected"
    assert [reason["code"] for reason in ended["weekly/bad"]["reasons"]] == ["field-unknown"]
    good = ended["weekly/good"]
    assert good["state"] == "succeeded" and good["output_bucket"] == person.folder.output_bucket
    (video,) = good["videos"]
    assert json.loads(person.read(video["sidecar"]))["job_id"] == good["job_id"]
    assert person.read(video["video"])[4:8] == b"ftyp"


def test_a_damaged_reference_is_refused_before_a_processing_job_starts(
    person: Person, spec_file: Callable[..., Path]
) -> None:
    s3 = person.cloud.client("s3")
    png = (SAMPLES / "star.png").read_bytes()
    s3.put_object(Bucket=person.folder.input_bucket, Key="jobs/cut.png", Body=png[:600])
    spec = spec_file("cut.json", image="cut.png")
    s3.upload_file(str(spec), person.folder.input_bucket, "jobs/cut.json")
    status = person.final("cut")
    assert status.state == State.REJECTED
    assert [problem.code for problem in status.problems] == ["reference-unreadable"]
    assert "cut.png" in person.mail("cut").get_content()


def test_deleting_the_spec_stops_its_processing_job(
    person: Person, spec_file: Callable[..., Path]
) -> None:
    bucket = person.folder.input_bucket
    spec = spec_file("long.json", num_inference_steps=100, variations=8)
    person.aws("s3", "cp", str(spec), f"s3://{bucket}/jobs/")
    running = person.eventually(
        lambda: (s := person.status("long")) and s.state == State.RUNNING and s
    )
    assert len(running.tasks) == 8
    person.aws("s3", "rm", f"s3://{bucket}/jobs/long.json")
    assert person.final("long").message.startswith("Canceled: its spec was deleted.")
    assert person.mail("long")["Subject"] == "reeldrop: long was canceled"
    sagemaker = person.cloud.client("sagemaker")

    def newest() -> Any:
        jobs = sagemaker.list_processing_jobs(SortBy="CreationTime", SortOrder="Descending")
        return jobs["ProcessingJobSummaries"][0]["ProcessingJobStatus"] == "Stopped"

    assert person.eventually(newest)


def test_a_newer_version_replaces_the_older_one(
    person: Person, spec_file: Callable[..., Path]
) -> None:
    bucket = person.folder.input_bucket
    for seed, steps in ((1, 100), (2, 2)):
        spec = spec_file("twice.json", seed=seed, num_inference_steps=steps, variations=3)
        person.aws("s3", "cp", str(spec), f"s3://{bucket}/jobs/")
        person.eventually(lambda: (s := person.status("twice")) and s.tasks and s)
        time.sleep(1.1)  # S3 gives the time of an upload in whole seconds
    assert person.final("twice").state == State.SUCCEEDED
    assert person.sidecar("twice-01").spec.seed == 2


def test_every_sample_works(person: Person, tmp_path: Path) -> None:
    """All samples are dropped at once. Folder defaults keep the number of steps low."""
    bucket, folder = person.folder.input_bucket, "jobs/samples/"
    defaults = tmp_path / "_defaults.yaml"
    defaults.write_text("num_inference_steps: 2\nenhance: false\n")
    person.aws("s3", "cp", str(defaults), f"s3://{bucket}/{folder}")
    person.aws(
        *("s3", "cp", "--recursive", str(SAMPLES), f"s3://{bucket}/{folder}"),
        *("--exclude", "cogvideox-*", "--exclude", "wan-*"),
    )
    planned = {"samples/plan-first", "samples/read-it-first"}
    paths = [
        s3_keys.path_of(f"{folder}{file.relative_to(SAMPLES).as_posix()}")
        for file in SAMPLES.rglob("*")
        if file.suffix in {".yaml", ".txt", ".json"}
        and not file.name.startswith(("_defaults", "cogvideox-", "wan-"))
    ] + ["samples/photos/square.jpg"]
    assert len(paths) >= 11
    for path in paths:
        wanted = State.PLANNED if path in planned else State.SUCCEEDED
        assert person.final(path).state == wanted, person.status(path)
    listed = person.final("samples/shapes")
    assert listed.state == State.HANDED_ON and len(listed.dropped) == 2
    for name in ("sunrise", "sunset"):
        assert person.final(f"samples/shapes/{name}").state == State.SUCCEEDED
    for number in (1, 2, 3, 4):
        frames = decoded(person.read(f"videos/samples/four-seeds-0{number}.mp4"), tmp_path)
        assert frames[0] == 17
        assert person.read(f"videos/samples/four-seeds-0{number}.gif").startswith(b"GIF89a")
    assert person.read("videos/samples/compare.jpg").startswith(b"\xff\xd8")
    assert person.sidecar("samples/remake").spec.strength == 0.7
    slow = person.sidecar("samples/slow-circle")
    assert (slow.model, slow.spec.model, slow.machine.device) == (None, None, "cpu")
    assert (slow.video.fps, slow.generated_fps, slow.video.duration_seconds) == (24.0, 8, 4.25)
    assert person.sidecar("samples/team/weekly").spec.tags == ("team",)
    assert person.read("review/samples/read-it-first.yaml")
    assert len(person.sidecar("samples/four-scenes").scenes) == 4
    assert person.read("videos/samples/four-scenes.scene04.mp4")


def dead_letters(person: Person) -> int:
    """Count the messages in all dead-letter queues of this deployment."""
    sqs = person.cloud.client("sqs")
    counts = [
        int(
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
                "Attributes"
            ]["ApproximateNumberOfMessages"]
        )
        for url in sqs.list_queues()["QueueUrls"]
        if "DeadLetters" in url and OTHER_DEPLOYMENT not in url
    ]
    assert len(counts) == 3
    return sum(counts)


@pytest.fixture(autouse=True)
def _no_dead_letters(person: Person) -> Iterator[None]:
    yield
    assert dead_letters(person) == 0, person.cloud.log_tail()


def test_the_policies_for_people_allow_what_they_need(person: Person) -> None:
    """Whoever drops may write below jobs/, and whoever watches may only read."""
    cloud, folder = person.cloud, person.folder
    iam = cloud.client("iam")

    def somebody(name: str, policy: str) -> Any:
        iam.create_user(UserName=name)
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        return client("s3", cloud.endpoint, credentials=credentials)

    def may(call: Callable[..., Any], bucket: str, key: str, **more: Any) -> bool:
        try:
            call(Bucket=bucket, **({"Key": key} if key else {}), **more)
        except ClientError as error:
            assert error.response["Error"]["Code"] in {"AccessDenied", "403"}, error
            return False
        return True

    cloud.client("s3").put_object(Bucket=folder.output_bucket, Key="videos/x.mp4", Body=b"1")
    drops, watches = (
        somebody("drops", folder.drop_policy_arn),
        somebody("watches", folder.watch_policy_arn),
    )
    for who, is_dropper in ((drops, True), (watches, False)):
        put = {"Body": b"not a spec"}
        assert may(who.put_object, folder.input_bucket, "jobs/x.md", **put) == is_dropper
        assert may(who.list_objects_v2, folder.input_bucket, "", Prefix="jobs/") == is_dropper
        assert may(who.get_object, folder.output_bucket, "videos/x.mp4")
        assert may(who.list_objects_v2, folder.output_bucket, "")
        assert not may(who.put_object, folder.input_bucket, "x.yaml", **put)
        assert not may(who.list_objects_v2, folder.input_bucket, "", Prefix="other/")
        assert not may(who.put_object, folder.output_bucket, "videos/x.mp4", **put)
        assert not may(who.get_object, folder.work_bucket, "models/demo/READY")
    assert may(drops.delete_object, folder.input_bucket, "jobs/x.md")
