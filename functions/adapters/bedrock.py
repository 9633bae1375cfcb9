"""The language model, in Bedrock."""

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.adapters.errors import code_of, message_of
from functions.spec.language_model import Answer, LanguageModelBusy, LanguageModelUnavailable

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_bedrock_runtime.type_defs import ContentBlockTypeDef


# A person waits for the answer, so there is one retry and a short time limit.
_BEDROCK_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=15
)

# These are over when the account's requests of this minute, or everybody's, have been answered.
_BUSY = {"ModelNotReadyException", "ServiceUnavailableException", "ThrottlingException"}


class BedrockLanguageModel:
    """The language model, through Bedrock's Converse call."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id

    @cached_property
    def _client(self) -> "BedrockRuntimeClient":
        return boto3.client("bedrock-runtime", config=_BEDROCK_CONFIG)

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """See `LanguageModel.converse`.

        The temperature is low, because a caption should describe and not invent.
        """
        content: list[ContentBlockTypeDef] = [{"text": user}]
        if image is not None:
            content.insert(0, {"image": {"format": "jpeg", "source": {"bytes": image}}})
        try:
            answer = self._client.converse(
                modelId=self._model_id,
                system=[{"text": system}],
                messages=[{"role": "user", "content": content}],
                inferenceConfig={"maxTokens": max_tokens, "temperature": 0.2},
            )
        except ClientError as error:
            kind = LanguageModelBusy if code_of(error) in _BUSY else LanguageModelUnavailable
            raise kind(f"{code_of(error)}: {message_of(error)}"[:300]) from error
        except BotoCoreError as error:
            raise LanguageModelUnavailable(str(error)[:300]) from error
        blocks = answer["output"].get("message", {}).get("content", [])
        # If the model is a router, the model that answered is named here.
        router = answer.get("trace", {}).get("promptRouter", {})
        return Answer(
            text=" ".join(block["text"] for block in blocks if "text" in block),
            stop_reason=answer["stopReason"],
            answered_by=router.get("invokedModelId") or self._model_id,
        )
