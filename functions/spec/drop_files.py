"""Reads the files of a drop and works out which videos they ask for.

The deployed functions read the files from S3 and `reeldrop validate` reads them from a disk. Both
use this module, so that a spec means the same in both.
"""

import posixpath
from dataclasses import dataclass
from typing import Protocol

from contract.errors import Code, JobRejected, Place, Problem, one_line
from functions import s3_keys
from functions.ports import Locked, Missing
from functions.reading import magic, not_specs
from functions.spec import parsed, resolve
from functions.spec.clip import Clip
from functions.spec.expand import Wanted, expand
from functions.spec.fields import (
    FolderDefaults,
    Layer,
    Matrix,
    is_only_finished,
    kind_of_reference,
    quoted,
    references_of,
)
from functions.spec.folder_defaults import Draft, draft
from functions.spec.parsed import Parsed
from functions.spec.reader import Original, Picture, Reader

MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_VIDEO_BYTES = 50 * 1024 * 1024
MAX_AUDIO_BYTES = 50 * 1024 * 1024
_LIMITS = {
    "image": (MAX_IMAGE_BYTES, "Save a smaller image, for example as JPEG."),
    "video": (MAX_VIDEO_BYTES, "Shorten the video, or export it with a lower bit rate."),
    "audio": (MAX_AUDIO_BYTES, "Cut the sound down to the part that you need, or save it as MP3."),
}
"""For each kind, how many bytes a reference may have, and what to do if it has more."""
MAX_FOLDERS = 16
# How many files a refusal names that may be meant by a reference.
_MOST_NAMED = 5


class DropFiles(Protocol):
    """The files of the drop folder, by their keys."""

    def size_bytes(self, key: str) -> int:
        """The size of a file. Raises Missing."""

    def read(self, key: str) -> bytes:
        """The content of a file. Raises Missing and Locked."""

    def alike(self, key: str, folder: str) -> list[str]:
        """The keys in a folder that differ from this one only in letter case and the like.

        Args:
            key: a key in the folder, or below it.
            folder: the folder, with a slash at its end. Its own name is not varied.
        """


def drafted(files: DropFiles, reader: Reader, key: str) -> Draft:
    """Read a drop together with the folder defaults that apply to it.

    Args:
        files: the drop folder.
        reader: parses the specs.
        key: key of a spec, of folder defaults, or of an image that is a job by itself.

    Raises:
        JobRejected: the drop or one of its folder defaults has an error.
        Missing: the drop itself no longer exists.
    """
    kind, places = s3_keys.kind_of(key), places_of_defaults(key)
    if kind == s3_keys.Kind.DEFAULTS:
        return draft([defaults(files, reader, key)])
    layers = []
    if kind == s3_keys.Kind.SPEC:
        layers.append(Layer.read(reader.spec(_text(files, key), key).without_sidecar(), key))
    for place in places:
        try:
            layers.append(defaults(files, reader, place))
        except Missing:
            continue
    found = without_enhancement(draft(layers))
    if kind == s3_keys.Kind.REFERENCE:
        image = "/" + key.removeprefix(s3_keys.JOBS_PREFIX)
        alone = {"image": image, "video": None, "scenes": None}
        found = Draft(found.spec.model_copy(update=alone), found.layers)
    return found


def places_of_defaults(key: str) -> list[str]:
    """Where the folder defaults of a drop may be, the closest folder first.

    Raises:
        JobRejected: the key itself cannot be used.
    """
    if s3_keys.kind_of(key) == s3_keys.Kind.UNKNOWN:
        raise _wrong_name(key)
    if one_line(key) != key:
        raise JobRejected(
            Problem(
                code=Code.KEY_CHARACTER,
                message=f"The key {key} has a control character or an invisible direction mark.",
                hint="Name the file and its folders with letters, digits and spaces.",
            )
        )
    places = s3_keys.defaults_of(key)
    if len(places) > MAX_FOLDERS:
        raise JobRejected(
            Problem(
                code=Code.KEY_TOO_DEEP,
                message=f"The file is {len(places)} folders deep; the limit is {MAX_FOLDERS}.",
                hint="Drop it into a folder closer to jobs/.",
            )
        )
    return places


def without_enhancement(found: Draft) -> Draft:
    """The draft. If all its clips are only finished, there is no prompt to enhance."""
    matrix = found.spec.matrix or Matrix()
    prompted = bool(matrix.prompt) or any(one.prompt for one in matrix.include)
    if prompted or not is_only_finished(found.spec):
        return found
    return Draft(found.spec.model_copy(update={"enhance": False}), found.layers)


def videos(found: Draft, *, default_model: str, job_id: str) -> tuple[Wanted, ...]:
    """Every video that a draft asks for, checked as far as that works without the references.

    Args:
        found: the draft, as `drafted` returned it.
        default_model: the model to use when the draft names none.
        job_id: the seed follows from it when the draft gives none.

    Raises:
        JobRejected: a model cannot make one of the videos, or two videos would be identical.
    """
    wanted = expand(found)
    made: dict[str, int] = {}
    for number, one in enumerate(wanted, 1):
        spec = resolve.resolve(one, default_model=default_model, job_id=job_id)
        same = made.setdefault(spec.model_dump_json(), number)
        if same != number:
            raise JobRejected(
                Problem(
                    code=Code.MATRIX_INVALID,
                    message=f"Videos {same} and {number} of this job would be identical.",
                    hint="Remove one of the equal values. With variations, the seed goes up by "
                    "one for each video.",
                    place=found.place("matrix"),
                )
            )
    return wanted


def defaults(files: DropFiles, reader: Reader, key: str) -> Layer:
    """Read the folder defaults at `key`.

    Raises:
        JobRejected: they have an error. The places of the problems name this file.
        Missing: there is no such file.
    """
    try:
        return Layer.read(reader.spec(_text(files, key), key), key, FolderDefaults)
    except JobRejected as rejection:
        if [problem.code for problem in rejection.problems] == [Code.SPEC_EMPTY]:
            return Layer(FolderDefaults(), Parsed({}), key)  # the file has only comments
        raise JobRejected(
            *(
                p.model_copy(update={"place": p.place.model_copy(update={"file": key})})
                for p in rejection.problems
            ),
            more=rejection.more,
        ) from None


def animates(files: DropFiles, reader: Reader, key: str) -> bool:
    """Whether a dropped image is a job by itself, as the folder defaults that apply to it say."""
    if not s3_keys.is_image(key):
        return False
    closest = _closest(files, reader, key, "animate_images")
    return closest is not None and draft([closest]).animate_images


def wants_digest(files: DropFiles, reader: Reader, key: str) -> bool:
    """Whether the folder defaults that apply to a spec say `notify: digest`.

    It is for a spec that cannot be read. Otherwise the draft has the value that applies.
    """
    closest = _closest(files, reader, key, "notify")
    return closest is not None and closest.spec.notify == "digest"


def _closest(files: DropFiles, reader: Reader, key: str, field: str) -> Layer | None:
    """The closest folder defaults above a file that give a field."""
    for place in s3_keys.defaults_of(key)[:MAX_FOLDERS]:
        try:
            layer = defaults(files, reader, place)
        except (Missing, JobRejected):
            continue  # errors in them were reported when they were dropped
        if field in layer.spec.model_fields_set:
            return layer
    return None


@dataclass(frozen=True)
class Mention:
    """A place where a spec names a reference."""

    wanted: Wanted
    """The first video that needs the reference."""
    field: str
    value: str

    @property
    def key(self) -> str:
        """The key that the spec names."""
        return s3_keys.in_folder("", self.value.removeprefix("/"))

    @property
    def place(self) -> Place:
        """Where it is written."""
        return self.wanted.place(self.field)


def mentions(wanted: tuple[Wanted, ...]) -> list[Mention]:
    """Every reference that the wanted videos need, once for each field that names it."""
    found: dict[tuple[str, str], Mention] = {}
    for one in wanted:
        for field, value in references_of(one.spec):
            found.setdefault((field, value), Mention(one, field, value))
    return list(found.values())


def located(files: DropFiles, spec_key: str, mention: Mention) -> str:
    """Find a reference, also if its name differs in letter case, its Unicode form or its spaces.

    Args:
        files: the drop folder.
        spec_key: key of the spec.
        mention: where the spec names it.

    Returns:
        The key of the file that exists.

    Raises:
        Missing: there is no such file.
        JobRejected: several files may be meant.
    """
    key = mention.key
    possible = meant(files, spec_key, key)
    if not possible:
        raise Missing(key)
    if len(possible) > 1:
        names = ", ".join(quoted(posixpath.basename(one)) for one in possible[:_MOST_NAMED])
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_AMBIGUOUS,
                message=f"No file is called {quoted(posixpath.basename(key))}, but these are "
                f"alike: {names}.",
                hint="Write the name exactly as one of them, or upload a file with the name that "
                "the spec has.",
                place=mention.place,
            )
        )
    return possible[0]


def meant(files: DropFiles, spec_key: str, key: str) -> list[str]:
    """The files that a spec may mean by a reference: the file itself if it exists.

    An empty file is not there yet: mounted buckets and some programs write one before the content.

    Args:
        files: the drop folder.
        spec_key: key of the spec.
        key: the key that it names.
    """
    try:
        return [key] if files.size_bytes(key) else []
    except Missing:
        found = files.alike(key, s3_keys.shared_folder(spec_key, key))
    found = [one for one in found if _has_content(files, one)]
    same = [one for one in found if s3_keys.one_spelling(one) == s3_keys.one_spelling(key)]
    return same[:1] or found


def is_empty(files: DropFiles, key: str) -> bool:
    """Whether a file is there, but has no content."""
    try:
        return files.size_bytes(key) == 0
    except Missing:
        return False


def _has_content(files: DropFiles, key: str) -> bool:
    try:
        return files.size_bytes(key) > 0
    except Missing:
        return False  # it was deleted after it was listed


@dataclass(frozen=True)
class Reference:
    """A reference that was read and checked."""

    body: bytes
    """The content for the worker: an image converted to PNG, or another file unchanged."""
    original: Original

    @property
    def content_type(self) -> str:
        """What the body is."""
        if isinstance(self.original, Picture):
            return "image/png"
        return "video/mp4" if isinstance(self.original, Clip) else "application/octet-stream"


def reference(files: DropFiles, reader: Reader, mention: Mention, key: str) -> Reference:
    """Read and check a reference.

    Args:
        files: the drop folder.
        reader: decodes the reference.
        mention: where a spec names it.
        key: key of the file.

    Raises:
        Missing: the file does not exist.
        JobRejected: the file is too large, of the wrong kind, damaged, or cannot be decrypted.
    """
    size = files.size_bytes(key)
    kind = kind_of_reference(mention.field)
    limit, advice = _LIMITS[kind]
    place, name = mention.place, posixpath.basename(key)
    if size > limit:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_TOO_LARGE,
                message=f"{key} has {size:,} bytes; the limit is {limit:,}.",
                hint=advice,
                place=place,
            )
        )
    try:
        body = content(files, key)
        if kind == "image":
            picture = reader.image(body, name)
            return Reference(picture.png, picture)
        check = reader.video if kind == "video" else reader.audio
        return Reference(body, check(body, name))
    except JobRejected as rejection:
        raise JobRejected(
            *(problem.model_copy(update={"place": place}) for problem in rejection.problems)
        ) from None


def _text(files: DropFiles, key: str) -> bytes:
    size = files.size_bytes(key)
    if size > parsed.MAX_SPEC_BYTES:
        raise parsed.too_large(size)
    return content(files, key)


def content(files: DropFiles, key: str) -> bytes:
    """The content of a file.

    Raises:
        Missing: there is no such file.
        JobRejected: it is encrypted with somebody else's key.
    """
    try:
        return files.read(key)
    except Locked:
        raise JobRejected(
            Problem(
                code=Code.FILE_ENCRYPTED,
                message=f"{key} is encrypted with a key of KMS that reeldrop may not use.",
                hint="Upload it again without a key of your own: leave out --sse-kms-key-id, or in "
                "the console, use the bucket settings for default encryption. The bucket encrypts "
                "it by itself. If it must be your key, ask your administrator.",
            )
        ) from None


def misplaced(bucket: str, key: str) -> JobRejected:
    """Why a file beside jobs/ is refused: where it belongs."""
    name = posixpath.basename(key.rstrip("/"))
    if posixpath.splitext(name)[1].lower() in s3_keys.DROP_SUFFIXES:
        below = key.lstrip("/").partition("/")[2] or name
        there = f"s3://{bucket}/{s3_keys.JOBS_PREFIX}{below}"
        hint = f"Move it to {there}: in the console, upload it again inside the folder jobs."
    else:
        hint = (
            f"Upload your file again with a slash at the end: aws s3 cp FILE "
            f"s3://{bucket}/{s3_keys.JOBS_PREFIX}"
        )
    return JobRejected(
        Problem(
            code=Code.KEY_PLACE,
            message=f"'{key}' is beside the folder {s3_keys.JOBS_PREFIX} and not in it.",
            hint=hint,
        )
    )


def _wrong_name(key: str) -> JobRejected:
    name = posixpath.basename(key)
    hint = (
        "Name a spec like bee.yaml, bee.json or bee.txt (a bare prompt), a list like bee.csv "
        "or bee.jsonl, an image like bee.png, bee.jpg or bee.webp, a video like bee.mp4, and a "
        "sound like bee.mp3."
    )
    if known := not_specs.named_as(posixpath.splitext(name)[1]):
        hint = f"It is {known[0]}. {known[1]} Then drop the new file. {hint}"
    if other := magic.other_kind(name):
        hint = f"It is {other}, which cannot be read. {magic.how_to_export(other)}"
    if name.lower().startswith("_default"):
        hint = f"Name folder defaults {s3_keys.DEFAULTS_FILE}, in lowercase."
    return JobRejected(
        Problem(
            code=Code.KEY_SUFFIX, message=f"'{name}' is not a valid name for a job spec.", hint=hint
        )
    )
