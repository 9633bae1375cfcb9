"""Builds every S3 key and the names of the buckets, and takes keys apart again.

    input    jobs/<path>.yaml|.yml|.json|.txt      specs, with references beside them
             jobs/<path>.csv|.tsv|.jsonl|.ndjson   lists of specs
             jobs/<path>/<row>.json                the specs of a list
             approve/<path>                        a draft that a person approves
             jobs/v1/<name>.json                   specs that programs drop through /v1/videos
    output   videos/<path>.mp4 .json .jpg          the video, its sidecar, its poster
             videos/<path>.gif .h265.mp4 .webm     the video in other formats
             videos/<path>.scene01.mp4 ...         its scenes, each as a video of its own
             status/<path>.json                    the state of the job
             rejected/<path>.txt                   what was wrong with a spec
             failed/<path>.txt                     why a video could not be made
             review/<path>.yaml                    a spec with its rewritten prompt, to be checked
    work     loras/<name>.safetensors              LoRAs that specs can name
             references/<job_id>/<file>            references as they were when the job was accepted
             attempts/<attempt_id>/input/...       the files that one processing job reads
             attempts/<attempt_id>/output/...      the files that it writes
             attempts/<attempt_id>/signed/...      the videos of these with Content Credentials
             models/<folder>/READY                 which release of the weights is used
             models/<folder>/<release>/...         weights in diffusers' layout

`path` is the spec's key without `jobs/` and without its suffix: "birthday/bee" for
"jobs/birthday/bee.yaml". Keys are never used as paths on a disk, because they may contain "..".
"""

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Collection
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple

from contract.manifest import LORA_FILE
from contract.model_folder import READY_FILE
from contract.outcome import RESULT_FILE

JOBS_PREFIX = "jobs/"
APPROVE_PREFIX = "approve/"
ATTEMPTS_PREFIX = "attempts/"
SIGNED = "signed"
MODELS_PREFIX = "models/"
VIDEOS_PREFIX = "videos/"
STATUS_PREFIX = "status/"
REJECTED_PREFIX = "rejected/"
FAILED_PREFIX = "failed/"
REVIEW_PREFIX = "review/"
REFERENCES_PREFIX = "references/"
LORAS_PREFIX = "loras/"
SPEC_SUFFIXES = (".yaml", ".yml", ".json", ".txt")
LIST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
# Browsers and Windows save JPEGs under the last four names.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".jfif", ".jpe", ".pjpeg", ".pjp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".qt")
AUDIO_SUFFIXES = (".mp3", ".m4a", ".wav", ".aac", ".flac", ".ogg", ".opus")
REFERENCE_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *AUDIO_SUFFIXES)
DROP_SUFFIXES = (*SPEC_SUFFIXES, *LIST_SUFFIXES, *REFERENCE_SUFFIXES)
DEFAULTS_FILE = "_defaults.yaml"
# What programs leave in synced folders, in lowercase. None of it was dropped to make a video.
_LEFT_FOLDERS = {
    "__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found", "node_modules",
    "system volume information",
}  # fmt: skip
_LEFT_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_LEFT_NAME = re.compile(
    r"~\$.*|#.*#|.*(~|\.(!sync|bak|crdownload|download|filepart|lock|opdownload|part|partial|pyc"
    r"|sb-[0-9a-f]+-\w+|sw[op]|tmp)|___jb_(tmp|old)___)",
    re.DOTALL,
)
_ABOUT_A_FOLDER = re.compile(
    r"(authors|changelog|contributing|copying|licen[cs]e|notice|readme)(?![a-z0-9])"
)
# How similar the name of a folder must be to "jobs": "Jobs", "job", "jobs ", "jbos".
_LORA_SUFFIX = ".safetensors"
_ALMOST = 0.75
_BESIDE_JOBS = "(not in jobs)"
_APPROVALS = "(approve)"
# S3 allows 1,024 bytes. The longest texts around a path are "videos/" and "-00.scene00.mp4".
MAX_PATH_BYTES = 1_000
# Sort keys of the table are limited to 1,024 bytes too. Those of waiting jobs contain the key of
# the reference and a job id.
_MAX_REFERENCE_BYTES = 950
MAX_DROP_BYTES = 900
"""How long a key is that the studio lets people write. Other files get names that begin with it."""
_MAX_KEY_BYTES = 1_024

# macOS writes U+202F before the "AM" in the names of screenshots, and browsers write U+00A0.
UNUSUAL_SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
    "\u3000"
)

# The folder in jobs/ of what programs drop through /v1/videos.
_REQUESTS = "v1/"
# The end of a path like the ends of the names of several videos.
_NUMBERED = re.compile(r"[^/]-\d\d\Z")
_H265 = ".h265"
"""The H.265 of a video is an MP4, too, so the name of its file needs another difference."""
# So does each scene.
_OF_SCENE = re.compile(r"\.scene\d\d\Z")


class Kind(StrEnum):
    """The kinds of files in the input bucket."""

    SPEC = "spec"
    LIST = "list"
    """A list of specs, one in each row."""
    REFERENCE = "reference"
    DEFAULTS = "defaults"
    APPROVAL = "approval"
    """A file in approve/, whose name is the path of a draft."""
    UNKNOWN = "unknown"
    MISPLACED = "misplaced"
    """A spec at the top of the bucket, or a spec or reference in a folder that is almost jobs."""
    IGNORED = "ignored"


def kind_of(key: str) -> Kind:
    """The kind of an object in the input bucket.

    Folder markers, hidden files, and files that programs leave in folders are ignored. A name that
    is almost valid (`bee.yaml.txt`, `bee.yamll`, `bee`, `_Defaults.yml`) is UNKNOWN, so that the
    person gets an answer.
    """
    name = posixpath.basename(key).lower()
    if not name or _is_left_over(key):
        return Kind.IGNORED
    if key.startswith(APPROVE_PREFIX):
        return Kind.APPROVAL
    if not key.startswith(JOBS_PREFIX):
        return Kind.MISPLACED if _is_misplaced(key) else Kind.IGNORED
    return Kind.DEFAULTS if posixpath.basename(key) == DEFAULTS_FILE else _kind_of_name(name)


def _kind_of_name(name: str) -> Kind:
    """The kind of an object in jobs/, by its name in lowercase."""
    stem, suffix = posixpath.splitext(name)
    if stem in {"_defaults", "_default"}:
        return Kind.UNKNOWN  # looks like folder defaults, but would not be read as such
    if suffix in REFERENCE_SUFFIXES:
        return Kind.REFERENCE
    if _is_about_a_folder(name):
        return Kind.IGNORED
    if suffix in (*SPEC_SUFFIXES, *LIST_SUFFIXES) and not stem.endswith(SPEC_SUFFIXES):
        return Kind.SPEC if suffix in SPEC_SUFFIXES else Kind.LIST
    return Kind.UNKNOWN


def _is_misplaced(key: str) -> bool:
    """Whether a key outside of jobs/ looks like a file that somebody meant to drop.

    `aws s3 cp bee.yaml s3://BUCKET/jobs`, without a slash at the end, makes an object "jobs".
    """
    folder, slash, _ = key.lstrip("/").partition("/")
    if not slash and _is_almost_jobs(key):
        return True
    suffix = posixpath.splitext(key.lower())[1]
    if slash:
        return suffix in DROP_SUFFIXES and _is_almost_jobs(folder)
    return suffix in (*SPEC_SUFFIXES, *LIST_SUFFIXES)


def _is_almost_jobs(folder: str) -> bool:
    name, wanted = folder.strip().lower(), JOBS_PREFIX.rstrip("/")
    return SequenceMatcher(None, name, wanted).ratio() >= _ALMOST


def _is_left_over(key: str) -> bool:
    """Whether a program or a system put the file into the folder, and no person dropped it."""
    *folders, name = key.lower().split("/")
    return (
        any(part.startswith(".") and part not in {".", ".."} for part in (*folders, name))
        or not _LEFT_FOLDERS.isdisjoint(folders)
        or name in _LEFT_NAMES
        or _LEFT_NAME.fullmatch(name) is not None
    )


def _is_about_a_folder(name: str) -> bool:
    """Whether a file tells people about its folder: `README.md`, `LICENSE`, `README.de.txt`.

    `README.yaml` is a spec, and so is `readme-cover.txt`: a person who drops one wants an answer.
    """
    stem, suffix = posixpath.splitext(name)
    if suffix == ".txt":
        return _ABOUT_A_FOLDER.fullmatch(stem.partition(".")[0]) is not None
    is_drop = suffix in (*SPEC_SUFFIXES, *LIST_SUFFIXES)
    return not is_drop and _ABOUT_A_FOLDER.match(name) is not None


def path_of(key: str) -> str:
    """The path of a drop, under which its outputs are: its key without jobs/ and without suffix.

    A drop beside jobs/ has a path of its own, so that it does not own the path of a drop in jobs/.
    If the keys of the outputs would be too long, the path is cut and ends with a hash instead.
    """
    below = key if key.startswith(JOBS_PREFIX) else f"{_BESIDE_JOBS}/{key.lstrip('/')}"
    if key.startswith(APPROVE_PREFIX):
        below = f"{_APPROVALS}/{key.removeprefix(APPROVE_PREFIX)}"
    path, suffix = posixpath.splitext(below.removeprefix(JOBS_PREFIX))
    if suffix.lower() not in (*SPEC_SUFFIXES, *LIST_SUFFIXES):
        path += suffix
    encoded = path.encode()
    if len(encoded) <= MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: MAX_PATH_BYTES - 13].decode(errors="ignore") + "-" + digest


def has_videos(key: str) -> bool:
    """Whether a file in jobs/ asks for videos: a spec, or a list of specs."""
    return kind_of(key) in {Kind.SPEC, Kind.LIST}


def stem_of(key: str) -> str:
    """The key of a drop without its suffix."""
    return posixpath.splitext(key)[0]


def name_of(path: str) -> str:
    """The last part of a path, which is the name of the job for people."""
    return posixpath.basename(path)


def bucket_name(stack: str, purpose: str, account: str, region: str) -> str:
    """The name of a bucket of a deployment.

    All accounts share the names of buckets, so it contains the account and the region.

    Args:
        stack: the name of the stack.
        purpose: `input`, `output`, `work` or `logs`.
        account: the id of the account.
        region: the region.
    """
    return f"{stack}-{purpose}-{account}-{region}"


def slug(text: str, limit: int = 24) -> str:
    """Convert a text to lowercase ASCII letters, digits and single dashes.

    Args:
        text: any text.
        limit: maximum length of the result in characters. The result may be empty.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:limit].strip("-")


def job_id(bucket: str, key: str, version: str) -> str:
    """The id of a job. It depends only on the version of the object, so repeated events agree."""
    digest = hashlib.sha256(f"{bucket}\n{key}\n{version}".encode()).hexdigest()[:16]
    return f"{slug(name_of(path_of(key))) or 'job'}-{digest}"


def next_job_id(of_job: str) -> str:
    """The id of the job that a drop becomes after this one, when the reference has changed for
    which this one was refused."""
    name, _, digest = of_job.rpartition("-")
    return f"{name}-{hashlib.sha256(digest.encode()).hexdigest()[:16]}"


def task_id(of_job: str, number: int) -> str:
    """The id of task `number` of a job, counted from 1."""
    return f"{of_job}-{number:02d}"


def reference_key(spec_key: str, value: str) -> str | None:
    """The key of a reference.

    Args:
        spec_key: key of the spec that names the reference.
        value: what the spec says: a path relative to the folder of the spec, or relative to jobs/
            if it begins with a slash.

    Returns:
        The key, or None if it is outside jobs/ or too long for S3 or for the table.
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
    """The key in one Unicode form (NFC), so that keys that look the same are equal.

    Unicode can represent "ü" in two ways. macOS uses NFD in file names, most editors write NFC.
    """
    return unicodedata.normalize("NFC", key)


def folded(key: str) -> str:
    """The key in lowercase, in one Unicode form and with usual spaces.

    Keys for which this is equal are alike: a person who writes one of them may mean another.
    """
    text = one_spelling(key).translate(dict.fromkeys(map(ord, UNUSUAL_SPACES), " "))
    return "".join(small if len(small := c.casefold()) == 1 else c for c in text)


def shared_folder(one: str, other: str) -> str:
    """The deepest folder that contains both keys, with a slash at its end."""
    folders = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return "".join(f"{name}/" for name, same in takewhile(lambda pair: pair[0] == pair[1], folders))


def may_mean(spec_key: str, reference: str, key: str) -> bool:
    """Whether a file may be the one that a spec names.

    Letter case may differ, but not in the names of the folders that contain both: `jobs/Ann` and
    `jobs/ann` may belong to two people.

    Args:
        spec_key: key of the spec.
        reference: the key that the spec names.
        key: key of the file.
    """
    return folded(key) == folded(reference) and key.startswith(shared_folder(spec_key, reference))


def can_be_waited_for(key: str) -> bool:
    """Whether a key is short enough for the table to record that a job waits for it."""
    return len(folded(key).encode()) <= _MAX_REFERENCE_BYTES


def defaults_of(key: str) -> list[str]:
    """The keys of all folder defaults that apply to `key`, whether they exist or not.

    The closest folder comes first.
    """
    folder = posixpath.dirname(key) + "/"
    found = []
    while folder.startswith(JOBS_PREFIX):
        found.append(folder + DEFAULTS_FILE)
        folder = folder[: folder.rstrip("/").rfind("/") + 1]
    return found


def folder_of(key: str) -> str:
    """The folder of a drop relative to jobs/; empty for jobs/ itself."""
    return posixpath.dirname(key.removeprefix(JOBS_PREFIX))


def parent(key: str) -> str:
    """The key of the folder of a file, without a slash at its end; empty for the bucket itself."""
    return posixpath.dirname(key)


def in_folder(folder: str, name: str) -> str:
    """The key of a file in a folder that `folder_of` names."""
    return posixpath.join(JOBS_PREFIX + folder, name)


def approval(path: str, number: int | None = None) -> str:
    """Key of a file that approves a draft.

    Args:
        path: the path of the draft.
        number: the video that is approved, of several. None: all of them.
    """
    return APPROVE_PREFIX + _of_video(path, number)


def final(path: str, number: int | None = None) -> str:
    """Key of the spec of the final of a draft. See `approval`."""
    return f"{JOBS_PREFIX}{_of_video(path, number)}-final.json"


def row_spec(list_key: str, name: str) -> str:
    """Key of the spec of a row of a list.

    Args:
        list_key: key of the list.
        name: the name of the row.
    """
    return f"{stem_of(list_key)}/{name}.json"


def is_table(key: str) -> bool:
    """Whether a list with this key is read as a table."""
    return key.lower().endswith((".csv", ".tsv"))


def _of_video(path: str, number: int | None) -> str:
    return path if number is None else f"{path}-{number:02d}"


def may_approve(key: str) -> list[tuple[str, int | None]]:
    """What a file in approve/ may name: paths, each with the number of a video or None for all.

    People also write the name of the spec or of the video, so its suffix may be one that is not
    part of the path. The most exact meaning comes first.
    """
    named = JOBS_PREFIX + key.removeprefix(APPROVE_PREFIX)
    paths = dict.fromkeys((path_of(named), path_of(stem_of(named))))
    numbered = [(path[:-3], int(path[-2:])) for path in paths if _NUMBERED.search(path)]
    return [*((path, None) for path in paths), *numbered]


def of_request(name: str, suffix: str = ".json") -> str:
    """Key of a file that a program has dropped through /v1/videos: a spec, or its reference.

    Args:
        name: lowercase letters, digits and dashes, as `request_at` knows them.
        suffix: that of a spec or of a reference, or how several of them begin.
    """
    return f"{JOBS_PREFIX}{_REQUESTS}{name}{suffix}"


def request_at(path: str) -> str | None:
    """The name of the request whose spec has this path; None if the path is of another drop.

    A program that sends a key of its own gets a name like video-0123456789abcdef. Other names are
    like a-bee-lands-0123456789abcdef-01234567. People can drop files into this folder, too.
    """
    name = "video-[0-9a-f]{16}|[a-z0-9-]+-[0-9a-f]{16}-[0-9a-f]{8}"
    match = re.fullmatch(f"{re.escape(_REQUESTS)}({name})", path)
    return match[1] if match else None


def is_json(key: str) -> bool:
    """Whether a spec with this key is read as JSON."""
    return key.lower().endswith(".json")


def is_image(key: str) -> bool:
    """Whether a reference's name is that of an image."""
    return key.lower().endswith(IMAGE_SUFFIXES)


def is_audio(key: str) -> bool:
    """Whether a reference's name is that of a sound."""
    return key.lower().endswith(AUDIO_SUFFIXES)


def status(path: str) -> str:
    """Key of the live status of a job."""
    return f"{STATUS_PREFIX}{path}.json"


def rejected(path: str) -> str:
    """Key of the explanation why a spec was refused."""
    return f"{REJECTED_PREFIX}{path}.txt"


def failed(path: str) -> str:
    """Key of the explanation why videos of a job could not be made."""
    return f"{FAILED_PREFIX}{path}.txt"


def review(path: str) -> str:
    """Key of a spec with its rewritten prompt, for a person to check."""
    return f"{REVIEW_PREFIX}{path}.yaml"


class Published(NamedTuple):
    """The keys of one published task."""

    video: str
    sidecar: str
    poster: str
    gif: str
    h265: str
    webm: str

    def scene(self, number: int) -> str:
        """The key of a scene by itself, counted from 1."""
        return f"{self.video.removesuffix('.mp4')}.scene{number:02d}.mp4"

    def also(self, wanted: Collection[str]) -> list[tuple[str, str]]:
        """Output and key of each other format of the video that a spec asks for.

        Args:
            wanted: the `outputs` of the spec.
        """
        formats = (("gif", self.gif), ("h265", self.h265), ("webm", self.webm))
        return [(output, key) for output, key in formats if output in wanted]


def published(path: str, number: int, of_tasks: int) -> Published:
    """The keys under which task `number` of a job with `of_tasks` tasks is published."""
    return beside(f"{VIDEOS_PREFIX}{_stem(path, number, of_tasks)}.mp4")


def beside(video: str) -> Published:
    """The keys of everything that is published beside an MP4."""
    stem = video.removesuffix(".mp4")
    return Published(
        video=video,
        sidecar=f"{stem}.json",
        poster=f"{stem}.jpg",
        gif=f"{stem}.gif",
        h265=f"{stem}{_H265}.mp4",
        webm=f"{stem}.webm",
    )


def _stem(path: str, number: int, of_tasks: int) -> str:
    return path if of_tasks == 1 else f"{path}-{number:02d}"


def outputs(path: str, of_tasks: int, wanted: Collection[str], scenes: int = 0) -> frozenset[str]:
    """The keys of everything that a job with `of_tasks` tasks publishes under videos/.

    Args:
        wanted: the `outputs` of its spec.
        scenes: how many scenes of each video are published as videos of their own.
    """
    keys = {contact_sheet(path)} if of_tasks > 1 else set[str]()
    for number in range(1, of_tasks + 1):
        at = published(path, number, of_tasks)
        keys |= {at.video, at.sidecar, at.poster, *(key for _, key in at.also(wanted))}
        keys |= {at.scene(scene) for scene in range(1, scenes + 1)}
    return frozenset(keys)


def paths_with_equal_outputs(
    path: str, of_tasks: int, wanted: Collection[str], scenes: int = 0
) -> list[str]:
    """The other paths whose jobs may publish under a key of this job.

    "a" makes a-01.mp4 as "a-01" does, a.h265.mp4 as "a.h265" does, and a.scene01.mp4 as "a.scene01"
    does.
    """
    stems = [_stem(path, number, of_tasks) for number in range(1, of_tasks + 1)]
    found = [*stems, *(f"{stem}{_H265}" for stem in stems if "h265" in wanted)]
    found += [f"{stem}.scene{scene:02d}" for stem in stems for scene in range(1, scenes + 1)]
    shorter = [path.removesuffix(_H265), _OF_SCENE.sub("", path)]
    found += [*shorter, *(one[:-3] for one in (path, *shorter) if _NUMBERED.search(one))]
    return [other for other in dict.fromkeys(found) if other != path]


def family_of(path: str) -> str:
    """The path that all paths share whose jobs may publish under equal keys."""
    while True:
        shorter = _OF_SCENE.sub("", path.removesuffix(_H265))
        if shorter == path and not _NUMBERED.search(path):
            return path
        path = shorter if shorter != path else path[:-3]


def contact_sheet(path: str) -> str:
    """Key of the contact sheet, one image with the posters of all videos of a job."""
    return f"{VIDEOS_PREFIX}{path}.jpg"


def kept_reference(of_job: str, reference: str) -> str:
    """Key of the copy of a reference, as it was when the job was accepted.

    Images are kept as PNG, whatever their original format. Videos and sounds are not changed.
    """
    digest = hashlib.sha256(reference.encode()).hexdigest()[:12]
    suffix = posixpath.splitext(reference)[1].lower() if is_audio(reference) else ".mp4"
    suffix = ".png" if is_image(reference) else suffix
    return f"{kept_references(of_job)}{digest}{suffix}"


def kept_references(of_job: str) -> str:
    """The prefix of the copies of all references of a job."""
    return f"{REFERENCES_PREFIX}{of_job}/"


def attempt_input(attempt_id: str) -> str:
    """The prefix of the files that a processing job reads."""
    return f"{ATTEMPTS_PREFIX}{attempt_id}/input/"


def attempt_manifest(attempt_id: str) -> str:
    """Key of the manifest of an attempt."""
    return f"{attempt_input(attempt_id)}manifest.json"


def lora(name: str) -> str:
    """Key of a LoRA in the work bucket."""
    return f"{LORAS_PREFIX}{name}{_LORA_SUFFIX}"


def lora_name(key: str) -> str | None:
    """The name by which specs call the LoRA at a key; None if the key is not that of a LoRA."""
    name = key.removeprefix(LORAS_PREFIX).removesuffix(_LORA_SUFFIX)
    return name if key == lora(name) else None


def attempt_lora(attempt_id: str) -> str:
    """Key of the LoRA of all tasks in an attempt."""
    return f"{attempt_input(attempt_id)}{LORA_FILE}"


def attempt_references(attempt_id: str) -> str:
    """The prefix of the references of all tasks in an attempt."""
    return f"{attempt_input(attempt_id)}references/"


def attempt_reference(attempt_id: str, kept: str) -> str:
    """Key of a reference in an attempt. All tasks of a job that have the same one share the file.

    Args:
        kept: key of the copy that was made when the job was accepted.
    """
    return attempt_references(attempt_id) + kept.removeprefix(REFERENCES_PREFIX).replace("/", "-")


def attempt_output(attempt_id: str) -> str:
    """The prefix of the files that a processing job writes.

    It has no slash at the end, because SageMaker adds one.
    """
    return f"{ATTEMPTS_PREFIX}{attempt_id}/output"


def attempt_outputs(attempt_id: str) -> str:
    """The prefix of every file that a processing job writes, for listing them."""
    return f"{attempt_output(attempt_id)}/"


def task_file(attempt_id: str, of_task: str, file_name: str) -> str:
    """Key of a file that the worker wrote for a task."""
    return f"{attempt_output(attempt_id)}/{of_task}/{file_name}"


def task_result(attempt_id: str, of_task: str) -> str:
    """Key of the worker's result for a task."""
    return task_file(attempt_id, of_task, RESULT_FILE)


def signed_file(attempt_id: str, of_task: str, file_name: str) -> str:
    """Key of a file of a task with its Content Credentials.

    It is not among what the processing job writes, so it is not taken for one of its files.
    """
    return f"{ATTEMPTS_PREFIX}{attempt_id}/{SIGNED}/{of_task}/{file_name}"


class TaskFile(NamedTuple):
    """The parts of a key that `task_file` built."""

    attempt_id: str
    task_id: str
    file_name: str


def parse_task_file(key: str) -> TaskFile | None:
    """Take apart a key that `task_file` built; None for any other key."""
    match = re.fullmatch(r"attempts/([^/]+)/output/([^/]+)/([^/]+)", key)
    return TaskFile(*match.groups()) if match else None


def model_folder(folder: str) -> str:
    """The prefix of all releases of a model folder."""
    return f"{MODELS_PREFIX}{folder}/"


def model_ready(folder: str) -> str:
    """The key of the file that says which release of a model folder is used."""
    return f"{model_folder(folder)}{READY_FILE}"


def model_release(folder: str, release: str) -> str:
    """The prefix of the weights of one release of a model folder."""
    return f"{model_folder(folder)}{release}/"
