"""One mail is about many jobs of a folder, or about files in it that are no drops."""

import pytest

from functions.replies.outbox import LETTER_CLAIM
from functions.replies.post import MaybeSent
from functions.stages.sweep import sweep
from functions.table.ledger import COLLECTED, DIGESTS, OUTBOX
from functions.table.records import Collected, Digest, Letter, State
from tests.fakes import PNG, World
from tests.functions.stored import jobs, tasks

JUNK = [
    *(f"notes-{number}.docx" for number in range(20)),
    *(f"table-{number}.xlsx" for number in range(20)),
    *(f"clip-{number}.webm" for number in range(10)),
    *(f"song-{number}.wma" for number in range(10)),
]


def sweep_after(world: World, minutes: float) -> None:
    world.pass_time(60 * minutes)
    sweep(world.ports)


def lines(world: World) -> list[str]:
    (mail,) = world.post.sent
    return mail.body.splitlines()


def nothing_left(world: World) -> bool:
    kinds = ((OUTBOX, Letter), (COLLECTED, Collected), (DIGESTS, Digest))
    return not any(world.ledger.query(partition, kind) for partition, kind in kinds)


def test_sixty_files_of_junk_make_no_job_and_one_mail(world: World) -> None:
    for name in JUNK:
        world.drop(f"jobs/team/{name}", b"PK\x03\x04")
        world.clock.move(seconds=1)
    assert not world.post.sent and not tasks(world)
    assert {job.state for job in jobs(world)} == {State.REJECTED}
    for name in JUNK:
        assert "Fix: " in world.files.read("output", f"rejected/team/{name}.txt").decode()
    for _ in range(3):
        sweep_after(world, 5)
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: jobs/team has 60 files that are no drops"
    assert len(mail.body.encode()) < 8 * 1024
    assert "jobs/team/notes-0.docx" in mail.body and "and 10 more" in mail.body
    assert "a WebM video" in mail.body and "prefix=rejected/team/\n" in mail.body
    assert mail.attributes["status"] == ("rejected",) and mail.attributes["path"] == "team/"
    assert nothing_left(world)


def test_files_that_are_no_drops_make_one_mail_a_day(world: World) -> None:
    world.drop("jobs/bee.docx")
    sweep_after(world, 5)
    for name in ("a.docx", "b.docx"):
        world.drop(f"jobs/{name}")
    for _ in range(23):
        sweep_after(world, 60)
    assert len(world.post.sent) == 1
    sweep_after(world, 60)
    first, second = world.post.sent
    assert "1 file that is no drop" in first.subject
    assert "2 files that are no drops" in second.subject
    assert nothing_left(world)


def test_folders_beside_jobs_and_other_folders_have_their_own_mails(world: World) -> None:
    for key in ("bee.yaml", "Jobs/bee.yaml", "Jobs/cat.yaml", "jobs/a/x.docx", "jobs/b/x.docx"):
        world.drop(key)
    sweep_after(world, 5)
    assert sorted(mail.subject for mail in world.post.sent) == [
        "reeldrop: Jobs has 2 files that are no drops",
        "reeldrop: jobs/a has 1 file that is no drop",
        "reeldrop: jobs/b has 1 file that is no drop",
        "reeldrop: the top of the bucket has 1 file that is no drop",
    ]
    (mail,) = [mail for mail in world.post.sent if "Jobs has" in mail.subject]
    assert "s3://input/jobs/cat.yaml" in mail.body


def test_the_mail_waits_until_nothing_more_comes_but_not_for_ever(world: World) -> None:
    for number in range(70):
        world.drop(f"jobs/{number}.docx")
        sweep_after(world, 1)
        assert bool(world.post.sent) == (number >= 60 - 1), number


def digest_folder(world: World) -> None:
    """Ends jobs of a folder in every way, but for one that is rendered."""
    world.drop("jobs/w/_defaults.yaml", "notify: digest\ntags: [weekly]\nenhance: false\n")
    world.drop("jobs/w/good.yaml")
    world.drop("jobs/w/three.yaml", "prompt: a bee\nvariations: 3\n")
    world.drop("jobs/w/unreadable.yaml", "prompt: [")
    world.drop("jobs/w/wrong.yaml", "prompt: a bee\nimage: s3://a/b.png\nsteps: 5\n")
    world.drop("jobs/w/plan.yaml", "prompt: a bee\ndry_run: true\n")
    world.drop("jobs/w/review.yaml", "prompt: a bee\nenhance: review\n")
    world.drop("jobs/w/deleted.yaml", "image: never.png\n")
    world.delete("jobs/w/deleted.yaml")


def test_a_digest_comes_when_nothing_of_the_folder_is_queued_or_runs(world: World) -> None:
    digest_folder(world)
    sweep_after(world, 10)
    assert not world.post.sent
    (attempt,) = world.dispatch()
    sweep_after(world, 10)
    assert not world.post.sent
    failing = next(task.task_id for task in tasks(world) if task.task_id.startswith("three"))
    world.render(attempt, failing=failing)
    sweep_after(world, 1)
    assert not world.post.sent
    sweep_after(world, 5)
    (mail,) = world.post.sent
    assert mail.subject == (
        "reeldrop: jobs/w: 2 refused, 1 failed, 1 to review, 1 canceled, 1 planned, 1 ready"
    )
    said = [line for line in lines(world) if line.startswith("jobs/w/")]
    assert said == [
        "jobs/w/unreadable.yaml was refused.",
        "jobs/w/wrong.yaml was refused.",
        "jobs/w/three.yaml failed.",
        "jobs/w/review.yaml needs your review.",
        "jobs/w/deleted.yaml was canceled.",
        "jobs/w/plan.yaml was planned.",
        "jobs/w/good.yaml is ready.",
    ]
    for prefix in (
        "rejected/w/wrong.txt",
        "failed/w/three.txt",
        "videos/w/good.mp4",
        "review/w/review.yaml",
        "status/w/plan.json",
        "videos/w/",
        "rejected/w/",
    ):
        assert f"prefix={prefix}\n" in mail.body  # fmt: skip
    assert "1 of 3 videos could not be made." in mail.body
    assert "[reference-place] (1 more)" in mail.body
    assert mail.attributes["tags"] == ("weekly",) and mail.attributes["path"] == "w/"
    assert mail.attributes["status"] == (
        "canceled", "failed", "planned", "rejected", "succeeded"
    )  # fmt: skip
    assert nothing_left(world)


def test_a_digest_comes_after_an_hour_although_the_folder_is_busy(world: World) -> None:
    digest_folder(world)
    sweep_after(world, 55)
    assert not world.post.sent
    sweep_after(world, 6)
    assert "2 refused" in world.post.sent[0].subject
    world.render(world.dispatch()[0])
    sweep_after(world, 5)
    assert [mail.subject for mail in world.post.sent[1:]] == ["reeldrop: jobs/w: 2 ready"]


def test_another_folder_that_is_busy_does_not_delay_a_digest(world: World) -> None:
    world.drop("jobs/other/bee.yaml")
    world.drop("jobs/w/plan.yaml", "prompt: a bee\ndry_run: true\nnotify: digest\n")
    world.dispatch()
    world.drop("jobs/other/cat.yaml")
    sweep_after(world, 5)
    assert [mail.subject for mail in world.post.sent] == ["reeldrop: jobs/w: 1 planned"]


def test_a_job_a_mail_stays_the_default_and_a_spec_overrides_its_folder(world: World) -> None:
    world.drop("jobs/w/_defaults.yaml", "notify: digest\n")
    world.drop("jobs/w/own.yaml", "prompt: a bee\ndry_run: true\nnotify: true\n")
    world.drop("jobs/w/none.yaml", "prompt: a bee\ndry_run: true\nnotify: false\n")
    world.drop("jobs/x/plan.yaml", "prompt: a bee\ndry_run: true\n")
    world.drop("jobs/x/bad.yaml", "prompt: [")
    subjects = [mail.subject for mail in world.post.sent]
    sweep_after(world, 5)
    assert (
        subjects
        == [mail.subject for mail in world.post.sent]
        == [
            "reeldrop: w/own was planned",
            "reeldrop: x/plan was planned",
            "reeldrop: x/bad was refused",
        ]
    )


def test_five_hundred_jobs_with_long_names_fit_into_a_mail_and_a_record(world: World) -> None:
    world.drop("jobs/_defaults.yaml", "notify: digest\ntags: [" + ", ".join(["x" * 64]) + "]\n")
    for number in range(520):
        world.drop(f"jobs/{'虫' * 60}-{number}.yaml", f"prompt: a\n{'y' * 500}{number}: 1\n")
    sweep_after(world, 5)
    sweep_after(world, 5)
    assert [mail.subject for mail in world.post.sent] == [
        "reeldrop: jobs: 500 refused", "reeldrop: jobs: 20 refused",
    ]  # fmt: skip
    for mail in world.post.sent:
        assert len(mail.body.encode()) < 8 * 1024
    assert " more are in the folders below." in world.post.sent[0].body
    assert nothing_left(world)


def test_nothing_that_a_person_wrote_adds_a_line_to_a_digest_or_makes_it_long(
    world: World,
) -> None:
    folder = "a\nBcc: x@y.z" + "ü" * 400
    world.drop(f"jobs/{folder}/\r\nBcc: x@y.z.docx")
    world.drop(f"jobs/{folder}/b.yaml", "prompt: a\nnotify: digest\ndry_run: true\n")
    world.drop("jobs/c.yaml", 'notify: digest\nprompt: "a\\r\\nBcc: x@y.z"\nsteps: 1\n')
    sweep_after(world, 5)
    assert len(world.post.sent) == 3
    for mail in world.post.sent:
        assert len(mail.body.encode()) < 8 * 1024 and "\nBcc" not in mail.body


def test_a_digest_that_sns_may_have_sent_is_sent_again_and_says_so(world: World) -> None:
    world.drop("jobs/bee.docx")
    world.post.loses_answers = True
    world.clock.move(minutes=5)
    with pytest.raises(ExceptionGroup) as raised:
        sweep(world.ports)
    assert raised.group_contains(MaybeSent)
    world.drop("jobs/cat.docx")
    world.post.loses_answers = False
    world.clock.move(seconds=LETTER_CLAIM.total_seconds() + 1)
    sweep(world.ports)
    first, second = world.post.sent
    assert "already" not in first.body and "You may have this mail already" in second.body
    assert first.attributes["digest_id"] == second.attributes["digest_id"]
    sweep_after(world, 24 * 60)
    assert "cat.docx" in world.post.sent[2].body and nothing_left(world)


def test_a_picture_is_no_junk(world: World) -> None:
    world.drop("jobs/bee.png", PNG)
    sweep_after(world, 5)
    assert not world.post.sent and not jobs(world)
