"""Deploys reeldrop to the embedded cloud, with the demo model and mail."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local import ROOT
from local.cloud.mail import subscribe_mail
from local.cloud.process import EmbeddedCloud
from local.command.assembly import assembly
from local.command.deploy import deploy
from local.command.models import folders_of, import_folder

_MODELS = "models"


@dataclass(frozen=True)
class DropFolder:
    """The names of a deployed drop folder's resources."""

    endpoint: str
    input_bucket: str
    output_bucket: str
    work_bucket: str
    log_bucket: str
    topic_arn: str
    table_name: str
    default_model: str
    instance_types: str
    job_prefix: str
    code_uri: str
    image_uri: str
    import_role_arn: str
    enhancer_model_id: str
    lambda_concurrency: str
    drop_policy_arn: str
    watch_policy_arn: str

    def as_outputs(self) -> dict[str, str]:
        """Return the names under the keys of the stack's outputs, with the endpoint."""
        return {
            "Endpoint": self.endpoint,
            "InputBucket": self.input_bucket,
            "OutputBucket": self.output_bucket,
            "WorkBucket": self.work_bucket,
            "LogBucket": self.log_bucket,
            "TopicArn": self.topic_arn,
            "TableName": self.table_name,
            "DefaultModel": self.default_model,
            "InstanceTypes": self.instance_types,
            "JobPrefix": self.job_prefix,
            "CodeUri": self.code_uri,
            "ImageUri": self.image_uri,
            "ImportRoleArn": self.import_role_arn,
            "EnhancerModelId": self.enhancer_model_id,
            "LambdaConcurrency": self.lambda_concurrency,
            "DropPolicyArn": self.drop_policy_arn,
            "WatchPolicyArn": self.watch_policy_arn,
        }


def make_ready(home: Path) -> None:
    """Create the assembly and the demo model in `home`, unless they are there from an earlier run.

    Raises:
        SynthesisFailed: the stacks could not be synthesised.
        CalledProcessError: the demo model could not be installed.
    """
    assembly(home)
    subprocess.run(
        [sys.executable, "-m", "demo_model.install", str(home / _MODELS)],
        cwd=ROOT,
        check=True,
        # Ctrl-C must reach only this process, or the child would print a traceback.
        process_group=0,
    )


def open_drop_folder(home: Path, cloud: EmbeddedCloud) -> DropFolder:
    """Deploy reeldrop to a running cloud. It is safe to repeat on a cloud that kept its state.

    Raises:
        DeployFailed: a stack could not be deployed.
        SynthesisFailed: the stacks could not be synthesised.
    """
    outputs = deploy(assembly(home), cloud.endpoint)
    folder = DropFolder(
        endpoint=cloud.endpoint,
        input_bucket=outputs["InputBucket"],
        output_bucket=outputs["OutputBucket"],
        work_bucket=outputs["WorkBucket"],
        log_bucket=outputs["LogBucket"],
        topic_arn=outputs["TopicArn"],
        table_name=outputs["TableName"],
        default_model=outputs["DefaultModel"],
        instance_types=outputs["InstanceTypes"],
        job_prefix=outputs["JobPrefix"],
        code_uri=outputs["CodeUri"],
        image_uri=outputs["ImageUri"],
        import_role_arn=outputs["ImportRoleArn"],
        enhancer_model_id=outputs["EnhancerModelId"],
        lambda_concurrency=outputs["LambdaConcurrency"],
        drop_policy_arn=outputs["DropPolicyArn"],
        watch_policy_arn=outputs["WatchPolicyArn"],
    )
    subscribe_mail(cloud.endpoint, folder.topic_arn)
    upload_models(home / _MODELS, cloud, folder.work_bucket)
    return folder


def upload_models(models: Path, cloud: EmbeddedCloud, bucket: str) -> None:
    """Import every model folder below `models`, unless it was imported already.

    Args:
        models: a folder with one folder for each model folder of the demo model.
        cloud: the running cloud.
        bucket: the work bucket.
    """
    s3 = cloud.client("s3")
    for name, (mode, _) in folders_of("demo").items():
        import_folder(s3, bucket, name, mode, models / name, lambda _line: None)
