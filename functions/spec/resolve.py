"""Fills in the fields that the spec of a video leaves open, with the values of its model.

The result is itself a valid spec. Resolving it again does not change it.
"""

import difflib
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from contract.catalogue import MODELS, Mode, Model, Preset, Size
from contract.errors import Code, JobRejected, Notice, Place, Problem
from contract.manifest import Loop, Parameters
from contract.timeline import timeline_of
from functions.spec import finishing
from functions.spec.clip import Clip
from functions.spec.english import is_english
from functions.spec.expand import Wanted
from functions.spec.fields import (
    ANY_SEED,
    Aspect,
    JobSpec,
    Output,
    Scene,
    in_words,
    is_only_finished,
    listed,
    mode_of,
    model_unknown,
    modes_of,
    parameters_of,
    quoted,
    scene_field,
    transitions_of,
)
from functions.spec.finishing import LEAST_FRAMES, MOST_FRAMES
from functions.spec.reader import Picture

STRENGTH = 0.8
"""The default of diffusers."""
_LORAS_NAMED = 20
_DURATION_TOLERANCE = 0.15
"""As a share of the requested seconds."""
_LONGER = " To make it longer, slow it down with  slow_motion: 2"
_LONGER_SCENE = " To make it longer, add a scene after it that continues it."
_MOST_COUNTS = 10
"""More values than these are not all listed."""


def resolve(
    wanted: Wanted,
    *,
    default_model: str,
    job_id: str,
    picture: Picture | None = None,
    clip: Clip | None = None,
) -> JobSpec:
    """Fill in every default in the spec of one video.

    A seed that is not given is derived from the job id, so that a second attempt makes the same
    video.

    Args:
        wanted: the video as the job describes it.
        default_model: the model to use if the spec names none.
        job_id: the id of the job.
        picture: the reference image, once it has been read. A size that the spec leaves open is
            chosen to match its shape.
        clip: the clip, once it has been read. If it is only finished, its length is checked.

    Raises:
        JobRejected: the model does not exist or cannot make this video.
    """
    outputs = _outputs(wanted)
    if is_only_finished(wanted.spec):
        resolved = finishing.resolve(wanted, clip)
    else:
        resolved = _of_model(wanted, default_model, job_id, picture)
    return resolved.model_copy(update={"outputs": outputs})


def _of_model(wanted: Wanted, default_model: str, job_id: str, picture: Picture | None) -> JobSpec:
    """The same for a video that a model makes."""
    spec = wanted.spec
    model = model_called(spec.model or default_model, wanted.place("model"))
    modes, mode = _modes(spec), mode_of(spec)
    _check_modes(wanted, model, modes)
    problems: list[Problem] = []
    size = _size(wanted, model, modes, picture, problems)
    num_frames = None if spec.scenes else _num_frames(spec, model, wanted.place, problems)
    preset = spec.preset or Preset.STANDARD
    steps = spec.num_inference_steps or model.num_inference_steps[preset]
    strength = _strength(wanted, mode, steps, problems)
    lora_scale = _lora_scale(wanted, problems)
    seed = _seed(spec, job_id)
    scenes = _scenes(wanted, model, seed, problems)
    if problems:
        raise JobRejected(*problems)

    resolved = spec.model_copy(
        update={
            "model": model.name,
            "negative_prompt": _negative_prompt(wanted, model),
            "preset": preset,
            "aspect": None,
            "duration_seconds": None,
            "height": size.height,
            "width": size.width,
            "num_frames": num_frames,
            "fps": spec.fps or model.fps,
            "slow_motion": spec.slow_motion or 1,
            "loop": _loop(spec, mode),
            "num_inference_steps": steps,
            "guidance_scale": float(spec.guidance_scale or model.guidance_scale),
            "strength": strength,
            "lora_scale": lora_scale,
            "fit": spec.fit or "crop",
            "seed": (seed + wanted.variation) % 2**32,
            "scenes": scenes,
        }
    )
    _check_length(wanted, resolved)
    return resolved


def _modes(spec: JobSpec) -> tuple[Mode, ...]:
    """The mode of the video, or that of each scene."""
    return modes_of(spec.scenes) if spec.scenes else (mode_of(spec),)


def _seed(spec: JobSpec, job_id: str) -> int:
    chosen = _chosen(spec.seed)
    return (
        int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4]) if chosen is None else chosen
    )


def _chosen(seed: int | None) -> int | None:
    return None if seed == ANY_SEED else seed


def _scenes(
    wanted: Wanted, model: Model, seed: int, problems: list[Problem]
) -> tuple[Scene, ...] | None:
    """The scenes with all their fields; None for a video that is not made of scenes.

    Args:
        seed: that of the video, without its variation.
    """
    scenes = wanted.spec.scenes
    if not scenes:
        return None
    found = []
    for index, (scene, transition) in enumerate(zip(scenes, transitions_of(scenes), strict=True)):
        chosen = _chosen(scene.seed)
        its_own = seed + index if chosen is None else chosen
        found.append(
            scene.model_copy(
                update={
                    "num_frames": _num_frames(scene, model, _place_in(wanted, index), problems),
                    "duration_seconds": None,
                    "seed": (its_own + wanted.variation) % 2**32,
                    "transition": transition,
                }
            )
        )
    return tuple(found)


def _place_in(wanted: Wanted, index: int) -> Callable[[str], Place]:
    """Where the fields of a scene are written."""
    return lambda field: wanted.place(scene_field(index, field))


def _outputs(wanted: Wanted) -> tuple[Output, ...]:
    """Which files are made. Without scenes there is no clip of a scene.

    Raises:
        JobRejected: the spec itself asks for such clips.
    """
    spec = wanted.spec
    if spec.scenes or "scenes" not in spec.outputs:
        return spec.outputs
    if wanted.said("outputs"):
        raise JobRejected(
            Problem(
                code=Code.FIELD_CONFLICT,
                message="outputs has scenes, but the video is not made of scenes.",
                hint="Delete scenes from outputs, or write what happens as a list, with  scenes:",
                place=wanted.place("outputs"),
            )
        )
    return tuple(output for output in spec.outputs if output != "scenes")


def _loop(spec: JobSpec, mode: Mode) -> Loop | Literal[False]:
    """How the video loops. A picture stays the first frame, which a cross-fade would blend."""
    if spec.loop is True:
        return "ping-pong" if mode == Mode.IMAGE_TO_VIDEO else "cross-fade"
    return spec.loop or False


def _check_length(wanted: Wanted, resolved: JobSpec) -> None:
    """Refuse a frame rate that leaves a single frame, which is no video, or makes too many."""
    parameters = parameters_of(resolved)
    shown = _shown_frames(parameters, parameters.fps)
    if shown > MOST_FRAMES:
        fitting = range(parameters.fps, 0, -1)
        most = next(f for f in fitting if _shown_frames(parameters, f) <= MOST_FRAMES)
        raise JobRejected(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"fps is {parameters.fps}, which makes {shown:,} frames together with "
                f"slow_motion and loop. The limit is {MOST_FRAMES:,}.",
                hint=f"Write  fps: {most}  or less, or a smaller slow_motion.",
                place=wanted.place("fps"),
            )
        )
    if shown >= LEAST_FRAMES:
        return
    enough = next(f for f in itertools.count() if _shown_frames(parameters, f) >= LEAST_FRAMES)
    raise JobRejected(
        Problem(
            code=Code.FIELD_RANGE,
            message=f"fps is {parameters.fps}, which leaves a single frame of the "
            f"{parameters.num_frames} that the model makes.",
            hint=f"Write  fps: {enough}  or a larger value.",
            place=wanted.place("fps"),
        )
    )


def _shown_frames(parameters: Parameters, fps: int) -> int:
    return timeline_of(parameters.model_copy(update={"fps": fps})).num_frames if fps else 0


def _negative_prompt(wanted: Wanted, model: Model) -> str:
    """What the spec says, or the model's own. A spec can also say that there is none: ""."""
    given = "negative_prompt" in wanted.spec.model_fields_set
    return wanted.spec.negative_prompt if given else model.negative_prompt


def _check_modes(wanted: Wanted, model: Model, modes: Sequence[Mode]) -> None:
    """Refuse a video without a prompt where it needs one, or of a kind that the model cannot make.

    Args:
        modes: that of the video, or those of its scenes.
    """
    scenes = wanted.spec.scenes
    for index, mode in enumerate(modes):
        field = scene_field(index, "prompt") if scenes else "prompt"
        said = scenes[index] if scenes else wanted.spec
        if said.image is None and mode != Mode.VIDEO_TO_VIDEO and not said.prompt.strip():
            place = wanted.place(field)
            how = "Add a line such as" if place.line is None else "Write one, such as"
            raise JobRejected(
                Problem(
                    code=Code.PROMPT_EMPTY,
                    message=f"Scene {index + 1} has no prompt."
                    if scenes
                    else "There is no prompt.",
                    hint=f'{how}   prompt: "a bee on a flower"',
                    place=place,
                )
            )
        if mode not in model.weights and scenes:
            raise JobRejected(_scene_unsupported(wanted, model, index, mode))
        if mode not in model.weights:
            raise JobRejected(_mode_unsupported(wanted, model, mode))


def check_prompt(spec: JobSpec, wanted: Wanted, not_enhanced: str = "") -> None:
    """Refuse a prompt that is certainly longer than the model can read.

    Each word is at least one token, so a prompt with more words than the model reads tokens would
    lose its end.

    Args:
        spec: the resolved spec.
        wanted: the same video before it was resolved, for the position of the prompt.
        not_enhanced: if the prompt should have been enhanced and was not, the reason.

    Raises:
        JobRejected: `prompt-too-long`.
    """
    if spec.model is None:
        return  # it is only finished
    limit = MODELS[spec.model].prompt_tokens
    for field, text in (*prompts_of(spec), ("negative_prompt", spec.negative_prompt)):
        words = len(text.split())
        if words >= limit:
            raise JobRejected(
                Problem(
                    code=Code.PROMPT_TOO_LONG,
                    message=f"The {in_words(field)} has {words} words, but {spec.model} reads at "
                    f"most {limit} tokens (a word is at least one token).",
                    hint=f"Shorten it to about {int(limit / 1.4)} words"
                    + ("." if field == "negative_prompt" else _otherwise(wanted, not_enhanced)),
                    place=wanted.place(field),
                )
            )


def prompts_of(spec: JobSpec) -> tuple[tuple[str, str], ...]:
    """The prompts of a video: for each its field, and the text."""
    if not spec.scenes:
        return (("prompt", spec.prompt),)
    scenes = enumerate(spec.scenes)
    return tuple((scene_field(index, "prompt"), scene.prompt) for index, scene in scenes)


def with_prompts(spec: JobSpec, prompts: Sequence[str]) -> JobSpec:
    """A spec with other prompts, in the order of `prompts_of`."""
    if not spec.scenes:
        return spec.model_copy(update={"prompt": prompts[0]})
    scenes = tuple(
        scene.model_copy(update={"prompt": prompt})
        for scene, prompt in zip(spec.scenes, prompts, strict=True)
    )
    return spec.model_copy(update={"scenes": scenes})


def notices(specs: Iterable[JobSpec]) -> tuple[Notice, ...]:
    """Warnings about what the model will make of the specs.

    Args:
        specs: resolved specs. A prompt that is still to be enhanced is not looked at.
    """
    found: list[Notice] = []
    for spec in specs:
        if spec.model is None:
            continue  # it is only finished
        model = MODELS[spec.model]
        for (field, text), mode in zip(prompts_of(spec), _modes(spec), strict=True):
            prompt, reference = "" if spec.enhance else text, mode != Mode.TEXT_TO_VIDEO
            if model.world is not None and not model.world.has(prompt, reference=reference):
                found.append(Notice(code="outside-its-world", message=model.world.notice))
            if model.english_only:
                otherwise = ", or write  enhance: true  to have it translated"
                found += _not_english(in_words(field), prompt, otherwise)
        if model.english_only:
            found += _not_english("negative_prompt", spec.negative_prompt, "")
        if notice := _frames_left_out(spec, model):
            found.append(notice)
    return tuple(dict.fromkeys(found))


def _not_english(field: str, text: str, otherwise: str) -> list[Notice]:
    if is_english(text):
        return []
    message = f"The {field} is not in English, and the model reads only English."
    return [Notice(code="not-english", message=f"{message} Write it in English{otherwise}.")]


def _frames_left_out(spec: JobSpec, model: Model) -> Notice | None:
    """The notice for a frame rate that shows only some of the frames that are made."""
    timeline = timeline_of(parameters_of(spec))
    if timeline.step <= 1:
        return None
    return Notice(
        code="frames-left-out",
        message=f"fps: {spec.fps} is less than what {model.name} makes ({model.fps} fps), so "
        "frames are left out and the motion is less smooth. To see all of them, delete the line.",
    )


def _otherwise(wanted: Wanted, not_enhanced: str) -> str:
    """The end of the hint for a prompt that is too long: what else a person can do."""
    if not_enhanced:
        return f", or drop the file again later: it could not be enhanced now ({not_enhanced})."
    if not wanted.spec.enhance:
        return ", or write  enhance: true  to have it enhanced."
    return "."  # this deployment does not enhance prompts


def model_called(name: str, place: Place) -> Model:
    """The model with this name.

    Args:
        name: what the spec says.
        place: where the spec says it, for the problem.

    Raises:
        JobRejected: there is no such model.
    """
    model = MODELS.get(name)
    if model is not None:
        return model
    raise JobRejected(model_unknown(name, place))


def _mode_unsupported(wanted: Wanted, model: Model, mode: Mode) -> Problem:
    able = [name for name, other in MODELS.items() if mode in other.weights]
    field = "video" if mode == Mode.VIDEO_TO_VIDEO else "image"
    return Problem(
        code=Code.MODE_UNSUPPORTED,
        message=f"{model.name} does not support {mode}.",
        hint=f"Remove the {field}, or use one of these models: {listed(able)}.",
        place=wanted.place(field),
    )


def _scene_unsupported(wanted: Wanted, model: Model, index: int, mode: Mode) -> Problem:
    """The problem of a scene that starts as the model cannot."""
    assert wanted.spec.scenes is not None
    able = [name for name, other in MODELS.items() if mode in other.weights]
    number, field = index + 1, "image"
    message, hint = f"{model.name} cannot start scene {number} from an image.", "Remove the image"
    if wanted.spec.scenes[index].image is None:
        field = "transition"
        message = f"{model.name} cannot continue a scene, as scene {number} does."
        hint = "Write  transition: cut  or  transition: fade  in each scene after the first"
    return Problem(
        code=Code.MODE_UNSUPPORTED,
        message=message,
        hint=f"{hint}, or use one of these models: {listed(able)}.",
        place=wanted.place(scene_field(index, field)),
    )


def _sizes_for(model: Model, modes: Iterable[Mode]) -> tuple[Size, ...]:
    """The sizes that a model can make in each of the modes."""
    first, *others = (model.weights[mode].sizes for mode in dict.fromkeys(modes))
    return tuple(size for size in first if all(size in sizes for sizes in others))


def _size(
    wanted: Wanted,
    model: Model,
    modes: Sequence[Mode],
    picture: Picture | None,
    problems: list[Problem],
) -> Size:
    """The size to render; if there is none, adds to `problems` and returns the nearest size."""
    spec, sizes = wanted.spec, _sizes_for(model, modes)
    usual_short = _short(sizes[0])
    if spec.aspect is not None:
        shaped = tuple(size for size in sizes if _shape(size) == spec.aspect)
        if not shaped:
            problems.append(_aspect_unsupported(wanted, model, modes))
            return sizes[0]
        sizes = shaped
    # If only height or only width is given, any size with that height or width is valid.
    fitting = [
        size
        for size in sizes
        if spec.height in {None, size.height} and spec.width in {None, size.width}
    ]
    if fitting:
        if picture is None:
            return fitting[0]
        ratio = math.log(picture.height / picture.width)
        # The shape alone does not choose a smaller format than the model's own.
        usual = [size for size in fitting if _short(size) == usual_short]
        return min(
            usual or fitting, key=lambda size: abs(math.log(size.height / size.width) - ratio)
        )
    height, width = spec.height or sizes[0].height, spec.width or sizes[0].width
    nearest = min(sizes, key=lambda s: abs(s.height - height) + abs(s.width - width))
    problems.append(
        Problem(
            code=Code.SIZE_UNSUPPORTED,
            message=f"{model.name} does not support height {height} with width {width} for "
            f"{_in_words(modes)}.",
            hint=f"Valid (height x width): {_sizes(sizes)}. "
            f"Nearest: height: {nearest.height}, width: {nearest.width}.",
            place=wanted.place("height" if spec.height is not None else "width"),
        )
    )
    return nearest


def _in_words(modes: Iterable[Mode]) -> str:
    return " and ".join(dict.fromkeys(modes))


def _aspect_unsupported(wanted: Wanted, model: Model, modes: Sequence[Mode]) -> Problem:
    aspect, sizes = wanted.spec.aspect, _sizes_for(model, modes)
    able = [
        name
        for name, other in MODELS.items()
        if all(mode in other.weights for mode in modes)
        and any(_shape(size) == aspect for size in _sizes_for(other, modes))
    ]
    others = f" Models with {aspect} sizes: {listed(able)}." if able else ""
    return Problem(
        code=Code.ASPECT_UNSUPPORTED,
        message=f"{model.name} has no {aspect} size for {_in_words(modes)}.",
        hint=f"Valid: {listed(dict.fromkeys(_shape(size) for size in sizes))} "
        f"(height x width: {_sizes(sizes)}).{others}",
        place=wanted.place("aspect"),
    )


def _short(size: Size) -> int:
    return min(size.height, size.width)


def _shape(size: Size) -> Aspect:
    if size.height == size.width:
        return "square"
    return "portrait" if size.height > size.width else "landscape"


def _sizes(sizes: tuple[Size, ...]) -> str:
    return listed(sizes if len(sizes) <= 6 else (*sizes[:5], sizes[-1]))


def _num_frames(
    spec: JobSpec | Scene, model: Model, place: Callable[[str], Place], problems: list[Problem]
) -> int:
    """How many frames the model makes of a video or a scene, at its own rate.

    Args:
        place: where a field of it is written.
    """
    counts, fps = sorted(model.num_frames), model.fps
    longer, what = _LONGER, "video"
    if isinstance(spec, Scene):
        longer, what = _LONGER_SCENE, "scene"
    if spec.duration_seconds is not None:
        seconds = spec.duration_seconds
        nearest = min(counts, key=lambda n: abs(n / fps - seconds))
        # A person who writes 6 s accepts the 6.1 s that a model makes, but not 10 s.
        if abs(nearest / fps - seconds) > max(0.5, _DURATION_TOLERANCE * seconds):
            problems.append(
                Problem(
                    code=Code.DURATION_UNSUPPORTED,
                    message=f"{model.name} cannot make a {what} of {seconds:g} s.",
                    hint=f"Valid lengths in seconds: {_lengths(counts, fps)}. "
                    f"Nearest: {nearest / fps:.1f}."
                    + (longer if seconds > counts[-1] / fps else ""),
                    place=place("duration_seconds"),
                )
            )
        return nearest
    num_frames = spec.num_frames or model.num_frames[0]
    if num_frames not in counts:
        problems.append(
            Problem(
                code=Code.FRAMES_UNSUPPORTED,
                message=f"{model.name} cannot make a {what} of {num_frames} frames.",
                hint=f"Valid: {frame_counts(model)}. "
                f"Nearest: {min(counts, key=lambda n: abs(n - num_frames))}.",
                place=place("num_frames"),
            )
        )
    return num_frames


def frame_counts(model: Model) -> str:
    """The valid numbers of frames, for a sentence: all of them, or how they go on."""
    counts = sorted(model.num_frames)
    if len(counts) <= _MOST_COUNTS:
        return listed(counts)
    return f"{counts[0]} to {counts[-1]} in steps of {counts[1] - counts[0]}"


def _lengths(counts: Sequence[int], fps: int) -> str:
    if len(counts) <= _MOST_COUNTS:
        return listed(f"{n / fps:.1f}" for n in counts)
    return f"{counts[0] / fps:.1f} to {counts[-1] / fps:.1f}"


def _lora_scale(wanted: Wanted, problems: list[Problem]) -> float | None:
    spec = wanted.spec
    if spec.lora is not None:
        return 1.0 if spec.lora_scale is None else spec.lora_scale
    if spec.lora_scale is not None and wanted.said("lora_scale"):
        problems.append(
            Problem(
                code=Code.FIELD_CONFLICT,
                message="lora_scale only works with a LoRA, but the spec names none.",
                hint="Add a line with  lora: and its name, or delete the line.",
                place=wanted.place("lora_scale"),
            )
        )
    return None


def check_lora(wanted: Wanted, known: Sequence[str]) -> None:
    """Refuse a LoRA that does not exist.

    Args:
        wanted: a video as the job describes it.
        known: the names of the LoRAs that exist.

    Raises:
        JobRejected: there is no LoRA of the name.
    """
    name = wanted.spec.lora
    if name is None or name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    hint += (
        f"LoRAs: {listed(known[:_LORAS_NAMED])}."
        if known
        else (
            "There are none yet. Ask your administrator to upload it, then drop the file again, or "
            "delete the line."
        )
    )
    raise JobRejected(
        Problem(
            code=Code.LORA_UNKNOWN,
            message=f"There is no LoRA called {quoted(name)}.",
            hint=hint,
            place=wanted.place("lora"),
        )
    )


def _strength(wanted: Wanted, mode: Mode, steps: int, problems: list[Problem]) -> float | None:
    strength = wanted.spec.strength
    if mode != Mode.VIDEO_TO_VIDEO:
        if strength is not None and wanted.said("strength"):
            problems.append(
                Problem(
                    code=Code.FIELD_CONFLICT,
                    message="strength only works with a video, but the spec has none.",
                    hint="Add  video: bee.mp4  or delete the line.",
                    place=wanted.place("strength"),
                )
            )
        return None
    if strength is None:
        return STRENGTH
    if int(steps * strength) < 1:
        # The pipeline would have no denoising step to run.
        problems.append(
            Problem(
                code=Code.FIELD_RANGE,
                message=f"strength is {strength:g}, which leaves none of the {steps} steps.",
                hint=f"Write at least  strength: {math.ceil(100 / steps) / 100:g}",
                place=wanted.place("strength"),
            )
        )
    return strength
