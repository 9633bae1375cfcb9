"""The port through which notifications are sent."""

from collections.abc import Sequence
from typing import Protocol


class Post(Protocol):
    """SNS."""

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """Publish one notification."""


class WithPost(Protocol):
    """Can send notifications."""

    @property
    def post(self) -> Post:
        """SNS."""

    @property
    def region(self) -> str:
        """The region of the deployment, for links to the console."""
