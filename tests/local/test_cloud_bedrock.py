"""The stand-in for Converse answers in Bedrock's format and says that it is a stand-in."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.bedrock import ADDED_SENTENCE, BLOCKED_WORD, MISSING_GUARDRAIL
from local.cloud.process import EmbeddedCloud

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def set_fault(cloud: EmbeddedCloud, fault: str | None) -> int:
    body = json.dumps({"fault": fault}).encode()
    request = urllib.request.Request(f"{cloud.endpoint}/_reeldrop/bedrock", body)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(autouse=True)
def no_fault(cloud: EmbeddedCloud) -> Iterator[None]:
    yield
    set_fault(cloud, None)


def converse(cloud: EmbeddedCloud, text: str, model: str = MODEL) -> dict[str, Any]:
    answer: dict[str, Any] = cloud.client("bedrock-runtime").converse(
        modelId=model,
        system=[{"text": "Make it vivid."}],
        messages=[
            {"role": "user", "content": [{"text": "<prompt>an earlier one</prompt>"}]},
            {"role": "assistant", "content": [{"text": "yes"}]},
            {"role": "user", "content": [{"text": text}]},
        ],
        inferenceConfig={"maxTokens": 300},
    )
    return answer


@pytest.mark.parametrize(
    "model", [MODEL, "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-v1:0"]
)
def test_it_answers_with_the_prompt_and_says_that_it_is_a_stand_in(
    cloud: EmbeddedCloud, model: str
) -> None:
    answer = converse(cloud, "Rewrite <prompt>a bee &amp; a\n &lt;rose&gt;</prompt>", model)
    (content,) = answer["output"]["message"]["content"]
    assert content["text"] == f"a bee & a <rose>. {ADDED_SENTENCE}"
    assert answer["stopReason"] == "end_turn"
    assert answer["trace"]["promptRouter"]["invokedModelId"] == "reeldrop-stand-in"
    assert answer["usage"]["totalTokens"] > 0


def test_scenes_get_a_numbered_line_each(cloud: EmbeddedCloud) -> None:
    scenes = '<scene number="1">\na bee\n</scene>\n<scene number="2">\na &lt;cat&gt;!\n</scene>'
    answer = converse(cloud, f"<scenes>\n{scenes}\n</scenes>")
    (content,) = answer["output"]["message"]["content"]
    assert content["text"] == f"1. a bee. {ADDED_SENTENCE}\n2. a <cat>! {ADDED_SENTENCE}"
    assert answer["trace"]["promptRouter"]["invokedModelId"] == "reeldrop-stand-in"


def test_text_without_tags_is_the_prompt(cloud: EmbeddedCloud) -> None:
    answer = converse(cloud, "A bee!")
    assert answer["output"]["message"]["content"][0]["text"].startswith("A bee! The ")


def test_faults(cloud: EmbeddedCloud) -> None:
    assert set_fault(cloud, "ThrottlingException") == 200
    with pytest.raises(ClientError) as error:
        converse(cloud, "a bee")
    assert error.value.response["Error"]["Code"] == "ThrottlingException"
    set_fault(cloud, "empty")
    assert converse(cloud, "a bee")["output"]["message"]["content"] == []
    set_fault(cloud, "guardrail")
    assert converse(cloud, "a bee")["stopReason"] == "guardrail_intervened"
    set_fault(cloud, "max_tokens")
    assert converse(cloud, "a bee")["stopReason"] == "max_tokens"
    assert set_fault(cloud, "no such fault") == 400
    set_fault(cloud, None)
    assert converse(cloud, "a bee")["stopReason"] == "end_turn"


def apply(cloud: EmbeddedCloud, text: str, guardrail: str = "embedded") -> dict[str, Any]:
    answer: dict[str, Any] = cloud.client("bedrock-runtime").apply_guardrail(
        guardrailIdentifier=guardrail,
        guardrailVersion="1",
        source="INPUT",
        content=[{"text": {"text": text}}],
    )
    return answer


def test_the_guardrail_blocks_a_word_and_masks_an_address(cloud: EmbeddedCloud) -> None:
    assert apply(cloud, "a bee")["action"] == "NONE"
    blocked = apply(cloud, f"a {BLOCKED_WORD} bee")
    assert blocked["action"] == "GUARDRAIL_INTERVENED"
    (word,) = blocked["assessments"][0]["wordPolicy"]["customWords"]
    assert (word["match"], word["action"]) == (BLOCKED_WORD, "BLOCKED")
    masked = apply(cloud, "to a@example.org")
    assert masked["action"] == "GUARDRAIL_INTERVENED"
    assert masked["outputs"] == [{"text": "to {EMAIL}"}]


@pytest.mark.parametrize(
    ("fault", "guardrail", "code"),
    [
        (None, MISSING_GUARDRAIL, "ResourceNotFoundException"),
        (None, "Not-An-Id", "ValidationException"),
        ("guardrail-throttled", "embedded", "ThrottlingException"),
    ],
)
def test_the_guardrail_refuses_as_bedrock_does(
    cloud: EmbeddedCloud, fault: str | None, guardrail: str, code: str
) -> None:
    set_fault(cloud, fault)
    with pytest.raises(ClientError) as error:
        apply(cloud, "a bee", guardrail)
    assert error.value.response["Error"]["Code"] == code
