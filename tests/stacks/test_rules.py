"""The rules of AWS and of the community for templates. Each finding is explained here."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cdk_nag import AwsSolutionsChecks

from local.command.assembly import assembly
from stacks.__main__ import app

_BY_PREFIX = "A function may touch the objects of its own prefixes, and a prefix needs a wildcard."
EXPLAINED = {
    r"AwsSolutions-IAM5\[Resource::<Storage\w+\.Arn>/([a-z*/]+/)?\*\]": _BY_PREFIX,
    r"AwsSolutions-IAM5\[Resource::<Storage\w+\.Arn>/models/\*/READY\]": (
        "Each model folder has this file. A deployment may get models that the catalogue has later."
    ),
    r"AwsSolutions-IAM5\[Resource::<StorageInput\w+\.Arn>/jobs/\*_defaults\.yaml\]": (
        "folder defaults may be in any folder"
    ),
    r"AwsSolutions-IAM5\[Resource::<StorageInput\w+\.Arn>/jobs/\*\.json\]": (
        "The spec of a final is beside that of its draft, and those of a list are below it, in any "
        "folder."
    ),
    r"AwsSolutions-IAM5\[Resource::arn:.*:processing-job/reeldrop--\*\]": (
        "The name of a processing job is only known when it is created. All begin alike."
    ),
    r"AwsSolutions-IAM5\[Resource::arn:.*:bedrock:\*::foundation-model/[a-z0-9.:-]+\]": (
        "An inference profile calls the model in any of its regions; IAM wants all of them allowed."
    ),
    r"AwsSolutions-IAM5\[Resource::arn:.*:log-group:/aws/sagemaker/\*\]": (
        "SageMaker names the log stream of each processing job."
    ),
    r"AwsSolutions-IAM5\[Resource::\*\]": (
        "ecr:GetAuthorizationToken, cloudwatch:PutMetricData and X-Ray's actions know no resource. "
        "Nor do the calls by which Lambda and SageMaker connect to a network."
    ),
    r"AwsSolutions-APIG4": (
        "The files of the page are public. tests/stacks/test_studio.py shows that nothing else is."
    ),
    r"AwsSolutions-COG2": "A second factor is possible. Whether it is required, its owner decides.",
    r"AwsSolutions-COG[38]": (
        "Threat protection costs money for each person. Only an administrator adds people here."
    ),
    r"AwsSolutions-SQS3": (
        "These queues are dead-letter queues themselves: of the rules that send events to webhooks."
    ),
    r"AwsSolutions-L1": "The locks and the tests are of this Python version; see stacks/code.py.",
}


def unexplained(found: set[str]) -> list[str]:
    """The findings of AwsSolutions that nothing explains."""
    return sorted(n for n in found if not any(re.fullmatch(p, n) for p in EXPLAINED))


def lint(template: Path, regions: Sequence[str]) -> str:
    """What cfn-lint says about a template."""
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "cfn-lint"),
            *("--regions", *regions),
            # CDK writes DependsOn between a function and the policy of its role, on purpose.
            *("--ignore-checks", "W3005"),
            *("--", str(template)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_finding_of_aws_solutions_is_explained(tmp_path: Path) -> None:
    everything = {"studio": True, "slack_secret": "slack"}
    report = AwsSolutionsChecks().validate_scope(
        app(outdir=str(tmp_path), code="embedded", **everything)
    )
    found = {violation.rule_name for violation in report.violations}
    assert unexplained(found) == []
    unused = [p for p in EXPLAINED if not any(re.fullmatch(p, n) for n in found)]
    assert unused == [], "nothing needs this explanation any more"


def test_cfn_lint_finds_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    template = assembly(tmp_path_factory.mktemp("assembly")) / "reeldrop.template.json"
    assert lint(template, ("us-east-1", "eu-central-1", "ap-northeast-1")) == ""
