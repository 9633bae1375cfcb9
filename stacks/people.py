"""What people may do: a policy for those who drop files, and one for those who only watch.

An administrator attaches them to users, groups or roles. Nobody needs more to use a drop folder.
"""

from typing import NamedTuple

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from functions import s3_keys
from stacks import encryption
from stacks.grants import Statements


class Policies(NamedTuple):
    """The policies for people."""

    drop: iam.ManagedPolicy
    watch: iam.ManagedPolicy


def create_policies(
    scope: Construct, *, drops: s3.Bucket, output: s3.Bucket, key: kms.IKey | None
) -> Policies:
    """Create both policies.

    Args:
        scope: the stack.
        drops: the input bucket.
        output: the output bucket.
        key: encrypts both buckets; None: S3 does with its own key.
    """
    watch = iam.ManagedPolicy(
        scope,
        "WatchPolicy",
        description="See the videos, statuses and refusals of a reeldrop drop folder.",
        statements=[*_watch(output), *encryption.read_files(key)],
    )
    drop = iam.ManagedPolicy(
        scope,
        "DropPolicy",
        description="Drop and delete files in a reeldrop drop folder, and see what became of them.",
        statements=[*_watch(output), *_drop(drops), *encryption.write_files(key)],
    )
    return Policies(drop=drop, watch=watch)


def _watch(output: s3.Bucket) -> Statements:
    return [
        iam.PolicyStatement(actions=["s3:GetObject"], resources=[output.arn_for_objects("*")]),
        iam.PolicyStatement(
            actions=["s3:ListBucket", "s3:GetBucketLocation"], resources=[output.bucket_arn]
        ),
    ]


def _drop(drops: s3.Bucket) -> Statements:
    """Only below `jobs/` and `approve/`. A file anywhere else would not be a drop."""
    folders = [f"{prefix}*" for prefix in (s3_keys.JOBS_PREFIX, s3_keys.APPROVE_PREFIX)]
    return [
        iam.PolicyStatement(
            actions=[
                "s3:PutObject",
                "s3:GetObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            resources=[drops.arn_for_objects(folder) for folder in folders],
        ),
        iam.PolicyStatement(actions=["s3:GetBucketLocation"], resources=[drops.bucket_arn]),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[drops.bucket_arn],
            # The console lists the top of the bucket first, to show its folders.
            conditions={"StringLike": {"s3:prefix": ["", *folders]}},
        ),
    ]
