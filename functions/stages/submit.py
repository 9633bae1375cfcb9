"""Takes a drop in: reads the spec by version, checks it, and makes a job with its tasks.

A job belongs to one version of one key, so the same event may come any number of times, and a
handler that is killed anywhere is simply run again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from contract.catalogue import MODELS
from contract.errors import JobRejected, Problem
from functions import s3_keys
from functions.ports import Missing
from functions.replies import publish
from functions.spec import drop_files, enhance, resolve
from functions.spec.enhance import Enhancement
from functions.spec.expand import Wanted
from functions.spec.fields import JobSpec
from functions.spec.folder_defaults import Draft
from functions.spec.input_bucket import InputBucket
from functions.spec.reader import Picture
from functions.stages import cancel
from functions.stages.folder_defaults import check_defaults
from functions.stages.ports import Ports
from functions.table import day_limits
from functions.table.jobs import mail_owed, stop_waiting
from functions.table.ledger import (
    RETRIES,
    WAITING,
    Change,
    Conflict,
    Put,
    Record,
    job_key,
    owner_key,
    queue_key,
    task_key,
    used_key,
    waiting_key,
    waiting_prefix,
)
from functions.table.paths import is_outdated
from functions.table.records import Job, PathOwner, Source, State, Task, Used, Waiting
from functions.table.tasks import entry_of, ref_of

# A function that takes a drop in has 60 seconds, and one answer of the language model may take 33.
READ_WITHIN = timedelta(minutes=2)
ENHANCE_UNTIL = timedelta(seconds=20)


def submit(ports: Ports, bucket: str, key: str, version: str | None = None) -> None:
    """Act on an object that was created in the input bucket.

    Args:
        version: the version id that the event named, if it named one.

    Raises:
        Transient: try again later.
    """
    kind = s3_keys.kind_of(key)
    if kind == s3_keys.Kind.IGNORED:
        return
    if kind == s3_keys.Kind.REFERENCE and _only_a_reference(ports, bucket, key):
        return
    inbox = InputBucket(ports, bucket)
    try:
        facts = inbox.facts(key)
    except Missing:
        ports.tell("drop-gone", {"key": key, "version": version})
        return
    if version is not None and facts.versioned and facts.version != version:
        if not _still_waits(ports, s3_keys.job_id(bucket, key, version)):
            # A newer drop has taken its place, or it was taken in long ago.
            publish.settle(ports, s3_keys.job_id(bucket, key, version))
            ports.tell("not-the-newest", {"key": key, "version": version})
            return
        try:
            facts = inbox.use(key, version)
        except Missing:
            return  # versions expire long after anything waits for them
    refusal = None
    if kind == s3_keys.Kind.DEFAULTS:
        refusal = check_defaults(ports, inbox, key)
        if refusal is None:
            return
    job_id = s3_keys.job_id(bucket, key, facts.version)
    for _ in range(RETRIES):
        record = ports.ledger.get(job_key(job_id))
        if record is not None and record.document.state != State.WAITING:
            break
        try:
            _take_in(ports, inbox, key, record, refusal)
            break
        except Conflict:
            continue  # somebody else took in the same drop, or another one of the same path
    else:
        raise Conflict(f"{job_id} is being fought over")
    cancel.superseded(ports, job_id)
    publish.settle(ports, job_id)


def _still_waits(ports: Ports, job_id: str) -> bool:
    """Whether an older version is to be taken in all the same: it waited, and what came after it
    was not accepted."""
    job = ports.ledger.get(job_key(job_id))
    if job is None or job.document.state != State.WAITING:
        return False
    return not cancel.if_outdated(ports, job.document)


def _only_a_reference(ports: Ports, bucket: str, key: str) -> bool:
    """Take in the jobs that waited for a reference. Returns whether it is no job of its own."""
    inbox = InputBucket(ports, bucket)
    if wake_waiting(ports, bucket, key) or not drop_files.animates(inbox, ports.reader, key):
        return True
    try:
        version = inbox.facts(key).version
    except Missing:
        return True
    return ports.ledger.get(used_key(key, version)) is not None


def wake_waiting(ports: Ports, bucket: str, reference: str) -> bool:
    """Take in the jobs that waited for this reference. Returns whether any did."""
    if not s3_keys.can_be_waited_for(reference):
        return False
    waited = ports.ledger.query(WAITING, Waiting, prefix=waiting_prefix(reference))
    for waiting in waited:
        job = ports.ledger.get(job_key(waiting.document.job_id))
        if job is not None:
            source = job.document.source
            submit(ports, bucket, source.key, source.version if source.versioned else None)
    return bool(waited)


def reject(ports: Ports, record: Record[Job], *problems: Problem) -> None:
    """Refuse a job that was taken in but cannot go on (a reference that never came)."""
    job = record.document
    changes: list[Change] = [
        Put(record.key, _rejected(job, ports, problems), record.revision),
        *mail_owed(job),
        *stop_waiting(ports, job),
    ]
    ports.ledger.commit(*changes)
    ports.tell("rejected", {"job_id": job.job_id, "codes": [p.code for p in problems]})


def _take_in(
    ports: Ports,
    inbox: InputBucket,
    key: str,
    record: Record[Job] | None,
    refusal: JobRejected | None,
) -> None:
    bucket = inbox.bucket
    facts, now = inbox.facts(key), ports.now()
    job_id = s3_keys.job_id(bucket, key, facts.version)
    job = Job(
        job_id=job_id,
        source=Source(
            bucket=bucket,
            key=key,
            version=facts.version,
            versioned=facts.versioned,
            modified_at=facts.modified_at,
        ),
        path=s3_keys.path_of(key),
        state=State.QUEUED,
        created_at=record.document.created_at if record else now,
        updated_at=now,
    )
    taking = _Taking(ports, job, inbox, record)
    try:
        if refusal is not None:
            raise refusal
        wanted = taking.read()
        kept = taking.keep_references(wanted)
        if kept is None:
            return  # it waits
        taking.say_that_it_is_read()
        made = taking.make(wanted, kept)
    except Missing:
        ports.tell("drop-gone", {"key": key, "version": facts.version})
        return
    except JobRejected as rejection:
        rejected = _rejected(taking.job, ports, rejection.problems)
        taking.commit(rejected, *mail_owed(rejected))
        ports.tell("rejected", {"job_id": job_id, "codes": [p.code for p in rejection.problems]})
        return
    taking.begin(made)


@dataclass(frozen=True)
class _Kept:
    """A reference in the work bucket."""

    key: str
    picture: Picture | None
    source: str
    version: str
    """Where it came from."""


@dataclass(frozen=True)
class _Made:
    """The videos of a job, ready to be rendered."""

    specs: tuple[JobSpec, ...]
    enhancements: tuple[Enhancement, ...]
    references: tuple[str | None, ...]
    kept: tuple[_Kept, ...]


@dataclass
class _Taking:
    """One drop on its way in."""

    ports: Ports
    job: Job
    inbox: InputBucket
    record: Record[Job] | None
    drafted: Draft = field(init=False)

    def read(self) -> tuple[Wanted, ...]:
        """Every video that the drop asks for.

        Raises:
            JobRejected: something is wrong that needs no reference to be known.
            Missing: the drop is gone.
        """
        ports = self.ports
        self.drafted = drop_files.drafted(self.inbox, ports.reader, self.job.source.key)
        self.job = self.job.model_copy(
            update={"spec": self.drafted.spec, "warnings": self.drafted.warnings}
        )
        return drop_files.videos(
            self.drafted, default_model=ports.settings.default_model, job_id=self.job.job_id
        )

    def keep_references(self, wanted: tuple[Wanted, ...]) -> Mapping[str, _Kept] | None:
        """Copy every reference as it is now to where the worker will get it from; None: one of
        them is not there yet, and the job waits for it.

        Raises:
            JobRejected: one is not what we take.
        """
        kept: dict[str, _Kept] = {}
        for one, name, key in drop_files.references(wanted):
            try:
                there = drop_files.located(self.inbox, key)
                version = self.inbox.facts(there).version
                found = drop_files.reference(self.inbox, self.ports.reader, one, name, there)
            except Missing:
                self._wait(key)
                return None
            target = s3_keys.kept_reference(self.job.job_id, there)
            self.ports.files.write(
                self.ports.settings.work_bucket,
                target,
                found.body,
                "video/mp4" if found.picture is None else "image/png",
            )
            kept[getattr(one.spec, name)] = _Kept(target, found.picture, there, version)
        return kept

    def say_that_it_is_read(self) -> None:
        """Show the job before the language model is asked: that takes seconds."""
        spec = self.job.spec
        assert spec is not None  # it was read
        if not (spec.enhance and self.ports.settings.enhancer_model_id):
            return
        if self.record is not None and self.record.document.waiting_for is None:
            return  # an earlier try has said so
        reading = self.job.model_copy(update={"state": State.WAITING})
        # Should this handler not live to the end, the sweeper begins anew.
        note = Waiting(job_id=reading.job_id, deadline=self.ports.now() + READ_WITHIN)
        self.commit(reading, Put(waiting_key("", reading.job_id), note))
        revision = (self.record.revision if self.record else 0) + 1
        self.record = Record(job_key(self.job.job_id), reading, revision)
        publish.status(self.ports, self.job.job_id)

    def make(self, wanted: tuple[Wanted, ...], kept: Mapping[str, _Kept]) -> _Made:
        """Resolve every video, and enhance its prompt.

        Raises:
            JobRejected: the guardrail blocked a prompt, or it is far too long.
        """
        ports, until = self.ports, self.ports.now() + ENHANCE_UNTIL
        known: dict[tuple[str, int, str | None], tuple[str, Enhancement]] = {}
        specs, enhancements, references = [], [], []
        for one in wanted:
            value = one.spec.image or one.spec.video
            reference = kept[value] if value else None
            picture = reference.picture if reference else None
            spec = resolve.resolve(
                one,
                default_model=ports.settings.default_model,
                job_id=self.job.job_id,
                picture=picture,
            )
            assert spec.model is not None  # resolved
            tokens = MODELS[spec.model].prompt_tokens
            query = (spec.prompt, tokens, spec.image)
            if query not in known:
                known[query] = self._caption(spec, tokens, picture, late=ports.now() > until)
            prompt, enhancement = known[query]
            spec = spec.model_copy(
                update={
                    "prompt": prompt,
                    "enhance": False,
                    "matrix": None,
                    "variations": 1,
                    "dry_run": False,
                }
            )
            resolve.check_prompt(spec, one, enhancement.reason)
            specs.append(spec)
            enhancements.append(enhancement)
            references.append(reference.key if reference else None)
        warnings = (*self.drafted.warnings, *resolve.notices(specs))
        self.job = self.job.model_copy(update={"warnings": warnings})
        return _Made(tuple(specs), tuple(enhancements), tuple(references), tuple(kept.values()))

    def _caption(
        self, spec: JobSpec, tokens: int, picture: Picture | None, *, late: bool
    ) -> tuple[str, Enhancement]:
        model_id = self.ports.settings.enhancer_model_id
        if not (spec.enhance and model_id and spec.prompt.strip()):
            return spec.prompt, enhance.off(spec.prompt)
        if late:
            return spec.prompt, enhance.kept(spec.prompt, model_id, "the other prompts took long")
        preview = picture.preview if picture else None
        return enhance.enhance(self.ports.language_model, model_id, spec.prompt, tokens, preview)

    def begin(self, made: _Made) -> None:
        """Commit the job with its tasks, or, when nothing is to be rendered, its plan."""
        assert self.job.spec is not None  # it was read
        rendering = not (self.job.spec.dry_run or self.job.spec.enhance == "review")
        state = State.QUEUED if rendering else State.PLANNED
        folder, held = s3_keys.folder_of(self.job.source.key), None
        if rendering:
            day_limits.set_limits(self.ports, folder, self.drafted.limits)
            held = day_limits.held_now(self.ports, folder)
        tasks = [
            Task(
                task_id=s3_keys.task_id(self.job.job_id, number),
                job_id=self.job.job_id,
                number=number,
                state=state,
                spec=spec,
                enhancement=enhancement,
                folder=folder,
                waiting_reason=held if rendering else None,
                reference=reference,
                queued_at=self.job.updated_at,
            )
            for number, (spec, enhancement, reference) in enumerate(
                zip(made.specs, made.enhancements, made.references, strict=True), 1
            )
        ]
        job = self.job.model_copy(
            update={
                "state": state,
                "task_count": len(tasks),
                "open_tasks": len(tasks) if rendering else 0,
            }
        )
        changes: list[Change] = [Put(task_key(ref_of(task)), task) for task in tasks]
        if rendering:
            changes += [Put(queue_key(task), entry_of(task)) for task in tasks]
        else:
            changes += mail_owed(job)
        if self.drafted.animate_images:
            changes += self._used(made.kept)
        self.commit(job, *changes)
        facts = {"job_id": job.job_id, "key": job.source.key, "tasks": len(tasks)}
        self.ports.tell(state.value, facts)

    def _used(self, kept: tuple[_Kept, ...]) -> list[Change]:
        """Note which images are references, where an image alone would be a job."""
        places = [used_key(one.source, one.version) for one in kept if one.picture is not None]
        used = Used(job_id=self.job.job_id)
        return [Put(place, used) for place in places if self.ports.ledger.get(place) is None]

    def commit(self, job: Job, *changes: Change) -> None:
        """Write the job over what was there, and all that goes with it."""
        revision = self.record.revision if self.record else 0
        waited = self.record.document if self.record else None
        self.ports.ledger.commit(
            Put(job_key(job.job_id), job, revision),
            *changes,
            *(stop_waiting(self.ports, waited) if waited else ()),
            *self._own_path(job),
        )

    def _own_path(self, job: Job) -> list[Change]:
        """Make this job the newest of its path, unless a newer drop is known; and, when it is
        accepted, the one whose videos are published there."""
        record = self.ports.ledger.get(owner_key(job.path))
        at = job.source.modified_at
        old = record.document if record else PathOwner(job_id=job.job_id, modified_at=at)
        mine = old
        if old.modified_at <= at:
            mine = mine.model_copy(update={"job_id": job.job_id, "modified_at": at})
        # What is refused, only planned or still waits takes nobody's place.
        accepted = job.state == State.QUEUED and old.live != job.job_id
        if accepted and not is_outdated(self.ports, job, old):
            # Not only the last one: whoever put that there may not have lived to cancel the others.
            before = [job_id for job_id in (*old.superseded, old.live) if job_id]
            jobs = self.ports.ledger.get_all([job_key(job_id) for job_id in before])
            left = [r.document.job_id for r in jobs if r and not r.document.state.terminal]
            mine = mine.model_copy(
                update={
                    "live": job.job_id,
                    "live_modified_at": at,
                    "superseded": tuple(dict.fromkeys(left)),
                }
            )
        if record is not None and mine == old:
            return []
        return [Put(owner_key(job.path), mine, record.revision if record else 0)]

    def _wait(self, reference: str) -> None:
        job, ports = self.job, self.ports
        bucket = job.source.bucket
        before = self.record.document if self.record else None
        if before is None or before.waiting_for != reference:
            deadline = job.created_at + timedelta(seconds=ports.settings.reference_deadline_seconds)
            waiting = job.model_copy(update={"state": State.WAITING, "waiting_for": reference})
            entry = Waiting(job_id=job.job_id, deadline=deadline)
            self.commit(waiting, Put(waiting_key(reference, job.job_id), entry))
            ports.tell("waiting", {"job_id": job.job_id, "reference": reference})
        # It may have come between our look and our note, and then nobody would wake us.
        try:
            drop_files.located(InputBucket(ports, bucket), reference)
        except Missing:
            return
        ports.tell("reference-came-meanwhile", {"job_id": job.job_id})
        source = job.source
        submit(ports, bucket, source.key, source.version if source.versioned else None)


def _rejected(job: Job, ports: Ports, problems: tuple[Problem, ...]) -> Job:
    return job.model_copy(
        update={"state": State.REJECTED, "problems": problems, "updated_at": ports.now()}
    )
