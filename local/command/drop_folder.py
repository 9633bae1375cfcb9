"""Deploys reeldrop to the embedded cloud, with the demo model and mail."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig

from functions import s3_keys
from local import ROOT
from local.cloud.mail import subscribe_mail
from local.cloud.process import EmbeddedCloud
from local.command.assembly import assembly
from local.command.deploy import deploy

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
    )
    subscribe_mail(cloud.endpoint, folder.topic_arn)
    upload_models(home / _MODELS, cloud, folder.work_bucket)
    return folder


def upload_models(models: Path, cloud: EmbeddedCloud, bucket: str) -> None:
    """Upload the files of every model below `models` that the bucket does not have yet.

    Args:
        models: a folder with one folder for each model.
        cloud: the running cloud.
        bucket: the bucket from which the worker gets its models.
    """
    s3 = cloud.client("s3")
    uploaded = {
        item["Key"]: item["ETag"].strip('"')
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=s3_keys.MODELS_PREFIX).get(
            "Contents", []
        )
    }
    # The ETag of an upload in one part is the MD5 of the file. Sizes would not do, because weights
    # keep their size when they are trained further.
    in_one_part = TransferConfig(multipart_threshold=5 * 1024**3)
    for file in sorted(models.glob("[!.]*/**/*")):
        if file.is_file():
            model, _, rest = file.relative_to(models).as_posix().partition("/")
            key = f"{s3_keys.model(model)}{rest}"
            if uploaded.get(key) != _md5(file):
                s3.upload_file(str(file), bucket, key, Config=in_one_part)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()
