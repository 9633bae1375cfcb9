"""A stand-in for Bedrock's Converse: it answers a prompt with the same prompt and a fixed sentence.

It is no language model, and each answer says so: `trace.promptRouter.invokedModelId` names it.
"""

import html
import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.cloud.asgi import Request, Response, json_response

STAND_IN = "reeldrop-stand-in"
# Has no word of the demo model's world: else every prompt would seem to be about it.
ADDED_SENTENCE = "The light is soft and even."
REFUSAL = "This prompt was refused."

_PATH = re.compile(r"/model/(?P<model>.+)/converse")
_PROMPT = re.compile(r"<prompt>(.*?)</prompt>", re.DOTALL)


class Fault(StrEnum):
    """What a test can ask for instead of an answer."""

    THROTTLED = "ThrottlingException"
    EMPTY = "empty"
    GUARDRAIL = "guardrail"
    MAX_TOKENS = "max_tokens"


class _Edge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Block(_Edge):
    text: str | None = None


class _Turn(_Edge):
    role: str
    content: tuple[_Block, ...]


class _Conversation(_Edge):
    messages: Annotated[tuple[_Turn, ...], Field(min_length=1)]


class _Switch(_Edge):
    fault: Fault | None


def is_converse(method: str, path: str) -> bool:
    """Whether a request is one for Converse."""
    return method == "POST" and _PATH.fullmatch(path) is not None


class Bedrock:
    """Answers Converse. Holds the fault that is switched on, if any."""

    def __init__(self) -> None:
        self._fault: Fault | None = None

    def converse(self, request: Request) -> Response:
        """The answer to one Converse request, in rest-json."""
        try:
            conversation = _Conversation.model_validate_json(request.body)
        except ValidationError as error:
            return _error(400, "ValidationException", str(error))
        if self._fault is Fault.THROTTLED:
            return _error(429, "ThrottlingException", "Too many requests, please wait.")
        model = _PATH.fullmatch(request.path)
        if model is None or not unquote(model["model"]).strip("/"):
            return _error(400, "ValidationException", "The provided model identifier is invalid.")
        prompt = _prompt(conversation)
        answer, stop_reason = self._answer(prompt)
        return json_response(200, _response(prompt, answer, stop_reason))

    def control(self, request: Request) -> Response:
        """Switch a fault on or off: `{"fault": "empty"}`, `{"fault": null}`."""
        try:
            self._fault = _Switch.model_validate_json(request.body).fault
        except ValidationError as error:
            return json_response(400, {"message": str(error)})
        return json_response(200, {"fault": self._fault})

    def _answer(self, prompt: str) -> tuple[str, str]:
        sentence = prompt if prompt.endswith((".", "!", "?")) else f"{prompt}."
        whole = f"{sentence} {ADDED_SENTENCE}"
        if self._fault is Fault.EMPTY:
            return "", "end_turn"
        if self._fault is Fault.GUARDRAIL:
            return REFUSAL, "guardrail_intervened"
        if self._fault is Fault.MAX_TOKENS:
            return whole[: len(whole) // 2], "max_tokens"
        return whole, "end_turn"


def _prompt(conversation: _Conversation) -> str:
    """The text between the tags in the last user turn, or all of it when there are no tags."""
    turns = [turn for turn in conversation.messages if turn.role == "user"]
    text = "\n".join(block.text for block in turns[-1].content if block.text) if turns else ""
    tagged = _PROMPT.findall(text)
    return " ".join(html.unescape(tagged[-1] if tagged else text).split())


def _response(prompt: str, answer: str, stop_reason: str) -> dict[str, object]:
    # Four characters a token: a rough figure, but of the right kind and the same each time.
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
