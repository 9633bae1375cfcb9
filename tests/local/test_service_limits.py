"""Violations of the service model's limits are found, and valid requests pass."""

from typing import Any

import pytest

from local.cloud.service_limits import violations

GOOD: dict[str, Any] = {
    "ProcessingJobName": "job-1",
    "RoleArn": "arn:aws:iam::000000000000:role/reeldrop",
    "AppSpecification": {"ImageUri": "image", "ContainerArguments": ["--root", "/opt/ml"]},
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceType": "ml.g5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        }
    },
    "NetworkConfig": {"EnableNetworkIsolation": True},
    "Tags": [{"Key": "wörk tag", "Value": "a=b @c"}],
}


def test_a_good_request_has_no_violations() -> None:
    assert violations("CreateProcessingJob", GOOD) == []


def input_(number: int) -> dict[str, Any]:
    return {"InputName": f"i{number}"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ProcessingJobName": "a--"}, "processingJobName.*regular expression"),
        ({"ProcessingJobName": "a" * 50_000}, "length less than or equal to 63"),
        ({"ProcessingJobName": ""}, "length greater than or equal to 1"),
        ({"ProcessingJobName": 7}, "must be a string"),
        ({"Nonsense": 1}, "nonsense.*unknown"),
        ({"AppSpecification": {}}, "appSpecification.imageUri.*must not be null"),
        ({"NetworkConfig": {"EnableNetworkIsolation": 1}}, "must be a boolean"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "must be a integer"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
        ({"Environment": {"1x": ""}}, "environment.key.*regular expression"),
        ({"Tags": [{"Key": "tab\u0000", "Value": ""}]}, "tags.1.member.key.*regular expression"),
    ],
    ids=str,
)
def test_each_kind_of_limit_is_checked(change: dict[str, Any], message: str) -> None:
    import re

    (found,) = violations("CreateProcessingJob", GOOD | change)
    assert re.search(message, found)


def test_counts_of_inputs() -> None:
    inputs = {"ProcessingInputs": [input_(number) for number in range(11)]}
    assert "processingInputs" in violations("CreateProcessingJob", GOOD | inputs)[0]
