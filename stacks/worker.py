"""What processing jobs need: their code, their container image and a role for each kind of them.

The stack creates no processing job. Dispatch starts those that render, and
`reeldrop import-model` those that import weights.
"""

import re

from aws_cdk import ArnFormat, Aws, Fn, Stack, Token, region_info
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from functions import s3_keys
from stacks import encryption, network
from stacks.code import worker_code
from stacks.config import IMAGE_URI, Config
from stacks.grants import Statements

# AWS's image with Python 3.12, PyTorch 2.8 and CUDA 12.9, which runs with the drivers that
# SageMaker's hosts may have (docs/decisions/0020-the-image-of-processing-jobs.md). A ready image
# means that a deployment needs no Docker and that no pip runs when a job starts.
# sagemaker.core.image_uris.retrieve names the same image; a test compares the two.
IMAGE = "huggingface-pytorch-training:2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04"


class NoImage(Exception):
    """AWS's image is not known to be in the region. The message says what to do."""


def check_image(config: Config, region: str) -> None:
    """Check that there is an image for the processing jobs of a region.

    Raises:
        NoImage: there is none.
    """
    if config.image_uri or Token.is_unresolved(region):
        return
    if not region_info.Fact.find(region, region_info.FactName.DLC_REPOSITORY_ACCOUNT):
        raise NoImage(
            f"CDK does not know where AWS keeps its container images in the region {region}. Set "
            "image_uri to an image that is there: docs/operations.md, Regions, says which."
        )


class Worker(Construct):
    """The zip, the image and the roles."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        work: s3.Bucket,
        key: kms.IKey | None,
        private: network.Network | None,
    ) -> None:
        """Create them.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            config: the choices of the deployment.
            work: the work bucket.
            key: encrypts the work bucket; None: S3 does with its own key.
            private: where processing jobs render. Imports run outside of it, because they download
                from the internet.
        """
        super().__init__(scope, construct_id)
        with worker_code(config.code) as path:
            asset = assets.Asset(self, "Code", path=str(path))
        self.code_uri = asset.s3_object_url
        self.image_uri = config.image_uri or self._aws_image_uri()
        self._image_arn = _repository_arn(config.image_uri) or self._aws_image_arn()
        # Only for processing jobs of this account. SageMaker must not use the roles for others.
        sagemaker = iam.ServicePrincipal(
            "sagemaker.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
        self.role = iam.Role(self, "Role", assumed_by=sagemaker)
        self.import_role = iam.Role(self, "ImportRole", assumed_by=sagemaker)
        # The GPU types encrypt their own disks. Imports, and jobs that finish clips, run on types
        # with a volume.
        volume = encryption.encrypt_volume(key)
        for role, own in (
            (self.role, [*_data_permissions(work, asset), *network.of_processing(private)]),
            (self.import_role, _import_permissions(work, asset)),
        ):
            shared = [*self._service_permissions(), *encryption.write_files(key), *volume]
            for statement in (*own, *shared):
                role.add_to_policy(statement)

    def _aws_image_uri(self) -> str:
        """Return the URI of AWS's image in the region that the stack is deployed to."""
        registry = Stack.of(self).regional_fact(region_info.FactName.DLC_REPOSITORY_ACCOUNT)
        return Fn.join("", [registry, ".dkr.ecr.", Aws.REGION, ".", Aws.URL_SUFFIX, "/", IMAGE])

    def _aws_image_arn(self) -> str:
        stack = Stack.of(self)
        return stack.format_arn(
            service="ecr",
            account=stack.regional_fact(region_info.FactName.DLC_REPOSITORY_ACCOUNT),
            resource="repository",
            resource_name=IMAGE.partition(":")[0],
        )

    def _service_permissions(self) -> Statements:
        """Pull the image, and write metrics and logs."""
        return [
            iam.PolicyStatement(
                actions=[
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchCheckLayerAvailability",
                ],
                resources=[self._image_arn],
            ),
            iam.PolicyStatement(
                actions=["ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"],
                resources=["*"],  # neither knows a resource
            ),
            iam.PolicyStatement(
                actions=[
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                resources=[
                    Stack.of(self).format_arn(
                        service="logs",
                        resource="log-group",
                        resource_name="/aws/sagemaker/*",
                        arn_format=ArnFormat.COLON_RESOURCE_NAME,
                    )
                ],
            ),
        ]


def _repository_arn(image_uri: str) -> str | None:
    """The ARN of the repository of an image in ECR; None without an image."""
    found = re.fullmatch(IMAGE_URI, image_uri)
    if found is None:
        return None
    place = f"{found['region']}:{found['account']}:repository/{found['repository']}"
    return Fn.sub(f"arn:${{AWS::Partition}}:ecr:{place}")


def _import_permissions(work: s3.Bucket, code: assets.Asset) -> Statements:
    """Read the code, and write weights."""
    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[code.bucket.arn_for_objects(code.s3_object_key)],
        ),
        iam.PolicyStatement(
            actions=["s3:PutObject"],
            resources=[work.arn_for_objects(f"{s3_keys.MODELS_PREFIX}*")],
        ),
        iam.PolicyStatement(actions=["s3:ListBucket"], resources=[code.bucket.bucket_arn]),
    ]


def _data_permissions(work: s3.Bucket, code: assets.Asset) -> Statements:
    """Read the code, the weights and the inputs of attempts; write the outputs of attempts."""
    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[
                work.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*/input/*"),
                work.arn_for_objects(f"{s3_keys.MODELS_PREFIX}*"),
                code.bucket.arn_for_objects(code.s3_object_key),
            ],
        ),
        iam.PolicyStatement(
            actions=["s3:PutObject"],
            resources=[work.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*/output/*")],
        ),
        iam.PolicyStatement(
            actions=["s3:ListBucket"], resources=[work.bucket_arn, code.bucket.bucket_arn]
        ),
    ]
