"""Sends what is owed when jobs have ended: events, and mails about a job or several of a folder.

The event about the end of a job is for other systems. It is sent first, and then the mail. If a
digest will list the job instead, that is noted, and the sweep makes and sends the digest.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from contract.catalogue import NO_MODEL
from functions import s3_keys
from functions.planning.estimate import Cost, Making, cost
from functions.ports import WithFiles
from functions.replies.bus import WithBus
from functions.replies.digest import digest_of
from functions.replies.forecast import forecast
from functions.replies.job_ended import job_ended
from functions.replies.mail import Made, Mail, VideoLink, mail_of
from functions.replies.post import MaybeSent, WithPost
from functions.settings import WithSettings
from functions.table.ledger import (
    Change,
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


class Needs(NeedsLedgerAndClock, WithFiles, WithSettings, WithPost, WithBus, Protocol):
    """What sending an event and a mail uses."""


def deliver(ports: Needs, job_id: str) -> None:
    """Send the event and the mail about the end of a job, and note that the job is settled.

    Neither EventBridge nor SNS can send exactly once. If a handler is killed after one of them
    accepted, and before the letter says so, or if an answer is lost, the same is sent again. The
    mail then says so, and the event has the same id. Nothing else sends one of them twice.

    If EventBridge refuses the event, the mail is sent all the same, and the event is still owed.

    Raises:
        Exception: EventBridge or SNS does not confirm. The sweep tries again.
    """
    letter = _claimed(ports, ports.ledger.get(letter_key(job_id)))
    if letter is None:
        return
    record = ports.ledger.get(job_key(job_id))
    assert record is not None  # a letter is committed together with its job
    job, now = record.document, letter.document
    tasks = [task.document for task in tasks_of(ports, job_id)]
    refusal = None if now.event_sent else _event_refused(ports, job, tasks)
    if refusal is None:
        now = now.event_was_sent()
    others: list[Change] = []
    if job.wants_mail and not now.people_know:
        if job.digest is None:
            letter = _noted(ports, letter, now)
            _send(ports, letter, lambda again: _mail(ports, job, tasks, again=again))
        else:
            others.append(_collected(ports, job, job.digest))
    if refusal is None:
        _noted(ports, letter, None, *others)
        return
    _noted(ports, letter, now.people_were_told().not_sent(), *others)
    raise refusal


def deliver_digest(ports: Needs, record: Record[Digest]) -> None:
    """Send a digest, unless another handler sends it. It may come twice for the same reasons."""
    digest = _claimed(ports, record)
    if digest is None:
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

    _send(ports, digest, built)
    _noted(ports, digest, None)


def _event_refused(ports: Needs, job: Job, tasks: list[Task]) -> Exception | None:
    """Send the event about the end of a job. Returns why it may not have been sent."""
    event = job_ended(job, tasks, _cost(ports, tasks), output_bucket=ports.settings.output_bucket)
    try:
        ports.bus.put(event.model_dump_json())
    except Exception as error:
        return error
    return None


def _collected(ports: Needs, job: Job, kind: DigestKind) -> Change:
    """The change that notes that a digest will tell of a job."""
    collected = Collected(
        job_id=job.job_id, kind=kind, folder=s3_keys.parent(job.source.key), at=ports.now()
    )
    return Put(collected_key(collected), collected)


def _send(ports: Needs, owed: Record[Owed], build: Callable[[bool], Mail]) -> None:
    """Send a mail that this handler has claimed.

    Args:
        owed: what notes that the mail is owed.
        build: builds the mail. It gets to know whether SNS may have sent it already.
    """
    mail = build(owed.document.tries > 1)
    try:
        ports.post.send(mail.subject, mail.body, dict(mail.attributes))
    except MaybeSent:
        raise
    except Exception:
        _noted(ports, owed, owed.document.not_sent())
        raise


def _claimed(ports: NeedsLedgerAndClock, owed: Record[Owed] | None) -> Record[Owed] | None:
    """Claim what is owed. Returns None if nothing is, or if another handler sends it."""
    if owed is None or not _is_due(owed.document, ports.now()):
        return None
    claimed = owed.document.claimed(ports.now())
    try:
        ports.ledger.commit(Put(owed.key, claimed, owed.revision))
    except Conflict:
        return None
    return Record(owed.key, claimed, owed.revision + 1)


def _is_due(owed: Letter | Digest, now: datetime) -> bool:
    """Whether a mail may be claimed: nobody has claimed it, or it is not known what came of that.

    The wait doubles with each try, so that few mails are sent again while SNS answers too late.
    """
    if owed.claimed_at is None:
        return True
    times: int = 2 ** min(max(0, owed.tries - 1), _MOST_DOUBLINGS)
    return now - owed.claimed_at >= min(LETTER_CLAIM * times, LONGEST_CLAIM)


def _noted(
    ports: WithLedger, owed: Record[Owed], after: Owed | None, *others: Change
) -> Record[Owed]:
    """Note what has become of something that this handler has claimed.

    If the record was changed meanwhile, another handler has claimed it, and will do this.

    Args:
        owed: the record as this handler left it.
        after: what it is from now on; None if nothing is owed any more.
        others: changes to make in the same commit.
    """
    if owed.document == after:
        return owed

    def note() -> None:
        current = ports.ledger.get(owed.key)
        if current is None or current.document != owed.document:
            return
        change: Change = Remove(current.key, current.revision)
        if after is not None:
            change = Put(current.key, after, current.revision)
        ports.ledger.commit(change, *others)

    retried(f"what is owed about {owed.key.sort}", note)
    return Record(owed.key, after or owed.document, owed.revision + 1)


def _mail(ports: Needs, job: Job, tasks: list[Task], *, again: bool) -> Mail:
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
    links = []
    for task in (task for task in tasks if task.state == State.SUCCEEDED):
        video = s3_keys.published(job.path, task.number, job.task_count).video
        links.append(VideoLink(video=video, link=ports.files.link(output, video, seconds)))
    return Made(
        links=tuple(links),
        links_end_at=ports.now() + timedelta(seconds=seconds),
        cost=_cost(ports, tasks),
    )


def _cost(ports: Needs, tasks: list[Task]) -> Cost | None:
    """What the videos cost that were made or planned. None: there are none, or they are free."""
    # The demo model renders where its user is, which costs nothing.
    free = {"demo", NO_MODEL} if ports.settings.default_model == "demo" else {"demo"}
    counted = [task for task in tasks if task.state in {State.SUCCEEDED, State.PLANNED}]
    makings = [Making.of(task.spec, task.clip) for task in counted if task.model not in free]
    return cost(learned_rates(ports), makings, ports.settings) if makings else None
