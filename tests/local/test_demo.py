"""What `make demo` drops and shows, tested without a cloud. tests/e2e tests it with one."""

import io
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from contract.errors import Notice
from functions.replies.status import Status, TaskStatus
from functions.table.records import State
from local import ROOT
from local.command import demo, job_files
from local.command.jobs_folder import JobsFolder

SAMPLES = ROOT / "samples"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def belongings(spec: Path) -> list[str]:
    jobs = JobsFolder.around(spec)
    return [target for _, target in job_files.belongings(jobs, jobs.key(spec))]


def test_defaults_and_references_belong_to_a_spec() -> None:
    assert belongings(SAMPLES / "star-from-a-picture.yaml") == ["jobs/star.png"]
    assert belongings(SAMPLES / "team" / "weekly.yaml") == ["jobs/_defaults.yaml"]


def test_an_image_alone_does_not_belong_to_itself() -> None:
    assert belongings(SAMPLES / "photos" / "square.jpg") == ["jobs/_defaults.yaml"]


def test_nothing_belongs_to_a_spec_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("prompt: [\n")
    assert belongings(tmp_path / "bad.yaml") == []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the demo on a cloud that does nothing. The job ends in the given state."""
    monkeypatch.setattr(demo, "_MAIL_SECONDS", 0.1)
    monkeypatch.setattr(demo, "_copy", lambda *_: None)

    s3 = SimpleNamespace(download_file=lambda _bucket, _key, to: Path(to).write_bytes(b""))
    cloud: Any = SimpleNamespace(
        state=tmp_path / "cloud", log_tail=lambda: "", client=lambda _service: s3
    )
    folder: Any = SimpleNamespace(input_bucket="input", output_bucket="output")

    def demo_of(spec: Path, state: State) -> tuple[int, str]:
        status = Status(
            job_id="1",
            path=spec.stem,
            state=state,
            message="",
            created_at=NOW,
            updated_at=NOW,
            tasks=(
                TaskStatus(
                    task_id="1-1",
                    state=state,
                    percent=100,
                    attempt=1,
                    video=f"videos/{spec.stem}.mp4" if state == State.SUCCEEDED else None,
                ),
            ),
            warnings=(Notice(code="outside-its-world", message="Name a shape."),),
        )
        monkeypatch.setattr(demo, "_follow", lambda *_: status)
        output = io.StringIO()
        console = Console(file=output, soft_wrap=True)
        return demo._run(spec, tmp_path / "out", cloud, folder, console), output.getvalue()

    return demo_of


def test_without_mail_all_other_files_are_fetched(run: Any, tmp_path: Path) -> None:
    status, output = run(SAMPLES / "program.json", State.SUCCEEDED)
    assert status == 0
    assert "notify is false" in output and "note     Name a shape." in output
    names = {file.name for file in (tmp_path / "out").iterdir()}
    suffixes = ("mp4", "json", "jpg", "gif", "h265.mp4", "webm")
    assert names == {f"program.{suffix}" for suffix in suffixes}


@pytest.mark.parametrize(
    ("state", "fetched"),
    [(State.SUCCEEDED, "bee.mp4"), (State.REJECTED, "bee.txt"), (State.PLANNED, "bee.yaml")],
)
def test_a_missing_mail_fails_after_all_other_files_are_fetched(
    run: Any, tmp_path: Path, state: State, fetched: str
) -> None:
    with pytest.raises(demo.DemoFailed, match="No mail"):
        run(SAMPLES / "bee.yaml", state)
    assert (tmp_path / "out" / fetched).exists()


def test_the_mail_is_fetched(run: Any, tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "reeldrop: bee is ready"
    outbox = tmp_path / "cloud" / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "1.eml").write_bytes(mail.as_bytes())
    status, output = run(SAMPLES / "bee.yaml", State.SUCCEEDED)
    assert status == 0 and "(reeldrop: bee is ready)" in output
    assert (tmp_path / "out" / "bee.eml").exists()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("notify: false\nprompt: [\n", True), ("notify: false\nseed: 1\n", False)],
    ids=["cannot be read", "is read and then refused"],
)
def test_a_mail_about_a_refusal_is_expected_unless_notify_is_known_to_be_false(
    run: Any, tmp_path: Path, spec: str, expected: bool
) -> None:
    (tmp_path / "bad.yaml").write_text(spec)
    if expected:
        with pytest.raises(demo.DemoFailed, match="No mail"):
            run(tmp_path / "bad.yaml", State.REJECTED)
    else:
        assert run(tmp_path / "bad.yaml", State.REJECTED)[0] == 1


@pytest.mark.parametrize("name", ["star.png", "photos/_defaults.yaml"])
def test_a_file_that_starts_no_job_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(demo.DemoFailed, match="does not start a job"):
        demo.demo(tmp_path, SAMPLES / name, tmp_path, Console(file=io.StringIO()))
