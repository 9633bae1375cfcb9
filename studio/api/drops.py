"""What a person brings: a spec or a reference to upload, a spec to check, a prompt to enhance."""

import json
from collections.abc import Mapping

from contract.document import Document
from contract.errors import JobRejected, one_line
from functions import s3_keys
from functions.planning.estimate import Making, cost
from functions.reading.limits import MAX_LIST_BYTES
from functions.replies import words
from functions.replies.verdict import Verdict, costs_something, verdict_of
from functions.spec.drop_files import MAX_AUDIO_BYTES, MAX_IMAGE_BYTES, MAX_VIDEO_BYTES
from functions.spec.input_bucket import InputBucket
from functions.spec.parsed import MAX_SPEC_BYTES
from functions.table.rates import learned_rates
from studio.api.jobs import Dropped, drop
from studio.api.ports import Ports, PostForm
from studio.api.refused import Refused

_FORM_SECONDS = 900


class File(Document):
    """A file that somebody wants to upload."""

    name: str
    """Its path below jobs/."""


class Text(Document):
    """A spec that somebody is writing."""

    name: str
    """The path below jobs/ that it would have."""
    text: str


class Plan(Document):
    """What the bucket would say about a spec."""

    verdict: Verdict
    takes: str
    """How long that takes and what it costs, in words. Empty if nothing would be made."""


class Enhanced(Document):
    """What became of the wish to enhance a prompt: a job to wait for, or what is wrong."""

    dropped: Dropped | None
    verdict: Verdict


def upload(ports: Ports, asked: File) -> PostForm:
    """A form to upload one spec or reference with, which can write nothing else."""
    key = _key(asked.name)
    return ports.uploads.form(
        ports.settings.input_bucket,
        key,
        content_type="text/plain" if _is_text(key) else "application/octet-stream",
        most_bytes=_most_bytes(key),
        seconds=_FORM_SECONDS,
    )


def plan(ports: Ports, asked: Text) -> Plan:
    """What the bucket would say about a spec, in its own words, and what it would cost."""
    verdict, makings = _verdict(ports, asked)
    if not costs_something(makings, ports.settings.default_model):
        return Plan(verdict=verdict, takes="")
    price = cost(learned_rates(ports), makings, ports.settings)
    return Plan(verdict=verdict.model_copy(update={"cost": price}), takes=words.cost(price))


def verdict(
    ports: Ports, key: str, files: Mapping[str, bytes]
) -> tuple[Verdict, tuple[Making, ...]]:
    """What the bucket would say about a spec.

    Args:
        key: the key of the spec.
        files: what is in the folder besides the files that are there, by key.
    """
    name = key.removeprefix(s3_keys.JOBS_PREFIX)
    model = ports.settings.default_model
    return verdict_of(_With(ports, files), ports.reader, key, name=name, default_model=model)


def _verdict(ports: Ports, asked: Text) -> tuple[Verdict, tuple[Making, ...]]:
    key = _key(asked.name)
    return verdict(ports, key, {key: asked.text.encode()})


def enhance(ports: Ports, asked: Text) -> Enhanced:
    """Have the prompt of a spec rewritten, without rendering it: a drop with `enhance: review`."""
    key = _key(asked.name)
    if s3_keys.kind_of(key) != s3_keys.Kind.SPEC:
        raise Refused(400, "Only the prompt of a spec can be enhanced.")
    verdict, _ = _verdict(ports, asked)
    if not verdict.ok:
        return Enhanced(dropped=None, verdict=verdict)
    try:
        values = ports.reader.spec(asked.text.encode(), key).without_sidecar().values
    except JobRejected:  # it was read a moment ago, but the reading process can be killed
        raise Refused(503, "The spec could not be read. Try again.") from None
    spec = {**values, "enhance": "review", "notify": False}
    stem = f"{s3_keys.stem_of(key)}-enhanced"
    dropped = drop(ports, stem, json.dumps(spec, ensure_ascii=False, indent=2).encode())
    return Enhanced(dropped=dropped, verdict=verdict)


class _With(InputBucket):
    """The input bucket, as it would be with some more files."""

    def __init__(self, ports: Ports, files: Mapping[str, bytes]) -> None:
        super().__init__(ports, ports.settings.input_bucket)
        self._more = files

    def size_bytes(self, key: str) -> int:
        """See `DropFiles.size_bytes`."""
        return len(self._more[key]) if key in self._more else super().size_bytes(key)

    def read(self, key: str) -> bytes:
        """See `DropFiles.read`."""
        return self._more[key] if key in self._more else super().read(key)


def _key(name: str) -> str:
    """The key of a file that somebody wants to drop.

    Raises:
        Refused: it would not be below jobs/, or not be a drop.
    """
    parts = name.split("/")
    # In a form, S3 puts the name of the uploaded file in the place of ${filename}.
    strange = "${" in name or one_line(name) != name
    if strange or any(part in {"", ".", ".."} for part in parts):
        raise Refused(400, "Name the file with letters, digits and spaces, like birthday/bee.yaml.")
    key = s3_keys.in_folder("", name)
    kinds = {
        s3_keys.Kind.SPEC, s3_keys.Kind.LIST, s3_keys.Kind.REFERENCE, s3_keys.Kind.DEFAULTS,
    }  # fmt: skip
    if s3_keys.kind_of(key) not in kinds or len(key.encode()) > s3_keys.MAX_DROP_BYTES:
        raise Refused(
            400,
            f"{name} is no file that makes a video. Specs are called like bee.yaml, lists like "
            "bee.csv, and pictures, videos and sounds like bee.png, bee.mp4 or bee.mp3.",
        )
    return key


def _is_text(key: str) -> bool:
    return s3_keys.kind_of(key) != s3_keys.Kind.REFERENCE


def _most_bytes(key: str) -> int:
    if s3_keys.kind_of(key) == s3_keys.Kind.LIST:
        return MAX_LIST_BYTES
    if _is_text(key):
        return MAX_SPEC_BYTES
    if s3_keys.is_image(key):
        return MAX_IMAGE_BYTES
    return MAX_AUDIO_BYTES if s3_keys.is_audio(key) else MAX_VIDEO_BYTES
