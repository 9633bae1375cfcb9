"""Which permissions the calls need that our own services answer: SageMaker and Bedrock.

ministack checks the calls of all other services.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloud.asgi import Request
from local.cloud.clients import ACCOUNT, REGION

# The id of a cross-region inference profile of Bedrock begins with one of these and a dot.
_GEOGRAPHIES = {"us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"}
_CREDENTIAL = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True)
class Need:
    """A permission that a call needs."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition keys of IAM with their values."""


@dataclass(frozen=True)
class Denial:
    """Why a call is refused: an error code and a message of AWS."""

    code: str
    message: str


Decide = Callable[[str, str, str, Mapping[str, str]], Denial | None]
"""Evaluates the policies of a caller: access key id, action, resource and context."""


def first_denial(decide: Decide, request: Request, needs: Iterator[Need]) -> Denial | None:
    """The first need of a call that its caller's policies do not allow."""
    found = _CREDENTIAL.search(request.headers.get("authorization", ""))
    caller = found[1] if found else ""
    denials = (decide(caller, need.action, need.resource, need.context) for need in needs)
    return next((denial for denial in denials if denial is not None), None)


def of_sagemaker(operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    """What a call of SageMaker needs."""
    name = parameters.get("ProcessingJobName")
    job = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{name}" if name else "*"
    yield Need(f"sagemaker:{operation}", parameters.get("ResourceArn", job))
    if operation == "CreateProcessingJob":
        passed_to = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        yield Need("iam:PassRole", str(parameters.get("RoleArn")), passed_to)


def of_guardrail(guardrail_id: str) -> Iterator[Need]:
    """What a call of ApplyGuardrail needs.

    Args:
        guardrail_id: its id or its ARN.
    """
    arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/{guardrail_id}"
    yield Need("bedrock:ApplyGuardrail", guardrail_id if ":" in guardrail_id else arn)


def of_converse(model_id: str) -> Iterator[Need]:
    """What a call of Converse needs. It has no permission of its own.

    An inference profile forwards a call to the model in one of several regions, and both have to be
    allowed.
    """
    geography, _, rest = model_id.partition(".")
    if geography in _GEOGRAPHIES:
        profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model_id}"
        yield Need("bedrock:InvokeModel", profile)
        yield Need("bedrock:InvokeModel", f"arn:aws:bedrock:us-west-2::foundation-model/{rest}")
    else:
        yield Need("bedrock:InvokeModel", f"arn:aws:bedrock:{REGION}::foundation-model/{model_id}")
