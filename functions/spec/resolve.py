"""Fills in what a video's spec leaves open, for the model it names.

The result is itself a valid spec, and resolving it again changes nothing.
"""

import difflib
import hashlib
import math
from collections.abc import Iterable

from contract.catalogue import MODELS, Mode, Model, Preset, Size
from contract.errors import Code, JobRejected, Notice, Place, Problem
from functions.spec.expand import Wanted
from functions.spec.fields import Aspect, JobSpec, listed, mode_of, quoted
from functions.spec.reader import Picture

# diffusers' default.
STRENGTH = 0.8
_DURATION_TOLERANCE = 0.15


def resolve(
    wanted: Wanted, *, default_model: str, job_id: str, picture: Picture | None = None
) -> JobSpec:
    """The spec of one video with every default filled in.

    A seed that is not given follows from the job id, so that a second attempt makes the same video.

    Args:
        picture: the reference image, once it was read; an open size follows its shape.

    Raises:
        JobRejected: the model does not exist or cannot do what is asked.
    """
    spec = wanted.spec
    model = model_called(spec.model or default_model, wanted.place("model"))
    mode = mode_of(spec)
    if not spec.prompt.strip() and mode == Mode.TEXT_TO_VIDEO:
        raise JobRejected(
            Problem(
                code=Code.PROMPT_EMPTY,
                message="There is no prompt.",
                hint='Add a line such as   prompt: "a bee on a flower".',
                place=wanted.place("prompt"),
            )
        )
    if mode not in model.weights:
        raise JobRejected(_mode_unsupported(wanted, model, mode))
    problems: list[Problem] = []
    size = _size(wanted, model, mode, picture, problems)
    fps = spec.fps or model.fps
    num_frames = _num_frames(wanted, model, fps, problems)
    steps = spec.num_inference_steps or model.num_inference_steps[spec.preset or Preset.STANDARD]
    strength = _strength(wanted, mode, steps, problems)
    if problems:
        raise JobRejected(*problems)

    seed = spec.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4])
    return spec.model_copy(
        update={
            "model": model.name,
            "preset": None,
            "aspect": None,
            "duration_seconds": None,
            "height": size.height,
            "width": size.width,
            "num_frames": num_frames,
            "fps": fps,
            "num_inference_steps": steps,
            "guidance_scale": float(spec.guidance_scale or model.guidance_scale),
            "strength": strength,
            "fit": spec.fit or "crop",
            "seed": (seed + wanted.variation) % 2**32,
        }
    )


def check_prompt(spec: JobSpec, wanted: Wanted, not_enhanced: str = "") -> None:
    """Refuse a prompt whose end the model can certainly not see: each word is a token at least.

    Args:
        not_enhanced: why the prompt was not enhanced, though it should have been.

    Raises:
        JobRejected: `prompt-too-long`.
    """
    assert spec.model is not None  # resolved
    limit = MODELS[spec.model].prompt_tokens
    for field in ("prompt", "negative_prompt"):
        words = len(getattr(spec, field).split())
        if words >= limit:
            raise JobRejected(
                Problem(
                    code=Code.PROMPT_TOO_LONG,
                    message=f"The {field} has {words} words, and {spec.model} reads {limit} tokens "
                    "(a word is one or more).",
                    hint=f"Shorten it to about {int(limit / 1.4)} words"
                    + (_otherwise(not_enhanced) if field == "prompt" else "."),
                    place=wanted.place(field),
                )
            )


def notices(specs: Iterable[JobSpec]) -> tuple[Notice, ...]:
    """What a person should know of resolved specs whose prompts are as they will be used: that
    one is about what its model does not know."""
    found: list[Notice] = []
    for spec in specs:
        assert spec.model is not None  # resolved
        world = MODELS[spec.model].world
        reference = mode_of(spec) != Mode.TEXT_TO_VIDEO
        if world is not None and not world.has(spec.prompt, reference=reference):
            found.append(Notice(code="outside-its-world", message=world.notice))
    return tuple(dict.fromkeys(found))


def _otherwise(not_enhanced: str) -> str:
    if not_enhanced:
        return f", or drop it again later: it could not be enhanced ({not_enhanced})."
    return ", or let it be enhanced."


def model_called(name: str, place: Place) -> Model:
    """The model that a person named at `place`.

    Raises:
        JobRejected: there is none.
    """
    model = MODELS.get(name)
    if model is not None:
        return model
    near = difflib.get_close_matches(name.lower(), MODELS, n=1, cutoff=0.5)
    raise JobRejected(
        Problem(
            code=Code.MODEL_UNKNOWN,
            message=f"There is no model called {quoted(name)}.",
            hint=(f"Did you mean {near[0]}? " if near else "") + f"Models: {listed(MODELS)}.",
            place=place,
        )
    )


def _mode_unsupported(wanted: Wanted, model: Model, mode: Mode) -> Problem:
    able = [name for name, other in MODELS.items() if mode in other.weights]
    field = "video" if mode == Mode.VIDEO_TO_VIDEO else "image"
    return Problem(
        code=Code.MODE_UNSUPPORTED,
        message=f"{model.name} cannot do {mode}.",
        hint=f"Leave out the {field}, or use one of: {listed(able)}.",
        place=wanted.place(field),
    )


def _size(
    wanted: Wanted, model: Model, mode: Mode, picture: Picture | None, problems: list[Problem]
) -> Size:
    spec, sizes = wanted.spec, model.weights[mode].sizes
    if spec.aspect is not None:
        shaped = tuple(size for size in sizes if _shape(size) == spec.aspect)
        if not shaped:
            able = [
                name
                for name, other in MODELS.items()
                if mode in other.weights
                and any(_shape(size) == spec.aspect for size in other.weights[mode].sizes)
            ]
            problems.append(
                Problem(
                    code=Code.ASPECT_UNSUPPORTED,
                    message=f"{model.name} has no {spec.aspect} size in {mode}.",
                    hint=f"It makes {listed(dict.fromkeys(_shape(size) for size in sizes))} "
                    f"({_sizes(sizes)})." + (f" These models can: {listed(able)}." if able else ""),
                    place=wanted.place("aspect"),
                )
            )
            return sizes[0]
        sizes = shaped
    # One of the two alone means a valid size that has it.
    fitting = [
        size
        for size in sizes
        if spec.height in {None, size.height} and spec.width in {None, size.width}
    ]
    if fitting:
        if picture is None:
            return fitting[0]
        ratio = math.log(picture.height / picture.width)
        return min(fitting, key=lambda size: abs(math.log(size.height / size.width) - ratio))
    height, width = spec.height or sizes[0].height, spec.width or sizes[0].width
    nearest = min(sizes, key=lambda s: abs(s.height - height) + abs(s.width - width))
    problems.append(
        Problem(
            code=Code.SIZE_UNSUPPORTED,
            message=f"{model.name} cannot make videos of height {height} and width {width} "
            f"in {mode}.",
            hint=f"Valid (height x width): {_sizes(sizes)}. "
            f"Nearest: height: {nearest.height}, width: {nearest.width}.",
            place=wanted.place("height" if spec.height is not None else "width"),
        )
    )
    return nearest


def _shape(size: Size) -> Aspect:
    if size.height == size.width:
        return "square"
    return "portrait" if size.height > size.width else "landscape"


def _sizes(sizes: tuple[Size, ...]) -> str:
    return listed(sizes if len(sizes) <= 6 else (*sizes[:5], sizes[-1]))


def _num_frames(wanted: Wanted, model: Model, fps: int, problems: list[Problem]) -> int:
    spec, counts = wanted.spec, sorted(model.num_frames)
    if spec.duration_seconds is not None:
        seconds = spec.duration_seconds
        nearest = min(counts, key=lambda n: abs(n / fps - seconds))
        # 6 s for the 6.1 s that a model makes is what was meant; 10 s is not.
        if abs(nearest / fps - seconds) > max(0.5, _DURATION_TOLERANCE * seconds):
            problems.append(
                Problem(
                    code=Code.DURATION_UNSUPPORTED,
                    message=f"{model.name} cannot make {seconds:g} seconds at {fps} fps.",
                    hint=f"Valid, in seconds: {listed(f'{n / fps:.1f}' for n in counts)}. "
                    f"Nearest: {nearest / fps:.1f}.",
                    place=wanted.place("duration_seconds"),
                )
            )
        return nearest
    num_frames = spec.num_frames or model.num_frames[0]
    if num_frames not in counts:
        problems.append(
            Problem(
                code=Code.FRAMES_UNSUPPORTED,
                message=f"{model.name} cannot make {num_frames} frames.",
                hint=f"Valid: {listed(counts)}. "
                f"Nearest: {min(counts, key=lambda n: abs(n - num_frames))}.",
                place=wanted.place("num_frames"),
            )
        )
    return num_frames


def _strength(wanted: Wanted, mode: Mode, steps: int, problems: list[Problem]) -> float | None:
    strength = wanted.spec.strength
    if mode != Mode.VIDEO_TO_VIDEO:
        if strength is not None and ("strength" in wanted.origin or wanted.draft.said("strength")):
            problems.append(
                Problem(
                    code=Code.FIELD_CONFLICT,
                    message="strength needs a video to move away from, and there is none.",
                    hint="Add  video: bee.mp4  or delete the line.",
                    place=wanted.place("strength"),
                )
            )
        return None
    if strength is None:
        return STRENGTH
    if int(steps * strength) < 1:
        # The denoising then has no step at all.
        problems.append(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"strength is {strength:g}, which leaves none of {steps} steps.",
                hint=f"Write at least  strength: {math.ceil(100 / steps) / 100:g}",
                place=wanted.place("strength"),
            )
        )
    return strength
