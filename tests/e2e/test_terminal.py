"""A drop folder from a terminal: `reeldrop drop`, `ls`, `status`, `cancel` and `open`."""

import io
import json
import re
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from functions.table.records import State
from local import ROOT
from local.__main__ import main
from local.cloud.clients import Credentials, client
from local.command import drop
from local.command.account import DropBuckets
from tests.e2e.conftest import Person
from tests.fakes import PNG


@pytest.fixture
def outputs(person: Person, tmp_path: Path) -> Path:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(person.folder.as_outputs()))
    return file


def spec(folder: Path, name: str, **fields: object) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(json.dumps({"prompt": "a bee", "num_inference_steps": 2, **fields}))
    return file


def test_a_spec_is_dropped_with_what_it_needs_and_its_videos_are_fetched(
    person: Person, outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    pictured = spec(folder, "pictured.json", image="star.png", variations=2)
    (folder / "star.png").write_bytes(PNG)
    (folder / "_defaults.yaml").write_text("guidance_scale: 3\n")
    out = tmp_path / "out"
    arguments = ["drop", str(pictured), "--to", "term", "--wait", "--out", str(out)]
    assert main([*arguments, "--outputs", str(outputs)]) == 0
    names = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    numbered = {f"term/pictured-0{n}.{kind}" for n in (1, 2) for kind in ("mp4", "json", "jpg")}
    assert names == numbered | {"term/pictured.jpg"}
    sidecar = json.loads((out / "term" / "pictured-01.json").read_text())
    assert sidecar["spec"]["guidance_scale"] == 3
    first = capsys.readouterr().out
    uploads = re.findall(r"-> (\S+)", first)
    assert uploads == ["jobs/term/_defaults.yaml", "jobs/term/star.png", "jobs/term/pictured.json"]

    assert main(["status", "jobs/term/pictured.json", "--outputs", str(outputs)]) == 0
    assert f"s3://{person.folder.output_bucket}/videos/term/pictured-02.mp4" in (
        capsys.readouterr().out
    )
    assert main(["open", "term/pictured", "--print", "--outputs", str(outputs)]) == 0
    links = capsys.readouterr().out.split()
    assert len(links) == 2 and all(link.startswith(person.folder.endpoint) for link in links)

    assert main([*arguments[:4], "--outputs", str(outputs)]) == 0
    again = re.findall(r"-> (\S+)", capsys.readouterr().out)
    assert again == ["jobs/term/pictured.json"], "the others are there already"
    person.final("term/pictured")


def test_a_list_is_dropped_and_its_rows_are_followed(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "star.png").write_bytes(PNG)
    table = tmp_path / "shapes.csv"
    rows = "name;prompt;image;num_inference_steps\nbee;a bee;star.png;2\nfly;a fly;;none\n"
    table.write_text(rows)
    out = tmp_path / "out"
    arguments = ["drop", str(table), "--wait", "--out", str(out), "--outputs", str(outputs)]
    assert main(arguments) == 1, "a row is bad"
    shown = capsys.readouterr().out
    assert re.findall(r"-> (\S+)", shown) == ["jobs/star.png", "jobs/shapes.csv"]
    words = " ".join(shown.split())
    assert "1 row of jobs/shapes.csv cannot be used" in words and "row 3, column 4" in words
    assert (out / "shapes" / "bee.mp4").is_file()
    table.write_text(rows.replace("none", "2"))
    assert main(arguments) == 0
    assert (out / "shapes" / "fly.mp4").is_file()


def test_a_refusal_is_shown_where_the_person_is(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = spec(tmp_path / "mine", "wrong.json", sede=1)
    planned = spec(tmp_path / "mine", "planned.json", dry_run=True)
    arguments = ["drop", str(wrong), str(planned), "--wait", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--outputs", str(outputs)]) == 1
    shown = capsys.readouterr().out
    assert "sede" in shown and "Did you mean" in shown
    assert "Dry run: this would make 1 video" in shown


def test_a_job_is_listed_and_canceled(
    person: Person, outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = spec(tmp_path / "mine", "waits.json", image="never.png")
    assert main(["drop", str(waits), "--outputs", str(outputs)]) == 0
    person.waiting("waits")
    assert main(["ls", "wai", "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert "waiting" in shown and "jobs/never.png" in shown
    assert main(["cancel", "waits.json", "--outputs", str(outputs)]) == 0
    assert person.final("waits").state == State.CANCELED
    assert main(["cancel", "waits", "--outputs", str(outputs)]) == 1
    assert "There is no spec of waits" in capsys.readouterr().out


def test_the_drop_policy_is_all_that_a_person_needs(person: Person, tmp_path: Path) -> None:
    folder, cloud = person.folder, person.cloud
    iam = cloud.client("iam")
    iam.create_user(UserName="terminal")
    iam.attach_user_policy(UserName="terminal", PolicyArn=folder.drop_policy_arn)
    key = iam.create_access_key(UserName="terminal")["AccessKey"]
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    s3 = client("s3", cloud.endpoint, credentials=credentials)
    buckets = DropBuckets(s3, folder.input_bucket, folder.output_bucket)
    console = Console(file=io.StringIO())
    (tmp_path / "star.png").write_bytes(PNG)
    file = spec(tmp_path, "rights.json", image="star.png", dry_run=True)
    for _ in range(2):
        dropped = drop.drop(buckets, [file], "people", console)
        assert drop.drop_and_wait(buckets, dropped, tmp_path / "out", console) == 0
    drop.show_jobs(buckets, "people/", 10, console)
    drop.show_status(buckets, "people/rights", console)
    somebody_without_rights(person, buckets, console)
    drop.cancel(buckets, "people/rights", console)


def somebody_without_rights(person: Person, buckets: DropBuckets, console: Console) -> None:
    """A missing right is not taken for a missing file."""
    iam = person.cloud.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    s3 = client("s3", person.cloud.endpoint, credentials=credentials)
    denied = DropBuckets(s3, buckets.input_bucket, buckets.output_bucket)
    for command in (drop.show_status, drop.cancel):
        with pytest.raises(ClientError, match=r"AccessDenied|403|Forbidden"):
            command(denied, "people/rights", console)


def test_a_newer_drop_ends_the_waiting(
    person: Person, outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = spec(tmp_path / "mine", "newer.json", image="never-2.png")
    ended: list[int] = []
    arguments = ["drop", str(file), "--wait", "--out", str(tmp_path), "--outputs", str(outputs)]
    thread = threading.Thread(target=lambda: ended.append(main(arguments)))
    thread.start()
    person.waiting("newer")
    newer = spec(tmp_path / "other", "newer.json", dry_run=True)
    person.aws("s3", "cp", str(newer), f"s3://{person.folder.input_bucket}/jobs/")
    thread.join(60)
    assert ended == [1]
    assert "A newer file was dropped as jobs/newer.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drop", "no-such.yaml"], "There is no file no-such.yaml."),
        (["drop", str(ROOT / "samples" / "star.png")], "is not a job spec"),
        (["drop", str(ROOT / "samples" / "bee.yaml"), "--to", "../videos"], "below jobs/"),
        (["status", "nobody"], "There is no job nobody."),
        (["open", "nobody"], "There is no job nobody."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    outputs: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--outputs", str(outputs)]) == 1
    shown = capsys.readouterr().out
    assert said in shown and "Traceback" not in shown


def test_without_credentials_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert main(["--home", str(tmp_path), "ls"]) == 1
    assert "Set credentials and a region" in capsys.readouterr().out
