"""Sends the mails that are owed: about a job, or about several jobs of a folder.

A mail of a job is sent when the job has ended. If a digest will list the job instead, that is
noted, and the sweep makes and sends the digest.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from contract.catalogue import NO_MODEL
from functions import s3_keys
from functions.planning.estimate import Making, cost
from functions.ports import WithFiles
from functions.replies.digest import digest_of
from functions.replies.forecast import forecast
from functions.replies.mail import Made, Mail, VideoLink, mail_of
from functions.replies.post import MaybeSent, WithPost
from functions.settings import WithSettings
from functions.table.ledger import (
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    Remove,
    WithLedger,
    collected_key,
    job_key,
    letter_key,
    retried,
)
from functions.table.rates import learned_rates
from functions.table.records import Collected, Digest, DigestKind, Job, Letter, State, Task
from functions.table.tasks import tasks_of

# None of our functions runs for longer than five minutes (stacks/). So if a letter was claimed
# longer ago and is still there, its handler was killed.
LETTER_CLAIM = timedelta(minutes=6)
LONGEST_CLAIM = timedelta(hours=4)
_MOST_DOUBLINGS = 10

Owed = TypeVar("Owed", Letter, Digest)


class NeedsForTable(NeedsLedgerAndClock, Protocol):
    """What noting that a digest will list a job uses."""


class Needs(NeedsLedgerAndClock, WithFiles, WithSettings, WithPost, Protocol):
    """What sending a mail uses."""


def deliver(ports: Needs, job_id: str) -> None:
    """Send the mail about the end of a job, if one is owed, and note that the job is settled.

    SNS cannot send exactly once. If a handler is killed after SNS accepted the mail and before the
    letter is removed, or if SNS's answer is lost, the mail is sent again, and says so. Nothing else
    sends a mail twice.
    """
    letter = ports.ledger.get(letter_key(job_id))
    if letter is None or not _is_due(letter.document, ports.now()):
        return
    record = ports.ledger.get(job_key(job_id))
    assert record is not None  # a letter is committed together with its job
    job = record.document
    if not job.wants_mail:
        _settled(ports, letter)
    elif job.digest is not None:
        _collect(ports, letter, job, job.digest)
    else:
        _send(ports, letter, lambda again: _mail(ports, job, again=again))


def deliver_digest(ports: Needs, record: Record[Digest]) -> None:
    """Send a digest, unless another handler sends it. It may come twice for the same reasons."""
    if not _is_due(record.document, ports.now()):
        return

    def built(again: bool) -> Mail:
        jobs = ports.ledger.get_all([job_key(job_id) for job_id in record.document.job_ids])
        return digest_of(
            record.document,
            [job.document for job in jobs if job is not None],
            output_bucket=ports.settings.output_bucket,
            region=ports.region,
            again=again,
        )

    _send(ports, record, built)


def _collect(ports: NeedsForTable, letter: Record[Letter], job: Job, kind: DigestKind) -> None:
    """Note that a digest will tell of a job, and that the job is settled.

    Raises:
        Conflict: another handler did this at the same time.
    """
    collected = Collected(
        job_id=job.job_id, kind=kind, folder=s3_keys.parent(job.source.key), at=ports.now()
    )
    ports.ledger.commit(
        Remove(letter.key, letter.revision), Put(collected_key(collected), collected)
    )


def _send(ports: Needs, owed: Record[Owed], build: Callable[[bool], Mail]) -> None:
    """Claim a mail, send it, and note that it was sent.

    Args:
        owed: what notes that the mail is owed.
        build: builds the mail. It gets to know whether SNS may have sent it already.
    """
    claimed = owed.document.claimed(ports.now())
    try:
        ports.ledger.commit(Put(owed.key, claimed, owed.revision))
    except Conflict:
        return
    mail = build(claimed.tries > 1)
    try:
        ports.post.send(mail.subject, mail.body, dict(mail.attributes))
    except MaybeSent:
        raise
    except Exception:
        ports.ledger.commit(Put(owed.key, claimed.not_sent(), owed.revision + 1))
        raise
    _settled(ports, Record(owed.key, claimed, owed.revision + 1))


def _is_due(owed: Letter | Digest, now: datetime) -> bool:
    """Whether a mail may be claimed: nobody has claimed it, or it is not known what came of that.

    The wait doubles with each try, so that few mails are sent again while SNS answers too late.
    """
    if owed.claimed_at is None:
        return True
    times: int = 2 ** min(max(0, owed.tries - 1), _MOST_DOUBLINGS)
    return now - owed.claimed_at >= min(LETTER_CLAIM * times, LONGEST_CLAIM)


def _settled(ports: WithLedger, owed: Record[Owed]) -> None:
    """Remove the note. If it was changed, another handler has claimed it, and will remove it."""

    def remove() -> None:
        current = ports.ledger.get(owed.key)
        if current is not None and current.document == owed.document:
            ports.ledger.commit(Remove(current.key, current.revision))

    retried(f"the mail {owed.key.sort}", remove)


def _mail(ports: Needs, job: Job, *, again: bool) -> Mail:
    tasks = [task.document for task in tasks_of(ports, job.job_id)]
    return mail_of(
        job,
        tasks,
        _made(ports, job, tasks),
        forecast(ports, tasks),
        output_bucket=ports.settings.output_bucket,
        region=ports.region,
        again=again,
    )


def _made(ports: Needs, job: Job, tasks: list[Task]) -> Made:
    output, seconds = ports.settings.output_bucket, ports.settings.link_seconds
    done = [task for task in tasks if task.state == State.SUCCEEDED]
    links = []
    for task in done:
        video = s3_keys.published(job.path, task.number, job.task_count).video
        links.append(VideoLink(video=video, link=ports.files.link(output, video, seconds)))
    # The demo model renders where its user is, which costs nothing.
    free = {"demo", NO_MODEL} if ports.settings.default_model == "demo" else {"demo"}
    makings = [Making.of(task.spec, task.clip) for task in done if task.model not in free]
    return Made(
        links=tuple(links),
        links_end_at=ports.now() + timedelta(seconds=seconds),
        cost=cost(learned_rates(ports), makings, ports.settings) if makings else None,
    )
