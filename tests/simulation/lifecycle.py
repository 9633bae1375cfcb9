"""What S3 removes by itself: the lifecycle rules of the buckets, as synthesised.

S3 applies the rules at midnight UTC. An object expires at the first midnight after its days.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from local import ROOT
from local.command.assembly import assembly
from tests.fakes import FakeFiles, Version

_BUCKETS = {"StorageInput": "input", "StorageOutput": "output", "StorageWork": "work"}


@dataclass(frozen=True)
class Rule:
    """A lifecycle rule of a bucket."""

    bucket: str
    prefix: str
    days: int | None
    """After how many days the current version of an object expires."""
    noncurrent_days: int | None
    """How many days after it was replaced or deleted a version is removed for good."""


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of the deployed buckets.

    The table has none: a test of the template says that records do not expire.
    """
    template = json.loads((assembly(ROOT / ".reeldrop") / "reeldrop.template.json").read_text())
    return tuple(
        _rule(bucket, given)
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::S3::Bucket"
        for start, bucket in _BUCKETS.items()
        if name.startswith(start)
        for given in resource["Properties"]["LifecycleConfiguration"]["Rules"]
    )


def _rule(bucket: str, given: dict[str, Any]) -> Rule:
    known = {
        "AbortIncompleteMultipartUpload", "ExpirationInDays", "NoncurrentVersionExpiration",
        "Prefix", "Status",
    }  # fmt: skip
    assert given["Status"] == "Enabled" and set(given) <= known, given
    noncurrent = given.get("NoncurrentVersionExpiration", {})
    assert set(noncurrent) <= {"NoncurrentDays"}, given
    return Rule(
        bucket=bucket,
        prefix=given.get("Prefix", ""),
        days=given.get("ExpirationInDays"),
        noncurrent_days=noncurrent.get("NoncurrentDays"),
    )


def expire(files: FakeFiles, now: datetime) -> Iterator[tuple[str, str]]:
    """Remove what has expired. Yields bucket and key of everything that was removed."""
    for rule in rules():
        for (bucket, key), versions in list(files.objects.items()):
            if bucket != rule.bucket or not key.startswith(rule.prefix):
                continue
            if _is_over(versions[-1], rule.days, now) and files.exists(bucket, key):
                files.remove(bucket, key)
                yield bucket, key
            for version, newer in list(itertools.pairwise(versions)):
                if _is_over(newer, rule.noncurrent_days, now):
                    versions.remove(version)
                    yield bucket, key


def _is_over(version: Version, days: int | None, now: datetime) -> bool:
    """Whether the days since a version was made are over. S3 counts whole days."""
    return days is not None and now - version.at >= timedelta(days=days + 1)
