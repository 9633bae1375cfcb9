"""Roles on the embedded cloud, which checks what they may do."""

import json
from contextlib import suppress
from typing import Any

from local.cloud.process import EmbeddedCloud

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def create_role(cloud: EmbeddedCloud, role_arn: str, *statements: dict[str, Any]) -> None:
    """Create or change a role for Lambda and SageMaker. Without statements it may do everything."""
    iam, name = cloud.client("iam"), role_arn.rpartition("/")[2]
    services = {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]}
    trust = {"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
    iam.put_role_policy(
        RoleName=name, PolicyName="it", PolicyDocument=_policy(*(statements or (EVERYTHING,)))
    )


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
