"""boto3 clients for the embedded cloud, with its account and region."""

from dataclasses import dataclass
from typing import Any, cast

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"


@dataclass(frozen=True)
class Credentials:
    """The credentials of a caller."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


OWNER = Credentials("embedded", "embedded")
"""The owner of the account, who may do everything. A function has the credentials of its role."""


def client(
    service: str,
    endpoint: str,
    *,
    read_timeout_seconds: float = 30,
    credentials: Credentials = OWNER,
) -> Any:
    """Return a boto3 client for `service` at `endpoint`.

    It tries each call three times at most. The cloud runs on this machine, so an error that
    persists for a second will not go away by itself.
    """
    session = boto3.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        region_name=REGION,
    )
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
        s3={"addressing_style": "path"},
    )
    return session.client(cast("Any", service), endpoint_url=endpoint, config=config)
