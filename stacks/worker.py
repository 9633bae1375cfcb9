"""What a processing job is run with: its code, its image and its role. No job runs here."""

from aws_cdk import ArnFormat, Aws, Fn, Stack, region_info
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from functions import s3_keys
from stacks.code import worker_code
from stacks.config import Config

# Python 3.12, PyTorch 2.9, CUDA 13: what sagemaker.core.image_uris.retrieve answers (a test
# compares), so that no Docker is needed to deploy and no pip runs when a job starts.
IMAGE = "huggingface-pytorch-training:2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"


class Worker(Construct):
    """The worker's zip, image and role."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, work: s3.Bucket
    ) -> None:
        super().__init__(scope, construct_id)
        with worker_code(config.code) as folder:
            asset = assets.Asset(self, "Code", path=folder)
        self.code_uri = asset.s3_object_url
        if config.image_uri:
            self.image_uri = config.image_uri
        else:
            registry = Stack.of(self).regional_fact(region_info.FactName.DLC_REPOSITORY_ACCOUNT)
            self.image_uri = Fn.join(
                "", [registry, ".dkr.ecr.", Aws.REGION, ".", Aws.URL_SUFFIX, "/", IMAGE]
            )
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com")
        )
        for statement in (
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[
                    work.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*/input/*"),
                    work.arn_for_objects(f"{s3_keys.MODELS_PREFIX}*"),
                    asset.bucket.arn_for_objects(asset.s3_object_key),
                ],
            ),
            iam.PolicyStatement(
                actions=["s3:PutObject"],
                resources=[work.arn_for_objects(f"{s3_keys.ATTEMPTS_PREFIX}*/output/*")],
            ),
            iam.PolicyStatement(
                actions=["s3:ListBucket"], resources=[work.bucket_arn, asset.bucket.bucket_arn]
            ),
            iam.PolicyStatement(
                actions=[
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:GetAuthorizationToken",
                    "cloudwatch:PutMetricData",
                ],
                resources=["*"],
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
        ):
            self.role.add_to_policy(statement)
