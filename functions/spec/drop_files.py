"""From the files of a drop to the videos that it asks for.

The functions read the files from S3, `reeldrop validate` from a disk; what they mean is said here.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from contract.errors import Code, JobRejected, Problem
from functions import s3_keys
from functions.ports import Missing
from functions.spec import parsed, resolve
from functions.spec.expand import Wanted, expand
from functions.spec.fields import FolderDefaults, Layer
from functions.spec.folder_defaults import DayLimits, Draft, draft
from functions.spec.parsed import Parsed
from functions.spec.reader import Picture, Reader

MAX_IMAGE_BYTES = 20 * 1024 * 1024
MAX_VIDEO_BYTES = 50 * 1024 * 1024
MAX_FOLDERS = 16


class DropFiles(Protocol):
    """Where the files are, by their keys."""

    def size_bytes(self, key: str) -> int:
        """How large a file is. Raises Missing."""

    def read(self, key: str) -> bytes:
        """What is in it. Raises Missing."""


def drafted(inbox: DropFiles, reader: Reader, key: str) -> Draft:
    """What the files say that belong to the drop at `key`: a spec, an image alone, or defaults.

    Raises:
        JobRejected: something in them is wrong.
        Missing: the drop itself is gone.
    """
    kind = s3_keys.kind_of(key)
    if kind == s3_keys.Kind.UNKNOWN:
        raise _wrong_name(key)
    places = s3_keys.defaults_of(key)
    if len(places) > MAX_FOLDERS:
        raise JobRejected(
            Problem(
                code=Code.KEY_TOO_DEEP,
                message=f"The file lies {len(places)} folders deep; at most {MAX_FOLDERS} are "
                "looked into.",
                hint="Drop it into a folder nearer to jobs/.",
            )
        )
    if kind == s3_keys.Kind.DEFAULTS:
        return draft([defaults(inbox, reader, key)])
    layers = []
    if kind == s3_keys.Kind.SPEC:
        layers.append(Layer.read(reader.spec(_text(inbox, key), key), key))
    for place in places:
        try:
            layers.append(defaults(inbox, reader, place))
        except Missing:
            continue
    found = draft(layers)
    if kind == s3_keys.Kind.REFERENCE:
        image = "/" + key.removeprefix(s3_keys.JOBS_PREFIX)
        found = Draft(found.spec.model_copy(update={"image": image, "video": None}), found.layers)
    return found


def videos(found: Draft, *, default_model: str, job_id: str) -> tuple[Wanted, ...]:
    """Every video that a draft asks for, each of them possible as far as can be known without its
    reference.

    Raises:
        JobRejected: one is not.
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
                    message=f"Videos {same} and {number} of this job would be the same.",
                    hint="Take one of the equal values out; variations count the seed up.",
                    place=found.place("matrix"),
                )
            )
    return wanted


def defaults(inbox: DropFiles, reader: Reader, key: str) -> Layer:
    """The folder defaults at `key`.

    Raises:
        JobRejected: they cannot be used; the places name the file.
        Missing: there are none.
    """
    try:
        layer = Layer.read(reader.spec(_text(inbox, key), key), key, FolderDefaults)
        if layer.spec.model is not None:
            resolve.model_called(layer.spec.model, layer.place("model"))
        return layer
    except JobRejected as rejection:
        if [problem.code for problem in rejection.problems] == [Code.SPEC_EMPTY]:
            return Layer(FolderDefaults(), Parsed({}), key)  # everything is a comment
        raise JobRejected(
            *(
                p.model_copy(update={"place": p.place.model_copy(update={"file": key})})
                for p in rejection.problems
            )
        ) from None


def limits(inbox: DropFiles, reader: Reader, folder: str) -> DayLimits:
    """Of a folder's day, as its folder defaults and those above say; wrong ones say nothing."""
    layers = []
    for place in s3_keys.defaults_of(s3_keys.in_folder(folder, s3_keys.DEFAULTS_FILE))[
        :MAX_FOLDERS
    ]:
        try:
            layers.append(defaults(inbox, reader, place))
        except (Missing, JobRejected):
            continue
    return draft(layers).limits


def animates(inbox: DropFiles, reader: Reader, key: str) -> bool:
    """Whether an image alone is a job where this one lies."""
    if not s3_keys.is_image(key):
        return False
    for place in s3_keys.defaults_of(key)[:MAX_FOLDERS]:
        try:
            layer = defaults(inbox, reader, place)
        except (Missing, JobRejected):
            continue  # what is wrong with them was answered when they were dropped
        if "animate_images" in layer.spec.model_fields_set:
            return draft([layer]).animate_images
    return False


def references(wanted: tuple[Wanted, ...]) -> Iterator[tuple[Wanted, str, str]]:
    """Each file that videos start from: one that needs it, the name of the field, and its key."""
    seen = set()
    for one in wanted:
        for field in ("image", "video"):
            value = getattr(one.spec, field)
            if value is not None and value not in seen:
                seen.add(value)
                yield one, field, s3_keys.JOBS_PREFIX + value.removeprefix("/")


def located(inbox: DropFiles, key: str) -> str:
    """The key of the file that a spec means by `key`: one that looks the same is meant.

    Raises:
        Missing: it is not there.
    """
    for spelling in s3_keys.spellings(key):
        try:
            inbox.size_bytes(spelling)
        except Missing:
            continue
        return spelling
    raise Missing(key)


@dataclass(frozen=True)
class Reference:
    """A reference as it was found."""

    body: bytes
    """As the worker gets it: an image encoded anew, a video as it was."""
    picture: Picture | None
    """Of an image."""


def reference(inbox: DropFiles, reader: Reader, wanted: Wanted, field: str, key: str) -> Reference:
    """Read and check the reference at `key`, which `wanted` needs for `field`.

    Raises:
        Missing: it is not there.
        JobRejected: it is not what we take.
    """
    size, image = inbox.size_bytes(key), s3_keys.is_image(key)
    limit = MAX_IMAGE_BYTES if image else MAX_VIDEO_BYTES
    place, name = wanted.place(field), posixpath.basename(key)
    if size > limit:
        raise JobRejected(
            Problem(
                code=Code.REFERENCE_TOO_LARGE,
                message=f"{key} has {size:,} bytes; at most {limit:,} are read.",
                hint="Save it smaller, for instance as JPEG." if image else "Cut it shorter.",
                place=place,
            )
        )
    body = inbox.read(key)
    try:
        if image:
            picture = reader.image(body, name)
            return Reference(picture.png, picture)
        reader.video(body, name)
        return Reference(body, None)
    except JobRejected as rejection:
        raise JobRejected(
            *(problem.model_copy(update={"place": place}) for problem in rejection.problems)
        ) from None


def _text(inbox: DropFiles, key: str) -> bytes:
    size = inbox.size_bytes(key)
    if size > parsed.MAX_SPEC_BYTES:
        raise parsed.too_large(size)
    return inbox.read(key)


def _wrong_name(key: str) -> JobRejected:
    name = posixpath.basename(key)
    hint = (
        "Name it like bee.yaml, bee.json or bee.txt (a bare prompt); images like bee.png, bee.jpg "
        "or bee.webp, videos like bee.mp4."
    )
    if name.lower().startswith("_default"):
        hint = f"Folder defaults are read from {s3_keys.DEFAULTS_FILE}, in small letters."
    return JobRejected(
        Problem(code=Code.KEY_SUFFIX, message=f"'{name}' is not the name of a job spec.", hint=hint)
    )
