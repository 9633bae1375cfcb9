"""The events that the functions log, and which of them are counted as metrics.

The metrics, the alarms on them and the table in `docs/operations.md` are all made from `Event`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, Self


class Event(StrEnum):
    """Something that happened, as the log names it."""

    meaning: str
    """One sentence for the operations page."""
    counted: bool
    """Whether each occurrence adds one to a metric of the same name. Metrics cost money."""

    def __new__(cls, value: str, meaning: str, counted: bool = False) -> Self:
        """Build a member that is its own name in the log."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.counted = counted
        return member

    QUEUED = "queued", "A drop was accepted and its videos are in the queue.", True
    PLANNED = "planned", "A dry run or a review was answered. Nothing is rendered."
    HANDED_ON = (
        "handed-on",
        "Specs were dropped because of a drop: the final of a draft, or the rows of a list.",
    )
    REJECTED = "rejected", "A drop was refused.", True
    WAITING = "waiting", "A drop was accepted and waits for references."
    NOT_ENHANCED = (
        "not-enhanced",
        "The language model did not enhance a prompt, and the video is made with it as it is.",
        True,
    )
    LANGUAGE_MODEL_BUSY = (
        "language-model-busy",
        "The language model had too many requests. A drop waits and asks it again later.",
        True,
    )
    NOT_JUDGED = (
        "not-judged",
        "The guardrail did not judge a prompt. A drop waits and asks it again later.",
        True,
    )
    REFERENCE_CAME_MEANWHILE = (
        "reference-came-meanwhile",
        "A reference was uploaded while its job was being noted as waiting for it.",
    )
    TRIED_AGAIN = (
        "tried-again",
        "A drop had been refused because of a reference, which has changed. It became another job.",
    )
    DROP_GONE = "drop-gone", "A file was deleted before it could be read."
    NOT_THE_NEWEST = "not-the-newest", "An event named a version that is no longer the current one."
    DROP_WITHOUT_EVENT = (
        "drop-without-event",
        "The sweep found a drop that no event had announced.",
        True,
    )
    DEFAULTS_CHANGED = (
        "defaults-changed",
        "The folder defaults of a queued job have changed, so its drop was announced again.",
    )
    PLANNED_AGAIN = (
        "planned-again",
        "A queued job was planned again, with its newer folder defaults.",
    )
    KEPT = "kept", "The newer folder defaults of a job do not fit it. It stays as it was accepted."
    UPLOADS_CONTINUE = (
        "uploads-continue",
        "Tasks wait some seconds, because files are still being uploaded near them.",
    )
    CANCELED = "canceled", "A job was canceled: its spec was deleted or replaced."
    STOPPING = "stopping", "SageMaker was asked to stop a processing job that has no task left."
    NO_LEASE = "no-lease", "Every instance is in use, or no type has one available."
    HELD = "held", "Tasks wait for a reason: a daily limit is used up, or their model is paused."
    STARTED = "started", "SageMaker accepted a processing job.", True
    ADOPTED = (
        "adopted",
        "A processing job existed already: the answer to an earlier create call was lost.",
    )
    NO_CAPACITY = (
        "no-capacity",
        "SageMaker had no capacity for a processing job: a quota is used up, or it throttles.",
        True,
    )
    START_DENIED = (
        "start-denied",
        "SageMaker denied a processing job until an administrator corrects something.",
        True,
    )
    NO_WEIGHTS = "no-weights", "Tasks wait for weights that were not imported.", True
    START_REFUSED = "start-refused", "SageMaker refused a processing job for good. Its tasks fail."
    ATTEMPT_TAKEN_OVER = (
        "attempt-taken-over",
        "A dispatch went on with an attempt that another one had left unfinished.",
    )
    PROGRESS_UNREADABLE = "progress-unreadable", "A progress file could not be read."
    RESULT_OF_NO_TASK = "result-of-no-task", "A result names a task that is not in the table."
    RESULT_IS_STALE = (
        "result-is-stale",
        "A result came from an attempt that no longer owns its task.",
    )
    RESULT_UNREADABLE = "result-unreadable", "A result file could not be read. Its task fails."
    RESULT_INCOMPLETE = (
        "result-incomplete",
        "A result was uploaded without one of its files. Each sweep looks at it again until its "
        "processing job has ended.",
    )
    NOT_SIGNED = (
        "not-signed",
        "A video could not be signed, so it is not published. Each sweep tries again.",
        True,
    )
    TASK_FAILED = "task-failed", "The worker reported a failure, with details."
    SCENES_NOT_KEPT = (
        "scenes-not-kept",
        "The scenes before one that failed are not published: a file is missing or damaged, or the "
        "guardrail blocks it.",
    )
    SUCCEEDED = "succeeded", "A video was published.", True
    FAILED = "failed", "A task failed.", True
    NEW_ATTEMPT = "new-attempt", "A task returned to the queue because its attempt ended.", True
    SILENT_END = (
        "silent-end",
        "A processing job ended without any result or progress. Its tasks returned to the queue.",
    )
    MODEL_PAUSED = (
        "model-paused",
        "Two processing jobs in a row with a model ended without a sign of life. It is paused.",
        True,
    )
    MODEL_RESUMED = (
        "model-resumed",
        "A processing job with a paused model showed a sign of life. The pause is over.",
    )
    RUNS_LONG = (
        "runs-long",
        "A processing job runs for much longer than was expected. Each sweep says so.",
        True,
    )
    NOT_ENDED = "not-ended", "An event said that a processing job had ended, and it had not."
    ATTEMPT_ENDED = "attempt-ended", "An attempt was closed and its lease given back."
    ESTIMATE_NOT_LEARNED = (
        "estimate-not-learned",
        "The durations of an ended processing job could not be stored.",
    )


class WithLog(Protocol):
    """Can log events."""

    @property
    def log(self) -> Callable[[Event, dict[str, object]], None]:
        """Log an event with its facts, and count it if it is counted."""
