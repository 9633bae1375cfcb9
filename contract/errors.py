"""All errors that are shown to people: their codes, and the exceptions that carry them.

    Failure
    ├── JobRejected       the person can fix it; final
    ├── TaskFailed        the task ran and failed
    └── MachineUnusable   no task can run on this machine; they run on another one later
    Transient             will be tried again later; never shown as a failure

Every other exception is a bug. It is not caught, and ends in the dead-letter queue and an alarm.
"""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from contract.document import Document

MAX_LINE_CHARACTERS = 600
"""Messages and hints may quote what a drop says, so they are cut here."""
_MAX_FIELD_CHARACTERS = 120
# Control characters, line and paragraph separators, direction marks, and what is no character.
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def one_line(text: str, most: int | None = None) -> str:
    """A text for people as one line: control characters are written as escapes such as \\n.

    Args:
        most: the text is cut to this many characters; None keeps all of it.
    """
    line = _NOT_SHOWN.sub(lambda match: repr(match[0])[1:-1], text)
    return line if most is None or len(line) <= most else line[: most - 3] + "..."


Line = Annotated[str, AfterValidator(lambda text: one_line(text, MAX_LINE_CHARACTERS))]
"""A text for people: one line of limited length, whatever it quotes."""


class Code(StrEnum):
    """The kebab-case code of an error. `MEANINGS` explains each one."""

    # the drop
    KEY_SUFFIX = "key-suffix"
    KEY_PLACE = "key-place"
    KEY_TOO_DEEP = "key-too-deep"
    KEY_CHARACTER = "key-character"
    FILE_ENCRYPTED = "file-encrypted"
    # the text of a spec
    SPEC_TOO_LARGE = "spec-too-large"
    SPEC_EMPTY = "spec-empty"
    SPEC_NOT_A_MAPPING = "spec-not-a-mapping"
    NOT_A_SPEC = "not-a-spec"
    TEXT_ENCODING = "text-encoding"
    TEXT_CHARACTER = "text-character"
    YAML_SYNTAX = "yaml-syntax"
    YAML_ALIAS = "yaml-alias"
    YAML_TAG = "yaml-tag"
    YAML_DUPLICATE_KEY = "yaml-duplicate-key"
    YAML_TOO_DEEP = "yaml-too-deep"
    YAML_TOO_MANY_VALUES = "yaml-too-many-values"
    SPEC_UNREADABLE = "spec-unreadable"
    # a list of specs
    LIST_SYNTAX = "list-syntax"
    LIST_TOO_LARGE = "list-too-large"
    LIST_NAME = "list-name"
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
    REFERENCE_AMBIGUOUS = "reference-ambiguous"
    REFERENCE_NEVER_CAME = "reference-never-came"
    REFERENCE_UNREADABLE = "reference-unreadable"
    # its prompt
    PROMPT_BLOCKED = "prompt-blocked"
    REFERENCE_BLOCKED = "reference-blocked"
    VIDEO_BLOCKED = "video-blocked"
    # its LoRA
    LORA_UNKNOWN = "lora-unknown"
    LORA_UNUSABLE = "lora-unusable"
    # another drop
    NAME_TAKEN = "name-taken"
    # an approval
    APPROVE_NAME = "approve-name"
    APPROVE_NOT_READY = "approve-not-ready"
    APPROVE_NO_DRAFT = "approve-no-draft"
    # the run
    REFERENCE_GONE = "reference-gone"
    START_REFUSED = "start-refused"
    GPU_UNUSABLE = "gpu-unusable"
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
    Code.KEY_PLACE: "The file is beside the folder jobs/ and not in it.",
    Code.KEY_SUFFIX: "The file under jobs/ looks like a job spec, but has the wrong ending.",
    Code.KEY_TOO_DEEP: "The file is more than 16 folders deep.",
    Code.KEY_CHARACTER: "The name of the file or a folder has a control character or an invisible "
    "direction mark.",
    Code.FILE_ENCRYPTED: "The file was uploaded under a key of KMS that reeldrop may not use.",
    Code.SPEC_TOO_LARGE: "The spec is larger than 64 KiB.",
    Code.SPEC_EMPTY: "The spec has no content.",
    Code.SPEC_NOT_A_MAPPING: "The spec is a list or a single value instead of fields with values.",
    Code.NOT_A_SPEC: "The file is of another kind: a document, an image, an archive, a script.",
    Code.TEXT_ENCODING: "The file is neither UTF-8 nor UTF-16 with a byte order mark.",
    Code.TEXT_CHARACTER: "The file contains a control character or an invisible one that misleads.",
    Code.YAML_SYNTAX: "The file is not valid YAML.",
    Code.YAML_ALIAS: "The spec uses a YAML anchor, alias or merge key.",
    Code.YAML_TAG: "The spec uses a YAML tag such as !!python/object or a %YAML directive.",
    Code.YAML_DUPLICATE_KEY: "The same field appears twice.",
    Code.YAML_TOO_DEEP: "Values are nested more than 8 levels deep.",
    Code.YAML_TOO_MANY_VALUES: "The spec has more than 2,000 values.",
    Code.SPEC_UNREADABLE: "Reading the spec took too much time or memory.",
    Code.LIST_SYNTAX: "A list cannot be divided into rows and columns.",
    Code.LIST_TOO_LARGE: "A list has more than 500 rows or 1 MiB.",
    Code.LIST_NAME: "A row of a list has a name that cannot be used, or that another row has.",
    Code.FIELD_MISSING: "A required field is missing.",
    Code.FIELD_UNKNOWN: "There is no field of this name.",
    Code.FIELD_TYPE: "A field has a value of the wrong type.",
    Code.FIELD_RANGE: "A field has a value that is too small, too large or not allowed.",
    Code.FIELD_CONFLICT: "Two fields set the same thing or exclude each other.",
    Code.PROMPT_EMPTY: "There is no prompt, and no image to start from instead.",
    Code.PROMPT_TOO_LONG: "The prompt has more words than the model can read.",
    Code.MODEL_UNKNOWN: "There is no model of this name.",
    Code.MODE_UNSUPPORTED: "The model cannot do this mode (text, image or video to video).",
    Code.SIZE_UNSUPPORTED: "The model cannot make videos of this height and width.",
    Code.FRAMES_UNSUPPORTED: "The model cannot make videos of this many frames.",
    Code.ASPECT_UNSUPPORTED: "The model has no size with this aspect ratio.",
    Code.DURATION_UNSUPPORTED: "The model cannot make videos of this length.",
    Code.MATRIX_INVALID: "The matrix contains a field or a value that is not allowed in a matrix.",
    Code.TOO_MANY_VIDEOS: "The job would make more than 32 videos, or none.",
    Code.REFERENCE_PLACE: "A reference is outside of the drop folder, or is not a file name.",
    Code.REFERENCE_KIND: "A reference is not a PNG, JPEG or WebP image, not an MP4 video, or not "
    "a sound that can be read.",
    Code.REFERENCE_TOO_LARGE: "A reference is larger than 32 MiB (images) or 50 MiB (videos and "
    "sounds).",
    Code.REFERENCE_PIXELS: "A reference has too many or too few pixels.",
    Code.REFERENCE_AMBIGUOUS: "No file has the name of the reference, and several differ from it "
    "only in letter case or in their spaces.",
    Code.REFERENCE_NEVER_CAME: "A reference was not uploaded in time.",
    Code.REFERENCE_UNREADABLE: "A reference could not be decoded.",
    Code.PROMPT_BLOCKED: "The guardrail blocked the prompt or the negative prompt.",
    Code.REFERENCE_BLOCKED: "The guardrail blocked the image or the video.",
    Code.VIDEO_BLOCKED: "The guardrail blocked the finished video.",
    Code.LORA_UNKNOWN: "There is no LoRA of this name in the work bucket.",
    Code.LORA_UNUSABLE: "The LoRA is damaged, or it was made for another model.",
    Code.NAME_TAKEN: "Another spec makes a video under the same name, such as bee-01.mp4.",
    Code.APPROVE_NAME: "A file in approve/ has not the name of a job or of one of its videos.",
    Code.APPROVE_NOT_READY: "A file in approve/ names a draft whose video is not made.",
    Code.APPROVE_NO_DRAFT: "A file in approve/ names a job that was made without `preset: draft`.",
    Code.REFERENCE_GONE: "The copy of a reference was deleted before the video was made.",
    Code.START_REFUSED: "SageMaker refused the processing job: weights, image or role are wrong.",
    Code.GPU_UNUSABLE: "The instance has a GPU, but PyTorch cannot use it. No task fails for it.",
    Code.MANIFEST_INVALID: "The worker received a manifest that it cannot use.",
    Code.WEIGHTS_MISSING: "Files are missing in the model folder, or it belongs to another mode.",
    Code.WEIGHTS_DAMAGED: "A file of the model is damaged, or another one than it should be.",
    Code.OUT_OF_MEMORY: "The task did not fit into memory, also not with tiling.",
    Code.DISK_FULL: "The disk of the worker was full.",
    Code.RENDER_FAILED: "Rendering failed for a reason that has no code of its own.",
    Code.RESULT_INVALID: "The result that the worker wrote cannot be read.",
    Code.VIDEO_DAMAGED: "The MP4 is missing, incomplete or not the one that the worker wrote.",
    Code.WORKER_STOPPED: "The processing job ended before this task was done, in all attempts.",
}


class Place(Document):
    """Where something is wrong. Lines and columns are counted from 1."""

    file: Annotated[str, AfterValidator(one_line)] | None = None
    """Key of the file, if it is not the spec itself but a `_defaults.yaml`."""
    field: (
        Annotated[str, AfterValidator(lambda text: one_line(text, _MAX_FIELD_CHARACTERS))] | None
    ) = None
    line: int | None = None
    column: int | None = None


class Problem(Document):
    """One thing that is wrong: what it is, where, and how to fix it."""

    code: Code
    message: Line
    hint: Line
    place: Place = Place()

    def sentence(self) -> str:
        """Message and hint as one line of text."""
        return f"{self.message} {self.hint}"


class Notice(Document):
    """A warning about something that was accepted but may not be what the person meant."""

    code: str
    message: Line


class Failure(Exception):
    """An error that ends a job or task and is shown to a person."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{p.code}: {p.message}" for p in problems))
        self.problems = problems


class JobRejected(Failure):
    """The spec or a reference cannot be used. The person who dropped it can fix that."""

    def __init__(self, *problems: Problem, more: int = 0) -> None:
        """Name what is wrong.

        Args:
            more: how many further problems were found that are not listed.
        """
        super().__init__(*problems)
        self.more = more


class TaskFailed(Failure):
    """A task failed while it ran or before it could start."""


class MachineUnusable(Failure):
    """A processing job cannot render on its machine. It ends without a result for any task."""


class Transient(Exception):
    """A temporary trouble. Nobody catches it, so that the queue delivers the message again."""
