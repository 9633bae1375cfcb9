"""Builds the ports of a function from its environment. Only this module imports every adapter."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from functions.adapters.bedrock import BedrockGuardrail, BedrockLanguageModel
from functions.adapters.child_reader import ChildReader
from functions.adapters.dynamodb import DynamoLedger
from functions.adapters.eventbridge import EventBridgeBus
from functions.adapters.s3 import S3Files
from functions.adapters.sagemaker import SageMakerRenderer
from functions.adapters.signing import KmsSigner
from functions.adapters.sns import SnsPost
from functions.adapters.sqs import announcer, waker
from functions.log import Event
from functions.settings import Settings
from functions.stages.ports import Ports


def connect(
    environment: Mapping[str, str], log: Callable[[Event, dict[str, object]], None]
) -> Ports:
    """Build the ports of a function.

    Args:
        environment: the variables of the function; `Settings` are read from them.
        log: logs an event with its facts.

    Raises:
        pydantic.ValidationError: a setting is missing or malformed.
    """
    settings = Settings.from_environment(environment)
    return Ports(
        settings=settings,
        region=environment["AWS_REGION"],
        ledger=DynamoLedger(settings.table_name),
        files=S3Files(settings.key_arn),
        renderer=SageMakerRenderer(settings),
        reader=ChildReader(),
        language_model=BedrockLanguageModel(settings.enhancer_model_id),
        guardrail=BedrockGuardrail(settings.guardrail_id, settings.guardrail_version),
        signer=KmsSigner(settings.signing_key),
        post=SnsPost(settings.topic_arn),
        bus=EventBridgeBus(settings.event_bus_name),
        announce=announcer(settings.drops_queue_url, settings.input_bucket),
        wake=waker(settings.dispatch_queue_url),
        now=lambda: datetime.now(UTC),
        new_suffix=lambda: secrets.token_hex(4),
        log=log,
    )
