"""The Lambda function of one stage, with its role, its log group and the queue that feeds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.settings import Settings
from stacks import encryption, network
from stacks.code import LAMBDA_PYTHON

# Enough for a video of a gigabyte, which is there twice. Lambda gives 512 MB for nothing, and the
# rest costs a thousandth of what the function itself costs.
_SIGNING_DISK_MB = 2560


@dataclass(frozen=True)
class Program:
    """What all functions share: the code, and the settings that it reads from its environment."""

    code: lambda_.Code
    settings: Settings
    key: kms.IKey | None
    """Encrypts what the functions store, and their logs. None: each service uses its own."""
    network: network.Network | None
    """Where the functions run. None: in no network of the account."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Other variables."""


class StageFunction(Construct):
    """A Lambda function with its own role and its own log group."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        program: Program,
        handler: str,
        timeout: cdk.Duration,
        memory_mb: int,
        statements: list[iam.PolicyStatement],
    ) -> None:
        """Create the function, its role and its log group.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            program: the code and the settings.
            handler: dotted path of the Python function that Lambda calls.
            timeout: how long one call may take.
            memory_mb: memory of the function; its share of a CPU grows with it.
            statements: what the function may do, except to write its log.
        """
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays.THREE_MONTHS,
            encryption_key=program.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        shared = [
            *encryption.of_functions(program.key),
            *network.of_functions(self, program.network),
        ]
        self._role = self._create_role(log_group, [*statements, *shared])
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime(f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            handler=handler,
            code=program.code,
            role=self._role,
            timeout=timeout,
            memory_size=memory_mb,
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
            vpc=program.network.vpc if program.network else None,
            security_groups=[program.network.functions] if program.network else None,
            environment={
                **program.settings.to_environment(),
                **program.environment,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                "POWERTOOLS_SERVICE_NAME": cdk.Stack.of(self).stack_name,
            },
        )

    def have_disk_to_sign(self) -> None:
        """Give the function a disk on which a video and its signed copy have room."""
        function = self.function.node.default_child
        assert isinstance(function, lambda_.CfnFunction)
        function.ephemeral_storage = lambda_.CfnFunction.EphemeralStorageProperty(
            size=_SIGNING_DISK_MB
        )

    def read_from(self, queue: sqs.Queue, *, batch_size: int, max_concurrency: int) -> None:
        """Call the function with the messages of a queue.

        Only the messages that the function reports as failed return to the queue.

        Args:
            queue: the queue that feeds the function.
            batch_size: how many messages one call gets at most.
            max_concurrency: how many calls run at the same time at most.
        """
        self._role.add_to_policy(
            iam.PolicyStatement(
                actions=["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                resources=[queue.queue_arn],
            )
        )
        lambda_.EventSourceMapping(
            self,
            "Feed",
            target=self.function,
            event_source_arn=queue.queue_arn,
            batch_size=batch_size,
            report_batch_item_failures=True,
            max_concurrency=max_concurrency,
        )

    def _create_role(
        self, log_group: logs.LogGroup, statements: list[iam.PolicyStatement]
    ) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        for statement in statements:
            role.add_to_policy(statement)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[log_group.log_group_arn],
            )
        )
        return role
