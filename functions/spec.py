"""The job spec: what a person may write, and how it becomes something a model can run."""

import difflib
import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from functions.spec_text import Parsed
from processing.contract.catalogue import MODELS, Mode, Model, Size
from processing.contract.document import Document
from processing.contract.errors import Code, JobRejected, Notice, Problem
from processing.contract.manifest import Parameters

MAX_PROMPT_CHARACTERS = 2_000
# Enough to mend a spec by; thousands would fit into no mail and no record.
MAX_PROBLEMS = 20

Priority = Literal["high", "normal", "low"]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]


class JobSpec(Document):
    """A job as a person writes it. Only `prompt` is needed, and with an image not even that.

    Descriptions and limits go into the guide and the published schema (`make docs`).
    """

    prompt: Annotated[
        str,
        Field(max_length=MAX_PROMPT_CHARACTERS, description="What the video shows."),
    ] = ""
    negative_prompt: Annotated[
        str,
        Field(max_length=MAX_PROMPT_CHARACTERS, description="What it should not show."),
    ] = ""
    image: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=512,
            description="File name of the first frame, beside the spec.",
        ),
    ] = None
    model: Annotated[str | None, Field(description="A name from the list of models.")] = None
    height: Annotated[int | None, Field(description="Pixels; a size that the model has.")] = None
    width: Annotated[int | None, Field(description="Pixels; a size that the model has.")] = None
    num_frames: Annotated[int | None, Field(description="A count that the model has.")] = None
    fps: Annotated[int | None, Field(ge=1, le=60, description="Frames shown a second.")] = None
    num_inference_steps: Annotated[
        int | None, Field(ge=2, le=100, description="Denoising steps: more is slower and finer.")
    ] = None
    guidance_scale: Annotated[
        float | None, Field(ge=1, le=20, description="How closely the prompt is followed.")
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=2**32 - 1, description="The same seed and spec make the same video again."),
    ] = None
    enhance: Annotated[
        bool, Field(description="Let a language model rewrite the prompt for the video model.")
    ] = True
    priority: Annotated[
        Priority, Field(description="Place in the queue: by priority, then age.")
    ] = "normal"
    tags: Annotated[
        tuple[Tag, ...],
        Field(max_length=10, description="Words that the notification carries, to filter by."),
    ] = ()


class Resolved(Document):
    """A spec with every default filled in: itself a valid spec, and what it means to the worker."""

    spec: JobSpec
    model: str
    parameters: Parameters
    warnings: tuple[Notice, ...] = ()


def parse(parsed: Parsed) -> JobSpec:
    """Check the fields of a spec.

    Raises:
        JobRejected: with a problem for each field that is wrong, at its place in the text.
    """
    try:
        return JobSpec.model_validate_json(parsed.as_json())
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = [_problem(item, parsed) for item in errors[:MAX_PROBLEMS]]
        raise JobRejected(*problems) from None


def resolve(spec: JobSpec, parsed: Parsed, *, default_model: str, job_id: str) -> Resolved:
    """Fill in what the spec leaves open, for the model it names.

    A seed that is not given follows from the job id, so that a second attempt makes the same video.

    Raises:
        JobRejected: the model does not exist or cannot do what is asked.
    """
    problems: list[Problem] = []
    model = MODELS.get(spec.model or default_model)
    if model is None:
        raise JobRejected(_model_unknown(spec.model or default_model, parsed))
    if not spec.prompt.strip() and spec.image is None:
        raise JobRejected(
            Problem(
                code=Code.PROMPT_EMPTY,
                message="There is no prompt.",
                hint='Add a line such as   prompt: "a bee on a flower".',
                place=parsed.place("prompt"),
            )
        )
    mode = Mode.TEXT_TO_VIDEO if spec.image is None else Mode.IMAGE_TO_VIDEO
    if mode not in model.weights:
        raise JobRejected(_mode_unsupported(model, mode, parsed))

    size = _size(spec, model, mode, parsed, problems)
    num_frames = spec.num_frames or model.num_frames[0]
    if num_frames not in model.num_frames:
        problems.append(
            Problem(
                code=Code.FRAMES_UNSUPPORTED,
                message=f"{model.name} cannot make {num_frames} frames.",
                hint=f"Valid: {_list(sorted(model.num_frames))}. Nearest: "
                f"{min(model.num_frames, key=lambda n: abs(n - num_frames))}.",
                place=parsed.place("num_frames"),
            )
        )
    if problems:
        raise JobRejected(*problems)

    seed = spec.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4])
    full = spec.model_copy(
        update={
            "model": model.name,
            "height": size.height,
            "width": size.width,
            "num_frames": num_frames,
            "fps": spec.fps or model.fps,
            "num_inference_steps": spec.num_inference_steps or model.num_inference_steps,
            "guidance_scale": float(spec.guidance_scale or model.guidance_scale),
            "seed": seed,
        }
    )
    return Resolved(
        spec=full,
        model=model.name,
        parameters=_parameters(full, mode),
        warnings=parsed.warnings,
    )


def with_prompt(resolved: Resolved, prompt: str) -> Resolved:
    """The same job with the prompt that is really used; dropped again, it is not enhanced again."""
    spec = resolved.spec.model_copy(update={"prompt": prompt, "enhance": False})
    return resolved.model_copy(
        update={"spec": spec, "parameters": _parameters(spec, resolved.parameters.mode)}
    )


def _parameters(spec: JobSpec, mode: Mode) -> Parameters:
    names = set(Parameters.model_fields) - {"mode"}
    return Parameters.model_validate({"mode": mode, **spec.model_dump(include=names)})


def _size(spec: JobSpec, model: Model, mode: Mode, parsed: Parsed, problems: list[Problem]) -> Size:
    sizes = model.weights[mode].sizes
    # One of the two alone means the first valid size that has it.
    for size in sizes:
        if spec.height in {None, size.height} and spec.width in {None, size.width}:
            return size
    height, width = spec.height or sizes[0].height, spec.width or sizes[0].width
    nearest = min(sizes, key=lambda s: abs(s.height - height) + abs(s.width - width))
    shown = sizes if len(sizes) <= 6 else (*sizes[:5], sizes[-1])
    problems.append(
        Problem(
            code=Code.SIZE_UNSUPPORTED,
            message=f"{model.name} cannot make videos of height {height} and width {width} "
            f"in {mode}.",
            hint=f"Valid (height x width): {_list(shown)}. "
            f"Nearest: height: {nearest.height}, width: {nearest.width}.",
            place=parsed.place("height" if spec.height is not None else "width"),
        )
    )
    return nearest


def _model_unknown(name: str, parsed: Parsed) -> Problem:
    near = difflib.get_close_matches(name.lower(), MODELS, n=1, cutoff=0.5)
    return Problem(
        code=Code.MODEL_UNKNOWN,
        message=f"There is no model called {_quoted(name)}.",
        hint=(f"Did you mean {near[0]}? " if near else "") + f"Models: {_list(MODELS)}.",
        place=parsed.place("model"),
    )


def _mode_unsupported(model: Model, mode: Mode, parsed: Parsed) -> Problem:
    able = [name for name, other in MODELS.items() if mode in other.weights]
    return Problem(
        code=Code.MODE_UNSUPPORTED,
        message=f"{model.name} cannot do {mode}.",
        hint=f"Leave out the image, or use one of: {_list(able)}.",
        place=parsed.place("image"),
    )


_TYPE_NAMES = {
    "string_type": ("text", "Put the value in double quotes."),
    "int_type": ("a whole number", "Write digits only, without quotes."),
    "int_from_float": ("a whole number", "Write digits only, without a decimal point."),
    "float_type": ("a number", "Write a number without quotes."),
    "bool_type": ("true or false", "Write true or false, in small letters and without quotes."),
    "tuple_type": ("a list", "Write it as  [first, second]."),
}


def _problem(error: ErrorDetails, parsed: Parsed) -> Problem:
    """A pydantic error as one of ours."""
    path = error["loc"]
    field = str(path[0]) if path else ""
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    place = parsed.place(*path)
    if kind == "extra_forbidden":
        near = _nearest_field(field.lower())
        return Problem(
            code=Code.FIELD_UNKNOWN,
            message=f"There is no field called {_quoted(field)}.",
            hint=f"Did you mean {near}?" if near else f"Fields: {_list(JobSpec.model_fields)}.",
            place=place,
        )
    if value is None and kind in _TYPE_NAMES:
        return Problem(
            code=Code.FIELD_MISSING,
            message=f"{field} has no value.",
            hint="Write one behind the colon, or delete the line.",
            place=place,
        )
    if kind in _TYPE_NAMES:
        wanted, hint = _TYPE_NAMES[kind]
        return Problem(
            code=Code.FIELD_TYPE,
            message=f"{field} must be {wanted}, but is {_quoted(value)}.",
            hint=hint,
            place=place,
        )
    limits = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in limits:
        words, limit = limits[kind]
        return Problem(
            code=Code.FIELD_RANGE,
            message=f"{field} is {value}, but must be {words} {context[limit]}.",
            hint=f"Write  {field}: {context[limit]}  or a value on the valid side of it.",
            place=place,
        )
    lengths = {
        "string_too_long": f"{field} has more than {context.get('max_length')} characters.",
        "string_too_short": f"{field} is empty.",
        "too_long": f"{field} has more than {context.get('max_length')} entries.",
    }
    if kind in lengths:
        return Problem(
            code=Code.FIELD_RANGE,
            message=lengths[kind],
            hint="Shorten it." if "too_long" in kind else "Fill it in, or leave the line out.",
            place=place,
        )
    return Problem(
        code=Code.FIELD_RANGE,
        message=f"{field} cannot be {_quoted(value)}: {str(error['msg']).lower()}.",
        hint="See the guide for the values it takes.",
        place=place,
    )


def _nearest_field(name: str) -> str | None:
    """The field that was probably meant: `steps` is a part of one, `promt` is spelled like one."""
    parts = [field for field in JobSpec.model_fields if len(name) >= 3 and name in field]
    close = difflib.get_close_matches(name, JobSpec.model_fields, n=1, cutoff=0.6)
    return next(iter([*parts, *close]), None)


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"


def _list(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)
