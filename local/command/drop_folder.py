"""A drop folder on the embedded cloud: the product, deployed, with a model and a mail box."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig

from functions import s3_keys
from local import ROOT
from local.cloud.process import EmbeddedCloud
from local.command.assembly import assembly
from local.command.deploy import deploy, subscribe_mail

_MODELS = "models"


@dataclass(frozen=True)
class DropFolder:
    """Names of the deployed parts."""

    endpoint: str
    input_bucket: str
    output_bucket: str
    work_bucket: str
    log_bucket: str
    topic_arn: str
    table_name: str

    def as_outputs(self) -> dict[str, str]:
        """The names as the stack's outputs have them, with the endpoint."""
        return {
            "Endpoint": self.endpoint,
            "InputBucket": self.input_bucket,
            "OutputBucket": self.output_bucket,
            "WorkBucket": self.work_bucket,
            "LogBucket": self.log_bucket,
            "TopicArn": self.topic_arn,
            "TableName": self.table_name,
        }


def make_ready(home: Path) -> None:
    """Make in `home` what every start needs: the assembly and the model. Kept between starts."""
    assembly(home)
    subprocess.run(
        [sys.executable, "-m", "demo_model.install", str(home / _MODELS)],
        cwd=ROOT,
        check=True,
        # Ctrl-C is for us, who end it; by itself it would print where it was.
        process_group=0,
    )


def open_drop_folder(home: Path, cloud: EmbeddedCloud) -> DropFolder:
    """Deploy the product to a running cloud. Safe to repeat on a cloud that kept its state.

    Raises:
        DeployFailed, SynthesisFailed: with what went wrong.
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
    )
    subscribe_mail(cloud.endpoint, folder.topic_arn)
    upload_models(home / _MODELS, cloud, folder.work_bucket)
    return folder


def upload_models(models: Path, cloud: EmbeddedCloud, bucket: str) -> None:
    """Put every model folder in `models` where the worker gets it from, unless it is there."""
    s3 = cloud.client("s3")
    there = {
        item["Key"]: item["ETag"].strip('"')
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=s3_keys.MODELS_PREFIX).get(
            "Contents", []
        )
    }
    # In one part, the ETag is the MD5: weights that were trained further have the same sizes.
    in_one_part = TransferConfig(multipart_threshold=5 * 1024**3)
    for file in sorted(models.glob("[!.]*/**/*")):
        if file.is_file():
            folder, _, rest = file.relative_to(models).as_posix().partition("/")
            key = f"{s3_keys.model(folder)}{rest}"
            if there.get(key) != _md5(file):
                s3.upload_file(str(file), bucket, key, Config=in_one_part)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()
