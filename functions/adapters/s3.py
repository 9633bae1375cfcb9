"""Files, in S3."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.adapters.errors import CONFIG, Overtaken, is_about_a_key, translated
from functions.ports import MOST_VERSIONS, PAGE_OBJECTS, FileFacts, Listed, Locked, Missing, Page

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, ObjectVersionTypeDef


# Virtual style makes botocore sign links for the host of the region. In newer regions a link to the
# global host does not work. (A loopback endpoint stays in path style.)
_S3_CONFIG = CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))


# The name of the metadata that keeps a mark, and how often a marked object is looked at.
_MARK = "mark"
_TRIES = 3
_CHUNK_BYTES = 1024 * 1024


def _versioned(version: str | None) -> dict[str, Any]:
    return {"VersionId": version} if version else {}


def _facts(item: "ObjectVersionTypeDef") -> FileFacts:
    versioned = item["VersionId"] != "null"
    return FileFacts(
        version=item["VersionId"] if versioned else item["ETag"].strip('"'),
        versioned=versioned,
        size_bytes=item["Size"],
        modified_at=item["LastModified"],
    )


class S3Files:
    """Files, in S3."""

    def __init__(self, key_arn: str = "") -> None:
        """Remember the key of the deployment.

        Args:
            key_arn: the key of KMS that encrypts the buckets. Empty: S3 encrypts with its own.
        """
        self._key_arn = key_arn

    @cached_property
    def _client(self) -> "S3Client":
        return boto3.client("s3", config=_S3_CONFIG)

    def facts(self, bucket: str, key: str, version: str | None = None) -> FileFacts:
        """See `Files.facts`."""
        with translated():
            answer = self._client.head_object(Bucket=bucket, Key=key, **_versioned(version))
        found = answer.get("VersionId")
        versioned = bool(found and found != "null")
        return FileFacts(
            version=found if found and versioned else answer["ETag"].strip('"'),
            versioned=versioned,
            size_bytes=answer["ContentLength"],
            modified_at=answer["LastModified"],
            mark=answer["Metadata"].get(_MARK, ""),
        )

    def read(
        self, bucket: str, key: str, version: str | None = None, first_bytes: int | None = None
    ) -> bytes:
        """See `Files.read`."""
        part: dict[str, Any] = {"Range": f"bytes=0-{first_bytes - 1}"} if first_bytes else {}
        named = {"Bucket": bucket, "Key": key, **_versioned(version)}
        try:
            with translated():
                return self._client.get_object(**named, **part)["Body"].read()
        except ClientError as error:
            if is_about_a_key(error) and not self._has_our_key(named):
                raise Locked(str(error)) from error
            raise

    def _has_our_key(self, named: Mapping[str, Any]) -> bool:
        """Whether an object is encrypted with the key of the deployment.

        If that key cannot be used, an administrator has to correct something, and the message must
        come again. S3 tells the facts of an object also to those who may not use its key.
        """
        if not self._key_arn:
            return False
        with translated():
            return self._client.head_object(**named).get("SSEKMSKeyId") == self._key_arn

    def write(
        self, bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
    ) -> None:
        """See `Files.write`."""

        def put(**conditions: Any) -> None:
            with translated():
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=body, ContentType=content_type, **conditions
                )

        self._marked(put, bucket, key, mark)

    def download(self, bucket: str, key: str, path: Path) -> None:
        """See `Files.download`."""
        with translated(), path.open("wb") as file:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                file.write(chunk)

    def upload(self, path: Path, bucket: str, key: str, content_type: str, *, mark: str) -> None:
        """See `Files.upload`."""

        def put(**conditions: Any) -> None:
            with translated(), path.open("rb") as file:
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=file, ContentType=content_type, **conditions
                )

        self._marked(put, bucket, key, mark)

    def copy(
        self,
        source: tuple[str, str, str | None],
        target: tuple[str, str],
        content_type: str,
        *,
        mark: str = "",
    ) -> None:
        """See `Files.copy`."""
        bucket, key, version = source
        copied: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        if version:
            copied["VersionId"] = version

        def copy(**conditions: Any) -> None:
            with translated():
                self._client.copy_object(
                    Bucket=target[0],
                    Key=target[1],
                    CopySource=copied,
                    ContentType=content_type,
                    MetadataDirective="REPLACE",
                    # Copying the tags would need permissions that nothing else needs.
                    TaggingDirective="REPLACE",
                    **conditions,
                )

        self._marked(copy, target[0], target[1], mark)

    def _marked(self, write: Callable[..., None], bucket: str, key: str, mark: str) -> None:
        """Write an object with a mark, unless it has this mark. Without a mark, just write it.

        S3 refuses the write if the object has changed since it was looked at. Then another caller
        was faster, and the object has the mark now.
        """
        if not mark:
            write()
            return
        condition: dict[str, Any]
        for _ in range(_TRIES):
            try:
                with translated():
                    there = self._client.head_object(Bucket=bucket, Key=key)
            except Missing:
                condition = {"IfNoneMatch": "*"}
            else:
                if there["Metadata"].get(_MARK) == mark:
                    return
                condition = {"IfMatch": there["ETag"]}
            with suppress(Overtaken):
                write(Metadata={_MARK: mark}, **condition)
                return
        raise Overtaken(f"{bucket}/{key} kept changing")

    def remove(self, bucket: str, key: str) -> None:
        """See `Files.remove`."""
        try:
            self.facts(bucket, key)
        except Missing:
            return  # deleting would leave a delete marker for an object that never existed
        with translated():
            self._client.delete_object(Bucket=bucket, Key=key)

    def sha256(self, bucket: str, key: str) -> str:
        """See `Files.sha256`."""
        digest = sha256()
        with translated():
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def page(self, bucket: str, prefix: str, after: str = "", at_most: int = PAGE_OBJECTS) -> Page:
        """See `Files.page`."""
        start: dict[str, Any] = {"StartAfter": after} if after else {}
        with translated():
            answer = self._client.list_objects_v2(
                Bucket=bucket, Prefix=prefix, MaxKeys=at_most, **start
            )
        found = [Listed(item["Key"], item["LastModified"]) for item in answer.get("Contents", [])]
        return Page(tuple(found), answer["IsTruncated"])

    def facts_after(self, bucket: str, prefix: str, after: str) -> dict[str, FileFacts]:
        """See `Files.facts_after`."""
        start: dict[str, Any] = {"KeyMarker": after} if after else {}
        with translated():
            answer = self._client.list_object_versions(
                Bucket=bucket, Prefix=prefix, MaxKeys=PAGE_OBJECTS, **start
            )
        latest = (item for item in answer.get("Versions", []) if item["IsLatest"])
        return {item["Key"]: _facts(item) for item in latest}

    def versions(self, bucket: str, key: str) -> list[FileFacts]:
        """See `Files.versions`.

        S3 lists the keys in order, so the versions of `key` come before those of longer keys.
        """
        with translated():
            page = self._client.list_object_versions(
                Bucket=bucket, Prefix=key, MaxKeys=MOST_VERSIONS
            )
            deletions = [marker for marker in page.get("DeleteMarkers", []) if marker["Key"] == key]
            found = [_facts(item) for item in page.get("Versions", []) if item["Key"] == key]
            if not deletions:
                return found
            # S3 reports times in whole seconds, so they do not show which versions are older than a
            # deletion. A listing that begins after the deletion does.
            older = self._client.list_object_versions(
                Bucket=bucket,
                Prefix=key,
                MaxKeys=MOST_VERSIONS,
                KeyMarker=key,
                VersionIdMarker=deletions[0]["VersionId"],
            )
        gone = {item["VersionId"] for item in older.get("Versions", []) if item["Key"] == key}
        return [one for one in found if one.version not in gone]

    def link(self, bucket: str, key: str, seconds: int) -> str:
        """See `Files.link`."""
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )
