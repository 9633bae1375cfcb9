"""The Converse stand-in answers in Bedrock's shape and says what it is."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.bedrock import ADDED_SENTENCE
from local.cloud.process import EmbeddedCloud

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def switch(cloud: EmbeddedCloud, fault: str | None) -> int:
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
    switch(cloud, None)


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
def test_it_returns_the_prompt_and_says_what_it_is(cloud: EmbeddedCloud, model: str) -> None:
    answer = converse(cloud, "Rewrite <prompt>a bee &amp; a\n &lt;rose&gt;</prompt>", model)
    (content,) = answer["output"]["message"]["content"]
    assert content["text"] == f"a bee & a <rose>. {ADDED_SENTENCE}"
    assert answer["stopReason"] == "end_turn"
    assert answer["trace"]["promptRouter"]["invokedModelId"] == "reeldrop-stand-in"
    assert answer["usage"]["totalTokens"] > 0


def test_text_without_tags_is_the_prompt(cloud: EmbeddedCloud) -> None:
    answer = converse(cloud, "A bee!")
    assert answer["output"]["message"]["content"][0]["text"].startswith("A bee! The ")


def test_faults(cloud: EmbeddedCloud) -> None:
    assert switch(cloud, "ThrottlingException") == 200
    with pytest.raises(ClientError) as error:
        converse(cloud, "a bee")
    assert error.value.response["Error"]["Code"] == "ThrottlingException"
    switch(cloud, "empty")
    assert converse(cloud, "a bee")["output"]["message"]["content"] == []
    switch(cloud, "guardrail")
    assert converse(cloud, "a bee")["stopReason"] == "guardrail_intervened"
    switch(cloud, "max_tokens")
    assert converse(cloud, "a bee")["stopReason"] == "max_tokens"
    assert switch(cloud, "no such fault") == 400
    switch(cloud, None)
    assert converse(cloud, "a bee")["stopReason"] == "end_turn"
