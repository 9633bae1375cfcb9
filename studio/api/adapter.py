"""Builds the ports of the studio: the adapters of the functions, and forms to upload with."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from functions.adapters.child_reader import ChildReader
from functions.adapters.dynamodb import DynamoLedger
from functions.adapters.errors import CONFIG
from functions.adapters.s3 import S3Files
from functions.settings import Settings
from studio.api.ports import Ports, PostForm, StudioSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Uploads:
    """Uploads, to S3."""

    @cached_property
    def _client(self) -> "S3Client":
        virtual = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
        return boto3.client("s3", config=CONFIG.merge(virtual))

    def form(
        self, bucket: str, key: str, *, content_type: str, most_bytes: int, seconds: int
    ) -> PostForm:
        """See `Uploads.form`."""
        # boto3 adds the bucket and the exact key to the conditions.
        fields = {"Content-Type": content_type, "success_action_status": "201"}
        answer = self._client.generate_presigned_post(
            bucket,
            key,
            Fields=dict(fields),
            Conditions=[
                *({name: value} for name, value in fields.items()),
                ["content-length-range", 1, most_bytes],
            ],
            ExpiresIn=seconds,
        )
        return PostForm(url=answer["url"], fields=answer["fields"])


def connect(environment: Mapping[str, str]) -> Ports:
    """Build the ports of the studio.

    Args:
        environment: the variables of the function.
    """
    settings = Settings.from_environment(environment)
    return Ports(
        settings=settings,
        studio=StudioSettings.from_environment(environment),
        ledger=DynamoLedger(settings.table_name),
        files=S3Files(settings.key_arn),
        reader=ChildReader(),
        uploads=S3Uploads(),
        now=lambda: datetime.now(UTC),
        new_suffix=lambda: secrets.token_hex(4),
    )
