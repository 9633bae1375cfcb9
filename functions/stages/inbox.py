"""Finds drops in the input bucket whose event was lost, and announces them again.

The bucket is listed page by page. After each page the table notes where the next sweep continues.
So a round over the whole bucket may take several sweeps. Only drops that came since the last round
cost more than their place in a listing. The first round of a version that has a gallery also adds
the jobs to it that ended before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import FileFacts, Listed, Missing, WithAnnounce, WithFiles
from functions.replies import gallery
from functions.settings import WithSettings
from functions.spec.input_bucket import InputBucket
from functions.stages import accept, lone, submit
from functions.table.jobs import last_try
from functions.table.ledger import (
    LOOKED_AT,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    WithLedger,
    asked_key,
    defaults_key,
    job_key,
    used_key,
)
from functions.table.noted import animates, noted_above
from functions.table.records import Looked
from functions.table.references import note_lone, refused_for

# The sweep ignores younger drops, because their events may still come.
INBOX_TO = timedelta(minutes=2)
# How far the first round looks back. Each later round begins where the last one began, less the
# overlap. The overlap is needed because the time of an object is when its upload began.
INBOX_FROM = timedelta(hours=6)
OVERLAP = timedelta(minutes=30)
# A drop without a job is announced in each round until it is this old, and then more rarely. While
# submit fails, each announcement ends in the dead-letter queue.
OFTEN_UNTIL = timedelta(hours=2)
REPEAT_EVERY = timedelta(hours=1)
# How many drops are looked up in the table with one call.
TOGETHER = 100
# Up to this many drops, one call for each is cheaper than one that lists all versions near them.
A_FEW = 10


class Needs(NeedsLedgerAndClock, WithFiles, WithSettings, WithLog, WithAnnounce, Protocol):
    """What looking through the input bucket uses."""


@dataclass(frozen=True)
class _Drop:
    """A file that may be without its job."""

    key: str
    facts: FileFacts

    @property
    def kind(self) -> s3_keys.Kind:
        return s3_keys.kind_of(self.key)


def look_through(ports: Needs, until: datetime) -> list[Exception]:
    """Look through the input bucket, from where the last sweep stopped, and announce lost drops.

    Stops at the end of the bucket, or when the time is up.

    Returns:
        The errors. A drop with an error is looked at again in the next round.

    Raises:
        Transient: try again later. The next sweep continues from the same place.
    """
    errors: list[Exception] = []
    record = _round(ports)
    while record.document.under_way:
        looked = record.document
        page = ports.files.page(ports.settings.input_bucket, "", looked.round_after)
        for start in range(0, len(page.objects), TOGETHER):
            some = page.objects[start : start + TOGETHER]
            looked = looked.passed(some[-1].key, _look_at(ports, looked, some, errors))
            looked = _fill_gallery(ports, looked, some, errors)
            if ports.now() >= until:
                break
        else:
            looked = looked if page.more else looked.completed()
        try:
            ports.ledger.commit(Put(LOOKED_AT, looked, record.revision))
        except Conflict:
            break  # another sweep runs at the same time
        record = Record(LOOKED_AT, looked, record.revision + 1)
        if ports.now() >= until:
            break
    return errors


def _round(ports: NeedsLedgerAndClock) -> Record[Looked]:
    """The round that is under way, or a new one, which is not written yet."""
    now = ports.now()
    record = ports.ledger.get(LOOKED_AT)
    if record is None:
        # No job is older than this version, so the gallery has all of them.
        first = Looked(until=now - INBOX_FROM, gallery_filled=True)
        record = Record(LOOKED_AT, first, 0)
    if record.document.under_way:
        return record
    last = record.document.repeated_at
    repeats = last is None or now - last >= REPEAT_EVERY
    began = record.document.began(now - INBOX_TO, repeats_at=now if repeats else None)
    return Record(LOOKED_AT, began, record.revision)


def _fill_gallery(
    ports: Needs, looked: Looked, some: Sequence[Listed], errors: list[Exception]
) -> Looked:
    """Add the jobs of these objects to the gallery, once after a version without one was replaced.

    Only one round does so, because it makes two calls for every hundred objects.

    Args:
        errors: gets the error, if there is one.
    """
    if not looked.fills_gallery:
        return looked
    # Folder defaults that are correct now have no entry, although they were refused once.
    without_jobs = {s3_keys.Kind.IGNORED, s3_keys.Kind.DEFAULTS}
    keys = [one.key for one in some if s3_keys.kind_of(one.key) not in without_jobs]
    try:
        gallery.add_missing(ports, list(dict.fromkeys(s3_keys.path_of(key) for key in keys)))
    except Exception as error:
        errors.append(error)
        return looked.gallery_missed_some()
    return looked


def _look_at(
    ports: Needs, looked: Looked, some: Sequence[Listed], errors: list[Exception]
) -> datetime | None:
    """Announce the drops that have no job. An error does not stop the round.

    Returns:
        When the oldest of them was dropped. The next round must look at them again, because acting
        on an announcement may fail, too.
    """
    since, to = looked.until - OVERLAP, ports.now() - INBOX_TO
    young = [listed for listed in some if since < listed.modified_at <= to]
    if not young:
        return None
    try:
        references = _references(ports, young)
        _note_lone(ports, young, references)
        return _announce_lost(ports, looked, young, references, errors)
    except Exception as error:
        errors.append(error)
        return min(listed.modified_at for listed in young)


def _announce_lost(
    ports: Needs,
    looked: Looked,
    young: Sequence[Listed],
    references: "_References",
    errors: list[Exception],
) -> datetime | None:
    """Announce those that have no job, the older ones more rarely. Returns the time of the oldest.

    Args:
        young: objects that may be without their job.
        references: the references among them.
        errors: gets the errors from reading the facts of single objects.
    """
    possible = [one for one in young if references.is_possible(one.key)]
    bucket, known = ports.settings.input_bucket, dict[str, FileFacts]()
    if len(possible) > A_FEW:
        known = ports.files.facts_after(bucket, "", looked.round_after)
    lost: list[datetime] = []
    drops: list[_Drop] = []
    for listed in possible:
        try:
            facts = known.get(listed.key) or ports.files.facts(bucket, listed.key)
            drops.append(_Drop(listed.key, facts))
        except Missing:
            continue
        except Exception as error:
            errors.append(error)
            lost.append(listed.modified_at)
    for drop in _without_job(ports, drops):
        lost.append(drop.facts.modified_at)
        if not looked.repeats and ports.now() - drop.facts.modified_at > OFTEN_UNTIL:
            continue
        ports.log(Event.DROP_WITHOUT_EVENT, {"key": drop.key})
        ports.announce(drop.key, drop.facts.version if drop.facts.versioned else None)
    return min(lost, default=None)


@dataclass(frozen=True)
class _References:
    """The references among some objects, by what they are."""

    images: frozenset[str]
    """Images in folders where images become jobs."""
    refused: frozenset[str]
    """Those because of which a job was refused."""
    unasked: frozenset[str]
    """Those that no spec asks for."""

    def is_possible(self, key: str) -> bool:
        """Whether a file can become a job, or change a folder or a job."""
        if s3_keys.kind_of(key) == s3_keys.Kind.REFERENCE:
            return key in self.images or key in self.refused
        return s3_keys.kind_of(key) != s3_keys.Kind.IGNORED


def _references(ports: WithLedger, some: Sequence[Listed]) -> _References:
    keys = [one.key for one in some if s3_keys.kind_of(one.key) == s3_keys.Kind.REFERENCE]
    images = _animated(ports, keys)
    records = ports.ledger.get_all([asked_key(key) for key in keys]) if keys else []
    asked = {key: record.document for key, record in zip(keys, records, strict=True) if record}
    return _References(
        images=frozenset(images),
        refused=frozenset(key for key, one in asked.items() if one.refused),
        unasked=frozenset(set(keys) - set(asked) - images),
    )


def _note_lone(ports: Needs, young: Sequence[Listed], references: _References) -> None:
    """Note the references that no spec has asked for since a while. Each sweep tells about some."""
    before = ports.now() - lone.GRACE
    old = [one.key for one in young if one.modified_at <= before and lone.can_be_told(one.key)]
    note_lone(ports, [key for key in old if key in references.unasked])


def _animated(ports: WithLedger, references: Sequence[str]) -> set[str]:
    """The references that are images in folders where images become jobs."""
    images = [key for key in references if s3_keys.is_image(key)]
    above = noted_above(ports, {s3_keys.folder_of(key) for key in images}) if images else {}
    return {key for key in images if animates(above[s3_keys.folder_of(key)])}


def _without_job(ports: Needs, drops: Sequence[_Drop]) -> list[_Drop]:
    """The drops that have no job, or whose version before has none and is still to be made."""
    if not drops:
        return []
    bucket = ports.settings.input_bucket
    first = ports.ledger.get_all(
        [job_key(s3_keys.job_id(bucket, drop.key, drop.facts.version)) for drop in drops]
    )
    found: list[_Drop] = []
    for drop, record in zip(drops, first, strict=True):
        job = last_try(ports, record)
        if job is None:
            lost = not _is_noted(ports, drop)
        else:
            replaces = job.document.was_accepted or drop.kind not in submit.MAY_REPLACE
            lost = not replaces and any(submit.unmade_before(ports, bucket, drop.key))
        if lost:
            found.append(drop)
    return found


def _is_noted(ports: Needs, drop: _Drop) -> bool:
    """Whether it needs no job: folder defaults without errors, or a reference that is known."""
    version = drop.facts.version
    if drop.kind == s3_keys.Kind.DEFAULTS:
        noted = ports.ledger.get(defaults_key(drop.key))
        return noted is not None and noted.document.version == version
    return drop.kind == s3_keys.Kind.REFERENCE and _is_known(ports, drop)


def _is_known(ports: Needs, drop: _Drop) -> bool:
    """Whether nothing is to be done for a reference: no drop is to be tried again because of it,
    and it is no job itself."""
    if drop.facts.size_bytes == 0:
        return True
    refused = [job for _, job in refused_for(ports, drop.key) if job is not None]
    files = InputBucket(ports, ports.settings.input_bucket)
    if any(accept.is_reference_corrected(files, job) for job in refused):
        return False
    is_reference = refused or ports.ledger.get(used_key(drop.key, drop.facts.version))
    return bool(is_reference) or drop.key not in _animated(ports, [drop.key])
