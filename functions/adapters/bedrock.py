"""The language model and the guardrail, in Bedrock."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.adapters.errors import code_of, message_of
from functions.spec.guardrail import GuardrailUnavailable, Judgement
from functions.spec.language_model import Answer, LanguageModelBusy, LanguageModelUnavailable

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_bedrock_runtime.type_defs import (
        ContentBlockTypeDef,
        GuardrailAssessmentTypeDef,
        GuardrailContentBlockTypeDef,
    )


# A person waits for the answer, so there is one retry and a short time limit.
_BEDROCK_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=15
)
# A job that gets no judgement is read again later, so there is no retry here.
_GUARDRAIL_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=10
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


class BedrockGuardrail:
    """The guardrail, through Bedrock's ApplyGuardrail call."""

    def __init__(self, guardrail_id: str, version: str) -> None:
        self._guardrail_id, self._version = guardrail_id, version

    @cached_property
    def _client(self) -> "BedrockRuntimeClient":
        return boto3.client("bedrock-runtime", config=_GUARDRAIL_CONFIG)

    def judge(self, text: str) -> Judgement:
        """See `Guardrail.judge`.

        A guardrail that would mask a part of the text blocks it, because nobody asked for a video
        of what is left.
        """
        return self._applied([{"text": {"text": text}}])

    def judge_pictures(self, pictures: Sequence[bytes]) -> Judgement:
        """See `Guardrail.judge_pictures`."""
        return self._applied(
            [{"image": {"format": "jpeg", "source": {"bytes": one}}} for one in pictures]
        )

    def _applied(self, content: "Sequence[GuardrailContentBlockTypeDef]") -> Judgement:
        try:
            answer = self._client.apply_guardrail(
                guardrailIdentifier=self._guardrail_id,
                guardrailVersion=self._version,
                source="INPUT",
                content=content,
            )
        except ClientError as error:
            reason = f"{code_of(error)}: {message_of(error)}"
            raise GuardrailUnavailable(reason[:300]) from error
        except BotoCoreError as error:
            raise GuardrailUnavailable(str(error)[:300]) from error
        if answer["action"] == "NONE":
            return Judgement(blocked=False)
        reasons = (reason for one in answer["assessments"] for reason in _reasons(one))
        return Judgement(blocked=True, reasons=tuple(dict.fromkeys(reasons)))


def _reasons(assessment: "GuardrailAssessmentTypeDef") -> Iterator[str]:
    """Why a guardrail intervened, in words."""
    topics = assessment.get("topicPolicy", {}).get("topics", ())
    filters = assessment.get("contentPolicy", {}).get("filters", ())
    words = assessment.get("wordPolicy", {})
    private = assessment.get("sensitiveInformationPolicy", {})
    found = [
        *((one["action"], f"the topic {one['name']}") for one in topics),
        *((one["action"], _words(one["type"])) for one in filters),
        *((one["action"], f'the word "{one["match"]}"') for one in words.get("customWords", ())),
        *((one["action"], _words(one["type"])) for one in words.get("managedWordLists", ())),
        *((one["action"], _words(one["type"])) for one in private.get("piiEntities", ())),
        *((one["action"], one.get("name", "a pattern")) for one in private.get("regexes", ())),
    ]
    return (reason for action, reason in found if action != "NONE")


def _words(kind: str) -> str:
    return kind.lower().replace("_", " ")
