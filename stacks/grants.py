"""Who may do what, as explicit statements: short enough to be read, narrow enough to be checked."""

from aws_cdk import Fn, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from functions import s3_keys

Statements = list[iam.PolicyStatement]


def _allow(actions: list[str], *resources: str, **conditions: object) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=actions, resources=list(resources), conditions=conditions or None
    )


def use_table(table: dynamodb.Table) -> Statements:
    """Read and change records."""
    return [
        _allow(
            [
                f"dynamodb:{name}"
                for name in (
                    "GetItem",
                    "BatchGetItem",
                    "Query",
                    "PutItem",
                    "DeleteItem",
                )
            ],
            table.table_arn,
        )
    ]


def read_drops(bucket: s3.Bucket) -> Statements:
    """Read specs and references by version. Listing makes 'not there' a 404 and not a 403."""
    return [
        _allow(
            ["s3:GetObject", "s3:GetObjectVersion"],
            bucket.arn_for_objects(f"{s3_keys.JOBS_PREFIX}*"),
        ),
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], bucket.bucket_arn),
    ]


def answer(bucket: s3.Bucket) -> Statements:
    """Write status and refusals, and read what is published, to sign links to it."""
    return [
        _allow(
            ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"],
            bucket.arn_for_objects(f"{s3_keys.STATUS_PREFIX}*"),
            bucket.arn_for_objects(f"{s3_keys.REJECTED_PREFIX}*"),
            bucket.arn_for_objects(f"{s3_keys.REVIEW_PREFIX}*"),
        ),
        _allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.VIDEOS_PREFIX}*")),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def publish(bucket: s3.Bucket) -> Statements:
    """Write videos, sidecars and posters."""
    return [_allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.VIDEOS_PREFIX}*"))]


def keep_references(bucket: s3.Bucket) -> Statements:
    """Keep references in the work bucket."""
    return [_allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.REFERENCES_PREFIX}*"))]


def write_attempts(bucket: s3.Bucket) -> Statements:
    """Write what a processing job will read."""
    return [
        _allow(["s3:ListBucket"], bucket.bucket_arn),
        _allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.REFERENCES_PREFIX}*")),
        _allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*")),
    ]


def read_attempts(bucket: s3.Bucket) -> Statements:
    """Read what a processing job wrote."""
    return [
        _allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*")),
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], bucket.bucket_arn),
    ]


def wake(queue: sqs.Queue) -> Statements:
    """Ask for a dispatch."""
    return [_allow(["sqs:SendMessage"], queue.queue_arn)]


def notify(topic: sns.Topic) -> Statements:
    """Send notifications."""
    return [_allow(["sns:Publish"], topic.topic_arn)]


# What a cross-region inference profile's id begins with, before the model's own.
_GEOGRAPHIES = {"us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"}


def enhance(model_id: str) -> Statements:
    """Ask the language model: its inference profile, and the models behind that in any region."""
    bedrock = "arn:${AWS::Partition}:bedrock"
    profile = f"{bedrock}:${{AWS::Region}}:${{AWS::AccountId}}:inference-profile/{model_id}"
    geography, _, rest = model_id.partition(".")
    foundation = rest if geography in _GEOGRAPHIES else model_id
    return [
        _allow(
            ["bedrock:InvokeModel"],
            Fn.sub(profile),
            Fn.sub(f"{bedrock}:*::foundation-model/{foundation}"),
        )
    ]


def processing_arn(stack: Stack, job_prefix: str) -> str:
    """The ARNs of our processing jobs."""
    return stack.format_arn(
        service="sagemaker", resource="processing-job", resource_name=f"{job_prefix}-*"
    )


def start_processing(stack: Stack, job_prefix: str, role: iam.Role) -> Statements:
    """Create processing jobs of ours, with their role, and look at them."""
    return [
        _allow(
            ["sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob"],
            processing_arn(stack, job_prefix),
        ),
        _allow(
            ["iam:PassRole"],
            role.role_arn,
            StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
    ]


def watch_processing(stack: Stack, job_prefix: str) -> Statements:
    """Look at processing jobs of ours."""
    return [_allow(["sagemaker:DescribeProcessingJob"], processing_arn(stack, job_prefix))]


def stop_processing(stack: Stack, job_prefix: str) -> Statements:
    """Stop processing jobs of ours that nobody wants any more."""
    return [_allow(["sagemaker:StopProcessingJob"], processing_arn(stack, job_prefix))]
