"""The port through which other systems learn how jobs ended."""

from typing import Protocol

SOURCE = "reeldrop"
DETAIL_TYPE = "Job Ended"
"""Source and detail type of each event on the bus. Rules of other systems select by them."""
MOST_BYTES = 256 * 1024
"""EventBridge refuses an event that is larger, counting source, detail type and detail."""


class Bus(Protocol):
    """The event bus of the deployment."""

    def put(self, detail: str) -> None:
        """Put one event on the bus.

        Args:
            detail: its detail, as JSON.

        Raises:
            Exception: EventBridge did not confirm that it has the event.
        """


class WithBus(Protocol):
    """Has the event bus."""

    @property
    def bus(self) -> Bus:
        """The event bus of the deployment."""
