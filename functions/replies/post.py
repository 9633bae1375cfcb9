"""The port through which notifications are sent."""

from collections.abc import Sequence
from typing import Protocol

from contract.errors import Transient


class MaybeSent(Transient):
    """SNS gave no answer. It may have sent the notification."""


class Post(Protocol):
    """SNS."""

    def send(self, subject: str, body: str, attributes: dict[str, str | Sequence[str]]) -> None:
        """Publish one notification.

        Args:
            attributes: message attributes by name. An empty value is refused by SNS.

        Raises:
            MaybeSent: there was no answer. After any other error it was not sent.
        """


class WithPost(Protocol):
    """Has the port for notifications, and the region for links in them."""

    @property
    def post(self) -> Post:
        """SNS."""

    @property
    def region(self) -> str:
        """The region of the deployment, for links to the console."""
