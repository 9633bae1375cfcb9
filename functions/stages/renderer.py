"""The port to SageMaker's processing jobs."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ProcessingJob:
    """What we ask of SageMaker."""

    attempt_id: str
    instance_type: str
    manifest_sha256: str
    input_uri: str
    model_uri: str
    output_uri: str


@dataclass(frozen=True)
class ProcessingStatus:
    """What SageMaker says of a processing job."""

    status: str
    reason: str
    manifest_sha256: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in {"Completed", "Failed", "Stopped"}


class NoQuota(Exception):
    """The quota does not allow another processing job now. Means waiting, never failing."""


class CannotStart(Exception):
    """The processing job cannot be created as it is, now and later; the message says why."""


class NameTaken(Exception):
    """A processing job of this name exists already."""


class Renderer(Protocol):
    """SageMaker processing."""

    def start(self, job: ProcessingJob) -> None:
        """Create the processing job. Raises NoCapacity, NameTaken, Refused."""

    def status(self, attempt_id: str) -> ProcessingStatus | None:
        """Its status, or None if there is no such job."""

    def stop(self, attempt_id: str) -> None:
        """Ask it to stop; nothing if it does not exist or has ended."""
