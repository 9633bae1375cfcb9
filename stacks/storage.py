"""The buckets and the table."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from functions import s3_keys
from stacks.config import Config
from stacks.place import Place


class Storage(Construct):
    """Input, output and work buckets, their access logs, and the table of jobs and tasks.

    Their names follow from the name of the stack, so a stack that is deployed again finds the data
    that it kept (docs/decisions/0024-names-of-kept-data.md).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        place: Place | None = None,
        key: kms.IKey | None = None,
    ) -> None:
        """Create the buckets and the table.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            config: the choices of the deployment.
            place: where the stack is deployed to; None if that is not known yet.
            key: encrypts all but the access logs, which S3 can only encrypt with its own key.
        """
        super().__init__(scope, construct_id)
        self._stack_name = config.stack_name
        self._place = place or Place()
        self._key = key
        self._removal = cdk.RemovalPolicy.RETAIN if config.keep_data else cdk.RemovalPolicy.DESTROY
        # CloudFormation removes only empty buckets, so CDK adds a function that empties them. The
        # embedded cloud removes full ones, too, and does not run functions for node.
        self._empties = not config.keep_data and config.code == "aws"
        self.logs = s3.Bucket(
            self,
            "Logs",
            bucket_name=self._bucket_name("Logs"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=self._removal,
            auto_delete_objects=self._empties,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(90))],
        )
        # The input bucket keeps versions because a job belongs to one version of its spec. The
        # output bucket keeps versions so that an overwritten video is not lost.
        self.input = self._bucket("Input", versioned=True, events=True)
        self.output = self._bucket("Output", versioned=True, events=False)
        _end_of_outputs(self.output, config)
        self.work = self._bucket("Work", versioned=False, events=True)
        # The files of an attempt are only needed while the attempt runs and while somebody may
        # still look into a failure. Weights do not expire, and the copies of references are removed
        # at the end of their job, because a job may wait in the queue for any time.
        self.work.add_lifecycle_rule(
            prefix=s3_keys.ATTEMPTS_PREFIX, expiration=cdk.Duration.days(30)
        )
        self.table = self._table()

    def _table(self) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Table",
            table_name=f"{self._stack_name}-records",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if self._key else None,
            encryption_key=self._key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=self._removal,
        )

    def _bucket_name(self, construct_id: str) -> str:
        place = self._place
        return s3_keys.bucket_name(
            self._stack_name, construct_id.lower(), place.account, place.region
        )

    def _bucket(self, construct_id: str, *, versioned: bool, events: bool) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            construct_id,
            bucket_name=self._bucket_name(construct_id),
            versioned=versioned,
            encryption=s3.BucketEncryption.KMS if self._key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self._key,
            # One call of KMS is then enough for many objects.
            bucket_key_enabled=True if self._key else None,
            # Nobody but its owner could read such a file, so S3 refuses it at once.
            blocked_encryption_types=[s3.BlockedEncryptionType.SSE_C],
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=self._removal,
            auto_delete_objects=self._empties,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                    noncurrent_version_expiration=cdk.Duration.days(90) if versioned else None,
                )
            ],
        )
        if events:
            # CDK's `event_bridge_enabled=True` would deploy a Lambda function to set this one
            # property, which CloudFormation can set itself.
            resource = bucket.node.default_child
            assert isinstance(resource, s3.CfnBucket)
            resource.add_property_override(
                "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True
            )
        return bucket


def _end_of_outputs(output: s3.Bucket, config: Config) -> None:
    """Archive and delete published videos, if the deployment wants that."""
    if config.archive_videos_after_days:
        output.add_lifecycle_rule(
            id="Archive",
            prefix=s3_keys.VIDEOS_PREFIX,
            transitions=[
                s3.Transition(
                    storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                    transition_after=cdk.Duration.days(config.archive_videos_after_days),
                )
            ],
        )
    if config.delete_videos_after_days:
        output.add_lifecycle_rule(
            id="Delete",
            prefix=s3_keys.VIDEOS_PREFIX,
            expiration=cdk.Duration.days(config.delete_videos_after_days),
        )
