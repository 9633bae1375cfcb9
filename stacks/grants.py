"""The permissions, as explicit IAM statements.

They are written out because CDK's own grants allow more than is needed. Each function returns the
statements that a role needs for what the function's name says.
"""

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from contract.model_folder import READY_FILE
from functions import s3_keys
from stacks.enhancer import Enhancer

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
                "dynamodb:GetItem",
                "dynamodb:BatchGetItem",
                "dynamodb:Query",
                "dynamodb:PutItem",
                "dynamodb:DeleteItem",
            ],
            table.table_arn,
        )
    ]


def show_table(table: dynamodb.Table) -> Statements:
    """Read records, and remove entries of the gallery."""
    return [
        _allow(
            ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:DeleteItem"],
            table.table_arn,
        ),
    ]


def drop_for_people(bucket: s3.Bucket) -> Statements:
    """Drop, read and delete files in jobs/, and approve drafts.

    A signed form works only if its signer may drop.
    """
    return [
        _allow(
            ["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"],
            bucket.arn_for_objects(f"{s3_keys.JOBS_PREFIX}*"),
        ),
        _allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.APPROVE_PREFIX}*")),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def show_outputs(bucket: s3.Bucket) -> Statements:
    """Read and delete what was published for jobs, and what was said about them."""
    prefixes = (
        s3_keys.VIDEOS_PREFIX, s3_keys.STATUS_PREFIX, s3_keys.REJECTED_PREFIX,
        s3_keys.FAILED_PREFIX, s3_keys.REVIEW_PREFIX,
    )  # fmt: skip
    return [
        _allow(
            ["s3:GetObject", "s3:DeleteObject"],
            *(bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes),
        ),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def find_drops(bucket: s3.Bucket) -> Statements:
    """List specs and references with their versions, and read the facts of each.

    Without `s3:ListBucket`, S3 would also answer 403 instead of 404 for a missing object.
    """
    return [
        # Not only jobs/, because a spec beside it is answered, too.
        _allow(["s3:GetObject"], bucket.arn_for_objects("*")),
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], bucket.bucket_arn),
    ]


def look_at_drops(bucket: s3.Bucket) -> Statements:
    """List what is in jobs/, and read the facts of folder defaults there."""
    return [
        _allow(
            ["s3:GetObject"],
            bucket.arn_for_objects(f"{s3_keys.JOBS_PREFIX}*{s3_keys.DEFAULTS_FILE}"),
        ),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def read_drops(bucket: s3.Bucket) -> Statements:
    """Read specs and references by version. `find_drops` has what finding them needs."""
    return [_allow(["s3:GetObjectVersion"], bucket.arn_for_objects("*"))]


def write_status(bucket: s3.Bucket) -> Statements:
    """Write status, refusal, failure and review, remove texts that are out of date, read videos.

    Each function that ends a job writes what is published about the newest job of its path, which
    may be another one.

    A signed link works only if its signer may read the object, hence the third statement.
    """
    texts = (
        s3_keys.STATUS_PREFIX, s3_keys.REJECTED_PREFIX, s3_keys.FAILED_PREFIX,
        s3_keys.REVIEW_PREFIX,
    )  # fmt: skip
    return [
        _allow(
            ["s3:PutObject"],
            *(bucket.arn_for_objects(f"{prefix}*") for prefix in texts),
        ),
        _allow(
            ["s3:GetObject", "s3:DeleteObject"],
            bucket.arn_for_objects(f"{s3_keys.REJECTED_PREFIX}*"),
            bucket.arn_for_objects(f"{s3_keys.FAILED_PREFIX}*"),
        ),
        _allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.VIDEOS_PREFIX}*")),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def change_status(bucket: s3.Bucket) -> Statements:
    """Read statuses, and remove the status of folder defaults that are gone."""
    return [
        _allow(
            ["s3:GetObject", "s3:DeleteObject"],
            bucket.arn_for_objects(f"{s3_keys.STATUS_PREFIX}*"),
        ),
    ]


def publish_videos(bucket: s3.Bucket) -> Statements:
    """Write videos, sidecars and posters."""
    return [_allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.VIDEOS_PREFIX}*"))]


def drop_specs(bucket: s3.Bucket) -> Statements:
    """Drop specs that follow from another drop. `find_drops` has what not doing it twice needs."""
    return [_allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.JOBS_PREFIX}*.json"))]


def keep_references(bucket: s3.Bucket) -> Statements:
    """Copy references to the work bucket."""
    return [_allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.REFERENCES_PREFIX}*"))]


def drop_references(bucket: s3.Bucket) -> Statements:
    """Find and remove the copies of the references of a job that has ended."""
    return [
        _allow(
            ["s3:GetObject", "s3:DeleteObject"],
            bucket.arn_for_objects(f"{s3_keys.REFERENCES_PREFIX}*"),
        ),
        _allow(["s3:ListBucket"], bucket.bucket_arn),
    ]


def find_weights(bucket: s3.Bucket) -> Statements:
    """See which release of each model is used. `drop_references` has what listing needs."""
    ready = f"{s3_keys.MODELS_PREFIX}*/{READY_FILE}"
    return [_allow(["s3:GetObject"], bucket.arn_for_objects(ready))]


def read_loras(bucket: s3.Bucket) -> Statements:
    """Copy the LoRA that tasks name. `drop_references` has what finding out its name needs."""
    return [_allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.LORAS_PREFIX}*"))]


def write_attempts(bucket: s3.Bucket) -> Statements:
    """Write what a processing job will read. `drop_references` has what reading needs."""
    return [
        _allow(["s3:PutObject"], bucket.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*")),
    ]


def read_attempts(bucket: s3.Bucket) -> Statements:
    """Read what a processing job wrote. `drop_references` has what listing needs."""
    return [
        _allow(["s3:GetObject"], bucket.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*")),
    ]


def sign_videos(key_arn: str, bucket: s3.Bucket) -> Statements:
    """Sign with a key, and keep signed videos. `read_attempts` has what reading them needs.

    Args:
        key_arn: the key.
        bucket: the work bucket.
    """
    signed = f"{s3_keys.ATTEMPTS_PREFIX}*/{s3_keys.SIGNED}/*"
    return [
        _allow(["kms:Sign"], key_arn),
        _allow(["s3:PutObject"], bucket.arn_for_objects(signed)),
    ]


def send_messages(queue: sqs.Queue) -> Statements:
    """Send messages to a queue that feeds a function."""
    return [_allow(["sqs:SendMessage"], queue.queue_arn)]


def send_events(bus: events.EventBus) -> Statements:
    """Tell other systems how jobs ended."""
    return [_allow(["events:PutEvents"], bus.event_bus_arn)]


def send_notifications(topic: sns.Topic) -> Statements:
    """Send notifications about jobs."""
    return [_allow(["sns:Publish"], topic.topic_arn)]


def enhance_prompts(stack: Stack, model: Enhancer) -> Statements:
    """Call the language model that enhances prompts.

    An inference profile forwards a call to the model in one of several regions, and IAM wants
    both to be allowed: the profile, and the model in every region.

    Args:
        stack: the stack whose region and account the profile belongs to.
        model: the language model.
    """
    profile = stack.format_arn(
        service="bedrock", resource="inference-profile", resource_name=model.model_id
    )
    foundation = stack.format_arn(
        service="bedrock",
        # The calls of a global profile have no region, which "*" fits, too.
        region="*",
        account="",
        resource="foundation-model",
        resource_name=model.foundation,
    )
    return [_allow(["bedrock:InvokeModel"], profile, foundation)]


def judge(stack: Stack, guardrail_id: str) -> Statements:
    """Have prompts, references and videos judged by a guardrail.

    Args:
        stack: the stack whose region and account the guardrail belongs to.
        guardrail_id: the guardrail.
    """
    guardrail = stack.format_arn(
        service="bedrock", resource="guardrail", resource_name=guardrail_id
    )
    return [_allow(["bedrock:ApplyGuardrail"], guardrail)]


def _processing_arn(stack: Stack, job_prefix: str) -> str:
    """Return the pattern that the ARNs of our processing jobs match."""
    return stack.format_arn(
        service="sagemaker", resource="processing-job", resource_name=f"{job_prefix}*"
    )


def start_processing(stack: Stack, job_prefix: str, role: iam.Role) -> Statements:
    """Create and describe our processing jobs.

    Args:
        stack: the stack whose region and account the jobs run in.
        job_prefix: what the names of our processing jobs begin with.
        role: the role that the jobs run under.
    """
    return [
        _allow(
            ["sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob"],
            _processing_arn(stack, job_prefix),
        ),
        _allow(
            ["iam:PassRole"],
            role.role_arn,
            StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
    ]


def describe_processing(stack: Stack, job_prefix: str) -> Statements:
    """Describe our processing jobs."""
    return [_allow(["sagemaker:DescribeProcessingJob"], _processing_arn(stack, job_prefix))]


def stop_processing(stack: Stack, job_prefix: str) -> Statements:
    """Stop our processing jobs, for example when their job was canceled."""
    return [_allow(["sagemaker:StopProcessingJob"], _processing_arn(stack, job_prefix))]
