"""What must hold after a simulation: nothing was lost, done twice or left over."""

import itertools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError

from contract.outcome import Failed, Outcome
from functions import s3_keys
from functions.ports import Missing
from functions.replies import gallery
from functions.replies.sidecar import Sidecar
from functions.replies.status import Status
from functions.spec.input_bucket import InputBucket
from functions.spec.lists import read_list
from functions.table.ledger import (
    CAPACITY,
    COLLECTED,
    DEFAULTS,
    DIGESTS,
    GALLERY,
    OPEN_ATTEMPTS,
    OUTBOX,
    QUEUE,
    WAITING,
    asked_key,
    gallery_key,
    job_key,
    owner_key,
    shown_key,
)
from functions.table.paths import is_newest
from functions.table.records import (
    PAUSED_AFTER,
    Attempt,
    CancelReason,
    Capacity,
    Collected,
    Digest,
    GalleryEntry,
    Job,
    Letter,
    NotedDefaults,
    QueueEntry,
    State,
    Task,
    Waiting,
)
from tests.simulation import deletes

if TYPE_CHECKING:
    from tests.simulation.cloud import Simulation

# Two failed sweeps within this time make an alarm fire.
SWEEPS_FAIL_WITHIN_SECONDS = 900
# How often the code may fail to handle a message without a fault. It may have to wait for another
# handler or for a file, but not so often that the message ends in the dead-letter queue.
OWN_FAILURES = 3


class Violated(AssertionError):
    """Something happened that must never happen."""


def check(simulation: "Simulation") -> None:
    """Check that nothing was lost, done twice or left over.

    Raises:
        Violated: the message says what is wrong.
    """
    jobs: dict[str, Job] = {job.job_id: job for job in simulation.documents(Job)}
    _check_drops(simulation, jobs)
    _check_handed_on(simulation, jobs)
    _check_rows(simulation, jobs)
    _check_references(simulation, jobs)
    _check_lone(simulation)
    _check_once(simulation, jobs)
    _check_defaults(simulation, jobs)
    _check_gallery(simulation, jobs)
    _check_nothing_left(simulation)
    _check_failures(simulation)
    for what in deletes.late(simulation, jobs):
        raise Violated(what)


def _check_failures(simulation: "Simulation") -> None:
    """No alarm may fire because of the code itself."""
    for letter in simulation.dead_letters:
        if len(letter.own_failures) > OWN_FAILURES:
            raise Violated(
                f"{letter.name} became a dead letter after its own failures: {letter.own_failures}"
            )
        if letter.function not in simulation.faults.dead_letters:
            raise Violated(f"a message of {letter.name} is a dead letter")
    for (before, _), (at, error) in itertools.pairwise(simulation.failed_sweeps):
        if at - before < SWEEPS_FAIL_WITHIN_SECONDS:
            raise Violated(f"sweeps failed at {before:.0f} s and {at:.0f} s: {error}")


def _check_drops(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    answered: set[str] = set()
    accepted: set[str] = set()
    for key, version in reversed(simulation.dropped):  # the newest first
        # A newer version of a list or an approval replaces it, whatever becomes of that.
        handed_on = s3_keys.kind_of(key) in {s3_keys.Kind.LIST, s3_keys.Kind.APPROVAL}
        replacing = answered if handed_on else accepted
        job = _last_try(jobs, key, version)
        if job is None:
            there = [one.version for one in simulation.files.versions("input", key)]
            if version in there and key not in replacing:
                raise Violated(f"{key} ({version}) was lost")
            continue
        if not job.state.terminal:
            raise Violated(f"{job.job_id} is still {job.state}")
        if job.canceled_because == CancelReason.SUPERSEDED and key not in replacing:
            raise Violated(f"{key} ({version}) was replaced, but not by a newer version")
        if key not in answered and not is_newest(simulation.plain, job):
            raise Violated(f"the status of {key} is not about its newest version, {version}")
        answered.add(key)
        if job.was_accepted:
            accepted.add(key)
        _check_status(simulation, job)


def _check_handed_on(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    """What a drop was handed on to was dropped, and not again with the same content."""
    for key in {key for job in jobs.values() for key in job.dropped}:
        versions = simulation.files.objects.get(("input", key), [])
        if not versions:
            raise Violated(f"{key} was not dropped")
        for before, after in itertools.pairwise(versions):
            if not after.is_delete_marker and before.body == after.body:
                raise Violated(f"{key} was dropped twice")


def _check_rows(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    """The specs of the rows of a list are those of its newest version."""
    drop, model = InputBucket(simulation.plain, "input"), simulation.settings.default_model
    for key in simulation.files.keys("input"):
        if s3_keys.kind_of(key) != s3_keys.Kind.LIST:
            continue
        job = _last_try(jobs, key, simulation.files.facts("input", key).version)
        if job is None or not job.dropped:
            continue
        found = read_list(drop, simulation.reader, key, default_model=model)
        if [row.spec.key for row in found.good] != [*job.dropped]:
            raise Violated(f"{key} has dropped {job.dropped}")
        for row in found.good:
            versions = simulation.files.objects["input", row.spec.key]
            if not versions[-1].is_delete_marker and versions[-1].body != row.spec.body:
                raise Violated(f"{row.spec.key} is not what {key} says")


def _check_gallery(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    """The gallery has an entry for the newest job of each path with a status, and no others."""
    found = {r.key: r.document for r in simulation.ledger.query(GALLERY, GalleryEntry)}
    tasks: dict[str, list[Task]] = {}
    for task in simulation.documents(Task):
        tasks.setdefault(task.job_id, []).append(task)
    wanted = {}
    for job in jobs.values():
        has_status = simulation.files.exists("output", s3_keys.status(job.path))
        # What follows from a job that was handed on has entries.
        is_shown = has_status and job.state != State.HANDED_ON
        if is_shown and is_newest(simulation.plain, job):
            of_job = sorted(tasks.get(job.job_id, []), key=lambda task: task.number)
            entry = gallery.entry_of(job, of_job)
            wanted[gallery_key(entry)] = entry
            shown = simulation.ledger.get(shown_key(job.path))
            if shown is None or shown.document != entry:
                raise Violated(f"{job.path} does not know its entry in the gallery")
    if found != wanted:
        wrong = [key.sort for key in found.keys() | wanted if found.get(key) != wanted.get(key)]
        raise Violated(f"the gallery is not what the table says about {wrong}")


def _check_references(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    """No job is refused because of a reference that is empty or has changed since.

    A file whose name is alike is the reference, too, if it is the only one.
    """
    uploaded = simulation.files.keys("input")
    for job in jobs.values():
        bad, source = job.bad_reference, job.source
        if bad is None:
            continue
        versions = simulation.files.objects.get(("input", bad.key), [])
        if any(one.version == bad.version and not one.body for one in versions):
            raise Violated(f"{job.job_id} was refused because {bad.key} is not uploaded yet")
        newest = simulation.files.versions("input", source.key)[:1]
        alike = [key for key in uploaded if s3_keys.may_mean(source.key, bad.key, key)]
        key = alike[0] if len(alike) == 1 else bad.key
        there = simulation.files.versions("input", key)[:1]
        if [one.version for one in newest] != [source.version] or not there:
            continue
        changed = there[0].size_bytes and there[0].version != bad.version
        if changed and _last_try(jobs, source.key, source.version) == job:
            raise Violated(f"{job.job_id} was not tried again with the new {key}")


def _check_lone(simulation: "Simulation") -> None:
    """A file that no spec asks for has a status that says so, and no other file has."""
    keys = {key for bucket, key in simulation.files.objects if bucket == "input"}
    for key in (key for key in keys if s3_keys.kind_of(key) == s3_keys.Kind.REFERENCE):
        path = s3_keys.path_of(key)
        if simulation.ledger.get(owner_key(path)) is not None:
            continue  # it is a job itself
        told = simulation.files.exists("output", s3_keys.status(path))
        found = simulation.files.versions("input", key)[:1]
        lone = found and found[0].size_bytes and simulation.ledger.get(asked_key(key)) is None
        if told and not lone:
            raise Violated(f"the status of {key} says that no spec asks for it")
        if lone and not told and found[0].modified_at < _told_since(simulation):
            raise Violated(f"{key} has no status that says that no spec asks for it")


def _told_since(simulation: "Simulation") -> datetime:
    """Files that came before that have a status, if no spec asks for them."""
    calm = min(simulation.clock(), max(simulation.calm_at, simulation.start + timedelta(hours=1)))
    return min(calm, simulation.clock() - timedelta(minutes=40))


def _check_status(simulation: "Simulation", job: Job) -> None:
    newest = simulation.ledger.get(owner_key(job.path))
    if newest is None or newest.document.job_id != job.job_id:
        return
    status = Status.from_json(simulation.files.read("output", s3_keys.status(job.path)))
    if (status.job_id, status.state) != (job.job_id, job.state):
        raise Violated(f"{job.path} is {job.state}, but its status says {status.state}")
    refused = simulation.files.exists("output", s3_keys.rejected(job.path))
    if refused != (job.state == State.REJECTED):
        raise Violated(f"{job.path} is {job.state}, and has a refusal: {refused}")
    explained = simulation.files.exists("output", s3_keys.failed(job.path))
    if explained != (job.state == State.FAILED):
        raise Violated(f"{job.path} is {job.state}, and a text about a failure: {explained}")


def _check_once(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    for job_id, job in jobs.items():
        least = 1 if job.wants_mail else 0
        if not least <= simulation.mails[job_id] <= least + simulation.unnoted_mails[job_id]:
            raise Violated(f"{simulation.mails[job_id]} mails about {job_id} ({job.state})")
        _check_events(simulation, job)
    checks = {State.SUCCEEDED: _check_video, State.FAILED: _check_kept_scenes}
    for task in simulation.documents(Task):
        attempts = simulation.published.get(task.task_id, set())
        if len(attempts) > 1:
            raise Violated(f"{task.task_id} was published by {attempts}")
        if task.attempts > simulation.settings.max_attempts:
            raise Violated(f"{task.task_id} had {task.attempts} attempts")
        if task.state == State.FAILED and not simulation.tasks_may_fail:
            raise Violated(f"{task.task_id} failed without a cause: {task.problem}")
        if task.state in checks:
            checks[task.state](simulation, jobs[task.job_id], task)
    for name, count in simulation.accepted.items():
        if count > 1:
            raise Violated(f"{name} was created {count} times")
    _check_silent_ends(simulation)


def _check_events(simulation: "Simulation", job: Job) -> None:
    """Each job has an event about its end. If the event comes again, it has the same id."""
    events = simulation.events.get(job.job_id, [])
    if not 1 <= len(events) <= 1 + simulation.unnoted_events[job.job_id]:
        raise Violated(f"{len(events)} events about {job.job_id} ({job.state})")
    if len({event.id for event in events}) > 1:
        raise Violated(f"the events about {job.job_id} have different ids")


def _check_silent_ends(simulation: "Simulation") -> None:
    """A model whose processing jobs keep ending without a sign of life is paused.

    Two ends begin a pause, and two more processing jobs find out in a day whether it is over.
    Those that were started together with the first two cannot know of it.
    """
    most = PAUSED_AFTER + 2 + simulation.settings.max_processing_jobs
    row: dict[str, list[datetime]] = {}
    for at, model, silent in sorted(simulation.ends):
        ends = row.setdefault(model, [])
        ends[:] = [end for end in (*ends, at) if at - end < timedelta(days=1)] if silent else []
        if len(ends) > most:
            raise Violated(f"{len(ends)} processing jobs in a day rendered nothing ({model})")


def _check_defaults(simulation: "Simulation", jobs: dict[str, Job]) -> None:
    """The table must know all folder defaults without errors, and no others."""
    noted = {r.key.sort: r.document for r in simulation.ledger.query(DEFAULTS, NotedDefaults)}
    there = simulation.files.keys("input")
    for key in (key for key in there if s3_keys.kind_of(key) == s3_keys.Kind.DEFAULTS):
        version = simulation.files.facts("input", key).version
        refused = s3_keys.job_id("input", key, version) in jobs
        if not refused and (key not in noted or noted[key].version != version):
            raise Violated(f"{key} ({version}) did not take effect")
    for key in noted:
        if key not in there:
            raise Violated(f"{key} was deleted and still has an effect")
    paths = {s3_keys.path_of(key) for key in there}
    for answer in simulation.files.keys("output"):
        _, _, path = answer.rpartition(".")[0].partition("/")
        if path.endswith("_defaults") and path not in paths:
            raise Violated(f"{answer} is about folder defaults that were deleted")


def _check_nothing_left(simulation: "Simulation") -> None:
    for partition, kind in (
        (QUEUE, QueueEntry), (WAITING, Waiting), (OPEN_ATTEMPTS, Attempt), (OUTBOX, Letter),
        (COLLECTED, Collected), (DIGESTS, Digest),
    ):  # fmt: skip
        left = simulation.ledger.query(partition, kind)
        if left:
            raise Violated(f"{partition} still has {[record.key.sort for record in left]}")
    copies = [k for _, k in simulation.files.objects if k.startswith(s3_keys.REFERENCES_PREFIX)]
    if copies:
        raise Violated(f"the work bucket still has {copies}")
    for record in simulation.ledger.query(CAPACITY.partition, Capacity):
        if record.document.leases:
            raise Violated(f"there are still leases: {record.document.leases}")


def _check_video(simulation: "Simulation", job: Job, task: Task) -> None:
    at = s3_keys.published(job.path, task.number, job.task_count)
    sidecar = Sidecar.from_json(simulation.files.read("output", at.sidecar))
    if sidecar.job_id != job.job_id:
        other = simulation.ledger.get(job_key(sidecar.job_id))
        assert other is not None
        if other.document.path != job.path and job.source.key not in simulation.keys_deleted:
            raise Violated(f"{at.video} of {job.path} was replaced by {other.document.path}")
        return  # a newer version of the same key was published there later
    if sidecar.attempt_id != task.attempt_id:
        raise Violated(f"{at.video} is not from {task.attempt_id}, which owns its task")
    versions = simulation.files.objects["output", at.sidecar]
    there = [Sidecar.from_json(v.body) for v in versions if not v.is_delete_marker]
    published = [(one.task_id, one.attempt_id) for one in there]
    if len(set(published)) < len(published):
        raise Violated(f"{at.video} was published twice: {published}")
    if simulation.files.sha256("output", at.video) != sidecar.video.sha256:
        raise Violated(f"the hash of {at.video} is not the one in its sidecar")
    for scene in sidecar.scenes:
        key = at.scene(scene.number)
        if scene.file_sha256 and simulation.files.sha256("output", key) != scene.file_sha256:
            raise Violated(f"the hash of {key} is not the one in its sidecar")
        if bool(scene.file_sha256) != ("scenes" in task.spec.outputs):
            raise Violated(f"{key} is published although nobody asked for it, or not published")
    if simulation.settings.signing_key and sidecar.unsigned_sha256 is None:
        raise Violated(f"{at.video} is not signed")


def _check_kept_scenes(simulation: "Simulation", job: Job, task: Task) -> None:
    """The scenes before one that failed are published, as the worker wrote them."""
    if not task.parameters.scenes:
        return
    key = s3_keys.task_result(task.attempt_id or "", task.task_id)
    try:
        result = Outcome.from_json(simulation.files.read("work", key)).result
    except (Missing, ValidationError):
        return
    made = len(result.scene_clips_sha256) if isinstance(result, Failed) else 0
    if task.scenes_kept != made:
        raise Violated(f"{task.scenes_kept} of {made} scenes of {task.task_id} are kept")
    at = s3_keys.published(job.path, task.number, job.task_count)
    for number in range(1, made + 1):
        body = simulation.files.read("output", at.scene(number))
        if not body.startswith(simulation.clip_of(task.task_id, number)):
            raise Violated(f"{at.scene(number)} is not what the worker wrote")
        if simulation.settings.signing_key and b" signed " not in body:
            raise Violated(f"{at.scene(number)} is not signed")
        if len(simulation.files.objects["output", at.scene(number)]) > 1:
            raise Violated(f"{at.scene(number)} was published twice")


def _last_try(jobs: dict[str, Job], key: str, version: str) -> Job | None:
    """The last job of a version of a drop, if it has any."""
    first = jobs.get(s3_keys.job_id("input", key, version))
    return jobs[first.last_try] if first and first.last_try else first
