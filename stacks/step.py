"""One step of a job's way: a function, what it may do, and the queue that feeds it."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.settings import Settings
from stacks.code import LAMBDA_PYTHON


class Step(Construct):
    """A function with a role and a log group of its own."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: lambda_.Code,
        settings: Settings,
        timeout: cdk.Duration,
        memory_mb: int,
        statements: list[iam.PolicyStatement],
    ) -> None:
        super().__init__(scope, construct_id)
        self._log_group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        for statement in statements:
            role.add_to_policy(statement)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[self._log_group.log_group_arn],
            )
        )
        self._role = role
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime(f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            handler=f"functions.handlers.{construct_id.lower()}.handler",
            code=code,
            role=role,
            timeout=timeout,
            memory_size=memory_mb,
            log_group=self._log_group,
            environment={
                **settings.to_environment(),
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )

    def feed(self, queue: sqs.Queue, *, batch_size: int, max_concurrency: int) -> None:
        """Call the function with messages of `queue`; only those that failed return to it."""
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
