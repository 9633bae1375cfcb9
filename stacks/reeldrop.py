"""The stack: wires the constructs along the way of a job.

input bucket → Drops → Submit → table → Wakes → Dispatch → SageMaker
work bucket, SageMaker → Results → Finish → output bucket, topic        Sweep, on a schedule
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from functions.handlers import events as patterns
from functions.settings import Settings
from stacks import grants
from stacks.code import functions_code
from stacks.config import Config
from stacks.inbox import Inbox, ring
from stacks.step import Step
from stacks.storage import Storage
from stacks.worker import Worker

SWEEP_EVERY_MINUTES = 5
# For functions that have pictures read by a child: its 256 MB beside a video of 50 MB, read and
# sent on. From 1,769 MB on a function has a whole processor, and a person waits for these.
READING_MB = 1769


class Reeldrop(cdk.Stack):
    """A drop folder."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config) -> None:
        super().__init__(
            scope, construct_id, description="reeldrop: an S3 drop folder that makes video"
        )
        storage = Storage(self, "Storage", keep_data=config.keep_data)
        topic = sns.Topic(self, "Topic", display_name="reeldrop", enforce_ssl=True)
        if config.notify_email:
            topic.add_subscription(subscriptions.EmailSubscription(config.notify_email))
        alarms = sns.Topic(self, "Alarms", display_name="reeldrop alarms", enforce_ssl=True)
        if config.alarm_email:
            alarms.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        # The policy that enforces TLS replaces the one by which CloudWatch might publish.
        alarms.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[alarms.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        worker = Worker(self, "Worker", config=config, work=storage.work)

        # A queue's visibility must outlast its function. It is not made longer than that, because
        # it is also how long a message waits that asked to be tried again.
        drops = Inbox(
            self,
            "Drops",
            patterns={"Dropped": patterns.drops(storage.input.bucket_name)},
            visibility=cdk.Duration.seconds(70),
            alarms=alarms,
        )
        wakes = Inbox(
            self, "Wakes", patterns={}, visibility=cdk.Duration.seconds(130), alarms=alarms
        )
        results = Inbox(
            self,
            "Results",
            patterns={
                "Written": patterns.results(storage.work.bucket_name),
                "Ended": patterns.endings(config.stack_name),
            },
            visibility=cdk.Duration.seconds(70),
            alarms=alarms,
        )

        settings = Settings(
            input_bucket=storage.input.bucket_name,
            output_bucket=storage.output.bucket_name,
            work_bucket=storage.work.bucket_name,
            table_name=storage.table.table_name,
            topic_arn=topic.topic_arn,
            dispatch_queue_url=wakes.queue.queue_url,
            job_prefix=config.stack_name,
            image_uri=worker.image_uri,
            code_uri=worker.code_uri,
            role_arn=worker.role.role_arn,
            instance_types=config.instance_types,
            volume_gb=config.volume_gb,
            max_processing_jobs=config.max_processing_jobs,
            max_tasks_per_job=config.max_tasks_per_job,
            max_tasks_per_folder_day=config.max_tasks_per_folder_day,
            max_gpu_minutes_per_folder_day=config.max_gpu_minutes_per_folder_day,
            max_attempts=config.max_attempts,
            max_runtime_seconds=config.max_runtime_seconds,
            default_model=config.default_model,
            enhancer_model_id=config.enhancer_model_id,
            reference_deadline_seconds=config.reference_deadline_minutes * 60,
            link_seconds=config.link_hours * 3600,
        )
        with functions_code(config.code) as folder:
            code = lambda_.Code.from_asset(folder)
            everywhere = [
                *grants.use_table(storage.table),
                *grants.answer(storage.output),
                # Who puts a job to its end also puts its contact sheet together.
                *grants.publish(storage.output),
                *grants.stop_processing(self, config.stack_name),
            ]
            take_in = [
                *grants.read_drops(storage.input),
                *grants.keep_references(storage.work),
                *(grants.enhance(config.enhancer_model_id) if config.enhancer_model_id else []),
            ]
            publish = [
                *grants.read_attempts(storage.work),
                *grants.watch_processing(self, config.stack_name),
            ]
            tell = [*grants.wake(wakes.queue), *grants.notify(topic)]
            submit = Step(
                self,
                "Submit",
                code=code,
                settings=settings,
                timeout=cdk.Duration.seconds(60),
                memory_mb=READING_MB,
                statements=[*everywhere, *take_in, *tell],
            )
            dispatch = Step(
                self,
                "Dispatch",
                code=code,
                settings=settings,
                timeout=cdk.Duration.seconds(120),
                memory_mb=512,
                statements=[
                    *everywhere,
                    *grants.write_attempts(storage.work),
                    *grants.start_processing(self, config.stack_name, worker.role),
                ],
            )
            finish = Step(
                self,
                "Finish",
                code=code,
                settings=settings,
                timeout=cdk.Duration.seconds(60),
                memory_mb=READING_MB,
                statements=[*everywhere, *publish, *tell],
            )
            sweep = Step(
                self,
                "Sweep",
                code=code,
                settings=settings,
                timeout=cdk.Duration.minutes(5),
                memory_mb=READING_MB,
                statements=[*everywhere, *take_in, *publish, *tell],
            )
        # One at a time: most of it is waiting for the language model.
        submit.feed(drops.queue, batch_size=1, max_concurrency=50)
        # One dispatch serves all wake-ups that have come together.
        dispatch.feed(wakes.queue, batch_size=10, max_concurrency=2)
        finish.feed(results.queue, batch_size=5, max_concurrency=20)
        events.Rule(
            self,
            "Schedule",
            schedule=events.Schedule.rate(cdk.Duration.minutes(SWEEP_EVERY_MINUTES)),
            targets=[targets.LambdaFunction(sweep.function)],
        )

        ring(
            alarms,
            cloudwatch.Alarm(
                self,
                "SweepFails",
                alarm_description="The sweep ends with errors: see docs/operations.md.",
                metric=sweep.function.metric_errors(period=cdk.Duration.minutes(15)),
                threshold=2,
                evaluation_periods=1,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
        )
        ring(
            alarms,
            cloudwatch.Alarm(
                self,
                "NoCapacity",
                alarm_description="Jobs wait for quota: see docs/operations.md.",
                metric=cloudwatch.Metric(
                    namespace="reeldrop",
                    metric_name="no-capacity",
                    dimensions_map={"service": "reeldrop"},
                    period=cdk.Duration.minutes(15),
                    statistic="Sum",
                ),
                threshold=1,
                evaluation_periods=4,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
        )

        for name, value in {
            "InputBucket": storage.input.bucket_name,
            "OutputBucket": storage.output.bucket_name,
            "WorkBucket": storage.work.bucket_name,
            "LogBucket": storage.logs.bucket_name,
            "TopicArn": topic.topic_arn,
            "TableName": storage.table.table_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)
