"""Accepts one drop. Reads one version of the spec, checks it, and commits a job with its tasks."""

import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from contract.catalogue import MODELS, Mode
from contract.errors import JobRejected, Notice
from functions import s3_keys
from functions.log import Event, WithLog
from functions.ports import Missing, WithAnnounce, WithFiles, keys_below
from functions.replies import json_lines, problems, publish
from functions.settings import WithSettings
from functions.spec import drop_files, enhance, reference_notices, resolve
from functions.spec.clip import Clip
from functions.spec.drop_files import Mention
from functions.spec.enhance import Enhancement
from functions.spec.expand import Wanted
from functions.spec.fields import (
    JobSpec,
    is_only_finished,
    mode_of,
    references_of,
    scene_field,
)
from functions.spec.folder_defaults import Draft
from functions.spec.guardrail import GuardrailUnavailable, WithGuardrail
from functions.spec.input_bucket import InputBucket
from functions.spec.language_model import LanguageModelBusy, WithLanguageModel
from functions.spec.lists import ReadList, Spec, as_many_as_fit, read_list
from functions.spec.reader import Original, Picture, Sound, WithReader
from functions.stages import approve, folder_defaults, lone, newer_defaults, row_files
from functions.stages.judging import Judging, judges_pictures
from functions.table import day_limits
from functions.table.jobs import ended, job_of, notes_of, stop_waiting
from functions.table.ledger import (
    RETRIES,
    Change,
    Conflict,
    NeedsLedgerAndClock,
    Put,
    Record,
    WithLedger,
    job_key,
    owner_key,
    used_key,
    waiting_key,
)
from functions.table.paths import take_names, take_path, with_equal_names
from functions.table.records import (
    BadReference,
    CancelReason,
    Job,
    KeptReference,
    Source,
    State,
    Task,
    Used,
    Waiting,
)
from functions.table.references import note_asked, note_refused
from functions.table.tasks import plan_tasks

# The submit function is stopped after 60 s, so after READ_WITHIN no handler reads the drop any
# more. One answer of the language model may take 33 s and one of the guardrail 8 s, so the language
# model is not asked after ENHANCE_UNTIL.
READ_WITHIN = timedelta(minutes=2)
ENHANCE_UNTIL = timedelta(seconds=15)
# A busy language model, or a guardrail that does not answer, is asked again after this time at the
# earliest, and by that time at the latest. An announcement cannot wait longer than 15 minutes.
ASK_AGAIN_AFTER = timedelta(seconds=30)
ASK_AGAIN_SPREAD_SECONDS = 30
ASK_AGAIN_BY = timedelta(minutes=5)


class Needs(
    NeedsLedgerAndClock,
    WithFiles,
    WithSettings,
    WithReader,
    WithLanguageModel,
    WithGuardrail,
    WithLog,
    WithAnnounce,
    Protocol,
):
    """What accepting a drop uses."""


class ReferencesMissing(Exception):
    """Some references were not uploaded, or only as empty files."""

    def __init__(self, *keys: str) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        super().__init__(*self.keys)


class OnlyAReference(Exception):
    """A spec uses the image that was to become a job."""


class Outcome(Enum):
    """What became of a drop."""

    DONE = auto()
    """It is queued, planned, handed on, rejected or gone, or it waits for references."""
    REFERENCE_CAME = auto()
    """It was noted as waiting or rejected, but its reference came or changed in the meantime. Act
    on the drop again."""


def accept(
    ports: Needs,
    drop: InputBucket,
    key: str,
    record: Record[Job] | None,
    refusal: JobRejected | None,
) -> Outcome:
    """Accept the drop at `key`, or note why it is rejected or what it waits for.

    Args:
        record: the job from the table, if it waited before, or was rejected because of a reference
            that has changed (`is_reference_corrected`). Then the drop becomes another job.
        refusal: what is already known to be wrong with the drop.

    Returns:
        What became of the drop.

    Raises:
        Conflict: another handler accepted this drop, or one with the same path.
    """
    accepting = _accepting(ports, drop, key, record)
    try:
        if refusal is not None:
            raise refusal
        if s3_keys.kind_of(key) == s3_keys.Kind.APPROVAL:
            accepting.hand_on((approve.final(ports, accepting.job.source),))
            return Outcome.DONE
        if s3_keys.kind_of(key) == s3_keys.Kind.LIST:
            return accepting.hand_on_rows()
        wanted = accepting.read()
        kept = accepting.keep_references(wanted)
        accepting.show_that_it_is_read()
        accepting.begin(accepting.make(wanted, kept))
    except ReferencesMissing as missing:
        return accepting.wait(missing.keys)
    except Missing:
        ports.log(Event.DROP_GONE, {"key": key, "version": accepting.job.source.version})
    except OnlyAReference:
        publish.remove_references(ports, accepting.job.job_id)
    except JobRejected as rejection:
        return accepting.reject(json_lines.rejection_in(key, rejection))
    except (LanguageModelBusy, GuardrailUnavailable) as error:
        accepting.ask_again_later(error)
    return Outcome.DONE


def is_reference_corrected(drop: InputBucket, job: Job) -> bool:
    """Whether a job was rejected because of a reference that has changed since."""
    if job.bad_reference is None:
        return False
    meant = drop_files.meant(drop, job.source.key, job.bad_reference.key)
    return len(meant) == 1 and drop.version_of(meant[0]) != job.bad_reference.version


def is_used_by_another(ports: WithLedger, bucket: str, key: str, version: str) -> bool:
    """Whether the job of another drop uses this version of an image, so that it becomes no job."""
    used = ports.ledger.get(used_key(key, version))
    return used is not None and used.document.job_id != s3_keys.job_id(bucket, key, version)


def _accepting(
    ports: Needs, drop: InputBucket, key: str, record: Record[Job] | None
) -> "Accepting":
    """Begin to accept a drop. See `accept`."""
    facts, now = drop.facts(key), ports.now()
    source = Source(
        bucket=drop.bucket,
        key=key,
        version=facts.version,
        versioned=facts.versioned,
        modified_at=facts.modified_at,
    )
    rejected = record if record is not None and record.document.state.terminal else None
    waited = record if rejected is None else None
    if rejected is not None:
        job_id = s3_keys.next_job_id(rejected.document.job_id)
    elif waited is not None:
        job_id = waited.document.job_id
    else:
        job_id = s3_keys.job_id(drop.bucket, key, facts.version)
    job = Job(
        job_id=job_id,
        source=source,
        path=s3_keys.path_of(key),
        state=State.WAITING,
        created_at=waited.document.created_at if waited else now,
        updated_at=now,
        busy_since=waited.document.busy_since if waited else None,
        not_judged=waited.document.not_judged if waited else None,
    )
    return Accepting(ports, job, drop, waited, rejected)


_VIDEO_ENDINGS = (".mp4", ".gif", ".webm")
_Prompts = tuple[str, ...]
"""The prompt of a video, or that of each of its scenes."""
_Query = tuple[_Prompts, int, str | None]
"""What the language model is asked for: prompts, length, image."""


def _prompts(spec: JobSpec) -> _Prompts:
    return tuple(text for _, text in resolve.prompts_of(spec))


def _query(spec: JobSpec, before: Enhancement | None = None) -> _Query:
    """What is asked for a resolved spec.

    Args:
        before: how its prompts were enhanced, if they were.
    """
    originals = (before.originals or (before.original,)) if before else _prompts(spec)
    image = spec.scenes[0].image if spec.scenes else spec.image
    # A video that is only finished has no model and no prompt.
    return originals, MODELS[spec.model].prompt_tokens if spec.model else 0, image


@dataclass(frozen=True)
class _Kept:
    """A reference in the work bucket."""

    record: KeptReference
    original: Original
    wanted: str
    """The key that the spec names."""

    @property
    def is_picture(self) -> bool:
        """Whether it is an image."""
        return isinstance(self.original, Picture)


_AllKept = Mapping[tuple[str, str], _Kept]
"""The references of a job, by the field that names each and what it says there."""


def _picture(kept: Mapping[str, _Kept]) -> Picture | None:
    """The image that a video starts from; None without one.

    Args:
        kept: the references of the video by the field that names them.
    """
    image = kept.get("image") or kept.get(scene_field(0, "image"))
    return image.original if image and isinstance(image.original, Picture) else None


def _clip(kept: Mapping[str, _Kept]) -> Clip | None:
    """The clip that a video starts from; None without one."""
    video = kept.get("video")
    return video.original if video and isinstance(video.original, Clip) else None


def _about_references(
    kept: _AllKept, made_from: Sequence[tuple[JobSpec, Mapping[str, Original]]]
) -> tuple[Notice, ...]:
    """The warnings about the references of a job."""
    names = (
        reference_notices.other_name(one.wanted, one.record.source or one.wanted)
        for one in kept.values()
    )
    others = (notice for notice in names if notice is not None)
    return *others, *reference_notices.notices(made_from)


@dataclass(frozen=True)
class _Made:
    """The videos of a job, ready to be rendered."""

    specs: tuple[JobSpec, ...]
    clips: tuple[Clip | None, ...]
    """The clips that are only finished."""
    enhancements: tuple[Enhancement, ...]
    references: tuple[tuple[KeptReference, ...], ...]
    kept: tuple[_Kept, ...]


@dataclass
class Accepting:
    """One drop while it is being accepted, or planned again (`plan_again.py`)."""

    ports: Needs
    job: Job
    drop: InputBucket
    record: Record[Job] | None
    """The job in the table, if it waited before."""
    rejected: Record[Job] | None
    """The job that the drop became before, if it was rejected because of a reference."""
    before: Sequence[Record[Task]] = ()
    """If it is planned again: its tasks until now."""
    draft: Draft = field(init=False)
    bad_reference: BadReference | None = field(default=None, init=False)

    @property
    def is_again(self) -> bool:
        """Whether the job was accepted before, and newer folder defaults apply to it."""
        return bool(self.before)

    def read(self) -> tuple[Wanted, ...]:
        """Read the spec and its folder defaults. Returns every video that the drop asks for.

        Raises:
            JobRejected: something is wrong that shows without the references.
            Missing: the drop is gone.
        """
        ports = self.ports
        self.draft = drop_files.drafted(self.drop, ports.reader, self.job.source.key)
        versions = newer_defaults.versions(self.drop, self.job.source.key)
        self.job = self.job.read_as(self.draft.spec, self.draft.warnings, versions)
        wanted = drop_files.videos(
            self.draft, default_model=ports.settings.default_model, job_id=self.job.job_id
        )
        if any(one.spec.lora for one in wanted):
            known = self._loras()
            for one in wanted:
                resolve.check_lora(one, known)
        return wanted

    def _loras(self) -> list[str]:
        """The names of the LoRAs in the work bucket."""
        keys = keys_below(self.ports, self.ports.settings.work_bucket, s3_keys.LORAS_PREFIX)
        return [name for key in keys if (name := s3_keys.lora_name(key))]

    def keep_references(self, wanted: tuple[Wanted, ...]) -> _AllKept:
        """Copy every reference, as it is now, to the place where the worker will read it.

        Raises:
            ReferencesMissing: some were not uploaded.
            JobRejected: a reference cannot be used.
        """
        found, kept = self._located(wanted), dict[tuple[str, str], _Kept]()
        work = self.ports.settings.work_bucket
        written: set[str] = set()
        for mention, there in found:
            version = self.drop.version_of(there) if isinstance(there, str) else None
            with self._blaming(mention.key, version):
                read, record = self._read(mention, there)
            if not isinstance(there, KeptReference) and record.key not in written:
                self.ports.files.write(work, record.key, read.body, read.content_type)
                written.add(record.key)
            kept[mention.field, mention.value] = _Kept(record, read.original, mention.key)
        return kept

    def _located(self, wanted: tuple[Wanted, ...]) -> list[tuple[Mention, str | KeptReference]]:
        """Find every reference.

        Returns:
            Where each of them is: the key of the file. If the job is planned again and the file was
            deleted, it is the copy that was made before.

        Raises:
            ReferencesMissing: some were not uploaded.
            JobRejected: it is not known which file is meant.
        """
        mentions = drop_files.mentions(wanted)
        itself = self.job.source.key
        asked = [mention.key for mention in mentions if mention.key != itself]
        note_asked(self.ports, asked)
        lone.settle_all(self.ports, asked)
        found: list[tuple[Mention, str | KeptReference]] = []
        missing: list[str] = []
        for mention in mentions:
            try:
                with self._blaming(mention.key):
                    found.append((mention, drop_files.located(self.drop, itself, mention)))
            except Missing:
                if before := self._kept_before(mention):
                    found.append((mention, before))
                else:
                    missing.append(mention.key)
        if missing:
            raise ReferencesMissing(*missing)
        return found

    def _read(
        self, mention: Mention, there: str | KeptReference
    ) -> tuple[drop_files.Reference, KeptReference]:
        """Read and check a reference. Returns what was read, and the record of its copy."""
        reader = self.ports.reader
        try:
            if isinstance(there, KeptReference):
                copies = InputBucket(self.ports, self.ports.settings.work_bucket)
                return drop_files.reference(copies, reader, mention, there.key), there
            read = drop_files.reference(self.drop, reader, mention, there)
        except Missing:  # it was deleted after it was found
            raise ReferencesMissing(mention.key) from None
        record = KeptReference(
            field=mention.field,
            key=s3_keys.kept_reference(self.job.job_id, there),
            source=there,
            version=self.drop.facts(there).version,
        )
        return read, record

    @contextmanager
    def _blaming(self, key: str, version: str | None = None) -> Iterator[None]:
        """Note a reference if the job is rejected because of it.

        Args:
            key: the key that the spec names.
            version: the version of the file that was read; None before it was found.
        """
        try:
            yield
        except JobRejected:
            if key != self.job.source.key:
                self.bad_reference = BadReference(key=key, version=version)
            raise

    def _kept_before(self, mention: Mention) -> KeptReference | None:
        """The copy of a reference that was deleted since the job was accepted; None without one."""
        for task in (record.document for record in self.before):
            if (mention.field, mention.value) in references_of(task.spec):
                return next((one for one in task.references if one.field == mention.field), None)
        return None

    def show_that_it_is_read(self) -> None:
        """Publish a status before asking Bedrock, because its answers take seconds."""
        spec, settings = self.job.spec, self.ports.settings
        assert spec is not None  # it was read
        if not (settings.guardrail_id or (spec.enhance and settings.enhancer_model_id)):
            return
        if self.record is not None and not self.record.document.waiting_for:
            return  # an earlier try has published it
        self._note_that_it_is_read()
        publish.publish_status(self.ports, self.job.job_id)

    def _note_that_it_is_read(self) -> None:
        reading = self.job.being_read()
        # If this handler is killed, the sweep acts on the drop again after the deadline.
        note = Waiting(job_id=reading.job_id, deadline=self.ports.now() + READ_WITHIN)
        self.commit(reading, Put(waiting_key("", reading.job_id), note))
        revision = (self.record.revision if self.record else 0) + 1
        self.record = Record(job_key(self.job.job_id), reading, revision)

    def make(self, wanted: tuple[Wanted, ...], kept: _AllKept) -> _Made:
        """Resolve every video, and enhance its prompt.

        Args:
            kept: the copies of the references.

        Raises:
            JobRejected: the guardrail blocked a prompt, or it is far too long.
            LanguageModelBusy, GuardrailUnavailable: ask again later.
        """
        ports, until = self.ports, self.ports.now() + ENHANCE_UNTIL
        known: dict[_Query, tuple[_Prompts, Enhancement]] = {}
        specs, enhancements, references, clips = [], [], [], []
        made_from: list[tuple[JobSpec, dict[str, Original]]] = []
        judging, looked_at = Judging(ports), set[tuple[str, str]]()
        resolved = [self._resolved(one, kept) for one in wanted]
        for one, (spec, mine) in zip(wanted, resolved, strict=True):
            judging.check(spec, one, until)
            for place, reference in mine.items():
                if (place, reference.record.key) not in looked_at:
                    self._judge(judging, one, reference, until)
                    looked_at.add((place, reference.record.key))
        for one, (spec, mine) in zip(wanted, resolved, strict=True):
            query = _query(spec)
            tokens = query[1]
            if query not in known:
                late = ports.now() > until
                known[query] = self._caption(spec, tokens, _picture(mine), judging, late=late)
            prompts, enhancement = known[query]
            alone = {"enhance": False, "matrix": None, "variations": 1, "dry_run": False}
            final = resolve.with_prompts(spec.model_copy(update=alone), prompts)
            resolve.check_prompt(final, one, enhancement.reason)
            specs.append(final)
            enhancements.append(enhancement)
            references.append(tuple(one.record for one in mine.values()))
            clips.append(_clip(mine) if mode_of(final) == Mode.FINISHING else None)
            made_from.append((final, {field: one.original for field, one in mine.items()}))
        notices = (*_about_references(kept, made_from), *resolve.notices(specs))
        self._notice(*self.draft.warnings, *notices)
        return _Made(
            tuple(specs),
            tuple(clips),
            tuple(enhancements),
            tuple(references),
            tuple(kept.values()),
        )

    def _notice(self, *notices: Notice) -> None:
        self.job = self.job.noticed(json_lines.notices_in(self.job.source.key, notices))

    def _judge(self, judging: Judging, one: Wanted, reference: _Kept, until: datetime) -> None:
        """Refuse a reference that the guardrail blocks. Another one of its name is tried again.

        Raises:
            JobRejected, GuardrailUnavailable: see `Judging.check_reference` and `Reader.previews`.
        """
        ports, record = self.ports, reference.record
        if not judges_pictures(ports.settings) or isinstance(reference.original, Sound):
            return  # a guardrail judges no sounds
        source = record.source or reference.wanted
        with self._blaming(reference.wanted, record.version or None):
            if isinstance(reference.original, Picture):
                previews: tuple[bytes, ...] = (reference.original.preview,)
            else:
                body = ports.files.read(ports.settings.work_bucket, record.key)
                previews = ports.reader.previews(body, posixpath.basename(source))
            judging.check_reference(one, record.field, source, previews, until)

    def _resolved(self, one: Wanted, kept: _AllKept) -> tuple[JobSpec, Mapping[str, _Kept]]:
        mine = {field: kept[field, value] for field, value in references_of(one.spec)}
        clip = mine.get("video") if is_only_finished(one.spec) else None
        with self._blaming(clip.wanted, clip.record.version) if clip else nullcontext():
            spec = resolve.resolve(
                one,
                default_model=self.ports.settings.default_model,
                job_id=self.job.job_id,
                picture=_picture(mine),
                clip=_clip(mine),
            )
        return spec, mine

    def _caption(
        self, spec: JobSpec, tokens: int, picture: Picture | None, judging: Judging, *, late: bool
    ) -> tuple[_Prompts, Enhancement]:
        """The prompts to render: the person's own if the guardrail blocks an enhanced one."""
        captions, enhancement = self._enhanced(spec, tokens, picture, late=late)
        if enhancement.status == "enhanced" and not all(map(judging.allows, captions)):
            mine, model_id = _prompts(spec), enhancement.model
            reason = "the guardrail blocked the enhanced one"
            return mine, enhance.kept(mine, model_id, reason, enhancement.answered_by)
        return captions, enhancement

    def _enhanced(
        self, spec: JobSpec, tokens: int, picture: Picture | None, *, late: bool
    ) -> tuple[_Prompts, Enhancement]:
        model_id, mine = self.ports.settings.enhancer_model_id, _prompts(spec)
        if not (spec.enhance and model_id and "".join(mine).strip()):
            return mine, enhance.off(mine)
        if before := self._enhanced_before(spec):
            return before
        if late:
            return mine, enhance.kept(mine, model_id, "the other prompts took long")
        preview = picture.preview if picture else None
        model = self.ports.language_model
        try:
            return enhance.enhance(model, model_id, mine, tokens, preview)
        except LanguageModelBusy as busy:
            until = self.job.enhance_until
            if until is None or self.ports.now() < until:
                raise
            return mine, enhance.kept(mine, model_id, f"too many requests ({busy})")

    def _enhanced_before(self, spec: JobSpec) -> tuple[_Prompts, Enhancement] | None:
        """The answer of the language model when the job was accepted, if it is planned again."""
        for task in (record.document for record in self.before):
            same = _query(task.spec, task.enhancement) == _query(spec)
            if same and task.enhancement.status == "enhanced":
                return _prompts(task.spec), task.enhancement
        return None

    def ask_again_later(self, error: LanguageModelBusy | GuardrailUnavailable) -> None:
        """Note that Bedrock does not answer, and announce the drop again.

        The drops of a burst ask again at different times. Each one waits as long as it has waited
        before. The language model is asked until the patience of the job ends, and the guardrail
        until it answers.
        """
        assert self.record is not None  # it was noted that the drop is being read
        now, job_id = self.ports.now(), self.job.job_id
        # A job that is planned again stays as it was accepted until that is done.
        job = self.record.document if self.is_again else self.job
        spread = timedelta(seconds=int(job_id[-2:], 16) % ASK_AGAIN_SPREAD_SECONDS)

        def wait_seconds(since: datetime, at_most: timedelta) -> int:
            wait = min(max(now - since, ASK_AGAIN_AFTER) + spread, at_most, ASK_AGAIN_BY)
            return max(1, math.ceil(wait.total_seconds()))

        if isinstance(error, GuardrailUnavailable):
            since = job.not_judged.since if job.not_judged else now
            seconds = wait_seconds(since, ASK_AGAIN_BY)
            again_at = now + timedelta(seconds=seconds)
            job, event = job.guardrail_unavailable(str(error), now, again_at), Event.NOT_JUDGED
        else:
            job, event = job.language_model_busy(now), Event.LANGUAGE_MODEL_BUSY
            assert job.busy_since is not None and job.enhance_until is not None
            seconds = wait_seconds(job.busy_since, job.enhance_until - now)
        changes: list[Change] = [Put(self.record.key, job, self.record.revision)]
        if not self.is_again:
            key = waiting_key("", job_id)
            note = self.ports.ledger.get(key)
            deadline = now + timedelta(seconds=seconds) + READ_WITHIN
            waiting = Waiting(job_id=job_id, deadline=deadline)
            changes.append(Put(key, waiting, note.revision if note else 0))
        self.ports.ledger.commit(*changes)
        source = job.source
        self.ports.announce(source.key, source.version_id, delay_seconds=seconds)
        self.ports.log(event, {"job_id": job_id, "reason": str(error)})

    def begin(self, made: _Made) -> None:
        """Commit the job with its tasks: queued, or only planned if nothing is to be rendered."""
        assert self.job.spec is not None  # it was read
        rendering = not (self.job.spec.dry_run or self.job.spec.enhance == "review")
        folder = s3_keys.folder_of(self.job.source.key)
        hold = None
        if rendering:
            folder_defaults.note_all(self.ports, self.drop, self.job.source.key)
            hold = day_limits.held_now(self.ports, folder)
        old = {record.document.number: record.document for record in self.before}
        tasks = [
            old[number].planned_again(
                spec, enhancement, references, clip, hold=hold, rendering=rendering
            )
            if number in old
            else Task(
                task_id=s3_keys.task_id(self.job.job_id, number),
                job_id=self.job.job_id,
                number=number,
                state=State.QUEUED if rendering else State.PLANNED,
                spec=spec,
                enhancement=enhancement,
                folder=folder,
                hold=hold,
                references=references,
                clip=clip,
                queued_at=self.job.queued_at or self.job.updated_at,
            )
            for number, (spec, enhancement, references, clip) in enumerate(
                zip(made.specs, made.enhancements, made.references, made.clips, strict=True), 1
            )
        ]
        if rendering:
            self.job = self.job.noticed((*self.job.warnings, *self._older_files(len(tasks))))
        job = self.job.accepted(len(tasks)) if rendering else self.job.planned(len(tasks))
        names = take_names(self.ports, job)
        if found := with_equal_names(self.ports, job):
            raise JobRejected(problems.name_taken(*found))
        changes = plan_tasks(self.before, tasks) + (names if rendering else [ended(job)])
        if self.draft.animate_images:
            self._use_others(made.kept)
            changes += self._use_itself()
        self.commit(job, *changes)
        facts = {"job_id": job.job_id, "key": job.source.key, "tasks": len(tasks)}
        event = Event.QUEUED if rendering else Event.PLANNED
        self.ports.log(Event.PLANNED_AGAIN if self.is_again else event, facts)
        if reasons := {one.reason for one in made.enhancements if one.status == "kept"}:
            self.ports.log(Event.NOT_ENHANCED, {**facts, "reasons": sorted(reasons)})

    def _older_files(self, tasks: int) -> list[Notice]:
        """A notice that names the files of the version before that this one does not replace.

        Args:
            tasks: how many videos this version has.
        """
        if self.is_again:
            assert self.record is not None  # it was accepted
            return [one for one in self.record.document.warnings if one.code == "older-files"]
        owner = self.ports.ledger.get(owner_key(self.job.path))
        live = owner.document.live if owner else None
        before = self.ports.ledger.get(job_key(live)) if live else None
        if before is None:
            return []
        output, found = self.ports.settings.output_bucket, list[str]()
        wanted = self.job.wanted_outputs
        scenes = self.job.scene_count if "scenes" in wanted else 0
        mine = s3_keys.outputs(self.job.path, tasks, wanted, scenes)
        for key in sorted(before.document.outputs - mine):
            if key.endswith(_VIDEO_ENDINGS):
                with suppress(Missing):
                    self.ports.files.facts(output, key)
                    found.append(key)
        if not found:
            return []
        names = ", ".join(found)
        message = (
            f"The version before made files that this one does not make, and they stay: {names}. "
            "Delete them if you do not need them."
        )
        return [Notice(code="older-files", message=message)]

    def _use_others(self, kept: tuple[_Kept, ...]) -> None:
        """Note which images are references, in a folder where every other image becomes a job.

        From then on, they become no jobs. A handler may have been killed while it accepted one.
        """
        ports, bucket = self.ports, self.job.source.bucket
        records = {one.record for one in kept if one.is_picture}
        images = sorted(
            {
                (one.source, one.version)
                for one in records
                if one.source and one.version and one.source != self.job.source.key
            }
        )
        places = [used_key(*image) for image in images]
        new = [place for place in places if ports.ledger.get(place) is None]
        if new:
            used = Used(job_id=self.job.job_id)
            ports.ledger.commit(*(Put(place, used) for place in new))
        for image in images:
            if job_of(ports, bucket, *image) is None:
                publish.remove_references(ports, s3_keys.job_id(bucket, *image))

    def _use_itself(self) -> list[Change]:
        """The change by which no other handler notes that this image is a reference.

        Raises:
            OnlyAReference: another one has.
        """
        source = self.job.source
        if not s3_keys.is_image(source.key):
            return []
        if is_used_by_another(self.ports, source.bucket, source.key, source.version):
            raise OnlyAReference
        place = used_key(source.key, source.version)
        if self.ports.ledger.get(place) is not None:
            return []
        return [Put(place, Used(job_id=self.job.job_id))]

    def hand_on(self, specs: Sequence[Spec]) -> None:
        """Drop specs, and commit the job as handed on to them.

        If this handler is killed in between, the drop is acted on again.
        """
        self._drop(specs)
        job = self.job.handed_on(tuple(spec.key for spec in specs), self.ports.now())
        self.commit(job, ended(job))
        self.ports.log(Event.HANDED_ON, {"job_id": job.job_id, "specs": len(specs)})

    def hand_on_rows(self) -> Outcome:
        """Drop the specs of a list, and commit what became of its rows.

        A newer version of the list may come while its rows are being dropped. Then its handler
        drops rows, too, and the last one may be old. So each handler looks again when it is done,
        and drops the rows of the newest version. A handler that is killed in between runs again,
        because it is noted that it reads the list.

        Raises:
            JobRejected: no row can be used.
            Missing: the list is gone.
        """
        ports, source = self.ports, self.job.source
        if self.record is None:
            self._note_that_it_is_read()
        for _ in range(RETRIES):
            drop = InputBucket(ports, source.bucket)
            version = drop.facts(source.key).version
            read = self._rows(drop, is_mine=version == source.version)
            found, new = row_files.without_taken(ports, drop, read)
            self._drop(new)
            if InputBucket(ports, source.bucket).version_of(source.key) == version:
                break
        else:
            raise Conflict(f"{source.key} keeps changing")
        if version != source.version:
            replaced = self.job.canceled(CancelReason.SUPERSEDED, ports.now())
            self.commit(replaced, ended(replaced))
            return Outcome.DONE
        keys = tuple(row.spec.key for row in found.good)
        self.job = self.job.with_rows(keys, found.bad_rows).noticed(found.warnings)
        if found.problems:
            rejection = JobRejected(*found.problems, more=found.more_problems)
            return self.reject(as_many_as_fit(json_lines.rejection_in(source.key, rejection)))
        handed_on = self.job.handed_on(keys, ports.now())
        self.commit(handed_on, ended(handed_on))
        ports.log(Event.HANDED_ON, {"job_id": handed_on.job_id, "specs": len(keys)})
        return Outcome.DONE

    def _rows(self, drop: InputBucket, *, is_mine: bool) -> ReadList:
        """Read the newest version of a list.

        Args:
            is_mine: whether that is the version of this job. The job of another version says what
                is wrong with it.
        """
        model = self.ports.settings.default_model
        try:
            return read_list(drop, self.ports.reader, self.job.source.key, default_model=model)
        except JobRejected:
            if is_mine:
                raise
            return ReadList((), (), 0, 0, ())

    def _drop(self, specs: Sequence[Spec]) -> None:
        """Write specs into the input bucket, unless they were dropped with the same content."""
        for spec in specs:
            self.ports.files.write(
                self.job.source.bucket,
                spec.key,
                spec.body,
                "application/json",
                mark=spec.mark,
            )

    def reject(self, rejection: JobRejected) -> Outcome:
        """Commit the job as rejected."""
        rejected = self.job.rejected(
            rejection.problems,
            self.ports.now(),
            self.bad_reference,
            more_problems=rejection.more,
            folder_wants_digest=self.job.spec is None and self._folder_wants_digest(),
        )
        self.commit(rejected, ended(rejected), *note_refused(self.ports, rejected))
        codes = [problem.code for problem in rejection.problems]
        self.ports.log(Event.REJECTED, {"job_id": rejected.job_id, "codes": codes})
        # The reference may have changed after it was read and before the note. Then its event found
        # no refused drop, so look again.
        if is_reference_corrected(InputBucket(self.ports, self.drop.bucket), rejected):
            return Outcome.REFERENCE_CAME
        return Outcome.DONE

    def _folder_wants_digest(self) -> bool:
        key = self.job.source.key
        may_say = s3_keys.kind_of(key) in {s3_keys.Kind.SPEC, s3_keys.Kind.LIST}
        return may_say and drop_files.wants_digest(self.drop, self.ports.reader, key)

    def wait(self, references: tuple[str, ...]) -> Outcome:
        """Note that the job waits for references.

        Args:
            references: their keys.
        """
        job, ports = self.job, self.ports
        before = self.record.document if self.record else None
        empty = tuple(key for key in references if drop_files.is_empty(self.drop, key))
        waiting = job.waiting_for_references(references, empty)
        if before is None or before.waiting_for != references:
            deadline = job.created_at + timedelta(seconds=ports.settings.reference_deadline_seconds)
            note = Waiting(job_id=job.job_id, deadline=deadline)
            known = notes_of(before) if before else []
            self.commit(waiting, *(Put(key, note) for key in notes_of(waiting) if key not in known))
            ports.log(Event.WAITING, {"job_id": job.job_id, "references": references})
        elif self.record is not None and before.found_empty != waiting.found_empty:
            ports.ledger.commit(Put(self.record.key, waiting, self.record.revision))
        # One of them may have come after the first look and before the note. Then its event found
        # no waiting job, so look again.
        drop = InputBucket(ports, self.drop.bucket)
        if not any(drop_files.meant(drop, job.source.key, key) for key in references):
            return Outcome.DONE
        ports.log(Event.REFERENCE_CAME_MEANWHILE, {"job_id": job.job_id})
        return Outcome.REFERENCE_CAME

    def commit(self, job: Job, *changes: Change) -> None:
        """Write the job over the one that waited, if any, with everything that depends on it.

        Args:
            changes: further changes for the same commit.

        Raises:
            Conflict: another handler changed the job, or the owner of its path.
        """
        revision = self.record.revision if self.record else 0
        waited = self.record.document if self.record else None
        self.ports.ledger.commit(
            Put(job_key(job.job_id), job, revision),
            *changes,
            *(stop_waiting(self.ports, waited, job) if waited else ()),
            *self._tried_again(),
            *take_path(self.ports, job),
        )
        self.rejected = None  # that is written now

    def _tried_again(self) -> list[Change]:
        """The change by which the first job of the drop names this one as its last."""
        if self.rejected is None:
            return []
        source = self.job.source
        first = self.ports.ledger.get(
            job_key(s3_keys.job_id(source.bucket, source.key, source.version))
        )
        assert first is not None  # it was rejected
        self.ports.log(Event.TRIED_AGAIN, {"job_id": self.job.job_id, "key": source.key})
        return [Put(first.key, first.document.tried_again(self.job.job_id), first.revision)]
