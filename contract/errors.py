"""Every error a person can meet: its code, and the exceptions that carry it.

    Failure
    ├── JobRejected   the person can mend it; final
    └── TaskFailed    it ran and failed
    Transient         try again later; never shown as a failure

Anything else that is raised is a bug and goes up, to the dead-letter queue and an alarm.
"""

from enum import StrEnum

from contract.document import Document


class Code(StrEnum):
    """The kebab-case name of an error. `MEANINGS` says what each one means."""

    # the drop
    KEY_SUFFIX = "key-suffix"
    KEY_TOO_DEEP = "key-too-deep"
    # the text of a spec
    SPEC_TOO_LARGE = "spec-too-large"
    SPEC_EMPTY = "spec-empty"
    SPEC_NOT_A_MAPPING = "spec-not-a-mapping"
    TEXT_ENCODING = "text-encoding"
    TEXT_CHARACTER = "text-character"
    YAML_SYNTAX = "yaml-syntax"
    YAML_ALIAS = "yaml-alias"
    YAML_TAG = "yaml-tag"
    YAML_DUPLICATE_KEY = "yaml-duplicate-key"
    YAML_TOO_DEEP = "yaml-too-deep"
    YAML_TOO_MANY_VALUES = "yaml-too-many-values"
    SPEC_UNREADABLE = "spec-unreadable"
    # its fields
    FIELD_MISSING = "field-missing"
    FIELD_UNKNOWN = "field-unknown"
    FIELD_TYPE = "field-type"
    FIELD_RANGE = "field-range"
    FIELD_CONFLICT = "field-conflict"
    PROMPT_EMPTY = "prompt-empty"
    PROMPT_TOO_LONG = "prompt-too-long"
    MODEL_UNKNOWN = "model-unknown"
    MODE_UNSUPPORTED = "mode-unsupported"
    SIZE_UNSUPPORTED = "size-unsupported"
    FRAMES_UNSUPPORTED = "frames-unsupported"
    ASPECT_UNSUPPORTED = "aspect-unsupported"
    DURATION_UNSUPPORTED = "duration-unsupported"
    MATRIX_INVALID = "matrix-invalid"
    TOO_MANY_VIDEOS = "too-many-videos"
    # its references
    REFERENCE_PLACE = "reference-place"
    REFERENCE_KIND = "reference-kind"
    REFERENCE_TOO_LARGE = "reference-too-large"
    REFERENCE_PIXELS = "reference-pixels"
    REFERENCE_NEVER_CAME = "reference-never-came"
    REFERENCE_UNREADABLE = "reference-unreadable"
    # its prompt
    PROMPT_BLOCKED = "prompt-blocked"
    # the run
    START_REFUSED = "start-refused"
    MANIFEST_INVALID = "manifest-invalid"
    WEIGHTS_MISSING = "weights-missing"
    WEIGHTS_DAMAGED = "weights-damaged"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    RENDER_FAILED = "render-failed"
    RESULT_INVALID = "result-invalid"
    VIDEO_DAMAGED = "video-damaged"
    WORKER_STOPPED = "worker-stopped"


MEANINGS: dict[Code, str] = {
    Code.KEY_SUFFIX: "The file under jobs/ has a name that is not quite that of a job spec.",
    Code.KEY_TOO_DEEP: "The file lies more than 16 folders deep.",
    Code.SPEC_TOO_LARGE: "The spec is larger than 64 KiB.",
    Code.SPEC_EMPTY: "The spec has no content.",
    Code.SPEC_NOT_A_MAPPING: "The spec is a list or a single value, not fields with values.",
    Code.TEXT_ENCODING: "The file is neither UTF-8 nor UTF-16 with a byte order mark.",
    Code.TEXT_CHARACTER: "The file has a control character or an invisible direction mark.",
    Code.YAML_SYNTAX: "The file is not YAML that can be read.",
    Code.YAML_ALIAS: "The spec uses a YAML anchor, alias or merge key.",
    Code.YAML_TAG: "The spec uses a YAML tag such as !!python/object or a %YAML directive.",
    Code.YAML_DUPLICATE_KEY: "The same field stands twice.",
    Code.YAML_TOO_DEEP: "Values are nested more than 8 levels deep.",
    Code.YAML_TOO_MANY_VALUES: "The spec has more than 2,000 values.",
    Code.SPEC_UNREADABLE: "Reading the spec took more time or memory than any spec needs.",
    Code.FIELD_MISSING: "A field that must be there is not.",
    Code.FIELD_UNKNOWN: "A field has a name that no spec knows.",
    Code.FIELD_TYPE: "A field has a value of the wrong type.",
    Code.FIELD_RANGE: "A field has a value outside of what is possible.",
    Code.FIELD_CONFLICT: "Two fields say the same thing in different ways, or exclude each other.",
    Code.PROMPT_EMPTY: "There is no prompt, and no image that could stand for one.",
    Code.PROMPT_TOO_LONG: "The prompt has more words than the model reads tokens.",
    Code.MODEL_UNKNOWN: "No model of this name is in the catalogue.",
    Code.MODE_UNSUPPORTED: "The model cannot do this mode (text, image or video to video).",
    Code.SIZE_UNSUPPORTED: "The model cannot make videos of this height and width.",
    Code.FRAMES_UNSUPPORTED: "The model cannot make videos of this many frames.",
    Code.ASPECT_UNSUPPORTED: "The model has no size of this shape.",
    Code.DURATION_UNSUPPORTED: "The model cannot make videos of this length.",
    Code.MATRIX_INVALID: "The matrix names a field or has a value that no matrix can have.",
    Code.TOO_MANY_VIDEOS: "The job would make more than 32 videos, or none.",
    Code.REFERENCE_PLACE: "A reference lies outside of the drop folder, or is no file name.",
    Code.REFERENCE_KIND: "A reference is not a PNG, JPEG or WebP image, or not an MP4 video.",
    Code.REFERENCE_TOO_LARGE: "A reference is larger than 20 MiB (images) or 50 MiB (videos).",
    Code.REFERENCE_PIXELS: "A reference has far too many pixels, or too few.",
    Code.REFERENCE_NEVER_CAME: "A reference was not uploaded before the deadline.",
    Code.REFERENCE_UNREADABLE: "A reference could not be decoded.",
    Code.PROMPT_BLOCKED: "The guardrail on prompts refused this one.",
    Code.START_REFUSED: "SageMaker refused the processing job: weights, image or role are wrong.",
    Code.MANIFEST_INVALID: "The worker was given a manifest that it cannot read.",
    Code.WEIGHTS_MISSING: "The model's folder lacks files.",
    Code.WEIGHTS_DAMAGED: "The model's files could not be read.",
    Code.OUT_OF_MEMORY: "The task did not fit into memory, in the leaner mode neither.",
    Code.DISK_FULL: "There was no space left for the video.",
    Code.RENDER_FAILED: "The pipeline raised an error that has no name of its own.",
    Code.RESULT_INVALID: "The worker wrote a result that cannot be read.",
    Code.VIDEO_DAMAGED: "The MP4 is absent, cut short or not what the worker wrote.",
    Code.WORKER_STOPPED: "The processing job ended before this task was done, in every attempt.",
}


class Place(Document):
    """Where something is wrong. Lines and columns count from 1."""

    file: str | None = None
    """Key of the file, where it is not the spec itself: folder defaults."""
    field: str | None = None
    line: int | None = None
    column: int | None = None


class Problem(Document):
    """One thing that is wrong: what, where, and how to mend it."""

    code: Code
    message: str
    hint: str
    place: Place = Place()

    def sentence(self) -> str:
        """Message and hint as one line of text."""
        return f"{self.message} {self.hint}"


class Notice(Document):
    """Something that was accepted but may not be what was meant."""

    code: str
    message: str


class Failure(Exception):
    """Something that ends a job or task and that a person is told about."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{p.code}: {p.message}" for p in problems))
        self.problems = problems


class JobRejected(Failure):
    """The spec, or a reference, cannot be used as it is. The person can mend it."""


class TaskFailed(Failure):
    """A task ran, or tried to, and failed."""


class Transient(Exception):
    """Something that is expected to pass: the caller raises, and the queue tries again."""
