"""The account and the region that a stack is deployed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import aws_cdk as cdk


@dataclass(frozen=True)
class Place:
    """Where a stack is deployed to. CloudFormation fills in what synthesis does not know."""

    account: str = cdk.Aws.ACCOUNT_ID
    region: str = cdk.Aws.REGION

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what the CDK CLI found out with the caller's credentials.

        Without the CLI, such as in tests, nothing is known. CloudFormation imports a resource that
        is there already only if its name is in the template, not if it has to be filled in.
        """
        account = environment.get("CDK_DEFAULT_ACCOUNT")
        region = environment.get("CDK_DEFAULT_REGION")
        return cls(account, region) if account and region else cls()
