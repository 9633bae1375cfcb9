"""A stand-in for Bedrock's Converse API: it answers with the prompt and one fixed sentence.

It is not a language model. Each answer says so, because `trace.promptRouter.invokedModelId` is
`reeldrop-stand-in`.
"""

import html
import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import unquote

from pydantic import Field, ValidationError

from local.cloud.asgi import Request, Response, json_response
from local.cloud.external_document import ExternalDocument
from local.cloud.permissions import Decide, first_denial, of_converse

STAND_IN = "reeldrop-stand-in"
# The sentence contains no word that the demo model knows. Otherwise it would change what the demo
# model draws.
ADDED_SENTENCE = "The light is soft and even."
REFUSAL = "This prompt was refused."

_PATH = re.compile(r"/model/(?P<model>.+)/converse")
_PROMPT = re.compile(r"<prompt>(.*?)</prompt>", re.DOTALL)


class Fault(StrEnum):
    """What the stand-in does instead of answering, for tests."""

    THROTTLED = "ThrottlingException"
    EMPTY = "empty"
    GUARDRAIL = "guardrail"
    MAX_TOKENS = "max_tokens"


class _ContentBlock(ExternalDocument):
    text: str | None = None


class _Message(ExternalDocument):
    role: str
    content: tuple[_ContentBlock, ...]


class _Conversation(ExternalDocument):
    messages: Annotated[tuple[_Message, ...], Field(min_length=1)]


class _FaultSetting(ExternalDocument):
    fault: Fault | None


def is_converse(method: str, path: str) -> bool:
    """Return whether a request is a call of Converse."""
    return method == "POST" and _PATH.fullmatch(path) is not None


class Bedrock:
    """Answers Converse calls, or shows the fault that is set, if any."""

    def __init__(self, decide: Decide) -> None:
        """
        Args:
            decide: evaluates the policies of a caller.
        """
        self._decide = decide
        self._fault: Fault | None = None

    def converse(self, request: Request) -> Response:
        """Answer one Converse call in the REST-JSON protocol."""
        try:
            conversation = _Conversation.model_validate_json(request.body)
        except ValidationError as error:
            return _error(400, "ValidationException", str(error))
        if self._fault is Fault.THROTTLED:
            return _error(429, "ThrottlingException", "Too many requests, please wait.")
        model = _PATH.fullmatch(request.path)
        if model is None or not unquote(model["model"]).strip("/"):
            return _error(400, "ValidationException", "The provided model identifier is invalid.")
        needs = of_converse(unquote(model["model"]))
        if denied := first_denial(self._decide, request, needs):
            return _error(403, denied.code, denied.message)
        prompt = _prompt(conversation)
        answer, stop_reason = self._answer(prompt)
        return json_response(200, _response(prompt, answer, stop_reason))

    def control(self, request: Request) -> Response:
        """Set a fault with `{"fault": "empty"}` or clear it with `{"fault": null}`."""
        try:
            self._fault = _FaultSetting.model_validate_json(request.body).fault
        except ValidationError as error:
            return json_response(400, {"message": str(error)})
        return json_response(200, {"fault": self._fault})

    def _answer(self, prompt: str) -> tuple[str, str]:
        sentence = prompt if prompt.endswith((".", "!", "?")) else f"{prompt}."
        text = f"{sentence} {ADDED_SENTENCE}"
        if self._fault is Fault.EMPTY:
            return "", "end_turn"
        if self._fault is Fault.GUARDRAIL:
            return REFUSAL, "guardrail_intervened"
        if self._fault is Fault.MAX_TOKENS:
            return text[: len(text) // 2], "max_tokens"
        return text, "end_turn"


def _prompt(conversation: _Conversation) -> str:
    """Return the text between the prompt tags of the last user message.

    Without tags it is the whole text of that message.
    """
    messages = [message for message in conversation.messages if message.role == "user"]
    blocks = messages[-1].content if messages else ()
    text = "\n".join(block.text for block in blocks if block.text)
    tagged = _PROMPT.findall(text)
    return " ".join(html.unescape(tagged[-1] if tagged else text).split())


def _response(prompt: str, answer: str, stop_reason: str) -> dict[str, object]:
    # Four characters per token is a rough estimate, but the same text always gives the same count.
    tokens_in, tokens_out = len(prompt) // 4 + 1, len(answer) // 4 + 1
    return {
        "output": {
            "message": {"role": "assistant", "content": [{"text": answer}] if answer else []}
        },
        "stopReason": stop_reason,
        "usage": {
            "inputTokens": tokens_in,
            "outputTokens": tokens_out,
            "totalTokens": tokens_in + tokens_out,
        },
        "metrics": {"latencyMs": 1},
        "trace": {"promptRouter": {"invokedModelId": STAND_IN}},
    }


def _error(status: int, code: str, message: str) -> Response:
    return json_response(status, {"message": message}, x_amzn_errortype=code)
