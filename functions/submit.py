"""Takes a drop in: reads the spec by version, checks it, and makes a job with its tasks.

A job belongs to one version of one key, so the same event may come any number of times, and a
handler that is killed anywhere is simply run again.
"""

import posixpath
from datetime import timedelta

from functions import answers, enhance, keys, spec, spec_text, transitions
from functions.job import Enhancement, Job, Letter, Newest, Source, State, Task, Waiting
from functions.ports import (
    WAITING,
    Change,
    Conflict,
    FileFacts,
    Missing,
    Ports,
    Put,
    Record,
    Remove,
    job_key,
    letter_key,
    newest_key,
    queue_key,
    task_key,
    waiting_key,
)
from functions.spec import Resolved
from processing.contract.catalogue import MODELS
from processing.contract.errors import Code, JobRejected, Place, Problem

MAX_REFERENCE_BYTES = 20 * 1024 * 1024
_MAGIC = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg"}


def submit(ports: Ports, bucket: str, key: str, version: str | None = None) -> None:
    """Act on an object that was created in the input bucket.

    Args:
        version: the version id that the event named, if it named one.

    Raises:
        Transient: try again later.
    """
    kind = keys.kind_of(key)
    if kind == keys.Kind.IGNORED:
        return
    if kind == keys.Kind.REFERENCE:
        wake_waiting(ports, bucket, key)
        return
    try:
        facts = ports.files.facts(bucket, key, version)
    except Missing:
        ports.tell("drop-gone", {"key": key, "version": version})
        return
    job_id = keys.job_id(bucket, key, facts.version)
    for _ in range(transitions.RETRIES):
        record = ports.ledger.get(job_key(job_id))
        if record is not None and record.document.state != State.WAITING:
            break
        try:
            _take_in(ports, bucket, key, facts, record)
            break
        except Conflict:
            continue  # somebody else took in the same drop, or another one of the same path
    else:
        raise Conflict(f"{job_id} is being fought over")
    answers.settle(ports, job_id)


def wake_waiting(ports: Ports, bucket: str, reference: str) -> None:
    """Take in the jobs that waited for this reference."""
    for waiting in ports.ledger.query(WAITING, Waiting, prefix=f"{reference}\t"):
        job = ports.ledger.get(job_key(waiting.document.job_id))
        if job is not None:
            source = job.document.source
            submit(ports, bucket, source.key, source.version if source.versioned else None)


def reject(ports: Ports, record: Record[Job], *problems: Problem) -> None:
    """Refuse a job that was taken in but cannot go on (a reference that never came)."""
    job = record.document
    changes: list[Change] = [
        Put(record.key, _rejected(job, ports, problems), record.revision),
        Put(letter_key(job.job_id), Letter(job_id=job.job_id)),
        *_stop_waiting(ports, job),
    ]
    ports.ledger.commit(*changes)
    ports.tell("rejected", {"job_id": job.job_id, "codes": [p.code for p in problems]})


def _take_in(
    ports: Ports, bucket: str, key: str, facts: FileFacts, record: Record[Job] | None
) -> None:
    now = ports.now()
    job_id = keys.job_id(bucket, key, facts.version)
    revision = record.revision if record else 0
    job = Job(
        job_id=job_id,
        source=Source(bucket=bucket, key=key, version=facts.version, versioned=facts.versioned),
        path=keys.path_of(key),
        state=State.QUEUED,
        created_at=record.document.created_at if record else now,
        updated_at=now,
    )
    stop_waiting = _stop_waiting(ports, record.document) if record else []
    try:
        resolved = _read(ports, job, facts)
        wanted = resolved.spec.image
        reference = _reference_key(key, wanted) if wanted else None
        if reference:
            try:
                image = _keep_reference(ports, bucket, reference, job_id)
            except Missing:
                waiting = job.model_copy(update={"resolved": resolved})
                _wait(ports, waiting, facts, reference, record)
                return
        else:
            image = None
        resolved, enhancement = _enhance(ports, resolved)
    except Missing:
        ports.tell("drop-gone", {"key": key, "version": facts.version})
        return
    except JobRejected as rejection:
        ports.ledger.commit(
            Put(job_key(job_id), _rejected(job, ports, rejection.problems), revision),
            Put(letter_key(job_id), Letter(job_id=job_id)),
            *stop_waiting,
            *_own_path(ports, job, facts),
        )
        ports.tell("rejected", {"job_id": job_id, "codes": [p.code for p in rejection.problems]})
        return

    task = Task(
        task_id=keys.task_id(job_id, 1),
        job_id=job_id,
        number=1,
        state=State.QUEUED,
        model=resolved.model,
        parameters=resolved.parameters,
        image=image,
        priority=resolved.spec.priority,
        queued_at=now,
    )
    job = job.model_copy(
        update={
            "resolved": resolved,
            "enhancement": enhancement,
            "task_count": 1,
            "open_tasks": 1,
            "warnings": resolved.warnings,
        }
    )
    ports.ledger.commit(
        Put(job_key(job_id), job, revision),
        Put(task_key(transitions.ref_of(task)), task),
        Put(queue_key(task), transitions.entry_of(task)),
        *stop_waiting,
        *_own_path(ports, job, facts),
    )
    ports.tell("queued", {"job_id": job_id, "key": key, "model": resolved.model})


def _read(ports: Ports, job: Job, facts: FileFacts) -> Resolved:
    key = job.source.key
    if keys.kind_of(key) == keys.Kind.UNKNOWN:
        raise JobRejected(
            Problem(
                code=Code.KEY_SUFFIX,
                message=f"'{posixpath.basename(key)}' is not the name of a job spec.",
                hint="Name it like bee.yaml, bee.json or bee.txt (a bare prompt); "
                "images like bee.png, bee.jpg or bee.webp.",
            )
        )
    if facts.size_bytes > spec_text.MAX_SPEC_BYTES:
        raise spec_text.too_large(facts.size_bytes)
    version = job.source.version if job.source.versioned else None
    parsed = spec_text.parse(ports.files.read(job.source.bucket, key, version), key)
    return spec.resolve(
        spec.parse(parsed), parsed, default_model=ports.settings.default_model, job_id=job.job_id
    )


def _enhance(ports: Ports, resolved: Resolved) -> tuple[Resolved, Enhancement]:
    prompt = resolved.spec.prompt
    model_id = ports.settings.enhancer_model_id
    if not (resolved.spec.enhance and model_id and prompt.strip()):
        return spec.with_prompt(resolved, prompt), enhance.off(prompt)
    caption, enhancement = enhance.enhance(
        ports.language_model, model_id, prompt, MODELS[resolved.model].prompt_tokens
    )
    return spec.with_prompt(resolved, caption), enhancement


def _reference_key(spec_key: str, value: str) -> str:
    place = Place(field="image")
    if "://" in value or (reference := keys.reference_key(spec_key, value)) is None:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_PLACE,
                message=f"The image '{value[:80]}' is not a file of the drop folder.",
                hint="Upload the image beside the spec and write its file name, like  "
                "image: bee.png",
                place=place,
            )
        )
    if keys.kind_of(reference) != keys.Kind.REFERENCE:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_KIND,
                message=f"'{value[:80]}' does not have the name of an image.",
                hint="Use a PNG, JPEG or WebP file (.png, .jpg, .jpeg, .webp).",
                place=place,
            )
        )
    return reference


def _keep_reference(ports: Ports, bucket: str, reference: str, job_id: str) -> str:
    """Copy the reference as it is now to where the worker will get it from.

    Raises:
        Missing: it is not there yet.
        JobRejected: it is not an image that we take.
    """
    facts = ports.files.facts(bucket, reference)
    place = Place(field="image")
    if facts.size_bytes > MAX_REFERENCE_BYTES:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_TOO_LARGE,
                message=f"The image {reference} has {facts.size_bytes:,} bytes; "
                f"at most {MAX_REFERENCE_BYTES:,} are read.",
                hint="Save it smaller, for instance as JPEG.",
                place=place,
            )
        )
    version = facts.version if facts.versioned else None
    head = ports.files.read(bucket, reference, version, first_bytes=16) if facts.size_bytes else b""
    suffix = next((s for magic, s in _MAGIC.items() if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        suffix = ".webp"
    if suffix is None:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_KIND,
                message=f"The file {reference} is not a PNG, JPEG or WebP image, "
                "whatever its name says.",
                hint="Export it again as PNG or JPEG.",
                place=place,
            )
        )
    kept = keys.kept_reference(job_id, suffix)
    ports.files.copy(
        (bucket, reference, version),
        (ports.settings.work_bucket, kept),
        {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}[suffix],
    )
    return kept


def _wait(
    ports: Ports, job: Job, facts: FileFacts, reference: str, record: Record[Job] | None
) -> None:
    bucket = job.source.bucket
    if record is None:
        deadline = ports.now() + timedelta(seconds=ports.settings.reference_deadline_seconds)
        waiting = job.model_copy(update={"state": State.WAITING, "waiting_for": reference})
        ports.ledger.commit(
            Put(job_key(job.job_id), waiting),
            Put(waiting_key(reference, job.job_id), Waiting(job_id=job.job_id, deadline=deadline)),
            *_own_path(ports, job, facts),
        )
        ports.tell("waiting", {"job_id": job.job_id, "reference": reference})
    # It may have come between our look and our note, and then nobody would wake us.
    try:
        ports.files.facts(bucket, reference)
    except Missing:
        return
    ports.tell("reference-came-meanwhile", {"job_id": job.job_id})
    source = job.source
    submit(ports, bucket, source.key, source.version if source.versioned else None)


def _own_path(ports: Ports, job: Job, facts: FileFacts) -> list[Change]:
    """Make this job the newest of its path, unless a newer drop is known."""
    newest = ports.ledger.get(newest_key(job.path))
    if newest is not None and newest.document.modified_at > facts.modified_at:
        return []
    mine = Newest(job_id=job.job_id, modified_at=facts.modified_at)
    return [Put(newest_key(job.path), mine, newest.revision if newest else 0)]


def _stop_waiting(ports: Ports, job: Job) -> list[Change]:
    if job.waiting_for is None:
        return []
    waiting = ports.ledger.get(waiting_key(job.waiting_for, job.job_id))
    return [Remove(waiting.key, waiting.revision)] if waiting else []


def _rejected(job: Job, ports: Ports, problems: tuple[Problem, ...]) -> Job:
    return job.model_copy(
        update={"state": State.REJECTED, "problems": problems, "updated_at": ports.now()}
    )
