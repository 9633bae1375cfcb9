"""The fields of a job spec and of folder defaults, and the checks that their values must pass.

`folder_defaults` then combines a spec with the defaults of its folders, `expand` makes one spec for
each video, and `resolve` fills in the fields that are still open.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from contract.catalogue import MODELS, Mode, Preset
from contract.document import Document
from contract.errors import Code, JobRejected, Place, Problem
from contract.manifest import Fit, Loop, Parameters, SceneParameters, SlowMotion, Transition
from contract.scenes import num_frames_of
from functions import s3_keys
from functions.reading.characters import foreign, shown
from functions.reading.magic import how_to_export, other_kind
from functions.spec.clip import Clip
from functions.spec.other_words import hint_for_name, hint_for_value
from functions.spec.parsed import Parsed

MAX_PROMPT_CHARACTERS = 2_000
MAX_VIDEOS = 32
"""A job and its tasks are written in one transaction with two changes for each task, and DynamoDB
allows 100 changes in a transaction."""
# Enough for a person to fix a spec. Thousands of problems would fit neither into a mail nor into a
# record of the table.
MAX_PROBLEMS = 20
LEAST_SCENES, MOST_SCENES = 2, 12
Priority = Literal["high", "normal", "low"]
Aspect = Literal["portrait", "square", "landscape"]
Output = Literal["mp4", "gif", "h265", "webm", "scenes"]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
ANY_SEED = -1
"""Other tools write this for a seed that nobody chose."""


def _one_of(*choices: bool | int | str) -> BeforeValidator:
    """Accept only values that are written like the choices.

    Pydantic compares values with ==, so it would also accept 1 as true, true as 1, and 2.0 as 2.
    """
    *first, last = (json.dumps(choice).strip('"') for choice in choices)
    expected = f"{', '.join(first)} or {last}"

    def check(value: object) -> object:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise PydanticCustomError("literal_error", "not a choice", {"expected": expected})
        return value

    return BeforeValidator(check)


_Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
_File = Annotated[str, Field(min_length=1, max_length=1024)]
# Not strict, so that the text "draft" in a spec and `Preset.DRAFT` in code are both accepted.
_Preset = Annotated[Preset, Field(strict=False)]
_Side = Annotated[int, Field(ge=16, le=4096)]
_Frames = Annotated[int, Field(ge=1, le=1000)]
_Rate = Annotated[int, Field(ge=1, le=60)]
_Steps = Annotated[int, Field(ge=2, le=100)]
_Scale = Annotated[float, Field(ge=1, le=20)]
_Seed = Annotated[int, Field(ge=ANY_SEED, le=2**32 - 1)]
_Strength = Annotated[float, Field(gt=0, le=1)]
_Lora = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_LoraScale = Annotated[float, Field(gt=0, le=2)]
_Duration = Annotated[float, Field(gt=0, le=60)]
LABEL_CHARACTERS = " -~©«»°±´·‘’“”…‹›™"
"""The characters of the worker's font, as in a pattern. " -~" are all of ASCII."""
_Label = Annotated[str, Field(max_length=40, pattern=f"^[{LABEL_CHARACTERS}]*$")]
_SlowMotion = Annotated[SlowMotion, _one_of(1, 2, 4, 8)]
_Loop = Annotated[Literal[True, False, Loop], _one_of(True, False, "cross-fade", "ping-pong")]


class Video(Document):
    """The fields that decide what one video looks like. A matrix may vary each of them."""

    prompt: Annotated[_Text, Field(description="What the video shows.")] = ""
    negative_prompt: Annotated[_Text, Field(description="What the video should not show.")] = ""
    image: Annotated[
        _File | None,
        Field(description="File name of an image beside the spec; it becomes the first frame."),
    ] = None
    video: Annotated[
        _File | None,
        Field(
            description="File name of an MP4 or MOV beside the spec; the new video is based on it. "
            "Without a prompt, it is only finished: its rate, length, sound and formats change."
        ),
    ] = None
    audio: Annotated[
        _File | None,
        Field(
            description="File name of a sound beside the spec (MP3, M4A, WAV and others, or a "
            "video with sound); it is cut or repeated to the length of the video."
        ),
    ] = None
    strength: Annotated[
        _Strength | None,
        Field(description="With `video` only: how much of it is changed, up to 1 (everything)."),
    ] = None
    fit: Annotated[
        Fit | None,
        Field(
            description="How an image or video of another shape is fitted: `crop` cuts off its "
            "edges, `pad` adds bars."
        ),
    ] = None
    model: Annotated[
        str | None, Field(description="Name of the model, from the list of models.")
    ] = None
    lora: Annotated[
        _Lora | None,
        Field(
            description="Name of a LoRA, a small file that adds a style or a subject to the model. "
            "Your administrator uploads it."
        ),
    ] = None
    lora_scale: Annotated[
        _LoraScale | None,
        Field(description="How strongly the LoRA works: 1 as it was trained, less for less of it."),
    ] = None
    preset: Annotated[
        _Preset | None,
        Field(description="Quality against speed: how a video is computed, and in how many steps."),
    ] = None
    aspect: Annotated[
        Aspect | None,
        Field(description="Shape of the video: sets a size of this shape that the model supports."),
    ] = None
    height: Annotated[
        _Side | None, Field(description="Height in pixels; the model must support the size.")
    ] = None
    width: Annotated[
        _Side | None, Field(description="Width in pixels; the model must support the size.")
    ] = None
    duration_seconds: Annotated[
        _Duration | None,
        Field(
            description="Length in seconds; the nearest length that the model supports is used. "
            "Slow motion and a loop come on top."
        ),
    ] = None
    num_frames: Annotated[
        _Frames | None,
        Field(description="Number of frames that the model makes; it must support the number."),
    ] = None
    fps: Annotated[
        _Rate | None,
        Field(
            description="Frames shown per second. The motion keeps its speed: frames are "
            "interpolated above the model's own rate, and left out below it."
        ),
    ] = None
    slow_motion: Annotated[
        _SlowMotion | None,
        Field(description="How many times as long the video takes; frames are interpolated."),
    ] = None
    loop: Annotated[
        _Loop | None,
        Field(
            description="Make a video that repeats without a jump: `cross-fade` blends its end "
            "with its beginning, `ping-pong` plays it backwards after its end, and `true` chooses "
            "what suits."
        ),
    ] = None
    num_inference_steps: Annotated[
        _Steps | None,
        Field(description="Number of denoising steps: more take longer and give a better video."),
    ] = None
    guidance_scale: Annotated[
        _Scale | None,
        Field(description="How closely the video follows the prompt; higher is closer."),
    ] = None
    seed: Annotated[
        _Seed | None,
        Field(
            description="Number that fixes the randomness: the same spec with the same seed makes "
            "the same video again. -1 is the same as no line."
        ),
    ] = None
    label: Annotated[
        _Label,
        Field(
            description="A note to show in the lower right corner of the whole video, such as "
            "`AI-generated`."
        ),
    ] = ""


class Matrix(Document):
    """Values to combine, with one video for each combination. The fields are those of `Video`."""

    prompt: tuple[_Text, ...] = ()
    negative_prompt: tuple[_Text, ...] = ()
    image: tuple[_File, ...] = ()
    video: tuple[_File, ...] = ()
    audio: tuple[_File, ...] = ()
    strength: tuple[_Strength, ...] = ()
    fit: tuple[Fit, ...] = ()
    model: tuple[str, ...] = ()
    lora: tuple[_Lora, ...] = ()
    lora_scale: tuple[_LoraScale, ...] = ()
    preset: tuple[_Preset, ...] = ()
    aspect: tuple[Aspect, ...] = ()
    height: tuple[_Side, ...] = ()
    width: tuple[_Side, ...] = ()
    duration_seconds: tuple[_Duration, ...] = ()
    num_frames: tuple[_Frames, ...] = ()
    fps: tuple[_Rate, ...] = ()
    slow_motion: tuple[_SlowMotion, ...] = ()
    loop: tuple[_Loop, ...] = ()
    num_inference_steps: tuple[_Steps, ...] = ()
    guidance_scale: tuple[_Scale, ...] = ()
    seed: tuple[_Seed, ...] = ()
    label: tuple[_Label, ...] = ()
    include: Annotated[
        tuple[Video, ...], Field(description="Additional combinations, one video each.")
    ] = ()
    exclude: Annotated[
        tuple[Video, ...],
        Field(description="Combinations to leave out, described by some or all of their values."),
    ] = ()


class Scene(Document):
    """One scene of a video that is made of several. What it does not say is the same for all."""

    prompt: Annotated[_Text, Field(description="What the scene shows.")] = ""
    image: Annotated[
        _File | None,
        Field(
            description="File name of an image beside the spec; it becomes the first frame of the "
            "scene."
        ),
    ] = None
    duration_seconds: Annotated[
        _Duration | None,
        Field(description="Length in seconds; the nearest length that the model supports is used."),
    ] = None
    num_frames: Annotated[
        _Frames | None,
        Field(description="Number of frames that the model makes; it must support the number."),
    ] = None
    seed: Annotated[
        _Seed | None,
        Field(description="Number that fixes the randomness of this scene."),
    ] = None
    transition: Annotated[
        Transition | None,
        Field(
            description="How the scene follows the one before: `continue` begins with its last "
            "frame, `fade` blends into it, `cut` does neither."
        ),
    ] = None


def _only_a_prompt(value: object) -> object:
    return {"prompt": value} if isinstance(value, str) else value


_Scene = Annotated[Scene, BeforeValidator(_only_a_prompt, json_schema_input_type=str | Scene)]


class JobSpec(Video):
    """A job as a person writes it.

    Only `prompt` is required, and not even that if there is an image, a video, or scenes. The
    descriptions and limits of the fields also appear in the guide and in the published schema
    (`make docs`).
    """

    scenes: Annotated[
        tuple[_Scene, ...] | None,
        Field(
            min_length=LEAST_SCENES,
            max_length=MOST_SCENES,
            description="Scenes that are joined into one video, in this order. Each is a prompt, "
            "or fields of its own (below).",
        ),
    ] = None

    enhance: Annotated[
        Literal[True, False, "review"],
        _one_of(True, False, "review"),
        Field(
            description="Let a language model rewrite the prompt for the video model. With "
            "`review` nothing is rendered: the rewritten spec is written to review/, where you can "
            "read it, change it and drop it again."
        ),
    ] = True
    variations: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_VIDEOS,
            description="Number of videos; the seed goes up by one for each.",
        ),
    ] = 1
    matrix: Annotated[
        Matrix | None,
        Field(
            description="Lists of values for other fields; makes one video for each combination."
        ),
    ] = None
    outputs: Annotated[
        tuple[Output, ...],
        Field(
            max_length=5,
            description="Which files to make. The MP4 (H.264) is always made. `h265` is a smaller "
            "MP4 for newer devices, `webm` is VP9 for web pages, and `scenes` is each scene as an "
            "MP4 of its own.",
        ),
    ] = ("mp4",)
    prompt_in_file: Annotated[
        bool,
        Field(
            description="Write the prompt into the video and its other files, too. With `false`, "
            "it is in the sidecar only."
        ),
    ] = True
    priority: Annotated[
        Priority,
        Field(
            description="Order in the queue: higher priorities first, then the folders in turn, "
            "then older jobs first."
        ),
    ] = "normal"
    notify: Annotated[
        Literal[True, False, "digest"],
        _one_of(True, False, "digest"),
        Field(
            description="Send an email when the job has ended. With `digest`, one email lists "
            "all jobs of the folder, when nothing of it is in the queue any more, and after an "
            "hour at the latest."
        ),
    ] = True
    tags: Annotated[
        tuple[Tag, ...],
        Field(
            max_length=10,
            description="Words to filter notifications by. Each has at most 64 characters: letters "
            "A-Z and a-z, digits and `_.:-`.",
        ),
    ] = ()
    dry_run: Annotated[
        bool,
        Field(description="Check the spec and report the plan and its cost, but render nothing."),
    ] = False


class FolderDefaults(JobSpec):
    """The fields of `_defaults.yaml`: all fields of a spec, and some about the folder.

    They apply to everything below the folder of the file.
    """

    animate_images: Annotated[
        bool,
        Field(description="Make a video of every image that is dropped into this folder or below."),
    ] = False
    max_videos_per_day: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="Maximum number of videos started per day (UTC) in this folder, and in "
            "each folder below it. Further videos wait for the next day.",
        ),
    ] = None
    max_gpu_minutes_per_day: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="The same limit as estimated minutes of rendering instead of videos.",
        ),
    ] = None


FOLDER_FIELDS = tuple(set(FolderDefaults.model_fields) - set(JobSpec.model_fields))
"""The fields that only `_defaults.yaml` can have."""


def is_only_finished(spec: Video) -> bool:
    """Whether a clip is only finished, because no prompt says what else a model should make of it.

    Args:
        spec: one that is not resolved yet.
    """
    return spec.video is not None and not spec.prompt.strip()


def mode_of(spec: JobSpec) -> Mode:
    """The mode of a video: it starts from text, from an image or from a video.

    A resolved spec of a video that is only finished names no model. Before there was this mode, a
    resolved spec without a prompt named one.
    """
    if spec.scenes:
        return modes_of(spec.scenes)[0]
    if spec.video is not None:
        finished = is_only_finished(spec) and spec.model is None
        return Mode.FINISHING if finished else Mode.VIDEO_TO_VIDEO
    return Mode.TEXT_TO_VIDEO if spec.image is None else Mode.IMAGE_TO_VIDEO


def transitions_of(scenes: Sequence[Scene]) -> tuple[Transition, ...]:
    """How each scene follows the one before. Nothing is before the first one."""
    after_the_first = (
        scene.transition or ("continue" if scene.image is None else "cut") for scene in scenes[1:]
    )
    return ("cut", *after_the_first)


def modes_of(scenes: Sequence[Scene]) -> tuple[Mode, ...]:
    """The mode of each scene. One that continues starts from an image, too."""
    return tuple(
        Mode.TEXT_TO_VIDEO
        if scene.image is None and transition != "continue"
        else Mode.IMAGE_TO_VIDEO
        for scene, transition in zip(scenes, transitions_of(scenes), strict=True)
    )


def references_of(spec: Video) -> tuple[tuple[str, str], ...]:
    """The references of a video: for each the field that names it, and what it says.

    The field of a scene's image is its path: `scenes.0.image`.
    """
    given = [(field, getattr(spec, field)) for field in _REFERENCES]
    if isinstance(spec, JobSpec):
        scenes = enumerate(spec.scenes or ())
        given += [(scene_field(index, "image"), scene.image) for index, scene in scenes]
    return tuple((field, value) for field, value in given if value is not None)


def scene_field(index: int, field: str) -> str:
    """The path of a field of a scene, which is counted from 0."""
    return f"scenes.{index}.{field}"


def path_of(field: str) -> tuple[str | int, ...]:
    """The path of a field as field names and list indexes."""
    return tuple(int(part) if part.isdigit() else part for part in field.split("."))


def kind_of_reference(field: str) -> str:
    """`image`, `video` or `audio`: what a field that names a reference expects."""
    return field.rpartition(".")[2]


def in_words(field: str) -> str:
    """What a sentence calls a field: `image of scene 2` for `scenes.1.image`."""
    return _called(path_of(field))


def _called(path: tuple[str | int, ...]) -> str:
    match path:
        case ("scenes", int(index)):
            return f"scene {index + 1}"
        case ("scenes", int(index), name):
            return f"{name} of scene {index + 1}"
    return ".".join(str(part) for part in path)


def field_naming(spec: JobSpec, key: str) -> str | None:
    """The field of a spec, or of its matrix, that names a reference; None if none does.

    Args:
        key: the key of the reference.
    """
    value = "/" + key.removeprefix(s3_keys.JOBS_PREFIX)
    matrix = spec.matrix or Matrix()
    for video in (spec, *matrix.include):
        if field := next((field for field, said in references_of(video) if said == value), None):
            return field
    return next((field for field in _REFERENCES if value in getattr(matrix, field)), None)


def parameters_of(spec: JobSpec, clip: Clip | None = None) -> Parameters:
    """The part of a resolved spec that the worker receives.

    Args:
        clip: the clip that is finished, if one is.
    """
    if clip is not None:
        return _parameters_of_finishing(spec, clip)
    names = set(Parameters.model_fields) - {"mode", "generated_fps", "loop", "scenes"}
    given = spec.model_dump(include=names, exclude_none=True)
    scenes = _scene_parameters(spec)
    if scenes:
        assert spec.model is not None  # resolved
        given["num_frames"] = num_frames_of(scenes, MODELS[spec.model].fps)
    return Parameters.model_validate(
        {
            **given,
            "mode": mode_of(spec),
            "generated_fps": _generated_fps(spec),
            "loop": spec.loop or None,
            "scenes": scenes,
        }
    )


def _parameters_of_finishing(spec: Video, clip: Clip) -> Parameters:
    size, loop = clip.finished_size, spec.loop or None
    assert loop is not True  # resolved
    return Parameters(
        mode=Mode.FINISHING,
        prompt="",
        height=size.height,
        width=size.width,
        num_frames=clip.constant_frames,
        fps=spec.fps or clip.constant_fps,
        generated_fps=clip.constant_fps,
        slow_motion=spec.slow_motion or 1,
        loop=loop,
        num_inference_steps=0,
        guidance_scale=0.0,
        seed=0,
        label=spec.label,
    )


def _scene_parameters(spec: JobSpec) -> tuple[SceneParameters, ...]:
    """The part of the scenes of a resolved spec that the worker receives."""
    scenes = spec.scenes or ()
    if not scenes:
        return ()
    found = []
    for scene, mode, transition in zip(
        scenes, modes_of(scenes), transitions_of(scenes), strict=True
    ):
        assert scene.num_frames is not None and scene.seed is not None  # resolved
        found.append(
            SceneParameters(
                mode=mode,
                prompt=scene.prompt,
                num_frames=scene.num_frames,
                seed=scene.seed,
                transition=transition,
            )
        )
    return tuple(found)


def _generated_fps(spec: Video) -> int | None:
    """At which rate the model makes a resolved video.

    A spec that was resolved by a version without slow motion has none. There, `fps` was only the
    rate of the file, and the video stays as it was accepted.
    """
    if spec.slow_motion is None:
        return None
    assert spec.model is not None  # resolved
    return MODELS[spec.model].fps


S = TypeVar("S", bound=JobSpec)
V = TypeVar("V", bound=Video)


@dataclass(frozen=True)
class Layer:
    """One of the files that describe a job: the spec itself, or the defaults of a folder."""

    spec: JobSpec
    """Its references are paths relative to jobs/ with a leading slash, such as `/team/bee.png`."""
    parsed: Parsed
    file: str | None = None
    """Key of the file, or None for the spec itself."""

    @classmethod
    def read(cls, parsed: Parsed, key: str, kind: type[JobSpec] = JobSpec) -> Self:
        """Check the fields of a file, and make its references relative to jobs/.

        Args:
            parsed: the values of the file.
            key: the key of the file; its references are relative to its folder.
            kind: `JobSpec`, or `FolderDefaults` for folder defaults.

        Raises:
            JobRejected: with a problem for each wrong field, at its position in the text.
        """
        file = key if issubclass(kind, FolderDefaults) else None
        spec, problems, more = parse(parsed, kind, file)
        layer = cls(spec, parsed, file)
        try:
            spec = layer._anchored(spec, key, ())
            if spec.matrix is not None:
                matrix = layer._anchored_matrix(spec.matrix, key)
                spec = spec.model_copy(update={"matrix": matrix})
            if spec.scenes:
                spec = spec.model_copy(update={"scenes": layer._anchored_scenes(spec.scenes, key)})
        except JobRejected as rejection:
            problems += rejection.problems
        problems += layer._conflicts(layer.spec, ())
        if spec.matrix is not None:
            for index, video in enumerate(spec.matrix.include):
                problems += layer._conflicts(video, ("matrix", "include", index))
        problems += layer._wrong_scenes()
        problems += layer._unknown_models()
        if problems:
            first = sorted(problems, key=_line_and_column)[:MAX_PROBLEMS]
            raise JobRejected(*first, more=more + len(problems) - len(first))
        return cls(spec, parsed, layer.file)

    def place(self, *path: str | int) -> Place:
        """Where the value at `path` is written in the file."""
        return self.parsed.place(*path).model_copy(update={"file": self.file})

    def _anchored_matrix(self, matrix: Matrix, key: str) -> Matrix:
        """A matrix with all its references relative to jobs/."""
        lists = {
            name: tuple(
                self._anchor(name, value, key, ("matrix", name, index))
                for index, value in enumerate(getattr(matrix, name))
            )
            for name in _REFERENCES
            if name in matrix.model_fields_set
        }
        entries: dict[str, tuple[Video, ...]] = {
            name: tuple(
                self._anchored(video, key, ("matrix", name, index))
                for index, video in enumerate(getattr(matrix, name))
            )
            for name in ("include", "exclude")
            if name in matrix.model_fields_set
        }
        return matrix.model_copy(update=lists | entries)

    def _anchored_scenes(self, scenes: tuple[Scene, ...], key: str) -> tuple[Scene, ...]:
        """Scenes with their images relative to jobs/."""
        return tuple(
            scene
            if scene.image is None
            else scene.model_copy(
                update={
                    "image": self._anchor("image", scene.image, key, ("scenes", index, "image"))
                }
            )
            for index, scene in enumerate(scenes)
        )

    def _anchored(self, video: V, key: str, path: tuple[str | int, ...]) -> V:
        """A video with its references relative to jobs/. `path` is where it is in the file."""
        # `model_copy` marks each updated field as given, so only given ones may be updated.
        given = {
            name: self._anchor(name, value, key, (*path, name))
            for name in _REFERENCES
            if (value := getattr(video, name)) is not None
        }
        return video.model_copy(update=given) if given else video

    def _anchor(self, field: str, value: str, key: str, path: tuple[str | int, ...]) -> str:
        """The reference as a path relative to jobs/, with a leading slash."""
        thing, suffixes, example = _REFERENCES[field]
        noun = thing.partition(" ")[2]
        foreign = "://" in value or "\\" in value or value.startswith("~")
        from_above = value.lstrip("/").startswith(s3_keys.JOBS_PREFIX)
        reference = None if foreign or from_above else s3_keys.reference_key(key, value)
        if reference is None:
            raise JobRejected(
                Problem(
                    code=Code.REFERENCE_PLACE,
                    message=f"The {noun} {quoted(value)} is not a file in the drop folder.",
                    hint=f"Upload the {noun} beside the spec and write its file name, for example "
                    f" {field}: {example}",
                    place=self.place(*path),
                )
            )
        if s3_keys.kind_of(reference) == s3_keys.Kind.IGNORED:
            raise JobRejected(
                Problem(
                    code=Code.REFERENCE_PLACE,
                    message=f"The {noun} {quoted(value)} is a hidden file or a file that programs "
                    "leave in folders, so its upload is ignored.",
                    hint=f"Rename the {noun} and its folders so that no name begins with a dot.",
                    place=self.place(*path),
                )
            )
        if (other := other_kind(reference)) is not None:
            raise JobRejected(
                Problem(
                    code=Code.REFERENCE_KIND,
                    message=f"{quoted(value)} is {other}, which cannot be read.",
                    hint=how_to_export(other),
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

    def _unknown_models(self) -> Iterator[Problem]:
        """A problem for each model that does not exist."""
        names: list[tuple[str | None, tuple[str | int, ...]]] = [(self.spec.model, ("model",))]
        if self.spec.matrix is not None:
            models = enumerate(self.spec.matrix.model)
            names += [(name, ("matrix", "model", index)) for index, name in models]
        for name, path in names:
            if name is not None and name not in MODELS:
                yield model_unknown(name, self.place(*path))

    def _wrong_scenes(self) -> Iterator[Problem]:
        """A problem for each scene whose fields cannot be used together, or not at its place."""
        for index, scene in enumerate(self.spec.scenes or ()):
            path = ("scenes", index)
            yield from self._conflicts(scene, path)
            if index == 0 and scene.transition in {"continue", "fade"}:
                yield Problem(
                    code=Code.FIELD_CONFLICT,
                    message=f"transition of scene 1 is {scene.transition}, but no scene is before "
                    "it.",
                    hint="Delete the line, or move it to the scene that follows.",
                    place=self.place(*path, "transition"),
                )
            elif scene.transition == "continue" and scene.image is not None:
                yield Problem(
                    code=Code.FIELD_CONFLICT,
                    message=f"Scene {index + 1} cannot start from an image and continue the scene "
                    "before.",
                    hint="Delete one of the two lines, or write  transition: cut  or  transition: "
                    "fade",
                    place=self.place(*path, "transition"),
                )

    def _conflicts(self, video: Video | Scene, path: tuple[str | int, ...]) -> list[Problem]:
        """A problem for each pair of fields that are both given and cannot be used together."""
        given = video.model_fields_set
        return [
            Problem(
                code=Code.FIELD_CONFLICT,
                message=f"{one} and {other} cannot be used together.",
                hint=f"Delete one of the two lines: {why}.",
                place=self.place(*path, one),
            )
            for one, other, why in CONFLICTS
            if {one, other} <= given
            and getattr(video, one) not in {None, ""}
            and getattr(video, other) is not None
        ]


_REFERENCES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "image": ("an image", s3_keys.IMAGE_SUFFIXES, "bee.png"),
    "video": ("a video", s3_keys.VIDEO_SUFFIXES, "bee.mp4"),
    "audio": ("a sound", (*s3_keys.AUDIO_SUFFIXES, *s3_keys.VIDEO_SUFFIXES), "song.mp3"),
}
CONFLICTS = (
    ("video", "image", "a video can only start from one of them"),
    ("aspect", "height", "both set the size"),
    ("aspect", "width", "both set the size"),
    ("duration_seconds", "num_frames", "both set the length"),
    ("prompt", "scenes", "each scene has a prompt of its own"),
    ("image", "scenes", "the first scene can start from the image"),
    ("video", "scenes", "a scene starts from text or from an image"),
    ("strength", "scenes", "it is only for a video that is changed"),
    ("duration_seconds", "scenes", "each scene has a length of its own"),
    ("num_frames", "scenes", "each scene has a length of its own"),
)
"""Two fields that cannot be used together, and why."""


def _other_reference(reference: str) -> str | None:
    """The hint for an image given as `video`, a sound given as `image` and the like."""
    for field, (_, suffixes, _) in _REFERENCES.items():
        if reference.lower().endswith(suffixes):
            return f"Write  {field}: {reference.rpartition('/')[2]}"
    return None


def _line_and_column(problem: Problem) -> tuple[int, int]:
    return _spot(problem.place)


def _spot(place: Place) -> tuple[int, int]:
    return place.line or 0, place.column or 0


def model_unknown(name: str, place: Place) -> Problem:
    """The problem of a spec that names a model that does not exist."""
    near = difflib.get_close_matches(name.lower(), MODELS, n=1, cutoff=0.5)
    return Problem(
        code=Code.MODEL_UNKNOWN,
        message=f"There is no model called {quoted(name)}.{foreign(name)}",
        hint=(f"Did you mean {near[0]}? " if near else "") + f"Models: {listed(MODELS)}.",
        place=place,
    )


def parse(parsed: Parsed, kind: type[S], file: str | None = None) -> tuple[S, list[Problem], int]:
    """Check the fields of a file.

    Args:
        parsed: the values of the file.
        kind: `JobSpec`, or `FolderDefaults` for folder defaults.
        file: the key that problems name as the file; None for the spec itself.

    Returns:
        The fields that are right; a problem for each of the first wrong ones, at its position in
        the text; and how many more there are. Each problem takes time, because hints look for a
        similar name.
    """
    try:
        return kind.model_validate_json(parsed.as_json()), [], 0
    except ValidationError as error:
        errors = error.errors(include_url=False)
    if len(errors) > 1:
        # Pydantic counts only the scenes that are right.
        errors = [item for item in errors if item["type"] != "too_short"]
    wrong = {item["loc"][0] for item in errors}
    rest = {name: value for name, value in parsed.values.items() if name not in wrong}
    first = sorted(errors, key=lambda item: _spot(parsed.place(*item["loc"])))[:MAX_PROBLEMS]
    problems = [_problem(item, parsed, kind, file) for item in first]
    right = kind.model_validate_json(Parsed(rest).as_json())
    return right, problems, len(errors) - len(first)


_TYPE_NAMES = {
    "string_type": ("text", "Put the value in double quotes."),
    "int_type": (
        "a whole number",
        "Write it like 42: digits only, without quotes or a leading zero.",
    ),
    "float_type": (
        "a number",
        "Write it like 4.5: digits before and after a decimal point, without quotes.",
    ),
    "bool_type": (
        "true or false",
        "Write true or false, in lowercase and without quotes; yes, no, on and off are read as "
        "text.",
    ),
    "tuple_type": ("a list", "Write it as  [first, second]."),
    "model_type": (
        "fields with values",
        "Write fields with values in it, for example  matrix: {seed: [1, 2]}",
    ),
    "model_attributes_type": (
        "fields with values",
        "Write fields with values in it, for example  matrix: {seed: [1, 2]}",
    ),
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge", "larger"),
    "less_than_equal": ("at most", "le", "smaller"),
    "greater_than": ("more than", "gt", "larger"),
}
_SCENE_TYPES = {
    True: (
        "a list",
        "Write a list of two scenes or more, for example  scenes: [a bee lands, it flies away]",
    ),
    False: (
        "a prompt, or fields with values",
        'Write a prompt in double quotes, for example "a bee on a flower".',
    ),
}
"""What is expected of the list of scenes (True), and of one of them."""


def _problem(error: ErrorDetails, parsed: Parsed, kind: type[JobSpec], file: str | None) -> Problem:
    """Convert an error of pydantic into a `Problem`."""
    path = error["loc"]
    code, message, hint = _words(error, kind)
    if path and path[0] == "matrix" and code in {Code.FIELD_UNKNOWN, Code.FIELD_TYPE}:
        code = Code.MATRIX_INVALID
    place = parsed.place(*path).model_copy(update={"file": file})
    return Problem(code=code, message=message, hint=hint, place=place)


def _words(error: ErrorDetails, kind: type[JobSpec]) -> tuple[Code, str, str]:
    """Code, message and hint for an error of pydantic."""
    path = error["loc"]
    field, name = _called(path), str(path[-1])
    sort, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if sort == "extra_forbidden":
        return _unknown(error, kind)
    if value is None and (sort in _TYPE_NAMES or sort in {"literal_error", "enum"}):
        return (
            Code.FIELD_MISSING,
            f"{field} has no value.",
            "Write a value after the colon, or delete the line.",
        )
    if sort in _TYPE_NAMES:
        return _wrong_type(error)
    if sort in _LIMITS:
        words, bound, side = _LIMITS[sort]
        limit = context[bound]
        limit = f"{limit:g}" if isinstance(limit, float) else limit
        listed_in = path[0] == "matrix" and isinstance(path[-1], int)
        written = f"{limit}" if listed_in else f"{name}: {limit}"
        nearest = f"Write  {written}  or a {side} value."
        if sort == "greater_than":
            nearest = f"Write a value above {limit}."
        return Code.FIELD_RANGE, f"{field} is {value}, but must be {words} {limit}.", nearest
    if sort in {"literal_error", "enum"}:
        return _no_choice(path, value, str(context["expected"]))
    return _other(field, error)


def _wrong_type(error: ErrorDetails) -> tuple[Code, str, str]:
    path, sort, value = error["loc"], error["type"], error.get("input")
    field, name = _called(path), str(path[-1])
    wanted, hint = _TYPE_NAMES[sort]
    if field == "scenes" or field.startswith("scene "):
        wanted, hint = _SCENE_TYPES[field == "scenes"]
    if sort == "int_type" and isinstance(value, float):
        hint = "Write digits only, without a decimal point"
        hint += f", for example  {name}: {value:.0f}" if abs(value) < 2**32 else "."
    if isinstance(value, list) and len(path) == 1 and field in Matrix.model_fields:
        hint = _for_each(field)
    elif len(path) == 1 or path[0] == "scenes":
        hint = hint_for_value(name, value) or hint
    message = f"{field} must be {wanted}, but is {quoted(value)}.{foreign(value)}"
    return Code.FIELD_TYPE, message, hint


def _for_each(field: str) -> str:
    """The hint for a list of values of a field that has one value."""
    return f"For one video of each, write the list in matrix:  matrix: {{{field}: [...]}}"


def _other(field: str, error: ErrorDetails) -> tuple[Code, str, str]:
    sort, context = error["type"], error.get("ctx", {})
    if sort == "string_pattern_mismatch":
        wrong = f"{field} cannot be {quoted(error['input'])}.{foreign(error['input'])}"
        if "lora" in error["loc"]:
            return (
                Code.FIELD_RANGE,
                wrong,
                "Write the name of a LoRA as your administrator uploaded it, without a folder and "
                "without .safetensors, for example  lora: ink-drawings",
            )
        if "label" in error["loc"]:
            return (
                Code.FIELD_RANGE,
                wrong,
                "The note can have letters from A to Z without accents, digits and common "
                "punctuation, for example  label: AI-generated",
            )
        return (
            Code.FIELD_RANGE,
            wrong,
            "A tag is one word of at most 64 characters, such as team-a. It may contain letters "
            "(A-Z and a-z), digits and  _ . : -",
        )
    lengths = {
        "string_too_long": f"{field} has more than {context.get('max_length')} characters.",
        "string_too_short": f"{field} is empty.",
        "too_long": f"{field} has more than {context.get('max_length')} entries.",
        "too_short": f"{field} has fewer than {context.get('min_length')} entries.",
    }
    if sort == "too_short":
        return Code.FIELD_RANGE, lengths[sort], "Add a scene, or write a single prompt instead."
    if sort in lengths:
        hint = "Shorten it." if "too_long" in sort else "Write a value, or delete the line."
        return Code.FIELD_RANGE, lengths[sort], hint
    return (
        Code.FIELD_RANGE,
        f"{field} cannot be {quoted(error.get('input'))}: {str(error['msg']).lower()}.",
        f"See the guide for the valid values of {field}.",
    )


def _unknown(error: ErrorDetails, kind: type[JobSpec]) -> tuple[Code, str, str]:
    path = error["loc"]
    name = str(path[-1])
    within: type[Document] = kind if len(path) == 1 else Matrix if len(path) == 2 else Video
    where = f" in {path[0]}" if len(path) > 1 else ""
    if path[0] == "scenes":
        within, where = Scene, f" in {_called(path[:2])}"
    if name in FOLDER_FIELDS and not where:
        return (
            Code.FIELD_UNKNOWN,
            f"{name} applies to a whole folder and cannot be set in a job spec.",
            "Move the line to the _defaults.yaml of the folder.",
        )
    if name in Video.model_fields and path[0] == "scenes":
        hint: str | None = "It is the same for the whole video. Write it beside scenes."
    else:
        hint = hint_for_name(name, error["input"], within.model_fields)
    if where and hint is None and hint_for_name(name, error["input"], JobSpec.model_fields):
        hint = "It cannot be varied. Write it outside of the matrix."
        if path[0] == "scenes":
            hint = "It is for the whole video. Write it beside scenes."
    message = f"There is no field called {quoted(name)}{where}.{foreign(name)}"
    return Code.FIELD_UNKNOWN, message, hint or f"Fields: {listed(within.model_fields)}."


def _no_choice(path: tuple[str | int, ...], value: object, expected: str) -> tuple[Code, str, str]:
    field = _called(path)
    valid = expected.replace("'", "").replace("True", "true").replace("False", "false")
    choices = valid.replace(" or ", ", ").split(", ")
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    hint = (f"Did you mean {near[0]}? " if near else "") + f"Valid: {valid}."
    if meant := hint_for_value(str(path[-1]) if path[0] == "scenes" else field, value):
        hint = f"{meant}  (valid: {valid})."
    if isinstance(value, list) and field in Matrix.model_fields:
        hint = _for_each(field)
    if "true" in choices and str(value).lower() in {"true", "false"}:
        hint = f"Write {str(value).lower()}, in lowercase and without quotes."
    return Code.FIELD_RANGE, f"{field} cannot be {quoted(value)}.{foreign(value)}", hint


def quoted(value: object) -> str:
    """A value for a sentence, cut to 60 characters.

    Text is put in quotes, with its invisible characters as code points. Other values are written as
    in a spec, so that "5" and 5 look different.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(shown(text).split())
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"'{text}'" if isinstance(value, str) else text


def listed(items: Iterable[Any]) -> str:
    """Values for a sentence, separated by commas."""
    return ", ".join(str(item) for item in items)
