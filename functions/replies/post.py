"""The port through which notifications are sent."""

from collections.abc import Sequence
from typing import Protocol


class Post(Protocol):
    """SNS."""

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """Publish one notification."""
