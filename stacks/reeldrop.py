"""The stack. It creates the parts and connects them along the way of a job:

input bucket → queue of drops → submit → table → queue of wake-ups → dispatch → SageMaker
work bucket, SageMaker → queue of results → finish → output bucket, topic, event bus
schedule → sweep
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.bus import create_bus, create_webhooks
from stacks.config import ConcurrentCalls, Config
from stacks.dashboard import create_dashboard
from stacks.encryption import create_key
from stacks.enhancer import enhancer
from stacks.functions import Functions, Resources, create_functions
from stacks.monitoring import (
    watch_capacity,
    watch_costs,
    watch_denied_starts,
    watch_enhancement,
    watch_guardrail,
    watch_long_runs,
    watch_paused_models,
    watch_rates,
    watch_signing,
    watch_sweep,
    watch_throttles,
    watch_weights,
)
from stacks.network import create_network
from stacks.notifications import create_alarm_topic, create_job_topic
from stacks.people import create_policies
from stacks.place import Place
from stacks.queues import Queues, create_queues
from stacks.storage import Storage
from stacks.studio import Studio
from stacks.worker import Worker, check_image

SWEEP_EVERY_MINUTES = 5
# An output cannot be empty.
_NONE = "none"


class Reeldrop(cdk.Stack):
    """A drop folder.

    Most parts are built by functions that get the stack as their scope, so that their resources
    are direct children of the stack. CDK derives logical ids from these paths. To move a resource
    below another construct would change its id, and CloudFormation would replace the resource.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, place: Place
    ) -> None:
        super().__init__(
            scope, construct_id, description="reeldrop: an S3 drop folder that makes video"
        )
        check_image(config, place.region)
        key = create_key(self, config)
        storage = Storage(self, "Storage", config=config, place=place, key=key)
        cdk.Tags.of(self).add("application", "reeldrop")
        cdk.Tags.of(self).add("deployment", config.stack_name)
        topic = create_job_topic(self, config.notify_email, key)
        alarms = create_alarm_topic(self, config.alarm_addresses, key)
        bus = create_bus(self, config, key)
        create_webhooks(self, config, bus=bus, alarms=alarms, key=key)
        watch_costs(self, config.monthly_budget_usd, alarms)
        language_model = enhancer(self, config.enhancer_model_id)
        network = create_network(self, config, key)
        worker = Worker(self, "Worker", config=config, work=storage.work, key=key, private=network)
        queues = create_queues(
            self, storage=storage, job_prefix=config.job_prefix, alarms=alarms, key=key
        )
        functions = create_functions(
            self,
            Resources(
                config=config,
                storage=storage,
                topic=topic,
                bus=bus,
                drops=queues.drops.queue,
                wake_ups=queues.wake_ups.queue,
                worker=worker,
                enhancer=language_model,
                key=key,
                network=network,
            ),
        )
        self._start_functions(functions, queues, config.concurrent_calls)
        self._watch(functions, queues, alarms)
        policies = create_policies(self, drops=storage.input, output=storage.output, key=key)
        for name, value in {
            "InputBucket": storage.input.bucket_name,
            "OutputBucket": storage.output.bucket_name,
            "WorkBucket": storage.work.bucket_name,
            "LogBucket": storage.logs.bucket_name,
            "TopicArn": topic.topic_arn,
            "EventBusName": bus.event_bus_name,
            "TableName": storage.table.table_name,
            **_choices(config),
            "CodeUri": worker.code_uri,
            "ImageUri": worker.image_uri,
            "ImportRoleArn": worker.import_role.role_arn,
            "EnhancerModelId": language_model.model_id if language_model else _NONE,
            "KeyArn": key.key_arn if key else _NONE,
            "DropPolicyArn": policies.drop.managed_policy_arn,
            "WatchPolicyArn": policies.watch.managed_policy_arn,
            **_studio(functions.studio),
        }.items():
            # For people, and for the `reeldrop` command.
            cdk.CfnOutput(self, name, value=value)

    def _watch(self, functions: Functions, queues: Queues, alarms: sns.Topic) -> None:
        """Create the alarms that belong to no queue, and the dashboard."""
        watch_sweep(self, functions.sweep.function, alarms)
        for stage in (functions.submit, functions.dispatch, functions.finish, functions.sweep):
            watch_throttles(stage, stage.function, alarms)
        create_dashboard(
            self,
            queues={
                "drops": (queues.drops.queue, queues.drops.dead_letters),
                "wake-ups": (queues.wake_ups.queue, queues.wake_ups.dead_letters),
                "results": (queues.results.queue, queues.results.dead_letters),
            },
            functions={
                "submit": functions.submit.function,
                "dispatch": functions.dispatch.function,
                "finish": functions.finish.function,
                "sweep": functions.sweep.function,
                **({"studio": functions.studio.page.function} if functions.studio else {}),
            },
        )
        watch_capacity(self, alarms)
        watch_denied_starts(self, alarms)
        watch_paused_models(self, alarms)
        watch_weights(self, alarms)
        watch_enhancement(self, alarms)
        watch_guardrail(self, alarms)
        watch_signing(self, alarms)
        watch_long_runs(self, alarms)
        watch_rates(self, alarms)

    def _start_functions(
        self, functions: Functions, queues: Queues, calls: ConcurrentCalls
    ) -> None:
        """Connect each function to what starts it: its queue or the schedule."""
        # Submit gets one drop in a call, because a call mostly waits for the language model.
        functions.submit.read_from(queues.drops.queue, batch_size=1, max_concurrency=calls.submit)
        functions.dispatch.read_from(
            queues.wake_ups.queue, batch_size=10, max_concurrency=calls.dispatch
        )
        functions.finish.read_from(queues.results.queue, batch_size=5, max_concurrency=calls.finish)
        events.Rule(
            self,
            "Schedule",
            schedule=events.Schedule.rate(cdk.Duration.minutes(SWEEP_EVERY_MINUTES)),
            targets=[targets.LambdaFunction(functions.sweep.function)],
        )


def _studio(studio: Studio | None) -> dict[str, str]:
    """Where the studio is, and who may sign in there, if there is one."""
    if studio is None:
        return {}
    return {
        "StudioUrl": studio.url,
        "StudioUsers": studio.users.user_pool_id,
        "StudioClient": studio.client.user_pool_client_id,
    }


def _choices(config: Config) -> dict[str, str]:
    """The choices of a deployment that its outputs name."""
    return {
        "DefaultModel": config.default_model,
        "InstanceTypes": config.instance_types,
        "FinishingInstanceType": config.finishing_instance_type,
        "JobPrefix": config.job_prefix,
        "GuardrailId": config.guardrail_id or _NONE,
        "GuardrailVersion": config.guardrail_version or _NONE,
        "LambdaConcurrency": str(config.lambda_concurrency),
    }
