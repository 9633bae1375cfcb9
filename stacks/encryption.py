"""The key of a deployment that wants its own, and what each role may do with it.

Without such a key, each service encrypts with a key of its own. `docs/decisions/0022-keys.md` says
why the key policy is as it is.
"""

import aws_cdk as cdk
from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.config import Config
from stacks.grants import Statements

_READ = ["kms:Decrypt"]
# An upload in parts also reads the parts again.
_READ_AND_WRITE = ["kms:Decrypt", "kms:GenerateDataKey"]
_TABLE = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]


def create_key(scope: Construct, config: Config) -> kms.IKey | None:
    """Create the key that encrypts everything, or use one that exists, if the deployment wants one.

    The roles get their rights to it from their own policies. The key policy is for the services
    that act without a role.
    """
    if not config.customer_key:
        return None
    if isinstance(config.customer_key, str):
        return kms.Key.from_key_arn(scope, "Key", config.customer_key)
    key = kms.Key(
        scope,
        "Key",
        description=f"What the drop folder {config.stack_name} stores",
        enable_key_rotation=True,
        # Data that outlives the stack cannot be read without its key.
        removal_policy=cdk.RemovalPolicy.RETAIN if config.keep_data else cdk.RemovalPolicy.DESTROY,
    )
    stack = Stack.of(scope)
    # A condition with the ARNs of the queues themselves would be a circle: they name the key.
    queues = f"arn:{Aws.PARTITION}:sqs:{stack.region}:{stack.account}:{config.stack_name}-*"
    groups = f"arn:{Aws.PARTITION}:logs:{stack.region}:{stack.account}:log-group:"
    notifying = ["cloudwatch.amazonaws.com"]
    if config.monthly_budget_usd:
        notifying.append("budgets.amazonaws.com")
    for principal, actions, conditions in (
        (
            "events.amazonaws.com",
            _READ_AND_WRITE,
            {"ArnLike": {"kms:EncryptionContext:aws:sqs:arn": queues}},
        ),
        *(
            (service, _READ_AND_WRITE, {"StringEquals": {"aws:SourceAccount": stack.account}})
            for service in notifying
        ),
        (
            f"logs.{stack.region}.amazonaws.com",
            _TABLE,
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"{groups}{config.stack_name}-*"}},
        ),
    ):
        key.add_to_resource_policy(
            iam.PolicyStatement(
                actions=actions,
                principals=[iam.ServicePrincipal(principal)],
                resources=["*"],  # in a key policy: this key
                conditions=conditions,
            )
        )
    return key


def of_functions(key: kms.IKey | None) -> Statements:
    """Use what is stored: objects, messages, mails and records."""
    if key is None:
        return []
    return [_through(key, _READ_AND_WRITE, "s3", "sqs", "sns"), _through(key, _TABLE, "dynamodb")]


def encrypt_volume(key: kms.IKey | None) -> Statements:
    """Let SageMaker encrypt the volume of an instance."""
    if key is None:
        return []
    return [
        iam.PolicyStatement(
            actions=["kms:CreateGrant"],
            resources=[key.key_arn],
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
        )
    ]


def read_files(key: kms.IKey | None) -> Statements:
    """Download objects."""
    return [_through(key, _READ, "s3")] if key else []


def write_files(key: kms.IKey | None) -> Statements:
    """Upload and download objects."""
    return [_through(key, _READ_AND_WRITE, "s3")] if key else []


def _through(key: kms.IKey, actions: list[str], *services: str) -> iam.PolicyStatement:
    """Use a key, but only through these services."""
    names = [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in services]
    return iam.PolicyStatement(
        actions=actions,
        resources=[key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": names}},
    )
