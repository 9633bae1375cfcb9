"""A deployment with a key or a network of its own names it to SageMaker."""

from dataclasses import replace
from pathlib import Path

from contract.manifest import CONTAINER_ROOT, Layout
from functions.adapters.sagemaker import processing_request
from functions.stages.renderer import ProcessingJob
from local.cloud.service_limits import violations
from tests.fakes import SETTINGS, replace_settings

KEY = "arn:aws:kms:us-east-1:000000000000:key/ours"
JOB = ProcessingJob(
    attempt_id="reeldrop--1",
    input_uri="s3://work/attempts/1/input",
    output_uri="s3://work/attempts/1/output",
    model_uri="s3://work/models/demo/one",
    instance_type="ml.g6e.xlarge",
    manifest_sha256="0" * 64,
)


def test_outputs_are_encrypted_with_the_key_of_the_deployment() -> None:
    """Types with a GPU have a disk of their own, for which SageMaker refuses a key."""
    request = processing_request(JOB, replace_settings(SETTINGS, key_arn=KEY))
    assert violations("CreateProcessingJob", request) == []
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == KEY
    assert "VolumeKmsKeyId" not in request["ProcessingResources"]["ClusterConfig"]
    assert "KmsKeyId" not in processing_request(JOB, SETTINGS)["ProcessingOutputConfig"]


def test_the_disk_of_a_type_without_a_disk_of_its_own_is_encrypted_with_it() -> None:
    job = replace(JOB, instance_type="ml.c5.2xlarge", model_uri=None)
    request = processing_request(job, replace_settings(SETTINGS, key_arn=KEY))
    assert violations("CreateProcessingJob", request) == []
    assert request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == KEY
    assert [one["InputName"] for one in request["ProcessingInputs"]] == ["code", "input"]
    plain = processing_request(job, SETTINGS)["ProcessingResources"]["ClusterConfig"]
    assert "VolumeKmsKeyId" not in plain


def test_inputs_and_outputs_go_through_the_network_of_the_deployment() -> None:
    settings = replace_settings(
        SETTINGS, subnet_ids="subnet-0123456789abcdef0,subnet-1", security_group_id="sg-1"
    )
    request = processing_request(JOB, settings)
    assert violations("CreateProcessingJob", request) == []
    assert request["NetworkConfig"] == {
        "EnableNetworkIsolation": True,
        "VpcConfig": {
            "Subnets": ["subnet-0123456789abcdef0", "subnet-1"],
            "SecurityGroupIds": ["sg-1"],
        },
    }
    assert processing_request(JOB, SETTINGS)["NetworkConfig"] == {"EnableNetworkIsolation": True}


def test_the_weights_of_rife_are_an_input_only_if_they_are_used() -> None:
    """SageMaker does not start a processing job with an input that has no objects."""
    uri = "s3://work/models/rife/one/"
    request = processing_request(replace(JOB, interpolation_uri=uri), SETTINGS)
    assert violations("CreateProcessingJob", request) == []
    inputs = {one["InputName"]: one["S3Input"] for one in request["ProcessingInputs"]}
    assert inputs["interpolation"]["S3Uri"] == uri
    assert inputs["interpolation"]["LocalPath"] == str(Layout(Path(CONTAINER_ROOT)).interpolation)
    names = [one["InputName"] for one in processing_request(JOB, SETTINGS)["ProcessingInputs"]]
    assert names == ["code", "input", "model"]
