"""The ports in memory, with the rules of the real services that the stages rely on.

tests/contract runs the same checks against these fakes and against the embedded cloud.
"""

import hashlib
import io
import itertools
import json
import re
import struct
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from contract.catalogue import MODELS, NO_MODEL
from contract.errors import Code, Notice, Problem, Transient
from contract.manifest import Manifest, ManifestTask, Parameters
from contract.model_folder import Ready
from contract.outcome import (
    GIF_FILE,
    H265_FILE,
    POSTER_FILE,
    VIDEO_FILE,
    WEBM_FILE,
    Failed,
    Guidance,
    Machine,
    Outcome,
    Profile,
    Progress,
    Quality,
    Rendered,
    SceneMade,
    Seconds,
    VideoFacts,
    progress_file,
    sample_file,
    scene_file,
)
from contract.scenes import parts_of
from contract.timeline import timeline_of
from functions import s3_keys
from functions.adapters.child_reader import ChildReader, Request
from functions.adapters.sagemaker import failure_of, processing_request
from functions.log import Event
from functions.ports import PAGE_OBJECTS, FileFacts, Listed, Locked, Missing, Page
from functions.reading import child
from functions.replies.bus import DETAIL_TYPE, MOST_BYTES, SOURCE
from functions.replies.post import MaybeSent
from functions.settings import Settings
from functions.spec.guardrail import GuardrailUnavailable, Judgement
from functions.spec.language_model import Answer, LanguageModelUnavailable
from functions.stages.cancel import deleted
from functions.stages.dispatch import dispatch
from functions.stages.finish import attempt_ended, file_written
from functions.stages.ports import Ports
from functions.stages.renderer import (
    CannotStart,
    NameTaken,
    NoQuota,
    ProcessingJob,
    ProcessingStatus,
)
from functions.stages.signing import CannotSign, Claim
from functions.stages.submit import submit
from functions.table.ledger import Change, Conflict, D, Put, Record, RecordKey
from functions.table.records import ProcessingState
from local.cloud.bedrock import BLOCKED_WORD, is_blocked_picture
from local.cloud.service_limits import violations
from tests.clips import numbered


def picture(kind: str, size: tuple[int, int] = (96, 64), colour: str = "red") -> bytes:
    """An image file of one colour; `size` is width, height."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


PNG = picture("PNG")
POSTER = picture("JPEG")
BLOCKED_PNG = picture("PNG", colour="magenta")

SETTINGS = Settings(
    input_bucket="input",
    output_bucket="output",
    work_bucket="work",
    table_name="table",
    topic_arn="arn:aws:sns:us-east-1:000000000000:topic",
    event_bus_name="bus",
    drops_queue_url="https://sqs.us-east-1.amazonaws.com/000000000000/drops",
    dispatch_queue_url="https://sqs.us-east-1.amazonaws.com/000000000000/wakes",
    key_arn="",
    subnet_ids="",
    security_group_id="",
    job_prefix="reeldrop--",
    image_uri="000000000000.dkr.ecr.us-east-1.amazonaws.com/image:tag",
    code_uri="s3://assets/0123abcd.zip",
    role_arn="arn:aws:iam::000000000000:role/worker",
    instance_types="ml.g6e.xlarge",
    finishing_instance_type="ml.c5.2xlarge",
    volume_gb=100,
    max_processing_jobs=1,
    max_tasks_per_job=4,
    max_tasks_per_folder_day=0,
    max_gpu_minutes_per_folder_day=0,
    max_attempts=2,
    max_runtime_seconds=3600,
    default_model="demo",
    enhancer_model_id="us.amazon.nova-2-lite-v1:0",
    guardrail_id="",
    guardrail_version="",
    guardrail_pictures=True,
    signing_key="",
    reference_deadline_seconds=3600,
    link_seconds=3600,
)


@lru_cache(maxsize=4096)
def _read(kind: type[D], body: str) -> D:
    """Parse a document. Documents are frozen, so one that was parsed can be returned again."""
    return kind.from_json(body)


def clear_read_cache() -> None:
    """Forget the parsed documents, so that a benchmark measures the parsing too."""
    _read.cache_clear()


class FakeLedger:
    """The table. It keeps documents as JSON, so a document that is not JSON cannot be stored."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], tuple[int, str]] = {}
        self._sorts: defaultdict[str, list[str]] = defaultdict(list)
        self.commits = 0

    def get(self, key: RecordKey[D]) -> Record[D] | None:
        assert len(key.partition.encode()) <= 2048, "DynamoDB takes a key of at most 2,048 bytes"
        item = self.items.get((key.partition, key.sort))
        return Record(key, _read(key.kind, item[1]), item[0]) if item else None

    def get_all(self, keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        return [FakeLedger.get(self, key) for key in keys]

    def query(
        self,
        partition: str,
        kind: type[D],
        *,
        prefix: str = "",
        start: str = "",
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[Record[D]]:
        assert start.startswith(prefix) or not start
        sorts = self._sorts[partition]
        found: list[Record[D]] = []
        ordered: Iterator[str] = islice(sorts, bisect_left(sorts, start or prefix), None)
        if backwards:
            last = start or prefix + "\U0010ffff"
            ordered = reversed(sorts[: bisect_right(sorts, last)])
        for sort in ordered:
            if not sort.startswith(prefix) or len(found) == limit:
                break
            revision, body = self.items[(partition, sort)]
            found.append(Record(RecordKey(partition, sort, kind), _read(kind, body), revision))
        return found

    def commit(self, *changes: Change) -> None:
        places = [(change.key.partition, change.key.sort) for change in changes]
        assert all(len(p.encode()) <= 2048 and len(s.encode()) <= 1024 for p, s in places)
        assert 1 <= len(changes) <= 100, "DynamoDB takes 1 to 100 items in a transaction"
        assert len(set(places)) == len(places), "DynamoDB takes an item once in a transaction"
        for change, place in zip(changes, places, strict=True):
            if change.revision != self.items.get(place, (0, ""))[0]:
                raise Conflict(str(place))
        for change, place in zip(changes, places, strict=True):
            if isinstance(change, Put):
                body = change.document.model_dump_json()
                assert len(body.encode()) < 400_000, "DynamoDB takes items of at most 400 KB"
                if place not in self.items:
                    insort(self._sorts[place[0]], place[1])
                self.items[place] = (change.revision + 1, body)
            else:
                del self.items[place]
                self._sorts[place[0]].remove(place[1])
        self.commits += 1


@dataclass
class Version:
    """A version of an object, or the mark that the object was deleted."""

    version: str
    body: bytes
    content_type: str
    at: datetime
    mark: str = ""
    is_delete_marker: bool = False
    is_locked: bool = False
    """Whether it is encrypted with a key that the functions may not use."""


_VERSIONED = {SETTINGS.input_bucket, SETTINGS.output_bucket}


class FakeFiles:
    """S3. The work bucket has no versions and delete markers, the others have."""

    def __init__(self, now: "Clock") -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self.objects: dict[tuple[str, str], list[Version]] = {}

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is an object, and not only versions of one that was deleted."""
        versions = self.objects.get((bucket, key), [])
        return bool(versions) and not versions[-1].is_delete_marker

    def _find(self, bucket: str, key: str, version: str | None) -> Version:
        assert 1 <= len(key.encode()) <= 1024, "S3 answers 400 to longer keys"
        versions = self.objects.get((bucket, key), [])
        for found in reversed(versions):
            if version in {None, found.version}:
                if found.is_delete_marker:
                    break
                return found
        raise Missing(f"{bucket}/{key}")

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        return replace(
            self._listed(bucket, key, version), mark=self._find(bucket, key, version).mark
        )

    def _listed(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """The facts of an object as a listing has them: without its mark."""
        found = self._find(bucket, key, version)
        if bucket in _VERSIONED:
            return FileFacts(found.version, True, len(found.body), found.at)
        etag = hashlib.md5(found.body).hexdigest()
        return FileFacts(etag, False, len(found.body), found.at)

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        found = self._find(bucket, key, version)
        if found.is_locked:
            raise Locked(f"{bucket}/{key}")
        return found.body[:first_bytes]

    def lock(self, bucket: str, key: str) -> None:
        """Encrypt the current version with a key that the functions may not use."""
        self._find(bucket, key, None).is_locked = True

    def write(
        self, bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
    ) -> None:
        assert mark.isascii() and mark.isprintable()
        there = self.objects.get((bucket, key))
        if mark and there and there[-1].mark == mark:
            return
        assert 1 <= len(key.encode()) <= 1024, "S3 keys have at most 1,024 bytes"
        at = self._now().replace(microsecond=0)  # S3 reports whole seconds
        self._add(bucket, key, Version(f"v{next(self._numbers)}", body, content_type, at, mark))

    def _add(self, bucket: str, key: str, version: Version) -> None:
        if bucket in _VERSIONED:
            self.objects.setdefault((bucket, key), []).append(version)
        else:
            self.objects[(bucket, key)] = [version]

    def copy(
        self,
        source: tuple[str, str, str | None],
        target: tuple[str, str],
        content_type: str,
        *,
        mark: str = "",
    ) -> None:
        self.write(*target, self._find(*source).body, content_type, mark=mark)

    def download(self, bucket: str, key: str, path: Path) -> None:
        path.write_bytes(self._find(bucket, key, None).body)

    def upload(self, path: Path, bucket: str, key: str, content_type: str, *, mark: str) -> None:
        self.write(bucket, key, path.read_bytes(), content_type, mark=mark)

    def remove(self, bucket: str, key: str) -> None:
        if bucket not in _VERSIONED:
            self.objects.pop((bucket, key), None)
        elif self.exists(bucket, key):
            at, version = self._now().replace(microsecond=0), f"v{next(self._numbers)}"
            self._add(bucket, key, Version(version, b"", "", at, is_delete_marker=True))

    def sha256(self, bucket: str, key: str) -> str:
        return hashlib.sha256(self._find(bucket, key, None).body).hexdigest()

    def page(self, bucket: str, prefix: str, after: str = "", at_most: int = PAGE_OBJECTS) -> Page:
        keys = [key for key in self.keys(bucket) if key.startswith(prefix)]
        first = bisect_right(keys, after)
        found = [Listed(key, self._find(bucket, key, None).at) for key in keys[first:]]
        return Page(tuple(found[:at_most]), len(found) > at_most)

    def facts_after(self, bucket: str, prefix: str, after: str) -> dict[str, FileFacts]:
        keys = [listed.key for listed in FakeFiles.page(self, bucket, prefix, after).objects]
        counts = itertools.accumulate(len(self.objects[bucket, key]) for key in keys)
        there = [key for key, count in zip(keys, counts, strict=True) if count <= PAGE_OBJECTS]
        return {key: self._listed(bucket, key) for key in there}

    def versions(self, bucket: str, key: str) -> list[FileFacts]:
        found: list[FileFacts] = []
        for version in reversed(self.objects.get((bucket, key), [])):
            if version.is_delete_marker:
                break
            found.append(self._listed(bucket, key, version.version))
        return found

    def link(self, bucket: str, key: str, seconds: int) -> str:
        return f"https://{bucket}.example/{key}?expires={seconds}"

    def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket."""
        return sorted(key for of, key in self.objects if of == bucket and self.exists(of, key))


class FakeSigner:
    """Signs with a number that counts up, so that signing a file twice gives two files. Raises
    `away` if it is set."""

    def __init__(self) -> None:
        self.away: CannotSign | None = None
        self.claims: list[Claim] = []
        self.clips: list[bytes | None] = []

    def sign(self, source: Path, target: Path, claim: Claim, clip: Path | None = None) -> None:
        if self.away is not None:
            raise self.away
        self.claims.append(claim)
        self.clips.append(clip.read_bytes() if clip else None)
        target.write_bytes(source.read_bytes() + b" signed %d" % len(self.claims))


class FakeRenderer:
    """SageMaker. A name can be used once, requests must fit the service model, and quotas limit
    how many jobs run."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[ProcessingJob, str, str]] = {}
        self.quota = 100
        self.quotas: dict[str, int] = {}
        """Quotas of single instance types. `quota` limits all of them together."""
        self.no_quota = ""
        """What SageMaker says when a quota is used up."""
        self.lose_next_acknowledgement = False
        self.refuses: set[str] = set()
        """URIs of models under which SageMaker finds no objects."""

    def start(self, job: ProcessingJob) -> None:
        found = violations("CreateProcessingJob", processing_request(job, SETTINGS))
        assert not found, found
        if job.attempt_id in self.jobs:
            raise NameTaken(job.attempt_id)
        if job.model_uri in self.refuses:
            raise CannotStart(f"No S3 objects found under S3 URL {job.model_uri}")
        running = [other for other, status, _ in self.jobs.values() if status == "InProgress"]
        alike = [other for other in running if other.instance_type == job.instance_type]
        if len(running) >= self.quota or len(alike) >= self.quotas.get(job.instance_type, 100):
            raise NoQuota(self.no_quota or f"The limit of {job.instance_type} is reached.")
        self.jobs[job.attempt_id] = (job, "InProgress", "")
        if self.lose_next_acknowledgement:
            self.lose_next_acknowledgement = False
            raise ConnectionError("the acknowledgement was lost")

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        if attempt_id not in self.jobs:
            return None
        job, status, reason = self.jobs[attempt_id]
        state = ProcessingState(status)
        failure = failure_of(reason) if state == ProcessingState.FAILED else None
        return ProcessingStatus(state, reason, failure, job.manifest_sha256)

    def stop(self, attempt_id: str) -> None:
        if attempt_id in self.jobs and self.jobs[attempt_id][1] == "InProgress":
            self.end(attempt_id, "Stopped")

    def end(self, attempt_id: str, status: str, reason: str = "") -> None:
        """Let a processing job end."""
        self.jobs[attempt_id] = (self.jobs[attempt_id][0], status, reason)


class InProcessReader(ChildReader):
    """Runs the same checks without a process, so that thousands of them are fast."""

    def _answer(self, request: Request) -> tuple[bytes, bytes]:
        found, blob = child.answer(*request[:2], request.labels, request.blobs)
        return json.dumps(found).encode(), blob


class FakeLanguageModel:
    """Bedrock. Returns `answer`, or raises it if it is an exception."""

    def __init__(self) -> None:
        self.answer: Answer | LanguageModelUnavailable = Answer(
            "A bee lands. It is warm.", "end_turn", "fake"
        )
        self.asked: list[tuple[str, str]] = []
        self.shown: list[bytes | None] = []

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        self.asked.append((system, user))
        self.shown.append(image)
        if isinstance(self.answer, LanguageModelUnavailable):
            raise self.answer
        return self.answer


class FakeGuardrail:
    """A guardrail of Bedrock that blocks some words and pictures. Raises `away` if it is set."""

    def __init__(self) -> None:
        self.blocks: tuple[str, ...] = (BLOCKED_WORD,)
        self.away: GuardrailUnavailable | None = None
        self.asked: list[str] = []
        self.allowed: set[str] = set()
        self.seen: list[tuple[bytes, ...]] = []
        self.allowed_pictures: set[bytes] = set()

    def judge(self, text: str) -> Judgement:
        assert text.strip()
        self.asked.append(text)
        if self.away is not None:
            raise self.away
        reasons = tuple(f'the word "{word}"' for word in self.blocks if word in text)
        if not reasons:
            self.allowed.add(text)
        return Judgement(bool(reasons), reasons)

    def judge_pictures(self, pictures: Sequence[bytes]) -> Judgement:
        assert 0 < len(pictures) <= 20 and max(map(len, pictures)) <= 4 * 1024 * 1024
        self.seen.append(tuple(pictures))
        if self.away is not None:
            raise self.away
        if any(is_blocked_picture(picture) for picture in pictures):
            return Judgement(True, ("violence",))
        self.allowed_pictures.update(pictures)
        return Judgement(False)


@dataclass
class Sent:
    subject: str
    body: str
    attributes: dict[str, str | Sequence[str]]


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class FakePost:
    """SNS. Subjects must be one line of ASCII with fewer than 100 characters."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.broken = False
        self.loses_answers = False

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        if self.broken:
            raise ConnectionError("SNS is away")
        assert 0 < len(subject) < 100 and subject.isascii() and subject.isprintable()
        assert body and len(body.encode()) < 256 * 1024
        assert all(attributes.values()), "SNS refuses empty attribute values"
        texts = [body, *(str(value) for value in attributes.values())]
        assert not _CONTROL.search("".join(texts)), "SNS refuses control characters"
        self.sent.append(Sent(subject, body, attributes))
        if self.loses_answers:
            raise MaybeSent("the answer came too late")


class FakeBus:
    """EventBridge. It keeps the details of the events, which must be JSON and not too large."""

    def __init__(self) -> None:
        self.details: list[dict[str, Any]] = []
        self.broken = False

    def put(self, detail: str) -> None:
        if self.broken:
            raise ConnectionError("EventBridge is away")
        assert sum(len(text.encode()) for text in (SOURCE, DETAIL_TYPE, detail)) <= MOST_BYTES
        self.details.append(json.loads(detail))


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, **delta: float) -> None:
        self.at += timedelta(**delta)


@dataclass
class World:
    """The fakes, and a person and a worker who use them."""

    clock: Clock = field(default_factory=Clock)
    settings: Settings = SETTINGS

    def __post_init__(self) -> None:
        self.ledger = FakeLedger()
        self.files = FakeFiles(self.clock)
        self.import_weights()
        self.renderer = FakeRenderer()
        self.reader: ChildReader = InProcessReader()
        self.language_model = FakeLanguageModel()
        self.guardrail = FakeGuardrail()
        self.signer = FakeSigner()
        self.post = FakePost()
        self.bus = FakeBus()
        self.sample = POSTER
        """A frame of each video, if samples are asked for."""
        self.wakes = 0
        self.wakes_later: list[datetime] = []
        """When dispatch is to run because it asked for that."""
        self.announced: list[str] = []
        """The keys of the drops that were announced again."""
        self.announced_later: list[tuple[datetime, str, str | None]] = []
        """When announcements that are held back are delivered, and about which drops."""
        self.logged: list[tuple[Event, dict[str, object]]] = []
        self._suffixes = itertools.count(1)

    def import_weights(self, release: str = "one") -> None:
        """Mark a release of the weights of all models as complete."""
        for model in MODELS.values():
            for weights in model.weights.values():
                self.weights_of(weights.folder, release)

    def weights_of(self, folder: str, release: str) -> None:
        """Mark a release of a model folder as complete."""
        ready = Ready(
            release=release,
            repository=None,
            revision=None,
            sha256="0" * 64,
            size_bytes=1,
            imported_at=self.clock(),
        )
        key = s3_keys.model_ready(folder)
        self.files.write("work", key, ready.to_json().encode(), "application/json")

    @property
    def ports(self) -> Ports:
        return Ports(
            settings=self.settings,
            region="us-east-1",
            ledger=self.ledger,
            files=self.files,
            renderer=self.renderer,
            reader=self.reader,
            language_model=self.language_model,
            guardrail=self.guardrail,
            signer=self.signer,
            post=self.post,
            bus=self.bus,
            announce=self._announce,
            wake=self._wake,
            now=self.clock,
            new_suffix=lambda: f"{next(self._suffixes):08x}",
            log=lambda event, facts: self.logged.append((event, facts)),
        )

    def _announce(self, key: str, version: str | None, *, delay_seconds: int = 0) -> None:
        """Deliver an announcement at once, or after its delay.

        If acting on it fails, its message would return to its queue.
        """
        assert 0 <= delay_seconds <= 900, "SQS holds a message back for at most 15 minutes"
        if delay_seconds:
            due = self.clock() + timedelta(seconds=delay_seconds)
            self.announced_later.append((due, key, version))
            return
        self.announced.append(key)
        with suppress(Transient, ConnectionError):
            submit(self.ports, "input", key, version)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and deliver the announcements that are due by then."""
        until = self.clock() + timedelta(seconds=seconds)
        while (due := min(self.announced_later, default=None)) and due[0] <= until:
            self.announced_later.remove(due)
            self.clock.at = max(self.clock.at, due[0])
            self._announce(*due[1:])
        self.clock.at = until

    def _wake(self, *, delay_seconds: int = 0) -> None:
        if delay_seconds:
            self.wakes_later.append(self.clock() + timedelta(seconds=delay_seconds))
        else:
            self.wakes += 1

    def set(self, **settings: object) -> None:
        """Change settings."""
        self.settings = replace_settings(self.settings, **settings)

    # what a person does

    def drop(self, key: str, body: bytes | str = "prompt: a bee\n", *, event: bool = True) -> None:
        """Upload to the input bucket and deliver the event."""
        self.files.write("input", key, body if isinstance(body, bytes) else body.encode(), "x")
        if event:
            submit(self.ports, "input", key, self.files.facts("input", key).version)

    def delete(self, key: str, *, event: bool = True) -> None:
        """Delete from the input bucket and deliver the event."""
        self.files.remove("input", key)
        if event:
            deleted(self.ports, "input", key)

    # what SageMaker and the worker do

    def dispatch(self) -> list[str]:
        """Run a dispatch, and those for which it asks or that follow from its announcements.

        Returns the names of the processing jobs that run now.
        """
        wakes = -1
        while self.wakes_later or self.wakes != wakes:
            if self.wakes_later:
                self.clock.at = max(self.clock.at, self.wakes_later.pop())
            wakes = self.wakes
            dispatch(self.ports)
        return self.running()

    def running(self) -> list[str]:
        return [
            name for name, (_, status, _) in self.renderer.jobs.items() if status == "InProgress"
        ]

    def manifest(self, attempt_id: str) -> Manifest:
        """What the worker reads."""
        return Manifest.from_json(self.files.read("work", s3_keys.attempt_manifest(attempt_id)))

    def render(
        self, attempt_id: str, *, tell: bool = True, failing: str = "", at_scene: int = 1
    ) -> None:
        """Write the results of all tasks of a processing job, and end it.

        Args:
            tell: whether the events are delivered.
            failing: the id of a task that fails.
            at_scene: the scene at which it fails.
        """
        for task in self.manifest(attempt_id).tasks:
            fail = task.task_id == failing
            self.write_result(attempt_id, task, fail=fail, at_scene=at_scene)
            if tell:
                file_written(self.ports, s3_keys.task_result(attempt_id, task.task_id))
        self.renderer.end(attempt_id, "Completed")
        if tell:
            attempt_ended(self.ports, attempt_id)

    def write_progress(
        self, attempt_id: str, task: ManifestTask, percent: int, scene: int | None = None
    ) -> str:
        """Write a progress file and return its key."""
        key = s3_keys.task_file(attempt_id, task.task_id, progress_file(percent))
        progress = Progress(
            attempt_id=attempt_id,
            task_id=task.task_id,
            percent=percent,
            expected_seconds_left=float(100 - percent),
            scene=scene,
        )
        self.files.write("work", key, progress.to_json().encode(), "application/json")
        return key

    def samples_of(self, task_id: str) -> list[bytes]:
        """The samples of a video, which no other video has."""
        return [self.sample + f"{task_id} {number}".encode() for number in (1, 2)]

    def clip_of(self, task_id: str, number: int) -> bytes:
        """A scene by itself: a short MP4, in which a box that players skip names the scene."""
        name = b"scene %d of %s" % (number, task_id.encode())
        return _short_clip() + struct.pack(">I", 8 + len(name)) + b"free" + name

    def write_result(
        self,
        attempt_id: str,
        task: ManifestTask,
        *,
        fail: bool = False,
        at_scene: int = 1,
        video: bytes = b"mp4",
    ) -> None:
        """Write the files of one task, as the worker does.

        Args:
            fail: whether it fails, at the scene `at_scene` if it has scenes.
        """
        now = self.clock()
        manifest = self.manifest(attempt_id)
        samples = self.samples_of(task.task_id) if task.samples else []
        scenes = task.parameters.scenes
        made = at_scene - 1 if fail else len(scenes)
        clips = [self.clip_of(task.task_id, n) for n in range(1, made + 1) if scenes]
        sha256_of_clips = tuple(hashlib.sha256(clip).hexdigest() for clip in clips)
        files = {scene_file(n): clip for n, clip in enumerate(clips, 1)}
        result: Rendered | Failed
        if fail:
            result = Failed(
                scene_clips_sha256=sha256_of_clips,
                attempt_id=attempt_id,
                task_id=task.task_id,
                started_at=now,
                finished_at=now,
                problem=Problem(code=Code.RENDER_FAILED, message="It broke.", hint="Try again."),
            )
        else:
            files = files if task.scene_clips else {}
            p, timeline = task.parameters, timeline_of(task.parameters)
            result = Rendered(
                attempt_id=attempt_id,
                task_id=task.task_id,
                model=None if manifest.model == NO_MODEL else manifest.model,
                weights_sha256="0" * 64,
                scheduler="CogVideoXDDIMScheduler",
                parameters=p,
                image_weights_sha256="1" * 64 if len(p.modes) > 1 else None,
                scenes=_scenes_made(p, sha256_of_clips if task.scene_clips else ()),
                started_at=now,
                finished_at=now,
                seconds=Seconds(
                    loading=1.0, text_encoding=0.0, denoising=0.0, decoding=0.0, encoding=0.0
                ),
                machine=Machine(name="fake", device="cpu", dtype="float32", versions={}),
                video=VideoFacts(
                    codec="h264",
                    pixel_format="yuv420p",
                    height=p.height,
                    width=p.width,
                    num_frames=timeline.num_frames,
                    fps=float(timeline.fps),
                    duration_seconds=timeline.duration_seconds,
                    size_bytes=len(video),
                    sha256=hashlib.sha256(video).hexdigest(),
                ),
                poster_sha256=hashlib.sha256(POSTER).hexdigest(),
                gif_sha256=hashlib.sha256(b"gif").hexdigest() if task.gif else None,
                h265_sha256=hashlib.sha256(b"h265").hexdigest() if task.h265 else None,
                webm_sha256=hashlib.sha256(b"webm").hexdigest() if task.webm else None,
                samples_sha256=tuple(hashlib.sha256(one).hexdigest() for one in samples),
                quality=Quality(brightness=1.0, contrast=1.0, motion=1.0),
                warnings=(Notice(code="a-fake", message="It is a fake."),),
            )
            files |= {
                VIDEO_FILE: video,
                POSTER_FILE: POSTER,
                **({GIF_FILE: b"gif"} if task.gif else {}),
                **({H265_FILE: b"h265"} if task.h265 else {}),
                **({WEBM_FILE: b"webm"} if task.webm else {}),
                **{sample_file(number): one for number, one in enumerate(samples, 1)},
            }
        for name, body in files.items():
            key = s3_keys.task_file(attempt_id, task.task_id, name)
            self.files.write("work", key, body, "application/octet-stream")
        self.files.write(
            "work",
            s3_keys.task_result(attempt_id, task.task_id),
            Outcome(result=result).to_json().encode(),
            "application/json",
        )


def _scenes_made(p: Parameters, clips: Sequence[str]) -> tuple[SceneMade, ...]:
    if not p.scenes:
        return ()
    step = timeline_of(p).step
    begins = [round(part.first_frame / step) for part in parts_of(p.scenes, p.generated_fps or 8)]
    ends = [*begins[1:], timeline_of(p).num_frames]
    return tuple(
        SceneMade(
            first_frame=begin,
            num_frames=end - begin,
            guidance=Guidance(use_dynamic_cfg=False, scales=(p.guidance_scale,)),
            profile=Profile(compiled=False, own_attention_blocks=0, fp8=False, computed_steps=2),
            clip_sha256=clips[index] if clips else None,
        )
        for index, (begin, end) in enumerate(zip(begins, ends, strict=True))
    )


@lru_cache
def _short_clip() -> bytes:
    return numbered(2)


def replace_settings(settings: Settings, **changed: object) -> Settings:
    """The settings with some values changed."""
    return settings.model_copy(update=changed)
