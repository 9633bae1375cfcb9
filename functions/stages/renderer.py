"""The port to SageMaker's processing jobs."""

from dataclasses import dataclass
from typing import Protocol

from functions.table.records import FailureKind, ProcessingState


@dataclass(frozen=True)
class ProcessingJob:
    """What SageMaker is asked to run."""

    attempt_id: str
    instance_type: str
    manifest_sha256: str
    input_uri: str
    model_uri: str | None
    """None: no model is needed."""
    output_uri: str
    interpolation_uri: str | None = None
    """The weights of RIFE. None: it is not used."""
    image_model_uri: str | None = None
    """Where the weights for image to video are, if the tasks need them, too, and they are not the
    ones at `model_uri`."""


@dataclass(frozen=True)
class ProcessingStatus:
    """What SageMaker reports about a processing job."""

    state: ProcessingState
    detail: str
    """The message of SageMaker or the worker, unchanged. It may be empty."""
    failure: FailureKind | None
    """Why it failed; None if it did not."""
    manifest_sha256: str


class NoQuota(Exception):
    """A quota does not allow this processing job now. Later it may, so no task fails.

    The message is SageMaker's answer, which names the quota: for the type, for all types together,
    or for the size of the disk.
    """


class CannotStart(Exception):
    """SageMaker refuses the request, now and later. The message says why."""


class StartDenied(Exception):
    """SageMaker denies the request until an administrator corrects something.

    The message is SageMaker's answer. The tasks wait until it is corrected, so none of them fails.
    """


class StartThrottled(Exception):
    """SageMaker refuses the request because there were too many. It had no effect.

    It is no `Throttled`, because a stage must not mistake another throttled call for this.
    """


class NameTaken(Exception):
    """A processing job with this name exists already."""


class Renderer(Protocol):
    """SageMaker processing."""

    def start(self, job: ProcessingJob) -> None:
        """Create the processing job.

        Raises:
            NoQuota: a quota is used up.
            NameTaken: a processing job with this name exists.
            CannotStart: the request is refused for good.
            StartDenied: an administrator has to correct something first.
            StartThrottled: there were too many requests.
        """

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        """The status of a processing job, or None if there is no such job."""

    def stop(self, attempt_id: str) -> None:
        """Ask a processing job to stop. Does nothing if it does not exist or has ended."""


class WithRenderer(Protocol):
    """Can start and stop processing jobs."""

    @property
    def renderer(self) -> Renderer:
        """SageMaker processing."""
