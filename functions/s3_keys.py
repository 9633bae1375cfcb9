"""Every S3 key, built and read back in one place.

    input    jobs/<path>.yaml|.yml|.json|.txt      specs, with references beside them
    output   videos/<path>.mp4 .json .jpg          the video, its sidecar, its poster
             status/<path>.json                    where the job is
             rejected/<path>.txt                   what was wrong
             review/<path>.yaml                    a spec whose prompt was rewritten, to be read
    work     references/<job_id>/<file>            references as they were when the job was taken in
             attempts/<attempt_id>/input/...       what one processing job reads
             attempts/<attempt_id>/output/...      what it writes
             models/<folder>/...                   weights in diffusers' layout

`path` is the spec's key without `jobs/` and without its suffix: "birthday/bee" for
"jobs/birthday/bee.yaml". Keys are never used as paths on a disk.
"""

import hashlib
import posixpath
import re
import unicodedata
from enum import StrEnum
from typing import NamedTuple

from contract.outcome import RESULT_FILE

JOBS_PREFIX = "jobs/"
ATTEMPTS_PREFIX = "attempts/"
MODELS_PREFIX = "models/"
VIDEOS_PREFIX = "videos/"
STATUS_PREFIX = "status/"
REJECTED_PREFIX = "rejected/"
REVIEW_PREFIX = "review/"
REFERENCES_PREFIX = "references/"
SPEC_SUFFIXES = (".yaml", ".yml", ".json", ".txt")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v")
DEFAULTS_FILE = "_defaults.yaml"
# S3 allows 1,024 bytes. The longest that we put around a path is "rejected/" and "-00.json".
_MAX_PATH_BYTES = 1_000
# A sort key of the table has 1,024 bytes too; those of waiting jobs also hold a job id.
_MAX_REFERENCE_BYTES = 950
_MAX_KEY_BYTES = 1_024


class Kind(StrEnum):
    """What a key under jobs/ is to us."""

    SPEC = "spec"
    REFERENCE = "reference"
    DEFAULTS = "defaults"
    UNKNOWN = "unknown"
    IGNORED = "ignored"


def kind_of(key: str) -> Kind:
    """What to do about an object with this key in the input bucket.

    Folder markers and hidden files are ignored. A name that is nearly a spec's or that of folder
    defaults (`bee.yaml.txt`, `bee.yamll`, `bee`, `_Defaults.yml`) is UNKNOWN and is answered, not
    passed over.
    """
    name = posixpath.basename(key).lower()
    if not key.startswith(JOBS_PREFIX) or not name or name.startswith("."):
        return Kind.IGNORED
    if posixpath.basename(key) == DEFAULTS_FILE:
        return Kind.DEFAULTS
    stem, suffix = posixpath.splitext(name)
    if stem in {"_defaults", "_default"}:
        return Kind.UNKNOWN  # nobody would ever read it
    if suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        return Kind.REFERENCE
    spec = suffix in SPEC_SUFFIXES and posixpath.splitext(stem)[1] not in SPEC_SUFFIXES
    return Kind.SPEC if spec else Kind.UNKNOWN


def path_of(key: str) -> str:
    """The mirrored path of a key under jobs/: without the prefix and without the suffix.

    A path too long for the keys we build around it is cut and closed with a hash.
    """
    path, suffix = posixpath.splitext(key.removeprefix(JOBS_PREFIX))
    if suffix.lower() not in SPEC_SUFFIXES:
        path += suffix
    encoded = path.encode()
    if len(encoded) <= _MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: _MAX_PATH_BYTES - 13].decode(errors="ignore") + "-" + digest


def name_of(path: str) -> str:
    """The last part of a path: what people call the job."""
    return posixpath.basename(path)


def slug(text: str, limit: int = 24) -> str:
    """`text` in lower-case ASCII letters, digits and single dashes; may be empty."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:limit].strip("-")


def job_id(bucket: str, key: str, version: str) -> str:
    """The same id for the same version of the same object, whatever event told of it."""
    digest = hashlib.sha256(f"{bucket}\n{key}\n{version}".encode()).hexdigest()[:16]
    return f"{slug(name_of(path_of(key))) or 'job'}-{digest}"


def task_id(of_job: str, number: int) -> str:
    """Task `number` (from 1) of a job."""
    return f"{of_job}-{number:02d}"


def reference_key(spec_key: str, value: str) -> str | None:
    """The key that a reference named in a spec means, or None if it lies outside of jobs/.

    A name is relative to the spec's folder; one that begins with a slash, to jobs/. A key longer
    than S3 allows (less what the table adds to it) cannot be there either.
    """
    if value.startswith("/"):
        joined = posixpath.normpath(JOBS_PREFIX + value.lstrip("/"))
    else:
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(spec_key), value))
    if not joined.startswith(JOBS_PREFIX) or joined == spec_key or value.endswith("/"):
        return None
    if len(joined.encode()) > _MAX_REFERENCE_BYTES or not can_be_waited_for(joined):
        return None
    return joined


def one_spelling(key: str) -> str:
    """The same for keys that look the same: Unicode has two ways to write "ü", and where a Mac
    names files in the one, editors write the other."""
    return unicodedata.normalize("NFC", key)


def spellings(key: str) -> tuple[str, ...]:
    """The keys that look like this one, itself first."""
    others = (unicodedata.normalize("NFC", key), unicodedata.normalize("NFD", key))
    possible = (other for other in others if len(other.encode()) <= _MAX_KEY_BYTES)
    return tuple(dict.fromkeys((key, *possible)))


def can_be_waited_for(key: str) -> bool:
    """Whether a spec can name this reference at all; see `reference_key`."""
    return len(one_spelling(key).encode()) <= _MAX_REFERENCE_BYTES


def defaults_of(key: str) -> list[str]:
    """The keys at which folder defaults for `key` may be, the nearest folder first."""
    folder = posixpath.dirname(key) + "/"
    found = []
    while folder.startswith(JOBS_PREFIX):
        found.append(folder + DEFAULTS_FILE)
        folder = folder[: folder.rstrip("/").rfind("/") + 1]
    return found


def folder_of(key: str) -> str:
    """The folder of a drop, from jobs/ on; empty for jobs/ itself."""
    return posixpath.dirname(key.removeprefix(JOBS_PREFIX))


def in_folder(folder: str, name: str) -> str:
    """The key of a file in a folder that `folder_of` names."""
    return posixpath.join(JOBS_PREFIX + folder, name)


def is_image(key: str) -> bool:
    """Whether a reference's name is that of an image."""
    return key.lower().endswith(IMAGE_SUFFIXES)


def status(path: str) -> str:
    """Where the job's live status is."""
    return f"{STATUS_PREFIX}{path}.json"


def rejected(path: str) -> str:
    """Where the answer to a spec that was refused is."""
    return f"{REJECTED_PREFIX}{path}.txt"


def review(path: str) -> str:
    """Where a spec lies whose prompt was rewritten and is to be looked at."""
    return f"{REVIEW_PREFIX}{path}.yaml"


class Published(NamedTuple):
    """The keys of one published task."""

    video: str
    sidecar: str
    poster: str
    gif: str


def published(path: str, number: int, of_tasks: int) -> Published:
    """Where task `number` of a job with `of_tasks` tasks is published."""
    stem = VIDEOS_PREFIX + (path if of_tasks == 1 else f"{path}-{number:02d}")
    return Published(f"{stem}.mp4", f"{stem}.json", f"{stem}.jpg", f"{stem}.gif")


def contact_sheet(path: str) -> str:
    """Where the pictures of all videos of a job are together."""
    return f"{VIDEOS_PREFIX}{path}.jpg"


def kept_reference(of_job: str, reference: str) -> str:
    """Where a reference of a job is kept as it was when the job was taken in.

    Images are kept as PNG, whatever they were.
    """
    digest = hashlib.sha256(reference.encode()).hexdigest()[:12]
    suffix = ".png" if is_image(reference) else ".mp4"
    return f"{REFERENCES_PREFIX}{of_job}/{digest}{suffix}"


def attempt_input(attempt_id: str) -> str:
    """The prefix that a processing job reads."""
    return f"{ATTEMPTS_PREFIX}{attempt_id}/input/"


def attempt_manifest(attempt_id: str) -> str:
    """The manifest of an attempt."""
    return f"{attempt_input(attempt_id)}manifest.json"


def attempt_reference(attempt_id: str, file_name: str) -> str:
    """A reference of a task in an attempt."""
    return f"{attempt_input(attempt_id)}references/{file_name}"


def attempt_output(attempt_id: str) -> str:
    """The prefix that a processing job writes; without a slash, which SageMaker adds."""
    return f"{ATTEMPTS_PREFIX}{attempt_id}/output"


def task_file(attempt_id: str, of_task: str, file_name: str) -> str:
    """A file that the worker wrote for a task."""
    return f"{attempt_output(attempt_id)}/{of_task}/{file_name}"


def task_result(attempt_id: str, of_task: str) -> str:
    """The worker's result for a task."""
    return task_file(attempt_id, of_task, RESULT_FILE)


class TaskFile(NamedTuple):
    """A key of the work bucket, read back."""

    attempt_id: str
    task_id: str
    file_name: str


def parse_task_file(key: str) -> TaskFile | None:
    """The parts of a key made by `task_file`, or None."""
    match = re.fullmatch(r"attempts/([^/]+)/output/([^/]+)/([^/]+)", key)
    return TaskFile(*match.groups()) if match else None


def model(folder: str) -> str:
    """The prefix of a model's weights."""
    return f"{MODELS_PREFIX}{folder}/"
