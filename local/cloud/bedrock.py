"""Stand-ins for Bedrock's Converse and ApplyGuardrail.

Converse answers with the prompt and one fixed sentence, or for scenes with a line of this for each.
It is not a language model. Each answer says so, because `trace.promptRouter.invokedModelId` is
`reeldrop-stand-in`. ApplyGuardrail blocks one word and pictures of one colour, and would mask email
addresses.
"""

import base64
import html
import io
import json
import re
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote

from PIL import Image
from pydantic import Field, ValidationError

from local.cloud.asgi import Request, Response, json_response
from local.cloud.external_document import ExternalDocument
from local.cloud.permissions import Decide, first_denial, of_converse, of_guardrail
from local.cloud.service_limits import violations

STAND_IN = "reeldrop-stand-in"
# The sentence contains no word that the demo model knows. Otherwise it would change what the demo
# model draws.
ADDED_SENTENCE = "The light is soft and even."
REFUSAL = "This prompt was refused."
BLOCKED_WORD = "forbidden"
BLOCKED_COLOUR = (255, 0, 255)
"""A picture is blocked if it has this colour on average."""
_COLOUR_TOLERANCE = 24
MISSING_GUARDRAIL = "missing"
"""The id of a guardrail that does not exist. All others do."""

_PATH = re.compile(r"/model/(?P<model>.+)/converse")
_GUARDRAIL_PATH = re.compile(r"/guardrail/(?P<id>[^/]+)/version/(?P<version>[^/]+)/apply")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]+")
_PROMPT = re.compile(r"<prompt>(.*?)</prompt>", re.DOTALL)
_SCENE = re.compile(r'<scene number="\d+">(.*?)</scene>', re.DOTALL)


class Fault(StrEnum):
    """What the stand-in does instead of answering, for tests."""

    THROTTLED = "ThrottlingException"
    EMPTY = "empty"
    GUARDRAIL = "guardrail"
    MAX_TOKENS = "max_tokens"
    GUARDRAIL_THROTTLED = "guardrail-throttled"


class _ContentBlock(ExternalDocument):
    text: str | None = None


class _Message(ExternalDocument):
    role: str
    content: tuple[_ContentBlock, ...]


class _Conversation(ExternalDocument):
    messages: Annotated[tuple[_Message, ...], Field(min_length=1)]


class _FaultSetting(ExternalDocument):
    fault: Fault | None


def is_bedrock(method: str, path: str) -> bool:
    """Return whether a request is a call of Converse or ApplyGuardrail."""
    return method == "POST" and any(one.fullmatch(path) for one in (_PATH, _GUARDRAIL_PATH))


class Bedrock:
    """Answers Converse and ApplyGuardrail calls, or shows the fault that is set, if any."""

    def __init__(self, decide: Decide) -> None:
        """
        Args:
            decide: evaluates the policies of a caller.
        """
        self._decide = decide
        self._fault: Fault | None = None

    def handle(self, request: Request) -> Response:
        """Answer one call in the REST-JSON protocol."""
        guardrail = _GUARDRAIL_PATH.fullmatch(request.path)
        return self._apply(request, guardrail) if guardrail else self._converse(request)

    def _apply(self, request: Request, path: re.Match[str]) -> Response:
        """Answer one call of ApplyGuardrail."""
        guardrail = unquote(path["id"])
        try:
            sent = json.loads(request.body)
        except ValueError as error:
            return _error(400, "ValidationException", str(error))
        named = {"guardrailIdentifier": guardrail, "guardrailVersion": unquote(path["version"])}
        if wrong := violations("ApplyGuardrail", {**sent, **named}, "bedrock-runtime"):
            return _error(400, "ValidationException", "; ".join(wrong))
        if self._fault is Fault.GUARDRAIL_THROTTLED:
            return _error(429, "ThrottlingException", "Too many requests, please wait.")
        if denied := first_denial(self._decide, request, of_guardrail(guardrail)):
            return _error(403, denied.code, denied.message)
        if guardrail == MISSING_GUARDRAIL:
            said = "The guardrail identifier or version provided in the request does not exist."
            return _error(404, "ResourceNotFoundException", said)
        text = "\n".join(block["text"]["text"] for block in sent["content"] if "text" in block)
        pictures = [
            base64.b64decode(block["image"]["source"]["bytes"])
            for block in sent["content"]
            if "image" in block
        ]
        return json_response(200, _judgement(text, pictures))

    def _converse(self, request: Request) -> Response:
        """Answer one call of Converse."""
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
        text = _last_text(conversation)
        scenes = [_plain(scene) for scene in _SCENE.findall(text)]
        tagged = _PROMPT.findall(text)
        prompt = "\n".join(scenes) if scenes else _plain(tagged[-1] if tagged else text)
        answer, stop_reason = self._answer(scenes, prompt)
        return json_response(200, _response(prompt, answer, stop_reason))

    def control(self, request: Request) -> Response:
        """Set a fault with `{"fault": "empty"}` or clear it with `{"fault": null}`."""
        try:
            self._fault = _FaultSetting.model_validate_json(request.body).fault
        except ValidationError as error:
            return json_response(400, {"message": str(error)})
        return json_response(200, {"fault": self._fault})

    def _answer(self, scenes: list[str], prompt: str) -> tuple[str, str]:
        text = _lengthened(prompt)
        if scenes:
            lines = (f"{n}. {_lengthened(scene)}" for n, scene in enumerate(scenes, 1))
            text = "\n".join(lines)
        if self._fault is Fault.EMPTY:
            return "", "end_turn"
        if self._fault is Fault.GUARDRAIL:
            return REFUSAL, "guardrail_intervened"
        if self._fault is Fault.MAX_TOKENS:
            return text[: len(text) // 2], "max_tokens"
        return text, "end_turn"


def _lengthened(prompt: str) -> str:
    sentence = prompt if prompt.endswith((".", "!", "?")) else f"{prompt}."
    return f"{sentence} {ADDED_SENTENCE}"


def _last_text(conversation: _Conversation) -> str:
    """The text of the last message of the user."""
    messages = [message for message in conversation.messages if message.role == "user"]
    blocks = messages[-1].content if messages else ()
    return "\n".join(block.text for block in blocks if block.text)


def _plain(text: str) -> str:
    """What a person wrote between two tags."""
    return " ".join(html.unescape(text).split())


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


def is_blocked_picture(picture: bytes) -> bool:
    """Whether the stand-in blocks a JPEG or PNG."""
    with Image.open(io.BytesIO(picture)) as opened:
        pixel = opened.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    far = (abs(a - b) for a, b in zip(pixel, BLOCKED_COLOUR, strict=True))
    return max(far) <= _COLOUR_TOLERANCE


def _judgement(text: str, pictures: list[bytes]) -> dict[str, Any]:
    words = [BLOCKED_WORD] if BLOCKED_WORD in text.lower() else []
    addresses = _EMAIL.findall(text)
    assessment: dict[str, Any] = {}
    if words:
        found = [{"match": word, "action": "BLOCKED", "detected": True} for word in words]
        assessment["wordPolicy"] = {"customWords": found, "managedWordLists": []}
    if addresses:
        found = [
            {"match": one, "type": "EMAIL", "action": "ANONYMIZED", "detected": True}
            for one in addresses
        ]
        assessment["sensitiveInformationPolicy"] = {"piiEntities": found, "regexes": []}
    if any(is_blocked_picture(picture) for picture in pictures):
        found = [{"type": "VIOLENCE", "confidence": "HIGH", "action": "BLOCKED", "detected": True}]
        assessment["contentPolicy"] = {"filters": found}
    masked = REFUSAL if words else _EMAIL.sub("{EMAIL}", text)
    unit = -(-len(text) // 1000)
    return {
        "action": "GUARDRAIL_INTERVENED" if assessment else "NONE",
        "outputs": [{"text": masked}] if assessment else [],
        "assessments": [assessment],
        "usage": {
            "topicPolicyUnits": 0,
            "contentPolicyUnits": 0,
            "wordPolicyUnits": unit,
            "sensitiveInformationPolicyUnits": unit,
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        },
    }


def _error(status: int, code: str, message: str) -> Response:
    return json_response(status, {"message": message}, x_amzn_errortype=code)
