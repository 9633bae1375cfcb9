"""boto3 clients for the embedded cloud, with its account and region."""

from typing import Any, cast

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"


def client(service: str, endpoint: str, *, read_timeout_seconds: float = 30) -> Any:
    """Return a boto3 client for `service` at `endpoint`, with placeholder credentials.

    It tries each call three times at most. The cloud runs on this machine, so an error that
    persists for a second will not go away by itself.
    """
    session = boto3.Session(
        aws_access_key_id="embedded", aws_secret_access_key="embedded", region_name=REGION
    )
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
        s3={"addressing_style": "path"},
    )
    return session.client(cast("Any", service), endpoint_url=endpoint, config=config)
