"""The four functions: what each may do, and how much time and memory it has."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.settings import Settings
from stacks import grants
from stacks.code import functions_code
from stacks.config import Config
from stacks.enhancer import Enhancer
from stacks.grants import Statements
from stacks.network import Network
from stacks.stage_function import Program, StageFunction
from stacks.storage import Storage
from stacks.studio import Studio
from stacks.worker import Worker

# Memory of the functions that read pictures in a child process. The child may use 256 MB, and the
# function may hold a video of 50 MB at the same time. Less memory would be enough for that, but
# people wait for these functions, and with 1,769 MB Lambda gives a function a whole CPU.
READING_MB = 1769


@dataclass(frozen=True)
class Resources:
    """The resources that the functions use."""

    config: Config
    storage: Storage
    topic: sns.Topic
    """The topic for notifications about jobs."""
    bus: events.EventBus
    """The bus for events about the ends of jobs."""
    drops: sqs.Queue
    """The queue that feeds submit."""
    wake_ups: sqs.Queue
    """The queue that feeds dispatch."""
    worker: Worker
    enhancer: Enhancer | None
    """The language model that enhances prompts."""
    key: kms.IKey | None
    """Encrypts what is stored. None: each service uses its own."""
    network: Network | None
    """Where functions and processing jobs run. None: in no network of the account."""


@dataclass(frozen=True)
class Functions:
    """The functions, by stage."""

    submit: StageFunction
    dispatch: StageFunction
    finish: StageFunction
    sweep: StageFunction
    studio: Studio | None
    """The page in the browser, if the deployment has it."""


def create_functions(scope: Construct, resources: Resources) -> Functions:
    """Create the functions. They share one zip and one set of settings."""
    common = _common_permissions(resources)
    finding = _find_permissions(resources)
    submitting = [*finding, *_submit_permissions(scope, resources)]
    finishing = _finish_permissions(scope, resources)
    announcing = grants.send_messages(resources.drops)
    waking = grants.send_messages(resources.wake_ups)
    stopping = grants.stop_processing(cdk.Stack.of(scope), resources.config.job_prefix)
    config = resources.config
    with functions_code(config.code, certificates=config.signing_certificates) as path:
        program = Program(
            code=lambda_.Code.from_asset(str(path)),
            settings=_settings(resources),
            key=resources.key,
            network=resources.network,
        )
        submit = StageFunction(
            scope,
            "Submit",
            program=program,
            handler="functions.handlers.submit.handler",
            timeout=cdk.Duration.seconds(60),
            memory_mb=READING_MB,
            statements=[*common, *submitting, *announcing, *waking, *stopping],
        )
        dispatch = StageFunction(
            scope,
            "Dispatch",
            program=program,
            handler="functions.handlers.dispatch.handler",
            timeout=cdk.Duration.seconds(120),
            memory_mb=512,
            statements=[*common, *_dispatch_permissions(scope, resources), *stopping],
        )
        finish = StageFunction(
            scope,
            "Finish",
            program=program,
            handler="functions.handlers.finish.handler",
            timeout=cdk.Duration.seconds(60),
            memory_mb=READING_MB,
            statements=[*common, *finishing, *waking],
        )
        # The sweep does what finish missed, so it has the same permissions. It does not accept
        # drops or start processing jobs itself: it announces drops to submit, and wakes dispatch.
        sweep = StageFunction(
            scope,
            "Sweep",
            program=program,
            handler="functions.handlers.sweep.handler",
            timeout=cdk.Duration.minutes(5),
            memory_mb=READING_MB,
            statements=[*common, *finding, *finishing, *announcing, *waking, *stopping],
        )
        studio = _studio(scope, resources, program)
    if config.signing_key:
        for function in (finish, sweep):
            function.have_disk_to_sign()
    return Functions(submit=submit, dispatch=dispatch, finish=finish, sweep=sweep, studio=studio)


def _studio(scope: Construct, resources: Resources, program: Program) -> Studio | None:
    if not resources.config.studio:
        return None
    return Studio(
        scope,
        "Studio",
        config=resources.config,
        storage=resources.storage,
        program=program,
        memory_mb=READING_MB,
    )


def _settings(resources: Resources) -> Settings:
    config, storage, worker = resources.config, resources.storage, resources.worker
    network = resources.network
    return Settings(
        input_bucket=storage.input.bucket_name,
        output_bucket=storage.output.bucket_name,
        work_bucket=storage.work.bucket_name,
        table_name=storage.table.table_name,
        topic_arn=resources.topic.topic_arn,
        event_bus_name=resources.bus.event_bus_name,
        drops_queue_url=resources.drops.queue_url,
        dispatch_queue_url=resources.wake_ups.queue_url,
        key_arn=resources.key.key_arn if resources.key else "",
        subnet_ids=",".join(network.subnet_ids) if network else "",
        security_group_id=network.processing.security_group_id if network else "",
        job_prefix=config.job_prefix,
        image_uri=worker.image_uri,
        code_uri=worker.code_uri,
        role_arn=worker.role.role_arn,
        instance_types=config.instance_types,
        finishing_instance_type=config.finishing_instance_type,
        volume_gb=config.volume_gb,
        max_processing_jobs=config.max_processing_jobs,
        max_tasks_per_job=config.max_tasks_per_job,
        max_tasks_per_folder_day=config.max_tasks_per_folder_day,
        max_gpu_minutes_per_folder_day=config.max_gpu_minutes_per_folder_day,
        max_attempts=config.max_attempts,
        max_runtime_seconds=config.max_runtime_seconds,
        default_model=config.default_model,
        enhancer_model_id=resources.enhancer.model_id if resources.enhancer else "",
        guardrail_id=config.guardrail_id,
        guardrail_version=config.guardrail_version,
        guardrail_pictures=config.guardrail_pictures,
        signing_key=config.signing_key,
        reference_deadline_seconds=config.reference_deadline_minutes * 60,
        link_seconds=config.link_hours * 3600,
    )


def _common_permissions(resources: Resources) -> Statements:
    """What every function may do."""
    return [
        *grants.use_table(resources.storage.table),
        *grants.write_status(resources.storage.output),
        # Each function can be the one that ends a job. It then publishes the contact sheet and
        # removes the copies of the references.
        *grants.publish_videos(resources.storage.output),
        *grants.drop_references(resources.storage.work),
        *grants.send_notifications(resources.topic),
        *grants.send_events(resources.bus),
    ]


def _find_permissions(resources: Resources) -> Statements:
    """What is needed to see which drops there are, and what was said about them."""
    return [
        *grants.find_drops(resources.storage.input),
        *grants.change_status(resources.storage.output),
    ]


def _submit_permissions(scope: Construct, resources: Resources) -> Statements:
    """What is needed to turn a drop into tasks."""
    model, stack = resources.enhancer, cdk.Stack.of(scope)
    return [
        *grants.read_drops(resources.storage.input),
        *grants.drop_specs(resources.storage.input),
        *grants.keep_references(resources.storage.work),
        *(grants.enhance_prompts(stack, model) if model else []),
        *_judge_permissions(scope, resources),
    ]


def _dispatch_permissions(scope: Construct, resources: Resources) -> Statements:
    """What is needed to start a processing job.

    Dispatch looks at the folders of the tasks that it starts. It announces drops whose folder
    defaults have changed, and wakes itself while files are still being uploaded.
    """
    return [
        *grants.look_at_drops(resources.storage.input),
        *grants.send_messages(resources.drops),
        *grants.send_messages(resources.wake_ups),
        *grants.find_weights(resources.storage.work),
        *grants.read_loras(resources.storage.work),
        *grants.write_attempts(resources.storage.work),
        *grants.start_processing(
            cdk.Stack.of(scope), resources.config.job_prefix, resources.worker.role
        ),
    ]


def _finish_permissions(scope: Construct, resources: Resources) -> Statements:
    """What is needed to read the results of a processing job, and to sign its videos."""
    key = resources.config.signing_key
    return [
        *(grants.sign_videos(key, resources.storage.work) if key else []),
        *grants.read_attempts(resources.storage.work),
        *grants.describe_processing(cdk.Stack.of(scope), resources.config.job_prefix),
        *_judge_permissions(scope, resources),
    ]


def _judge_permissions(scope: Construct, resources: Resources) -> Statements:
    """What is needed to have something judged by the guardrail."""
    guardrail = resources.config.guardrail_id
    return grants.judge(cdk.Stack.of(scope), guardrail) if guardrail else []
