"""The job spec: what a person may write, and how its text becomes a `JobSpec`.

`defaults.py` puts folder defaults under it, `expand.py` makes one spec a video of it, and
`resolve.py` fills in what is still open.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from contract.catalogue import Mode, Preset
from contract.document import Document
from contract.errors import Code, JobRejected, Place, Problem
from contract.manifest import Fit, Parameters
from functions import s3_keys
from functions.spec.parsed import Parsed

MAX_PROMPT_CHARACTERS = 2_000
MAX_VIDEOS = 32
"""A job and its tasks are committed together, two changes a task, and a commit has at most 100."""
# Enough to mend a spec by; thousands would fit into no mail and no record.
MAX_PROBLEMS = 20
Priority = Literal["high", "normal", "low"]
Aspect = Literal["portrait", "square", "landscape"]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
_Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
_File = Annotated[str, Field(min_length=1, max_length=1024)]
# Whether a person writes `preset: draft` or a program builds the model, it is the same value.
_Preset = Annotated[Preset, Field(strict=False)]
_Side = Annotated[int, Field(ge=16, le=4096)]
_Frames = Annotated[int, Field(ge=1, le=1000)]
_Rate = Annotated[int, Field(ge=1, le=60)]
_Steps = Annotated[int, Field(ge=2, le=100)]
_Scale = Annotated[float, Field(ge=1, le=20)]
_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
_Strength = Annotated[float, Field(gt=0, le=1)]
_Duration = Annotated[float, Field(gt=0, le=60)]


class Video(Document):
    """The fields that decide what one video looks like. A matrix may vary each of them."""

    prompt: Annotated[_Text, Field(description="What the video shows.")] = ""
    negative_prompt: Annotated[_Text, Field(description="What it should not show.")] = ""
    image: Annotated[
        _File | None, Field(description="File name of the first frame, beside the spec.")
    ] = None
    video: Annotated[
        _File | None, Field(description="File name of an MP4 to remake, beside the spec.")
    ] = None
    strength: Annotated[
        _Strength | None,
        Field(description="With a video: how far to move away from it, up to 1."),
    ] = None
    fit: Annotated[
        Fit | None,
        Field(description="A reference of another shape: `crop` its middle, or `pad` with bars."),
    ] = None
    model: Annotated[str | None, Field(description="A name from the list of models.")] = None
    preset: Annotated[
        _Preset | None, Field(description="How much work: sets the steps, as the model needs.")
    ] = None
    aspect: Annotated[Aspect | None, Field(description="A size of this shape.")] = None
    height: Annotated[_Side | None, Field(description="Pixels; a size that the model has.")] = None
    width: Annotated[_Side | None, Field(description="Pixels; a size that the model has.")] = None
    duration_seconds: Annotated[
        _Duration | None, Field(description="The nearest length that the model has.")
    ] = None
    num_frames: Annotated[_Frames | None, Field(description="A count that the model has.")] = None
    fps: Annotated[_Rate | None, Field(description="Frames shown a second.")] = None
    num_inference_steps: Annotated[
        _Steps | None, Field(description="Denoising steps: more is slower and finer.")
    ] = None
    guidance_scale: Annotated[
        _Scale | None, Field(description="How closely the prompt is followed.")
    ] = None
    seed: Annotated[
        _Seed | None, Field(description="The same seed and spec make the same video again.")
    ] = None


class Matrix(Document):
    """Values to combine: one video for each combination. The names are those of `Video`."""

    prompt: tuple[_Text, ...] = ()
    negative_prompt: tuple[_Text, ...] = ()
    image: tuple[_File, ...] = ()
    video: tuple[_File, ...] = ()
    strength: tuple[_Strength, ...] = ()
    fit: tuple[Fit, ...] = ()
    model: tuple[str, ...] = ()
    preset: tuple[_Preset, ...] = ()
    aspect: tuple[Aspect, ...] = ()
    height: tuple[_Side, ...] = ()
    width: tuple[_Side, ...] = ()
    duration_seconds: tuple[_Duration, ...] = ()
    num_frames: tuple[_Frames, ...] = ()
    fps: tuple[_Rate, ...] = ()
    num_inference_steps: tuple[_Steps, ...] = ()
    guidance_scale: tuple[_Scale, ...] = ()
    seed: tuple[_Seed, ...] = ()
    include: Annotated[
        tuple[Video, ...], Field(description="Further combinations, one video each.")
    ] = ()
    exclude: Annotated[
        tuple[Video, ...], Field(description="Combinations to leave out, by some of their fields.")
    ] = ()


class JobSpec(Video):
    """A job as a person writes it. Only `prompt` is needed, and with an image not even that.

    Descriptions and limits go into the guide and the published schema (`make docs`).
    """

    enhance: Annotated[
        Literal[True, False, "review"],
        Field(
            description="Let a language model rewrite the prompt for the video model. With "
            "`review` nothing is rendered: the rewritten spec is put under review/ to be read, "
            "changed and dropped."
        ),
    ] = True
    variations: Annotated[
        int, Field(ge=1, le=MAX_VIDEOS, description="So many videos, with seeds that count up.")
    ] = 1
    matrix: Annotated[
        Matrix | None,
        Field(description="Lists of values for other fields: a video for each combination."),
    ] = None
    outputs: Annotated[
        tuple[Literal["mp4", "gif"], ...],
        Field(max_length=2, description="What to make. The MP4 is always made."),
    ] = ("mp4",)
    priority: Annotated[
        Priority,
        Field(description="Place in the queue: by priority; then folders take turns; then age."),
    ] = "normal"
    notify: Annotated[bool, Field(description="Send a mail when the job has ended.")] = True
    tags: Annotated[
        tuple[Tag, ...],
        Field(
            max_length=10,
            description="Words that the notification carries, to filter by: letters A-Z, digits "
            "and `_.:-`, at most 64.",
        ),
    ] = ()
    dry_run: Annotated[
        bool,
        Field(description="Check and answer with the plan and its cost, but render nothing."),
    ] = False

    @field_validator("enhance", mode="before")
    @classmethod
    def _one_is_not_true(cls, value: object) -> object:
        # pydantic compares with ==, and 1 == True.
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise PydanticCustomError(
                "literal_error", "not a choice", {"expected": "true, false or review"}
            )
        return value


class FolderDefaults(JobSpec):
    """What `_defaults.yaml` may have: any field of a spec, for everything below its folder."""

    animate_images: Annotated[
        bool, Field(description="Make a video of every image that is dropped below this folder.")
    ] = False
    max_videos_per_day: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="So many may be started in a day (UTC) in this folder, and in each folder "
            "below it; the others wait for the next day.",
        ),
    ] = None
    max_gpu_minutes_per_day: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="The same in minutes of rendering, as expected."),
    ] = None


FOLDER_FIELDS = tuple(set(FolderDefaults.model_fields) - set(JobSpec.model_fields))
"""What only a folder can say."""


def mode_of(spec: Video) -> Mode:
    """What a video is made from."""
    if spec.video is not None:
        return Mode.VIDEO_TO_VIDEO
    return Mode.TEXT_TO_VIDEO if spec.image is None else Mode.IMAGE_TO_VIDEO


def parameters_of(spec: Video) -> Parameters:
    """What the worker is told of a resolved spec."""
    names = set(Parameters.model_fields) - {"mode"}
    return Parameters.model_validate({"mode": mode_of(spec), **spec.model_dump(include=names)})


S = TypeVar("S", bound=JobSpec)
V = TypeVar("V", bound=Video)


@dataclass(frozen=True)
class Layer:
    """One file that says something about a job: the spec itself, or defaults of a folder."""

    spec: JobSpec
    """Its references are paths from jobs/ on, with a slash in front."""
    parsed: Parsed
    file: str | None = None
    """Key of the file when it is not the spec itself."""

    @classmethod
    def read(cls, parsed: Parsed, key: str, kind: type[JobSpec] = JobSpec) -> Self:
        """Check the fields of the file at `key`.

        Raises:
            JobRejected: with a problem for each field that is wrong, at its place in the text.
        """
        file = key if issubclass(kind, FolderDefaults) else None
        layer = cls(parse(parsed, kind, file), parsed, file)
        spec = layer._anchored(layer.spec, key, ())
        if spec.matrix is not None:
            matrix = spec.matrix
            lists = {
                name: tuple(
                    layer._anchor(name, value, key, ("matrix", name, index))
                    for index, value in enumerate(getattr(matrix, name))
                )
                for name in _REFERENCES
                if name in matrix.model_fields_set
            }
            entries: dict[str, tuple[Video, ...]] = {
                name: tuple(
                    layer._anchored(video, key, ("matrix", name, index))
                    for index, video in enumerate(getattr(matrix, name))
                )
                for name in ("include", "exclude")
                if name in matrix.model_fields_set
            }
            matrix = matrix.model_copy(update=lists | entries)
            spec = spec.model_copy(update={"matrix": matrix})
        conflicts = layer._conflicts(layer.spec, ())
        if spec.matrix is not None:
            for index, video in enumerate(spec.matrix.include):
                conflicts += layer._conflicts(video, ("matrix", "include", index))
        if conflicts:
            raise JobRejected(*conflicts)
        return cls(spec, parsed, layer.file)

    def place(self, *path: str | int) -> Place:
        """Where the value at `path` stands in the file."""
        return self.parsed.place(*path).model_copy(update={"file": self.file})

    def _anchored(self, video: V, key: str, path: tuple[str | int, ...]) -> V:
        given = {
            name: self._anchor(name, value, key, (*path, name))
            for name in _REFERENCES
            if (value := getattr(video, name)) is not None
        }
        # Only what was given may count as given.
        return video.model_copy(update=given) if given else video

    def _anchor(self, field: str, value: str, key: str, path: tuple[str | int, ...]) -> str:
        """The reference as a path from jobs/ on."""
        thing, suffixes, example = _REFERENCES[field]
        noun = thing.partition(" ")[2]
        foreign = "://" in value or "\\" in value or value.startswith("~")
        from_above = value.lstrip("/").startswith(s3_keys.JOBS_PREFIX)
        reference = None if foreign or from_above else s3_keys.reference_key(key, value)
        if reference is None:
            raise JobRejected(
                Problem(
                    code=Code.REFERENCE_PLACE,
                    message=f"The {noun} {quoted(value)} is not a file of the drop folder.",
                    hint=f"Upload the {noun} beside the spec and write its file name, like  "
                    f"{field}: {example}",
                    place=self.place(*path),
                )
            )
        if not reference.lower().endswith(suffixes):
            raise JobRejected(
                Problem(
                    code=Code.REFERENCE_KIND,
                    message=f"{quoted(value)} is not the name of {thing} file.",
                    hint=_other_reference(reference) or f"Valid endings: {listed(suffixes)}.",
                    place=self.place(*path),
                )
            )
        return "/" + reference.removeprefix(s3_keys.JOBS_PREFIX)

    def _conflicts(self, video: Video, path: tuple[str | int, ...]) -> list[Problem]:
        """Fields that are given together and exclude each other."""
        given = video.model_fields_set
        return [
            Problem(
                code=Code.FIELD_CONFLICT,
                message=f"{one} and {other} exclude each other.",
                hint=f"Delete one of the two lines: {why}.",
                place=self.place(*path, one),
            )
            for one, other, why in CONFLICTS
            if {one, other} <= given
            and getattr(video, one) is not None
            and getattr(video, other) is not None
        ]


_REFERENCES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "image": ("an image", s3_keys.IMAGE_SUFFIXES, "bee.png"),
    "video": ("a video", s3_keys.VIDEO_SUFFIXES, "bee.mp4"),
}
CONFLICTS = (
    ("video", "image", "a video starts from one reference"),
    ("preset", "num_inference_steps", "both choose the steps"),
    ("aspect", "height", "both choose the size"),
    ("aspect", "width", "both choose the size"),
    ("duration_seconds", "num_frames", "both choose the length"),
)


def _other_reference(reference: str) -> str | None:
    """The mend for a picture called a video, or the reverse."""
    for field, (_, suffixes, _) in _REFERENCES.items():
        if reference.lower().endswith(suffixes):
            return f"Write  {field}: {reference.rpartition('/')[2]}"
    return None


def parse(parsed: Parsed, kind: type[S], file: str | None = None) -> S:
    """Check the fields of a spec, or of folder defaults when `kind` says so.

    Raises:
        JobRejected: with a problem for each field that is wrong, at its place in the text.
    """
    try:
        return kind.model_validate_json(parsed.as_json())
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = [_problem(item, parsed, kind, file) for item in errors[:MAX_PROBLEMS]]
        raise JobRejected(*problems) from None


_TYPE_NAMES = {
    "string_type": ("text", "Put the value in double quotes."),
    "int_type": ("a whole number", "Write it like 42: digits, without quotes or a leading zero."),
    "float_type": ("a number", "Write it like 4.5: digits before and behind a point, no quotes."),
    "bool_type": (
        "true or false",
        "Write true or false, in small letters and without quotes; yes, no, on and off are not "
        "read as such.",
    ),
    "tuple_type": ("a list", "Write it as  [first, second]."),
    "model_type": ("fields with values", "Write it as lines below, indented:  field: [1, 2]."),
    "model_attributes_type": (
        "fields with values",
        "Write it as lines below, indented:  field: [1, 2].",
    ),
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
}


def _problem(error: ErrorDetails, parsed: Parsed, kind: type[JobSpec], file: str | None) -> Problem:
    """A pydantic error as one of ours."""
    path = error["loc"]
    code, message, hint = _words(error, kind)
    if path and path[0] == "matrix" and code in {Code.FIELD_UNKNOWN, Code.FIELD_TYPE}:
        code = Code.MATRIX_INVALID
    place = parsed.place(*path).model_copy(update={"file": file})
    return Problem(code=code, message=message, hint=hint, place=place)


def _words(error: ErrorDetails, kind: type[JobSpec]) -> tuple[Code, str, str]:
    """Code, message and hint for a pydantic error."""
    path = error["loc"]
    field = ".".join(str(part) for part in path)
    sort, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if sort == "extra_forbidden":
        return _unknown(path, kind)
    if value is None and (sort in _TYPE_NAMES or sort in {"literal_error", "enum"}):
        return (
            Code.FIELD_MISSING,
            f"{field} has no value.",
            "Write one behind the colon, or delete the line.",
        )
    if sort in _TYPE_NAMES:
        wanted, hint = _TYPE_NAMES[sort]
        if sort == "int_type" and isinstance(value, float):
            hint = "Write digits only, without a decimal point."
        if isinstance(value, list) and len(path) == 1 and field in Matrix.model_fields:
            hint = f"For a video of each write the list under matrix:  matrix: {{{path[0]}: [...]}}"
        return Code.FIELD_TYPE, f"{field} must be {wanted}, but is {quoted(value)}.", hint
    if sort in _LIMITS:
        words, name = _LIMITS[sort]
        limit = context[name]
        listed_in = path[0] == "matrix" and isinstance(path[-1], int)
        written = f"{limit}" if listed_in else f"{path[-1]}: {limit}"
        nearest = f"Write  {written}  or a value on the valid side of it."
        if sort == "greater_than":
            nearest = f"Write a value above {limit}."
        return Code.FIELD_RANGE, f"{field} is {value}, but must be {words} {limit}.", nearest
    if sort in {"literal_error", "enum"}:
        return _no_choice(field, value, str(context["expected"]))
    return _other(field, error)


def _other(field: str, error: ErrorDetails) -> tuple[Code, str, str]:
    sort, context = error["type"], error.get("ctx", {})
    if sort == "string_pattern_mismatch":
        return (
            Code.FIELD_RANGE,
            f"{field} cannot be {quoted(error.get('input'))}.",
            "A tag is one word of at most 64 letters A-Z, digits and  _ . : -  like  team-a.",
        )
    lengths = {
        "string_too_long": f"{field} has more than {context.get('max_length')} characters.",
        "string_too_short": f"{field} is empty.",
        "too_long": f"{field} has more than {context.get('max_length')} entries.",
    }
    if sort in lengths:
        hint = "Shorten it." if "too_long" in sort else "Fill it in, or leave the line out."
        return Code.FIELD_RANGE, lengths[sort], hint
    return (
        Code.FIELD_RANGE,
        f"{field} cannot be {quoted(error.get('input'))}: {str(error['msg']).lower()}.",
        "See the guide for the values it takes.",
    )


def _unknown(path: tuple[str | int, ...], kind: type[JobSpec]) -> tuple[Code, str, str]:
    name = str(path[-1])
    within = kind if len(path) == 1 else Matrix if len(path) == 2 else Video
    near = _nearest(name.lower(), within.model_fields)
    where = f" in {path[0]}" if len(path) > 1 else ""
    if name in FOLDER_FIELDS:
        near_hint = "Write it into _defaults.yaml: it is about a folder, not about one job."
    else:
        near_hint = f"Did you mean {near}?" if near else f"Fields: {listed(within.model_fields)}."
    return Code.FIELD_UNKNOWN, f"There is no field called {quoted(name)}{where}.", near_hint


def _no_choice(field: str, value: object, expected: str) -> tuple[Code, str, str]:
    valid = expected.replace("'", "").replace("True", "true").replace("False", "false")
    choices = valid.replace(" or ", ", ").split(", ")
    near = _nearest(str(value).lower(), choices)
    hint = (f"Did you mean {near}? " if near else "") + f"Valid: {valid}."
    if "true" in choices and str(value).lower() in {"true", "false"}:
        hint = f"Write {str(value).lower()}, in small letters and without quotes."
    elif "true" in choices and str(value).lower() in {"yes", "no", "on", "off"}:
        hint = f"yes, no, on and off are not read as such. Valid: {valid}."
    return Code.FIELD_RANGE, f"{field} cannot be {quoted(value)}.", hint


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """What was probably meant: `steps` is a part of one, `promt` is spelled like one."""
    known = list(known)
    parts = [field for field in known if len(name) >= 3 and name in field.split("_")]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return next(iter([*parts, *close]), None)


def quoted(value: object) -> str:
    """A value in a sentence: in quotes, and not too long."""
    text = " ".join(str(value).split())
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"


def listed(items: Iterable[Any]) -> str:
    """Values in a sentence, with commas."""
    return ", ".join(str(item) for item in items)
