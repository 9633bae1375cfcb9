"""What the studio needs from outside, and its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Protocol, Self

from contract.document import Document
from functions.ports import Files
from functions.settings import Settings
from functions.spec.reader import Reader
from functions.table.ledger import Ledger

_PREFIX = "STUDIO_"


class StudioSettings(Document):
    """What only the studio needs to know of a deployment."""

    client_id: str
    """The client of Cognito with which the page signs people in."""
    sign_in: str
    """Where Cognito's sign-in page is. Empty: where the studio itself is."""
    allowed_ips: str
    """The addresses that may use the studio, as ranges separated by commas. Empty: all."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that `to_environment` made."""
        return cls(**{name: environment[_PREFIX + name.upper()] for name in cls.model_fields})

    def to_environment(self) -> dict[str, str]:
        """The environment variables to set for the function."""
        return {_PREFIX + name.upper(): str(value) for name, value in self}

    def allows(self, address: str) -> bool:
        """Whether somebody with this address may use the studio."""
        ranges = [ip_network(one, strict=False) for one in self.allowed_ips.split(",") if one]
        return not ranges or any(ip_address(address) in one for one in ranges)


class PostForm(Document):
    """A form with which a browser uploads one object to S3."""

    url: str
    fields: dict[str, str]
    """The fields of the form, which come before the file."""


class Uploads(Protocol):
    """Lets a browser upload to S3."""

    def form(
        self, bucket: str, key: str, *, content_type: str, most_bytes: int, seconds: int
    ) -> PostForm:
        """A signed form for one object.

        S3 refuses another key, another type, an empty file and one that is too large.

        Args:
            bucket: the bucket.
            key: the key of the object.
            content_type: the type that the browser must give.
            most_bytes: how large the object may be.
            seconds: how long the form can be used.
        """


@dataclass(frozen=True)
class Ports:
    """All that the studio uses."""

    settings: Settings
    studio: StudioSettings
    ledger: Ledger
    files: Files
    reader: Reader
    uploads: Uploads
    now: Callable[[], datetime]
    new_suffix: Callable[[], str]
